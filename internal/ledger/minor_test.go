package ledger

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/sliding"
)

// minorUnits: a column that counts cents, sums and rows of which are exact.
func minorUnits(t *testing.T, s *server) {
	s.exec(
		t,
		`CREATE TABLE cents (id int PRIMARY KEY, u text, t timestamptz, i8 bigint, i4 int, i2 smallint,
			whole numeric(30,0), round numeric(5,-2), d big, w whole,
		two numeric(12,2), anything numeric, m money, f float8)`,
	)
	s.exec(
		t,
		`INSERT INTO cents SELECT n, 'u', 'epoch', v, v % 100000, v % 1000, v, v % 10000, v, v % 100000, 1,
			1 FROM (VALUES (1, 50000), (2, -1), (3, 7)) AS x (n, v)`,
	)
	s.exec(
		t,
		`INSERT INTO cents (id, u, t, i8, whole) VALUES (10, 'edge', 'epoch', 9223372036854775807, 1), (11, 'edge',
			'epoch', 9223372036854775807, 1), (12, 'edge', 'epoch', -9223372036854775807, 1)`,
	)
	rule := func(m brimline.Measure) *sliding.Rule {
		return &sliding.Rule{Rule: brimline.Rule{Window: time.Hour, Measure: m}}
	}
	options := func(amount string, units, scale int) Options {
		return Options{
			Table:      "cents",
			Scale:      scale,
			MinorUnits: units,
			Columns:    Columns{ID: []string{"id"}, User: "u", Amount: amount, Time: "t"},
		}
	}
	for _, c := range []struct {
		amount       string
		units, scale int
		totals       map[brimline.Measure]string
		rows         []string
	}{
		{"i8", 2, 2, map[brimline.Measure]string{brimline.SumAbs: "500.08", brimline.Sum: "500.06",
			brimline.SumIn: "500.07", brimline.SumOut: "0.01", brimline.CountAll: "3"}, []string{"500.00", "-0.01", "0.07"}},
		{"i8", 2, 4, map[brimline.Measure]string{brimline.SumAbs: "500.0800"}, []string{"500.0000", "-0.0100", "0.0700"}},
		{"i8", 0, 2, map[brimline.Measure]string{brimline.SumAbs: "50008.00"}, []string{"50000.00", "-1.00", "7.00"}},
		{"i8", 3, 3, map[brimline.Measure]string{brimline.SumAbs: "50.008"}, []string{"50.000", "-0.001", "0.007"}},
		{"i8", 18, 18, map[brimline.Measure]string{brimline.SumAbs: "0.000000000000050008"},
			[]string{"0.000000000000050000", "-0.000000000000000001", "0.000000000000000007"}},
		{"i4", 2, 2, map[brimline.Measure]string{brimline.SumAbs: "500.08"}, []string{"500.00", "-0.01", "0.07"}},
		{"i2", 1, 1, map[brimline.Measure]string{brimline.SumAbs: "0.8"}, []string{"0.0", "-0.1", "0.7"}},
		{"whole", 2, 2, map[brimline.Measure]string{brimline.Sum: "500.06"}, []string{"500.00", "-0.01", "0.07"}},
		{"d", 2, 2, map[brimline.Measure]string{brimline.SumOut: "0.01"}, []string{"500.00", "-0.01", "0.07"}},
		{"w", 2, 2, map[brimline.Measure]string{brimline.SumOut: "0.01"}, []string{"500.00", "-0.01", "0.07"}},
		{"round", 0, 2, map[brimline.Measure]string{brimline.SumAbs: "0.00"}, []string{"0.00", "0.00", "0.00"}},
	} {
		l := s.open(t, options(c.amount, c.units, c.scale))
		for m, want := range c.totals {
			f, _, err := l.Figures(t.Context(), "u", rule(m), 0)
			if got := f.Total.Format(m.Scale(c.scale)); err != nil || got != want || f.Before != (brimline.Total{}) {
				t.Errorf("%s in 10^-%d, %v: %s, want %s: %v", c.amount, c.units, m, got, want, err)
			}
		}
		rows, _, err := l.Rows(t.Context(), "u", 0, 0)
		var got []string
		for _, r := range rows {
			got = append(got, r.Amount.Format(c.scale))
		}
		if err != nil || fmt.Sprint(got) != fmt.Sprint(c.rows) {
			t.Errorf("%s in 10^-%d: rows %v, want %v: %v", c.amount, c.units, got, c.rows, err)
		}
		edge := rule(brimline.SumAbs)
		if edges, _, err := l.Edges(
			t.Context(),
			"u",
			edge,
			0,
			0,
		); err != nil ||
			len(edges) != len(c.rows[:1]) && c.amount != "round" {
			t.Errorf("%s: edges %v %v", c.amount, edges, err)
		}
	}
	// Sums beyond 64 bits, of amounts that reach their end.
	l := s.open(t, options("i8", 2, 2))
	for m, want := range map[brimline.Measure]string{
		brimline.SumAbs: "276701161105643274.21", brimline.Sum: "92233720368547758.07",
		brimline.SumIn: "184467440737095516.14", brimline.SumOut: "92233720368547758.07",
	} {
		if f, _, err := l.Figures(t.Context(), "edge", rule(m), 0); err != nil || f.Total.Format(2) != want {
			t.Errorf("%v near the end of bigint: %s, want %s: %v", m, f.Total.Format(2), want, err)
		}
	}
	// Fewer decimals than the units have: a value that needs them is said, never rounded.
	l = s.open(t, options("i8", 2, 1))
	for _, ask := range []func() error{
		func() error { _, _, err := l.Figures(t.Context(), "u", rule(brimline.SumAbs), 0); return err },
		func() error { _, _, err := l.Rows(t.Context(), "u", 0, 0); return err },
	} {
		err := ask()
		if e, ok := errors.AsType[*brimline.Error](
			err,
		); !ok || e.Kind != "postgres_amount_scale" ||
			!errors.Is(err, brimline.ErrAmountScale) {
			t.Errorf("cents at scale 1: %v", err)
		}
	}
	for amount, word := range map[string]string{"two": "numeric(12,2)", "anything": "numeric", "m": "money",
		"f": "double precision"} {
		o := options(amount, 2, 2)
		o.URL = s.url()
		_, err := Open(t.Context(), o)
		e, ok := errors.AsType[*brimline.Error](err)
		if !ok || !strings.Contains(err.Error(), word) || e.Remedy == "" {
			t.Errorf("minor units on %s: %v", amount, err)
		}
		if (amount == "two" || amount == "anything") && !strings.Contains(e.Remedy, "--amount-minor-units") {
			t.Errorf("minor units on %s: %v", amount, err)
		}
	}
	for _, units := range []int{-1, 19} {
		o := options("i8", units, 2)
		o.URL = s.url()
		if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "--amount-minor-units") {
			t.Errorf("%d minor units: %v", units, err)
		}
	}
}

