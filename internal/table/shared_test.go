package table

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/storage"
)

// sharedTable is a table of one process, whose state is in a directory of its own.
type sharedTable struct {
	*testing.T
	log   *fakeLog
	local *Local
	*Shared
}

func newSharedTable(t *testing.T, next int64) *sharedTable {
	s := &sharedTable{T: t, log: &fakeLog{id: "one", next: next}}
	s.local = NewLocal(LocalOptions{Dir: t.TempDir(), Log: s.log})
	s.Shared = NewShared(SharedOptions{Open: s.local.Build, Keep: keepAll})
	return s
}

// stage opens partition 3 as the stage does.
func (s *sharedTable) stage() (*Table, storage.Storage) {
	s.Helper()
	t := New(Options{Open: s.local.Build, Keep: keepAll, Shared: s.Shared})
	st, err := t.Build("g-table", 3)
	must(s, err)
	return t, st
}

// reader is a view's turn, as the test has it.
type reader struct {
	ctx    context.Context
	state  storage.Storage
	update goka.UpdateCallback
	end    chan error // what the view's turn ends with, when its state is closed
}

// follow has a view follow partition 3; its turns come one by one.
func (s *sharedTable) follow() (turns chan *reader, ended chan error) {
	ctx, cancel := context.WithCancel(s.Context())
	turns, ended = make(chan *reader), make(chan error, 1)
	var running sync.WaitGroup
	running.Go(func() {
		ended <- s.Follow(ctx, 3, func(ctx context.Context, open storage.Builder, update goka.UpdateCallback) error {
			st, err := open("g-table", 0)
			if err != nil {
				return err
			}
			r := &reader{ctx, st, update, make(chan error, 1)}
			select {
			case turns <- r:
			case <-ctx.Done():
				return st.Close()
			}
			select {
			case err = <-r.end:
			case <-ctx.Done():
			}
			return errors.Join(err, st.Close())
		})
	})
	s.Cleanup(func() { cancel(); running.Wait() })
	return turns, ended
}

func (r *reader) take(t *testing.T, at int64, key string) {
	t.Helper()
	must(t, r.update(read{offset: at}, r.state, key, []byte("value of "+key)))
	must(t, r.state.SetOffset(at))
}

func (s *sharedTable) gives(key string, there bool) {
	s.Helper()
	v, err := s.Get(3, key)
	must(s, err)
	if there != (string(v) == "value of "+key) {
		s.Errorf("%s is %q", key, v)
	}
}

// The stage takes a partition from a view that reads it, and goes on where the view was; the view takes it when the
// stage has left it. Whoever has it, it answers from when it has been read to its end.
func TestAPartitionHasOneReader(t *testing.T) {
	s := newSharedTable(t, 10)
	turns, _ := s.follow()
	view := <-turns
	view.take(t, 0, "a")
	if _, err := s.Get(3, "a"); !errors.Is(err, ErrUnread) {
		t.Errorf("before the end is read: %v", err)
	}
	if s.Staged(3) || s.IsRead(3) {
		t.Error("the view has it, and has not read it to its end")
	}

	table, st := s.stage() // in the middle of the recovery
	if view.ctx.Err() == nil {
		t.Fatal("the view reads on")
	}
	if at, err := st.GetOffset(-1); err != nil || at != 0 {
		t.Errorf("the stage begins after %d, %v", at, err)
	}
	must(t, table.update(read{offset: 1}, st, "b", []byte("value of b")))
	must(t, st.SetOffset(1))
	if _, err := s.Get(3, "b"); !errors.Is(err, ErrUnread) {
		t.Errorf("while the stage recovers: %v", err)
	}
	must(t, st.MarkRecovered())
	<-s.Recovered(3)
	s.gives("a", true)
	s.gives("b", true)
	if !s.Staged(3) || s.Offset(3) != 1 {
		t.Errorf("the stage has it: %v, up to %d", s.Staged(3), s.Offset(3))
	}
	must(t, st.Set("c", []byte("value of c")))
	s.gives("c", true) // which the changelog does not have yet
	if at := s.Offset(3); at != 1 {
		t.Errorf("it says up to %d", at)
	}
	must(t, st.SetOffset(2))
	must(t, table.Partition(3).SetUnreported("d", []byte("value of d")))
	if at := s.Offset(3); at != 3 {
		t.Errorf("up to %d, want 3, of which goka tells nothing", at)
	}

	must(t, st.Close())
	view = <-turns
	if at, err := view.state.GetOffset(-1); err != nil || at != 1 {
		t.Fatalf("the view begins after %d (%v): the test is to have it read again what was told", at, err)
	}
	go func() { // who asks meanwhile waits
		time.Sleep(100 * time.Millisecond)
		view.take(t, 2, "c")
		view.take(t, 3, "d")
	}()
	s.gives("d", true)
	s.gives("c", true)
	view.take(t, 4, "e")
	s.gives("e", true)
	if s.Staged(3) || s.Offset(3) != 4 {
		t.Errorf("the stage has it: %v, up to %d", s.Staged(3), s.Offset(3))
	}

	// An attempt of the stage that cannot open it leaves it to the view.
	table.o.Open = func(string, int32) (storage.Storage, error) { return nil, errors.New("no") }
	if _, err := table.Build("g-table", 3); err == nil {
		t.Fatal("it was opened")
	}
	<-turns
	s.gives("e", true)
}

