package window

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/storage"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/sliding"
	"github.com/brimline/brimline/processors"
)

// open opens a partition of a table for states.
func open(t *testing.T, states *States, n int32, inner storage.Storage) *partitionStates {
	t.Helper()
	build := func(string, int32) (storage.Storage, error) { return inner, nil }
	if _, err := kept(build, NewMarkers(2), states).Build("table", n); err != nil {
		t.Fatal(err)
	}
	return states.partition(n)
}

// A heavy user whose rows are asked for again and again stays, whatever
// passes by in this partition or another.
func TestHeavyUsersAreKept(t *testing.T) {
	all := NewStates(120_000)
	parts := []*partitionStates{open(t, all, 0, nil), open(t, all, 1, nil)}
	state := func(user string, rows int) *State {
		s := &State{user: user, w: &brimline.Window{}, rows: sliding.NewHistory(user, nil, make([]brimline.Row, rows)),
			tail: &brimline.Window{}}
		return s
	}
	parts[0].keep(state("heavy", 900))
	for i := range 500 {
		if parts[0].get("heavy") == nil {
			t.Fatalf("gone after %d others", i)
		}
		parts[i%2].keep(state(fmt.Sprint(i), 20))
	}
	if parts[1].get("499") == nil || parts[1].get("1") != nil {
		t.Error("the newest is not kept, or the oldest is")
	}
	parts[0].forget("heavy")
	if parts[0].get("heavy") != nil {
		t.Error("a forgotten user is kept")
	}
	parts[1].keep(&State{user: "499", w: &brimline.Window{}, rows: sliding.NewHistory("499", nil, nil)})
	if parts[1].get("499") != nil {
		t.Error("a user without segments is kept")
	}
}

// TestAPartitionThatIsTakenOverIsReadAnew: what is kept of a user goes when another instance's records are read, and
// when the partition is opened again.
func TestAPartitionThatIsTakenOverIsReadAnew(t *testing.T) {
	all := NewStates(1 << 20)
	heavy := func() *State {
		return &State{user: "u", w: &brimline.Window{}, rows: sliding.NewHistory("u", nil, nil), tail: &brimline.Window{}}
	}
	p, other := open(t, all, 0, nil), open(t, all, 1, nil)
	other.keep(heavy())
	for _, key := range []string{"u", processors.SegmentKey("u", 7)} {
		p.keep(heavy())
		if Watch(NewMarkers(2), all).Read(0, key); p.get("u") != nil {
			t.Errorf("a record of %q was read, and the user is kept", key)
		}
	}
	p.keep(heavy())
	if p = open(t, all, 0, nil); p.get("u") != nil {
		t.Error("what was kept of an earlier opening is kept")
	}
	if other.get("u") == nil {
		t.Error("another partition's user is gone")
	}
}

type gokaContext = goka.Context

// stopped is goka's context once its partition is told to stop: Fail returns.
type stopped struct {
	gokaContext
	table storage.Storage
	log   []string
}

func (c *stopped) Key() string { return "u" }
func (c *stopped) Fail(error)  {}
func (c *stopped) Emit(_ goka.Stream, key string, value any, _ ...goka.ContextOption) {
	c.log = append(c.log, fmt.Sprintf("%q, deleted: %v", key, value == nil))
}
func (c *stopped) SetValue(any, ...goka.ContextOption) {
	if c.table.Set("u", nil) == nil {
		c.log = append(c.log, "value")
	}
}

var errSecondWriter = errors.New("second writer")

// refusing is a table that takes segments and no value.
type refusing struct{ storage.Storage }

func (refusing) Set(string, []byte) error           { return errSecondWriter }
func (refusing) SetUnreported(string, []byte) error { return nil }

func TestNothingFollowsAValueThatWasRefused(t *testing.T) {
	f := NewFolder(&brimline.RuleSet{}, nil, time.Hour)
	s := f.NewState("u", nil, nil, 0)
	put := func(i int) bool {
		_, write := f.Fold(s, Input{Offset: int64(i), Change: &brimline.Change{Kind: brimline.Upsert, User: "u",
			Row: brimline.Transaction{ID: fmt.Sprint(i), User: "u", Amount: 1, Time: brimline.Time(1)}}})
		return write
	}
	for i := range 40 {
		put(i)
		if _, err := s.commit(); err != nil {
			t.Fatal(err)
		}
	}
	if write := put(39); !write || s.changed {
		t.Fatalf("a replay: write %v, changed %v", write, s.changed)
	}
	s.empty() // the next commit replaces the segments
	put(41)
	states := open(t, NewStates(1<<20), 0, refusing{})
	ctx := &stopped{table: states.table}
	func() {
		defer func() {
			if r := recover(); r != errSecondWriter { //nolint:errorlint // the very value
				t.Errorf("the callback went on: %v", r)
			}
		}()
		(&task{}).store(ctx, states, s)
	}()
	for _, record := range ctx.log {
		if record == "value" || strings.HasSuffix(record, "true") {
			t.Errorf("the table took no value, and the changelog gets %s", record)
		}
	}
}

// A change that does nothing leaves the state in memory, so that a redelivered history of a heavy user is cheap.
func TestRedeliveryReadsTheLogOnce(t *testing.T) {
	f := NewFolder(&brimline.RuleSet{Lateness: time.Hour}, nil, time.Hour)
	tb, s := newTable(), f.NewState("u", nil, nil, 0)
	for offset := range int64(200) {
		row := brimline.Transaction{ID: fmt.Sprint(offset % 100), User: "u", Amount: 1, Time: brimline.Time(offset % 100)}
		_, write := f.Fold(s, Input{Offset: offset, Change: &brimline.Change{Kind: brimline.Upsert, User: "u", Row: row}})
		if write != (offset < 100) {
			t.Fatalf("offset %d: write %v", offset, write)
		}
		if write {
			tb.write(t, s)
		}
		if s.changed {
			t.Fatalf("offset %d: the state is taken for another than the table's", offset)
		}
	}
}
