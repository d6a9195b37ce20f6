package table

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/storage"

	"github.com/brimline/brimline/internal/failpoint"
)

// read is the context of a record of the changelog.
type read struct {
	goka.DefaultUpdateContext
	offset int64
}

func (read) Topic() goka.Stream { return "g-table" }
func (read) Partition() int32   { return 3 }
func (r read) Offset() int64    { return r.offset }

// keepAll applies every record.
func keepAll(_ goka.UpdateContext, s storage.Storage, key string, value []byte) error {
	if value == nil {
		return s.Delete(key)
	}
	return s.Set(key, value)
}

// The stage hears of a partition in the order in which goka goes about it.
func TestTheStageHearsOfItsPartitions(t *testing.T) {
	var heard []string
	hear := func(format string, a ...any) { heard = append(heard, fmt.Sprintf(format, a...)) }
	refuse := errors.New("refused")
	var recovered error
	table := New(Options{
		Open: func(string, int32) (storage.Storage, error) { return newMemory(), nil },
		Keep: func(ctx goka.UpdateContext, s storage.Storage, key string, value []byte) error {
			hear("keep %s", key)
			return keepAll(ctx, s, key, value)
		},
		KeepIs: failpoint.KeepNewer,
		Watch: Watch{
			Opened:    func(p *Partition) { hear("opened %d", p.Number()) },
			Read:      func(n int32, key string) { hear("read %d %s", n, key) },
			Recovered: func(p *Partition) error { hear("recovered %d", p.Number()); return recovered },
			Visited: func(p *Partition, all storage.Iterator) storage.Iterator {
				hear("visited %d", p.Number())
				return only{all, "b"}
			},
			Closed: func(p *Partition) { hear("closed %d", p.Number()) },
		},
	})
	if table.Partition(3) != nil {
		t.Error("there is a partition before one was opened")
	}
	s, err := table.Build("g-table", 3)
	must(t, err)
	must(t, s.Open())
	must(t, table.update(read{offset: 1}, s, "a", []byte("v")))
	must(t, table.update(read{offset: 2}, s, "b", []byte("v")))
	must(t, s.MarkRecovered())
	visits, err := s.Iterator()
	must(t, err)
	own, err := table.Partition(3).Iterator()
	must(t, err)
	if got := keysOf(visits) + "/" + keysOf(own); got != "b/a b" {
		t.Errorf("goka and the stage go through %q, want %q", got, "b/a b")
	}
	must(t, s.Close())
	want := "opened 3, read 3 a, keep a, read 3 b, keep b, recovered 3, visited 3, closed 3"
	if got := strings.Join(heard, ", "); got != want {
		t.Errorf("heard %s, want %s", got, want)
	}
	recovered = refuse
	if s, err = table.Build("g-table", 3); err != nil || !errors.Is(s.MarkRecovered(), refuse) {
		t.Errorf("a partition goes on that the stage refuses (%v)", err)
	}
	if table.Partition(4) != nil || table.update(goka.DefaultUpdateContext{}, s, "a", nil) == nil {
		t.Error("a record of a partition that is not open is taken in")
	}
}

// only hides all keys but one.
type only struct {
	storage.Iterator
	key string
}

func (o only) Next() bool {
	for o.Iterator.Next() {
		if string(o.Key()) == o.key {
			return true
		}
	}
	return false
}

func keysOf(i storage.Iterator) string {
	defer i.Release()
	var keys []string
	for i.Next() {
		keys = append(keys, string(i.Key()))
	}
	return strings.Join(keys, " ")
}

// What is read from the changelog counts for its place there, what the stage writes for the places after it, also what
// it writes beside the message's key; and a user may be called like goka's own key.
func TestAllLayersOfATable(t *testing.T) {
	log := &fakeLog{id: "one", next: 5}
	local, _ := locals(t, log)
	table := New(Options{Open: local.Build, Keep: keepAll})
	s, err := table.Build("g-table", 3)
	must(t, err)
	must(t, s.Open())
	must(t, table.update(read{offset: 2}, s, "a", []byte("first")))
	must(t, s.SetOffset(2))
	must(t, table.update(read{offset: 4}, s, offsetKey, []byte("a user's"))) // 3 was compacted
	must(t, s.SetOffset(4))
	must(t, s.MarkRecovered())
	must(t, table.update(read{offset: 6}, s, "b", []byte("another's"))) // hot standby
	must(t, s.SetOffset(6))

	p := table.Partition(3)
	ctx := &emitting{}
	p.SetBeside(ctx, "segments", "a\x001", []byte("segment")) // 7, which goka does not report
	must(t, s.Set("a", []byte("second")))                     // 8
	p.SetBeside(ctx, "segments", "a\x000", nil)               // 9
	must(t, s.Set("b", []byte("ours")))                       // 10
	must(t, s.SetOffset(8))
	must(t, s.SetOffset(10))
	if want := []string{`segments "a\x001" "segment"`, `segments "a\x000" nil`}; !slices.Equal(ctx.sent, want) {
		t.Errorf("sent %q, want %q", ctx.sent, want)
	}
	must(t, s.Close())

	log.next = 11
	s, err = table.Build("g-table", 3)
	must(t, err)
	defer s.Close()
	if at, err := s.GetOffset(-1); at != 10 || err != nil {
		t.Errorf("the state is read up to %d (%v), want 10", at, err)
	}
	for key, want := range map[string]string{"a": "second", "a\x001": "segment", "b": "ours", offsetKey: "a user's"} {
		for _, get := range []func(string) ([]byte, error){s.Get, table.Partition(3).Peek} {
			if got, err := get(key); string(got) != want || err != nil {
				t.Errorf("%q is %q (%v), want %q", key, got, err, want)
			}
		}
	}
	must(t, s.MarkRecovered())
	must(t, s.Set("b", []byte("late")))
	if err := s.SetOffset(12); err == nil {
		t.Error("another instance's record is at offset 11, and that went unnoticed")
	}
}

type gokaContext = goka.Context

// emitting is goka's context as far as SetBeside uses it.
type emitting struct {
	gokaContext
	sent []string
}

func (e *emitting) Emit(to goka.Stream, key string, value any, _ ...goka.ContextOption) {
	text := "nil"
	if value != nil {
		text = fmt.Sprintf("%q", value)
	}
	e.sent = append(e.sent, fmt.Sprintf("%s %q %s", to, key, text))
}