// A state that lacks what was once read is not answered from before it is read to its end again.
func TestALostStateIsNotAnsweredFrom(t *testing.T) {
	s := newSharedTable(t, 2)
	table, st := s.stage()
	must(t, table.update(read{offset: 1}, st, "a", []byte("value of a")))
	must(t, st.SetOffset(1))
	must(t, st.MarkRecovered())
	s.gives("a", true)
	must(t, st.Close())
	s.log.id, s.log.next = "two", 1 // the topic was created anew
	turns, _ := s.follow()
	view := <-turns
	if _, err := s.Get(3, "a"); !errors.Is(err, ErrUnread) {
		t.Errorf("from a lost state: %v", err)
	}
	if n := s.Losses(); n != 1 {
		t.Errorf("%d states were lost", n)
	}
	view.take(t, 0, "b")
	must(t, view.state.MarkRecovered())
	s.gives("a", false)
	s.gives("b", true)
}

// A table that was empty when it was read to its end may be lost like any other.
func TestALostStateOfATableThatBeganEmptyIsNotAnsweredFrom(t *testing.T) {
	s := newSharedTable(t, 0)
	_, st := s.stage()
	must(t, st.MarkRecovered())
	for at := range int64(3) {
		must(t, st.Set("a", []byte("value of a")))
		if at > 0 { // goka reports no offset 0
			must(t, st.SetOffset(at))
		}
	}
	s.gives("a", true)
	must(t, st.Close())
	s.log.next = 3
	must(t, distrust(s.local.o.Dir+"/g-table.3"))
	turns, _ := s.follow()
	view := <-turns
	if v, err := s.Get(3, "a"); !errors.Is(err, ErrUnread) {
		t.Errorf("from a lost state: %q, %v", v, err)
	}
	view.take(t, 2, "a")
	must(t, view.state.MarkRecovered())
	s.gives("a", true)
}

// What the stage told before the changelog had acknowledged it is waited for as well.
func TestUnacknowledgedAnswersAreReadAgain(t *testing.T) {
	s := newSharedTable(t, 2)
	table, st := s.stage()
	must(t, table.update(read{offset: 1}, st, "b", []byte("value of b")))
	must(t, st.SetOffset(1))
	must(t, st.MarkRecovered())
	must(t, st.Set("a", []byte("value of a"))) // the changelog has it, and says so too late
	s.gives("a", true)
	must(t, st.Close())
	s.log.next = 3
	turns, _ := s.follow()
	view := <-turns
	time.AfterFunc(100*time.Millisecond, func() { view.take(t, 2, "a") })
	s.gives("a", true)
}

// Which keys the changelog has brought is known to who reads it on.
func TestNewKeysAreKnownAcrossHands(t *testing.T) {
	s := newSharedTable(t, 100)
	turns, _ := s.follow()
	view := <-turns
	for i := range 50 {
		view.take(t, int64(i), fmt.Sprint("key ", i))
	}
	table, st := s.stage()
	defer st.Close()
	keys := table.Partition(3).log.(*guard).writeBehind.written
	if keys == nil || !keys.mayHave("key 7") || keys.mayHave("another") {
		t.Fatalf("the stage looks for all keys: %v", keys == nil)
	}
	if v, err := st.Get("key 7"); err != nil || string(v) != "value of key 7" {
		t.Errorf("%q, %v", v, err)
	}
}

