package prove

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/embedded"
	"github.com/brimline/brimline/internal/ledger"
	"github.com/brimline/brimline/internal/reference"
)

func random(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("BRIMLINE_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("to repeat: BRIMLINE_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// TestReferencesAgree: SQL and the walk through the rows say of random rows what the definition says, whatever the
// columns' types are.
func TestReferencesAgree(t *testing.T) {
	pg, err := embedded.StartPostgres(t.Context(), embedded.PostgresOptions{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pg.Stop(context.WithoutCancel(t.Context())) })
	conn, err := pgx.Connect(t.Context(), pg.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	r := random(t)
	for i, of := range []struct {
		user, amount, time string
		minor              int
	}{
		{"bigint", "numeric(12,2)", "timestamptz", 0},
		{"text", "bigint", "timestamp", 2},
		{"numeric", "numeric", "timestamptz", 0},
		{"char(8)", "integer", "timestamp", 2},
	} {
		name := fmt.Sprintf("t%d", i)
		exec := func(sql string, args ...any) {
			if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
				t.Fatalf("%s: %v", sql, err)
			}
		}
		exec(
			fmt.Sprintf(
				`CREATE TABLE %s (id text, "the User" %s, amount %s, "at" %s, shop text)`,
				name,
				of.user,
				of.amount,
				of.time,
			),
		)
		exec(fmt.Sprintf(`CREATE TABLE %s_heir () INHERITS (%[1]s)`, name)) // whose rows are none of the table's
		users := []string{"1", "2", "10"}
		insert := func(table string, row *brimline.Transaction, null bool) {
			amount := row.Amount.Format(2 - of.minor)
			exec(fmt.Sprintf(`INSERT INTO %s VALUES ($1, $2::text::%s, CASE WHEN $5 THEN NULL ELSE $3::text::%s END,
				$4::text::timestamptz AT TIME ZONE 'UTC', $6)`, table, of.user, of.amount), row.ID, row.User, amount,
				row.Time.String(), null, shop(row))
		}
		if of.time == "timestamptz" {
			exec(`SET timezone = 'UTC'`)
		}
		var table reference.Table
		start := brimline.TimeOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
		for n := range 150 {
			row := brimline.Transaction{
				ID: strconv.Itoa(n), User: users[r.IntN(len(users))], Amount: brimline.Amount(r.Int64N(100001) - 40000),
				Time:    start.Add(time.Duration(r.Int64N(60))*time.Hour + time.Duration(r.Int64N(2))*time.Microsecond),
				Columns: []brimline.Field{{Name: "shop"}},
			}
			if n := r.IntN(5); n > 0 {
				row.Columns[0].Value = strconv.Itoa(n)
			}
			table.Put(&row)
			insert(name, &row, false)
		}
		odd := brimline.Transaction{ID: "odd", User: "1", Amount: 100, Time: start.Add(time.Hour)}
		insert(name, &odd, true)
		exec(
			fmt.Sprintf(
				`INSERT INTO %s (id, amount, "at") SELECT n::text, 100000, TIMESTAMP '2026-01-01 20:00' + n * INTERVAL '1 h'
			FROM generate_series(1, 5) n`,
				name,
			),
		) // rows of no user
		insert(name+"_heir", &odd, false)
		l, err := ledger.Open(t.Context(), ledger.Options{
			URL: pg.URL("postgres"), Table: name, Scale: 2, MinorUnits: of.minor,
			Columns: ledger.Columns{ID: []string{"id"}, User: "the User", Amount: "amount", Time: "at"},
			Extra:   []brimline.Column{{Name: "shop", Type: brimline.Text}},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		from, to := start.Add(10*time.Hour), start.Add(50*time.Hour)
		found := 0
		for _, m := range brimline.Measures() {
			rule := brimline.Rule{ID: m.String(), Measure: m, Window: time.Duration(1+r.IntN(20)) * time.Hour}
			rule.Limit = brimline.Amount(r.Int64N(150000)).Total()
			if m == brimline.CountAll {
				rule.Limit = brimline.Count(r.Int64N(6))
			}
			if m == brimline.Avg {
				rule.Limit, rule.MinCount = brimline.Amount(r.Int64N(40000)).Total(), r.Int64N(4)
			}
			if m == brimline.Max {
				rule.Limit = brimline.Amount(r.Int64N(60000)).Total()
			}
			var value func(*brimline.Transaction) any
			if m == brimline.Distinct {
				rule.Limit, rule.Column, value = brimline.Count(r.Int64N(4)), "shop", shop
			}
			if r.IntN(2) == 0 {
				rule.Quiet = time.Duration(1+r.IntN(20)) * time.Hour
			} else if limit, _ := rule.Limit.Int64(); !m.Shrinks() {
				rule.Rearms, rule.Rearm = true, brimline.Count(r.Int64N(limit+1))
			}
			for _, takes := range []func(*brimline.Transaction) bool{
				nil,
				func(*brimline.Transaction) bool { return true },
				func(row *brimline.Transaction) bool { return row.Amount%5 != 0 && row.User != "2" },
			} {
				judged := reference.Rule{Rule: rule, Takes: takes, Value: value}
				for _, only := range []*string{nil, new("10")} {
					var got, want []string
					err := l.Look(t.Context(), func(k *ledger.Look) error {
						if k.LSN == 0 {
							t.Error("no LSN")
						}
						return Edges(
							t.Context(),
							k,
							[]Rule{{Rule: judged}},
							ledger.Span{From: from, To: to, User: only},
							nil,
							func(e Edge) {
								got = append(
									got,
									fmt.Sprintf("%s %s %s %d", e.ID, e.Table.Before.Format(0), e.Table.Total.Format(0),
										e.Table.Count),
								)
							},
						)
					})
					if err != nil {
						t.Fatal(err)
					}
					for _, user := range users {
						if only != nil && user != *only {
							continue
						}
						for _, e := range table.Edges(&judged, user, from, to) {
							want = append(
								want,
								fmt.Sprintf("%s %s %s %d", brimline.AlertID(user, rule.ID, e.At), e.Figures.Before,
									e.Figures.Total, e.Figures.Count),
							)
						}
					}
					slices.Sort(got)
					slices.Sort(want)
					if found += len(want); !slices.Equal(got, want) {
						t.Errorf("%+v: rule %+v, condition %v:\n%s\nby the definition\n%s", of, rule, takes != nil,
							strings.Join(got, "\n"), strings.Join(want, "\n"))
					}
				}
			}
		}
		if found == 0 {
			t.Errorf("%+v: no rule has an edge", of)
		}
	}
}

func shop(row *brimline.Transaction) any {
	v, _ := row.Column("shop")
	return v
}
