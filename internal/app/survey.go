package app

import (
	"context"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/config"
	"github.com/brimline/brimline/internal/ledger"
	"github.com/brimline/brimline/internal/rules"
	"github.com/brimline/brimline/internal/starter"
)

// Survey looks at the watched table: its catalog, and if spending is asked for, some users' days.
func Survey(ctx context.Context, c *config.Config, spending bool) (*starter.About, error) {
	l, err := ledger.Open(ctx, LedgerOptions(c, &brimline.RuleSet{Scale: rules.DefaultScale}))
	if err != nil {
		return nil, err
	}
	defer l.Close()
	about := &starter.About{Table: c.Table}
	for _, column := range l.Further() {
		if rules.CanDeclare(column.Name) {
			about.Columns = append(about.Columns, column)
		}
	}
	if about.Decimals, about.Sure = l.Decimals(); !about.Sure {
		about.Decimals = rules.DefaultScale
	}
	if !spending {
		return about, nil
	}
	found, err := l.Spending(ctx, about.Decimals)
	if err != nil {
		return nil, err
	}
	if found.Days > 0 {
		about.Spending = &found
	}
	return about, nil
}
