package table

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/lovoo/goka/storage"
)

type fakeLog struct {
	id   string
	next int64
}

func (l *fakeLog) TopicID(string) (string, error)          { return l.id, nil }
func (l *fakeLog) NextOffset(string, int32) (int64, error) { return l.next, nil }

func locals(t *testing.T, log *fakeLog) (*Local, string) {
	dir := t.TempDir()
	return NewLocal(LocalOptions{Dir: dir, Log: log, Now: func() time.Time { return time.Unix(0, 0) }}), dir
}

func openTable(t *testing.T, tb *Local) storage.Storage {
	t.Helper()
	s, err := tb.Build("g-table", 3)
	must(t, err)
	must(t, s.Open())
	return s
}

// put stores one value as recovery does.
func put(t *testing.T, tb *Local, s storage.Storage, offset int64, key string) {
	t.Helper()
	s.(*guard).announce(offset)
	must(t, s.Set(key, []byte("value of "+key)))
	must(t, s.SetOffset(offset))
}

func holds(t *testing.T, s storage.Storage, key string) bool {
	t.Helper()
	v, err := s.Get(key)
	must(t, err)
	return string(v) == "value of "+key
}

func TestStateSurvivesARestart(t *testing.T) {
	tb, _ := locals(t, &fakeLog{id: "one", next: 5})
	s := openTable(t, tb)
	put(t, tb, s, 4, "k")
	must(t, s.MarkRecovered())
	must(t, s.Close())
	s = openTable(t, tb)
	defer s.Close()
	at, err := s.GetOffset(-1)
	if must(t, err); at != 4 || !holds(t, s, "k") {
		t.Fatalf("offset %d, k there: %v", at, holds(t, s, "k"))
	}
}

func TestStateThatTheLogDoesNotBackIsDropped(t *testing.T) {
	for name, change := range map[string]func(*fakeLog, string){
		"topic created anew":     func(l *fakeLog, _ string) { l.id = "two" },
		"log shorter than state": func(l *fakeLog, _ string) { l.next = 4 },
		"id lost":                func(_ *fakeLog, home string) { must(t, distrust(home)) },
	} {
		t.Run(name, func(t *testing.T) {
			log := &fakeLog{id: "one", next: 5}
			tb, dir := locals(t, log)
			s := openTable(t, tb)
			put(t, tb, s, 4, "k")
			must(t, s.MarkRecovered())
			must(t, s.Close())
			change(log, filepath.Join(dir, "g-table.3"))
			s = openTable(t, tb)
			defer s.Close()
			if at, _ := s.GetOffset(-1); at != -1 || holds(t, s, "k") {
				t.Fatalf("stale state is served, offset %d", at)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "*"+stale+"*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// State that was given up, and whose deletion a kill has cut short, goes at the next start; another partition's stays.
func TestStateHalfDeletedIsDeleted(t *testing.T) {
	tb, dir := locals(t, &fakeLog{id: "one", next: 5})
	half := filepath.Join(dir, "g-table.3"+stale+"20260101T000000.000", "db")
	other := filepath.Join(dir, "g-table.33"+stale+"20260101T000000.000")
	must(t, errors.Join(os.MkdirAll(half, 0o755), os.MkdirAll(other, 0o755)))
	must(t, openTable(t, tb).Close())
	if left, _ := filepath.Glob(filepath.Join(dir, "*"+stale+"*")); len(left) != 1 || left[0] != other {
		t.Errorf("left behind: %v, want %v", left, other)
	}
}

func TestDamagedStateIsSetAside(t *testing.T) {
	tb, dir := locals(t, &fakeLog{id: "one", next: 5})
	for round := range 2 {
		s := openTable(t, tb)
		if holds(t, s, "k") {
			t.Fatal("it is not empty")
		}
		put(t, tb, s, 4, "k")
		must(t, s.MarkRecovered())
		must(t, s.Close())
		tear(t, filepath.Join(dir, "g-table.3", "db", "MANIFEST-*"))
		s = openTable(t, tb)
		if holds(t, s, "k") {
			t.Fatal("the damage did nothing")
		}
		must(t, s.Close())
		aside, _ := filepath.Glob(filepath.Join(dir, "g-table.3"+damaged+"*"))
		if len(aside) != 1 {
			t.Fatalf("round %d: set aside: %v", round, aside)
		}
	}
}

// tear cuts the last write to a file short, as a kill in the middle of it may.
func tear(t *testing.T, pattern string) {
	t.Helper()
	found, err := filepath.Glob(pattern)
	must(t, err)
	for _, f := range found {
		info, err := os.Stat(f)
		must(t, err)
		must(t, os.Truncate(f, info.Size()-3))
	}
	if len(found) == 0 {
		t.Fatalf("nothing to tear at %v", pattern)
	}
}

func TestStateInUseIsExplained(t *testing.T) {
	tb, dir := locals(t, &fakeLog{id: "one"})
	s := openTable(t, tb)
	defer s.Close()
	other := NewLocal(LocalOptions{Dir: dir, Log: &fakeLog{id: "one"}})
	_, err := other.Build("g-table", 3)
	if e, ok := errors.AsType[*brimline.Error](err); !ok || e.Kind != "state_dir_locked" ||
		!strings.Contains(e.Remedy, "own") {
		t.Fatalf("got %v", err)
	}
}

// A guard from Build knows where the log stands.
func TestBuiltStorageIsGuarded(t *testing.T) {
	tb, _ := locals(t, &fakeLog{id: "one", next: 7})
	s := openTable(t, tb)
	defer s.Close()
	must(t, s.MarkRecovered())
	must(t, s.Set("k", []byte("v")))
	if err := s.SetOffset(8); err == nil {
		t.Fatal("7 was due")
	}
}
