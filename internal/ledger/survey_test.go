package ledger

import (
	"fmt"
	"slices"
	"testing"

	"github.com/brimline/brimline"
)

// TestSurvey: what a rules file can begin with is read from the catalog, and from some users' days.
func TestSurvey(t *testing.T) {
	s := startServer(t, nil)
	s.exec(t, `CREATE SCHEMA shop; CREATE TABLE shop.orders (id bigint PRIMARY KEY, "User" text, sum numeric(12,3),
		at timestamptz, kind text, tries smallint, fee numeric, rate real, paid boolean, booked date, took interval)`)
	s.exec(t, `CREATE INDEX ON shop.orders ("User", at)`)
	o := Options{Table: "shop.orders", Scale: 2}
	o.Columns = Columns{ID: []string{"id"}, User: "User", Amount: "sum", Time: "at"}
	l := s.open(t, o)
	want := []brimline.Column{
		{Name: "booked", Type: brimline.Timestamp}, {Name: "fee", Type: brimline.Numeric},
		{Name: "kind", Type: brimline.Text}, {Name: "paid", Type: brimline.Boolean},
		{Name: "rate", Type: brimline.Numeric}, {Name: "tries", Type: brimline.Integer},
	}
	if got := l.Further(); !slices.Equal(got, want) {
		t.Errorf("further columns %v, want %v", got, want)
	}
	if n, sure := l.Decimals(); n != 3 || !sure {
		t.Errorf("%d decimals, %t", n, sure)
	}
	if got, err := l.Spending(t.Context(), 3); err != nil || got.Days != 0 {
		t.Errorf("of an empty table: %+v, %v", got, err)
	}
	// 1,000 users spend their number on one day, in two amounts of which one is a refund.
	s.exec(t, `INSERT INTO shop.orders (id, "User", sum, at) SELECT 2 * n + i, n::text, CASE i WHEN 0 THEN n - 0.001
		ELSE -0.001 END, timestamptz '2026-01-01 23:59:59+00' + n * interval '1 day' FROM generate_series(1, 1000) n,
		generate_series(0, 1) i`)
	got, err := l.Spending(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	if got.Users != surveyedUsers || got.Days != surveyedUsers || got.Half.Sign() <= 0 || got.Most.Cmp(got.Half) <= 0 ||
		got.Nearly.Cmp(got.Most) <= 0 || got.All.Cmp(got.Nearly) < 0 {
		t.Errorf("%+v", got)
	}
	s.exec(t, `DELETE FROM shop.orders WHERE "User"::int > 100`)
	if got, err = l.Spending(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintln(got.Users, got.Days, got.Half.Format(2), got.Most.Format(2), got.Nearly.Format(2),
		got.All.Format(2))
	if text != "100 100 50.00 95.00 99.00 100.00\n" {
		t.Errorf("%q", text)
	}
	s.exec(t, `CREATE TABLE shop.cents (id bigint PRIMARY KEY, "User" bigint, sum bigint, at timestamp);
		INSERT INTO shop.cents VALUES (1, 7, 12345, '2026-01-01 10:00')`)
	o.Table, o.MinorUnits = "shop.cents", 2
	l = s.open(t, o)
	if n, sure := l.Decimals(); n != 2 || !sure {
		t.Errorf("cents: %d decimals, %t", n, sure)
	}
	if got, err = l.Spending(t.Context(), 2); err != nil || got.All.Format(2) != "123.45" {
		t.Errorf("cents: %+v, %v", got, err)
	}
}