// Who goes through a partition does not keep the stage from it.
func TestAWalkEndsWhenAPartitionMoves(t *testing.T) {
	s := newSharedTable(t, 5)
	turns, _ := s.follow()
	view := <-turns
	for i := range 5 {
		view.take(t, int64(i), fmt.Sprint(i))
	}
	must(t, view.state.MarkRecovered())
	var opened chan storage.Storage
	err := s.Each(3, "", func(string, []byte) bool {
		if opened == nil {
			opened = make(chan storage.Storage)
			go func() { _, st := s.stage(); opened <- st }()
			for !s.seat(3).closing.Load() {
				time.Sleep(time.Millisecond)
			}
		}
		return true
	})
	if !errors.Is(err, ErrUnread) {
		t.Errorf("the walk ends with %v", err)
	}
	must(t, (<-opened).Close())
	<-turns
	walked := func(from string) string {
		var keys []string
		must(t, s.Each(3, from, func(key string, _ []byte) bool { keys = append(keys, key); return true }))
		return fmt.Sprint(keys)
	}
	if got := walked("") + walked("3") + walked("31") + walked("5"); got != "[0 1 2 3 4][3 4][4][]" {
		t.Errorf("walks give %s", got)
	}
	n := 0
	must(t, s.Each(3, "", func(string, []byte) bool { n++; return n < 3 }))
	if n != 3 {
		t.Errorf("%d of 3 values", n)
	}
	for from, want := range map[string]string{"": "0 1 2 3 4 ", "2": "2 3 4 ", "22": "3 4 ", "5": ""} {
		keys := ""
		must(t, s.Each(3, from, func(key string, _ []byte) bool { keys += key + " "; return true }))
		if keys != want {
			t.Errorf("from %q on: %q", from, keys)
		}
	}
}

// A state that fails ends the view, which goka's would try again for ever.
func TestAFailingStateEndsTheView(t *testing.T) {
	s := newSharedTable(t, 5)
	turns, ended := s.follow()
	view := <-turns
	w := view.state.(followed).Storage.(watched).log.(*guard).writeBehind
	full := errors.New("the disk is full")
	w.mu.Lock()
	w.err = full
	w.mu.Unlock()
	if err := view.update(read{offset: 0}, view.state, "a", nil); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
	if err := <-ended; !errors.Is(err, full) {
		t.Errorf("it ends with %v", err)
	}
}

// What is set is heard of, whoever sets it.
func TestAViewHearsOfWhatIsSet(t *testing.T) {
	s := newSharedTable(t, 5)
	var heard []string
	s.Listen(func(key string, value []byte) { heard = append(heard, fmt.Sprint(key, " ", value != nil)) })
	table, st := s.stage()
	must(t, table.update(read{offset: 0}, st, "a", []byte("v")))
	must(t, st.SetOffset(0))
	must(t, st.MarkRecovered())
	must(t, st.Set("b", []byte("v")))
	must(t, st.Delete("a"))
	must(t, st.Close())
	if got, want := fmt.Sprint(heard), "[a true b true a false]"; got != want {
		t.Errorf("heard %s, want %s", got, want)
	}
}

type awayLog struct {
	fakeLog
	away bool
}

var errAway = errors.New("away")

func (l *awayLog) TopicID(topic string) (string, error) {
	if l.away {
		return "", errAway
	}
	return l.fakeLog.TopicID(topic)
}

func (l *awayLog) NextOffset(topic string, p int32) (int64, error) {
	if l.away {
		return 0, errAway
	}
	return l.fakeLog.NextOffset(topic, p)
}

// A view opens a state that was checked before also while Kafka is away, and no other.
func TestStateIsOpenedWhileTheLogIsAway(t *testing.T) {
	log := &awayLog{fakeLog{id: "one", next: 5}, true}
	known := Remembering(log)
	if _, err := known.TopicID("t"); !errors.Is(err, errAway) {
		t.Errorf("an id from nowhere: %v", err)
	}
	if _, err := known.NextOffset("t", 0); !errors.Is(err, errAway) {
		t.Errorf("an offset from nowhere: %v", err)
	}
	log.away = false
	if id, err := known.TopicID("t"); id != "one" || err != nil {
		t.Errorf("%q, %v", id, err)
	}
	log.away, log.id = true, "two"
	if id, err := known.TopicID("t"); id != "one" || err != nil {
		t.Errorf("%q, %v while it is away", id, err)
	}
	if next, err := known.NextOffset("t", 0); next != unknownNext || err != nil {
		t.Errorf("%d, %v while it is away", next, err)
	}
	local := NewLocal(LocalOptions{Dir: t.TempDir(), Log: known})
	st, err := local.Build("t", 0)
	must(t, err)
	put(t, local, st, 7, "k") // more than the log was known to have
	must(t, st.Close())
	st, err = local.Build("t", 0)
	must(t, err)
	must(t, st.MarkRecovered())
	if at := st.(*guard).newest(); at != 7 || !holds(t, st, "k") {
		t.Errorf("up to %d, k there: %v", at, holds(t, st, "k"))
	}
	must(t, st.Close())
	log.away = false
	if id, err := known.TopicID("t"); id != "two" || err != nil {
		t.Errorf("%q, %v when it is back", id, err)
	}
	if next, err := known.NextOffset("t", 0); next != 5 || err != nil {
		t.Errorf("%d, %v when it is back", next, err)
	}
}
