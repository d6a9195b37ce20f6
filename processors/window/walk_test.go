package window

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/processors"
)

// TestSweepsVisitOnlyWhoMayBeDeleted: the partition's messages wait for no visit to anybody else, and a walk rests. One
// that is ended while it rests ends at once, and the next one makes up for it.
func TestSweepsVisitOnlyWhoMayBeDeleted(t *testing.T) {
	const due, others = 700, 900
	s := start(t)
	for i := range due {
		s.row(fmt.Sprint("due", i), "1", 1, 0)
	}
	for i := range others { // one in three has segments
		for row := range 1 + i%3/2*20 {
			s.row(fmt.Sprint("other", i), fmt.Sprint(row), 1, 100*time.Hour)
		}
	}
	if s.window("other2").Older.Len() == 0 {
		t.Fatal("no user has segments")
	}
	s.row("last", "1", 1, 100*time.Hour)
	s.sweep(1) // a user is left alone until a whole sweep has passed
	s.row("last", "2", 1, 100*time.Hour)
	s.change(processors.MarkerKey(0, 1),
		brimline.Change{Kind: brimline.Sweep, Row: brimline.Transaction{Time: s.seen.Horizons()[0]}})

	ctx, cancel := context.WithCancel(t.Context())
	s.states.walks.rest = func(_ context.Context, d time.Duration) {
		if d < restsFor*slice {
			t.Errorf("rests for %v", d)
		}
		cancel()
	}
	n, err := s.visit(ctx, 2)
	if !errors.Is(err, context.Canceled) || n >= due {
		t.Errorf("%d visits, %v", n, err)
	}
	rests := 0
	s.states.walks.rest = func(context.Context, time.Duration) { rests++ }
	more, err := s.visit(t.Context(), 3)
	if n += more; err != nil || n > due+lookEvery { // goka may miss one in its count when it is ended
		t.Errorf("%d visits to %d users who may be deleted, %v", n, due, err)
	}
	if most := int(time.Duration(due) * visitCost / slice); rests == 0 || rests > due {
		t.Errorf("%d rests, about %d are meant", rests, most)
	}
	for i := range due {
		if s.window(fmt.Sprint("due", i)) != nil {
			t.Errorf("user %d is left", i)
		}
	}
	for i := range others {
		if s.window(fmt.Sprint("other", i)) == nil {
			t.Errorf("user %d is gone who may come again", i)
		}
	}
}

// TestWalksFindSegmentsThatNoValueNames: of a user who is gone, and of one who is there, in use or not.
func TestWalksFindSegmentsThatNoValueNames(t *testing.T) {
	for _, last := range []int64{1, 100} {
		value, err := codecs.WindowPart{}.Encode(&brimline.Window{
			Last: last, Older: brimline.Segments{First: 7, Next: 9}, Floor: 50, Rules: []brimline.RuleState{},
		})
		if err != nil {
			t.Fatal(err)
		}
		all := &listed{
			keys: []string{
				"a", processors.SegmentKey("a", 6), processors.SegmentKey("a", 7), processors.SegmentKey("a", 8),
				processors.SegmentKey("a", 9), processors.SegmentKey("gone", 7), "unreadable",
				processors.SegmentKey("unreadable", 7),
			},
			values: map[string][]byte{"a": value, "unreadable": []byte("?")},
			at:     -1,
		}
		d := &dueIterator{Iterator: all, walks: &walks{}, ctx: t.Context(), idle: 10, before: 40}
		var found []string
		for d.Next() {
			found = append(found, string(d.Key()))
		}
		want := fmt.Sprintf("%q", []string{all.keys[1], all.keys[4], all.keys[5]})
		if got := fmt.Sprintf("%q", found); got != want {
			t.Errorf("last %d: %s, want %s", last, got, want)
		}
	}
}

// listed is an iterator over a few values.
type listed struct {
	keys   []string
	values map[string][]byte
	at     int
}

func (l *listed) Next() bool             { l.at++; return l.at < len(l.keys) }
func (l *listed) Key() []byte            { return []byte(l.keys[l.at]) }
func (l *listed) Value() ([]byte, error) { return l.values[l.keys[l.at]], nil }
func (l *listed) Err() error             { return nil }
func (l *listed) Release()               {}
func (l *listed) Seek([]byte) bool       { return false }
