package app

import (
	"context"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/config"
	"github.com/brimline/brimline/internal/preflight"
	"github.com/brimline/brimline/processors"
)

// DatabaseChecks translate a configuration for package preflight.
func DatabaseChecks(c *config.Config, rules *brimline.RuleSet) preflight.DatabaseOptions {
	return preflight.DatabaseOptions{
		URL: c.DatabaseURL.Reveal(), Table: c.Table, ID: c.IDColumn, User: c.UserColumn, Amount: c.AmountColumn, Time: c.TimeColumn,
		Columns: rules.Columns, Scale: rules.Scale,
	}
}

// preflight ends the start where going on is pointless, and logs what will
// surprise somebody later. Kafka has been met before; what remains is PostgreSQL.
func (a *App) preflight(ctx context.Context) error {
	if a.config.Verify == "off" || !a.config.Runs(processors.Verify) {
		return nil
	}
	findings := preflight.Database(ctx, DatabaseChecks(&a.config, &a.rules.RuleSet))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := preflight.Err(findings); err != nil {
		return err
	}
	for _, f := range findings {
		if f.Level == preflight.Warning {
			a.log.Warn(f.What, "check", f.Check, "remedy", f.Remedy)
		} else {
			a.log.Debug(f.What, "check", f.Check)
		}
	}
	return nil
}
