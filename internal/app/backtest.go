package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/backtest"
	"github.com/brimline/brimline/internal/config"
	"github.com/brimline/brimline/internal/ledger"
	"github.com/brimline/brimline/internal/rules"
	"github.com/dustin/go-humanize"
)

// BacktestOptions say what a backtest is about, beside where the table is.
type BacktestOptions struct {
	Rules, Against *rules.Set    // Against may be nil
	From, To       brimline.Time // MinTime and MaxTime where there is no bound
	// WithoutIndex reads a large table also where no index has its rows by user and time.
	WithoutIndex    bool
	Timeout, Budget time.Duration
	Each            func(*backtest.Alert) error
	Progress        func(rows, users int64)
	Now             brimline.Time
}

// largeTable is from how many bytes of rows on a table is not sorted unasked: about a million rows.
const largeTable = 128 << 20

// Backtest evaluates the watched table's rows by rules. What makes it fail is found before the rows are read, as
// far as it can be.
func Backtest(ctx context.Context, c *config.Config, o BacktestOptions) (*backtest.Report, error) {
	set, err := together(o.Rules, o.Against)
	if err != nil {
		return nil, err
	}
	if err := checkSpan(o.From, o.To, o.Now); err != nil {
		return nil, err
	}
	l, err := ledger.Open(ctx, LedgerOptions(c, set))
	if err != nil {
		return nil, err
	}
	defer l.Close()
	if !o.WithoutIndex {
		there, bytes, create, err := l.Index(ctx)
		if err != nil {
			return nil, err
		}
		if !there && bytes > largeTable {
			return nil, &brimline.Error{
				Class: brimline.ClassInput, Kind: "backtest_index", Where: "table " + c.Table,
				Remedy: create + "; or say --without-index, and let PostgreSQL sort",
				Err: fmt.Errorf("no index begins with (%s, %s), and %s of rows would be sorted", c.UserColumn, c.TimeColumn,
					humanize.IBytes(uint64(bytes))),
			}
		}
	}
	run := backtest.Options{
		Rules: o.Rules.Compiled(), From: o.From, To: o.To, Timeout: o.Timeout, Budget: o.Budget, Each: o.Each,
		Progress: o.Progress,
	}
	if o.Against != nil {
		run.Compare, run.Against = true, o.Against.Compiled()
	}
	return backtest.Run(ctx, l, run)
}

// together gives the span of rows that both files need.
func together(now, old *rules.Set) (*brimline.RuleSet, error) {
	set := &brimline.RuleSet{Scale: now.Scale, Columns: slices.Clone(now.Columns)}
	if old == nil {
		return set, nil
	}
	wrong := func(remedy, format string, args ...any) error {
		return &brimline.Error{
			Class: brimline.ClassInput, Kind: "backtest_against", Where: "--against", Remedy: remedy,
			Err: fmt.Errorf(format, args...),
		}
	}
	if old.Scale != now.Scale {
		return nil, wrong("write the same scale in both files", "its amounts have %d decimals, and those of --rules %d",
			old.Scale, now.Scale)
	}
	for _, column := range old.Columns {
		i := slices.IndexFunc(set.Columns, func(c brimline.Column) bool { return c.Name == column.Name })
		switch {
		case i < 0:
			set.Columns = append(set.Columns, column)
		case set.Columns[i].Type != column.Type:
			return nil, wrong("declare the column alike in both files", "its column %q is %s, and that of --rules %s",
				column.Name, column.Type, set.Columns[i].Type)
		}
	}
	return set, nil
}

func checkSpan(from, to, now brimline.Time) error {
	wrong := func(where, remedy string, err error) error {
		return &brimline.Error{Class: brimline.ClassInput, Kind: "settings", Where: where, Remedy: remedy, Err: err}
	}
	switch {
	case from > to:
		return wrong("--from", "name two times, the earlier one with --from", errors.New("it is after --to"))
	case from > now:
		return wrong("--from", "name a time that has passed", fmt.Errorf("%v lies in the future", from))
	}
	return nil
}
