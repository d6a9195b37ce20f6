package reference

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/postgres"
)

// Session is one transaction in which PostgreSQL judges rows that are put into
// a temporary table. It is rolled back. The login needs the rights to connect
// and to make temporary tables, and none to any table.
type Session struct {
	scratch *postgres.Scratch
}

// timeout bounds each statement.
const timeout = 30 * time.Second

// Open connects to the database of a URL and makes the table.
func Open(ctx context.Context, url string) (*Session, error) {
	target, err := postgres.Parse(url)
	if err != nil {
		return nil, err
	}
	scratch, err := target.Scratch(ctx, "brimline rules test", timeout)
	if err != nil {
		return nil, err
	}
	err = scratch.Exec(
		ctx,
		`CREATE TEMPORARY TABLE transactions (id text, user_id text NOT NULL, amount numeric NOT NULL,
		"timestamp" timestamptz NOT NULL, takes text[] NOT NULL, of jsonb NOT NULL) ON COMMIT DROP`,
	)
	if err != nil {
		scratch.Close()
		return nil, noTable(scratch.Fail("making a temporary table", err))
	}
	return &Session{scratch}, nil
}

// noTable says which right is lacking.
func noTable(err error) error {
	if e, ok := errors.AsType[*brimline.Error](err); ok && e.Kind == postgres.KindPermission {
		known := *e
		known.Remedy = "GRANT TEMPORARY ON DATABASE … TO this login; it needs no right to any table"
		return &known
	}
	return err
}

// Close rolls everything back.
func (s *Session) Close() { s.scratch.Close() }

// Edges are PostgreSQL's edges of the rules over the rows, without those that are silent, by rule id; those of one rule
// by user and time.
func (s *Session) Edges(
	ctx context.Context, rows []brimline.Transaction, rules []Rule, scale int,
) (map[string][]Edge, error) {
	const doing = "filling a temporary table"
	if err := s.scratch.Exec(ctx, "TRUNCATE pg_temp.transactions"); err != nil {
		return nil, s.scratch.Fail(doing, err)
	}
	var ids, users, amounts, times, takes, of []string
	for i := range rows {
		row := &rows[i]
		var by []string
		values := map[string]string{} // by rule, of those that count different ones
		for r := range rules {
			if rules[r].Takes == nil || rules[r].Takes(row) {
				by = append(by, rules[r].ID)
			}
			if rules[r].Value == nil {
				continue
			}
			if value := rules[r].Value(row); value != nil {
				values[rules[r].ID] = fmt.Sprint(value)
			}
		}
		ids, users = append(ids, row.ID), append(users, row.User)
		amounts, times = append(amounts, row.Amount.Format(scale)), append(times, row.Time.String())
		takes = append(takes, strings.Join(by, ",")) // a rule's id holds no comma
		b, err := json.Marshal(values)
		if err != nil {
			return nil, err
		}
		of = append(of, string(b))
	}
	err := s.scratch.Exec(ctx, `INSERT INTO pg_temp.transactions
		SELECT id, user_id, amount::numeric, at::timestamptz, string_to_array(takes, ','), of::jsonb
		FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
			AS given(id, user_id, amount, at, takes, of)`,
		ids, users, amounts, times, takes, of)
	if err != nil {
		return nil, s.scratch.Fail(doing, err)
	}
	found := map[string][]Edge{}
	for i := range rules {
		r := &rules[i]
		if found[r.ID], err = s.edges(ctx, r, r.Measure.Scale(scale)); err != nil {
			return nil, s.scratch.Fail("judging rule "+r.ID, err)
		}
	}
	return found, nil
}

func (s *Session) edges(ctx context.Context, r *Rule, scale int) (found []Edge, err error) {
	all := edges(&r.Rule, "pg_temp.transactions", "$3::text = ANY (takes)", "(of ->> $3::text)")
	args := []any{fmt.Sprintf("%d microseconds", r.Window.Microseconds()), r.Limit.Format(scale), r.ID}
	if r.Quiet > 0 {
		all, args = loud(all), append(args, fmt.Sprintf("%d microseconds", r.Quiet.Microseconds()))
	}
	if r.Rearms {
		all, args = rearmed(all), append(args, r.Rearm.Format(scale))
	}
	sql := "SELECT user_id, ts, before::text, total::text, transactions FROM (" + all + ") AS edges"
	var (
		user, before, total string
		at                  time.Time
		count               int64
	)
	err = s.scratch.Each(ctx, sql,
		args,
		[]any{&user, &at, &before, &total, &count},
		func() error {
			b, err := units(before, scale)
			if err != nil {
				return err
			}
			t, err := units(total, scale)
			found = append(found, Edge{user, brimline.TimeOf(at), Figures{Before: b, Total: t, Count: count}})
			return err
		})
	return found, err
}

// units is a decimal of PostgreSQL's as a number of units of 10^-scale.
func units(s string, scale int) (*big.Int, error) {
	whole, frac, _ := strings.Cut(s, ".")
	if len(frac) > scale && strings.Trim(frac[scale:], "0") != "" {
		return nil, fmt.Errorf("%s has more than %d decimals", s, scale)
	}
	n, ok := new(big.Int).SetString(whole+(frac + strings.Repeat("0", scale))[:scale], 10)
	if !ok {
		return nil, fmt.Errorf("%q is not a decimal number", s)
	}
	return n, nil
}