// scales: amounts with other scales than the group's.
func scales(t *testing.T, s *server) {
	s.exec(t, `CREATE TABLE scales (id int PRIMARY KEY, u text, t timestamptz, a numeric, n numeric(6,-2))`)
	s.exec(
		t,
		`INSERT INTO scales VALUES (1, 'fine', 'epoch', 1.5000000000, 123456), (2, 'fine', 'epoch', 0.25, -49), (3,
			'many', 'epoch', 0.005, 1), (4, 'many', 'epoch', 0.005, 1)`,
	)
	for _, c := range []struct{ amount, user, total, kind string }{
		{"a", "fine", "1.75", ""}, {"n", "fine", "123500.00", ""}, {"n", "many", "0.00", ""},
	} {
		l := s.open(
			t,
			Options{
				Table:   "scales",
				Scale:   2,
				Columns: Columns{ID: []string{"id"}, User: "u", Amount: c.amount, Time: "t"},
			},
		)
		f, _, err := l.Figures(t.Context(), c.user, &sliding.Rule{Rule: brimline.Rule{Window: time.Hour}}, 0)
		if err != nil || f.Total.Format(2) != c.total {
			t.Errorf("%s of %s: %s %v", c.amount, c.user, f.Total.Format(2), err)
		}
	}
	l := s.open(
		t,
		Options{Table: "scales", Scale: 2, Columns: Columns{ID: []string{"id"}, User: "u", Amount: "a", Time: "t"}},
	)
	if _, _, err := l.Rows(t.Context(), "many", 0, 0); !errors.Is(err, brimline.ErrAmountScale) {
		t.Errorf("rows with more decimals: %v", err)
	}
}
