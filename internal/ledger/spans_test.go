package ledger

import (
	"errors"
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
		spans := []sliding.Span{{Rule: rule(100), From: at(1), To: at(last)}, {Rule: rule(19_998), From: at(1), To: at(last)},
			{Rule: rule(100), From: at(102), To: at(last)}}
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
