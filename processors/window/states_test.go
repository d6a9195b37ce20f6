package window

import (
	"container/list"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/storage"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/sliding"
	"github.com/brimline/brimline/internal/table"
)

// A heavy user whose rows are asked for again and again stays, whatever
// passes by in this partition or another.
func TestHeavyUsersAreKept(t *testing.T) {
	all := NewStates(120_000)
	var parts []*partitionStates
	for n := range int32(2) {
		p := &partitionStates{all: all, users: map[string]*list.Element{}}
		all.of[n] = p
		parts = append(parts, p)
	}
	state := func(user string, rows int) *State {
		s := &State{user: user, w: &brimline.Window{}, rows: sliding.NewHistory(user, nil, make([]brimline.Row, rows)), tail: &brimline.Window{}}
		return s
	}
	parts[0].keep(state("heavy", 900))
	for i := range 500 {
		if parts[0].get("heavy") == nil {
			t.Fatalf("gone after %d others", i)
		}
		parts[i%2].keep(state(fmt.Sprint(i), 20))
	}
	if all.size > all.limit || len(parts[0].users)+len(parts[1].users) != all.used.Len() {
		t.Errorf("%d bytes of %d states, and %d and %d users", all.size, all.used.Len(), len(parts[0].users), len(parts[1].users))
	}
	parts[0].forget("heavy")
	if parts[0].get("heavy") != nil || all.size > all.limit-900*32 {
		t.Errorf("forgotten, and %d bytes are left", all.size)
	}
	parts[1].keep(&State{user: "499", w: &brimline.Window{}, rows: sliding.NewHistory("499", nil, nil)})
	if parts[1].get("499") != nil {
		t.Error("a user without segments is kept")
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
type refusing struct{ table.SegmentStorage }

func (refusing) Set(string, []byte) error           { return errSecondWriter }
func (refusing) SetUnreported(string, []byte) error { return nil }

func TestNothingFollowsAValueThatWasRefused(t *testing.T) {
	f := NewFolder(&brimline.RuleSet{}, nil, time.Hour)
	s := f.NewState("u", nil, nil, 0)
	put := func(i int) bool {
		_, write := f.Fold(s, Input{Offset: int64(i), Change: &brimline.Change{Kind: brimline.Upsert, User: "u", Row: brimline.Transaction{ID: fmt.Sprint(i), User: "u", Amount: 1, Time: brimline.Time(1)}}})
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
	states := &partitionStates{all: NewStates(1 << 20), table: refusing{}, noted: &table.Noting{Storage: refusing{}}, users: map[string]*list.Element{}}
	ctx := &stopped{table: states.noted}
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
