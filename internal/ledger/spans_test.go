package ledger

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/sliding"
)

// manyTogether: of a user with more rows than a statement may read there is no answer to several spans at once.
func manyTogether(t *testing.T, s *server) {
	s.exec(t, `CREATE TABLE many (id int, u int, a numeric, t timestamptz);
		INSERT INTO many SELECT n, 1, 1, timestamptz '2026-01-01Z' + n * interval '1 second' FROM generate_series(1, 20001) n;
		CREATE INDEX ON many (u, t)`)
	l := s.open(t, Options{Table: "many", Columns: Columns{ID: []string{"id"}, User: "u", Amount: "a", Time: "t"}})
	start := brimline.TimeOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	at := func(second int) brimline.Time { return start.Add(time.Duration(second) * time.Second) }
	rule := func(limit int64) *sliding.Rule {
		return &sliding.Rule{Rule: brimline.Rule{Window: 24 * time.Hour, Limit: brimline.Count(limit)}}
	}
	for _, last := range []int{19_999, 20_000} { // as many as are fetched at once, and one more
		spans := []sliding.Span{
			{Rule: rule(100), From: at(1), To: at(last)},
			{Rule: rule(19_998), From: at(1), To: at(last)},
			{Rule: rule(100), From: at(102), To: at(last)},
		}
		edges, lsn, err := l.EdgesOf(t.Context(), "1", spans)
		if last == 20_000 {
			if !errors.Is(err, sliding.ErrManyRows) {
				t.Errorf("up to %d: %v, %v", last, edges, err)
			}
			continue
		}
		if err != nil || lsn == 0 || len(edges) != 3 || !slices.Equal(edges[0], []brimline.Time{at(101)}) ||
			!slices.Equal(edges[1], []brimline.Time{at(19_999)}) || edges[2] != nil {
			t.Errorf("up to %d: %v, %v", last, edges, err)
		}
	}
}

// rowsOfAUser: whole, by time and id, both ends included, and none where they are many.
func rowsOfAUser(t *testing.T, s *server) {
	s.exec(t, `CREATE TABLE few (id int PRIMARY KEY, u int, a numeric, t timestamptz, c text);
		INSERT INTO few VALUES (10, 1, 1.50, '2026-01-01 00:00:02Z', NULL), (9, 1, -2, '2026-01-01 00:00:02Z', 'x'),
			(3, 1, 3, '2026-01-01 00:00:01Z', 'y'), (4, 1, NULL, '2026-01-01 00:00:01Z', 'z'),
			(5, 2, 1, '2026-01-01 00:00:01Z', ''),
			(6, 1, 1, '2026-01-01 00:00:00Z', ''), (7, 1, 1, '2026-01-01 00:00:02.000001Z', '');
		INSERT INTO few SELECT n, 3, 1, '2026-01-01Z', '' FROM generate_series(100, 10099) n`)
	l := s.open(t, Options{
		Table: "few", Columns: Columns{ID: []string{"id"}, User: "u", Amount: "a", Time: "t"}, Scale: 2,
		Extra: []brimline.Column{{Name: "c", Type: brimline.Text}},
	})
	start := brimline.TimeOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	rows, lsn, err := l.Rows(t.Context(), "1", start.Add(time.Second), start.Add(2*time.Second))
	if err != nil || lsn == 0 {
		t.Fatal(lsn, err)
	}
	got := ""
	for _, row := range rows {
		got += fmt.Sprintf("%s %s %s %v; ", row.ID, row.User, row.Amount.Format(2), row.Columns[0].Value)
	}
	if want := "3 1 3.00 y; 10 1 1.50 <nil>; 9 1 -2.00 x; "; got != want {
		t.Errorf("rows %q, want %q", got, want)
	}
	if _, _, err := l.Rows(t.Context(), "3", start, start); !errors.Is(err, sliding.ErrManyRows) {
		t.Errorf("10,000 rows: %v", err)
	}
	if rows, _, err := l.Rows(t.Context(), "no number", start, start); err != nil || len(rows) > 0 {
		t.Errorf("a user that there cannot be: %v, %v", rows, err)
	}
}

func TestStretchesAreApart(t *testing.T) {
	r := &sliding.Rule{Rule: brimline.Rule{Window: 10 * time.Microsecond}}
	span := func(from, to brimline.Time) sliding.Span { return sliding.Span{Rule: r, From: from, To: to} }
	got := stretchesOf(
		[]sliding.Span{span(100, 110), span(20, 30), span(40, 45), span(25, 26), span(200, 200), span(121, 122)}, 0,
	)
	if want := []stretch{{10, 45}, {90, 110}, {111, 122}, {190, 200}}; !slices.Equal(got, want) {
		t.Errorf("stretches %v, want %v", got, want)
	}
}
