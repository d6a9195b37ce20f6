package table

import (
	"errors"
	"testing"

	"github.com/brimline/brimline"
	"github.com/syndtr/goleveldb/leveldb"
	ldbstorage "github.com/syndtr/goleveldb/leveldb/storage"
	"pgregory.net/rapid"
)

func must(t interface{ Fatal(...any) }, err error) {
	if err != nil {
		t.Fatal(err)
	}
}

// changelog is one partition's log with goka's bookkeeping of it.
type changelog struct {
	g    *guard
	next int64
	acks []int64 // due to be reported by goka
}

func (l *changelog) set(t *rapid.T) {
	must(t, l.g.Set("k", []byte("v")))
	l.acks = append(l.acks, l.next)
	l.next++
}

func (l *changelog) delete(t *rapid.T) {
	must(t, l.g.Delete("k"))
	l.next++
}

func (l *changelog) setUnreported(t *rapid.T, value []byte) {
	must(t, l.g.SetUnreported("k", value))
	l.next++
}

// inMemory is a storage that flushes when told to, and nothing to a disk.
func inMemory(t interface{ Fatal(...any) }) *writeBehind {
	db, err := leveldb.Open(ldbstorage.NewMemStorage(), levelDBOptions())
	must(t, err)
	w, err := newWriteBehind(db, "", NewReadCache(1<<20), memtableBytes, 1)
	must(t, err)
	return w
}

// A sole writer is never refused, whatever it writes and deletes and however late it is acknowledged; after a foreign
// record the next acknowledgement is refused, and so is everything after it.
func TestGuardToleratesOneWriterOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &changelog{next: rapid.Int64Range(0, 3).Draw(t, "log")}
		w := inMemory(t)
		defer w.finish()
		l.g = newGuard(w, "t", 0, l.next-1)
		distrusted := false
		l.g.distrust = func() error { distrusted = true; return nil }
		must(t, l.g.Open())
		for range rapid.IntRange(0, 3).Draw(t, "recovered") { // compacted: gaps
			l.next += rapid.Int64Range(0, 2).Draw(t, "gap")
			l.g.announce(l.next)
			must(t, l.g.Set("k", []byte("v")))
			must(t, l.g.SetOffset(l.next))
			l.next++
		}
		must(t, l.g.MarkRecovered())
		for range rapid.IntRange(0, 3).Draw(t, "standby") {
			l.next += rapid.Int64Range(0, 2).Draw(t, "gap")
			l.g.announce(l.next)
			if rapid.Bool().Draw(t, "deleted") {
				must(t, l.g.Delete("k"))
			}
			must(t, l.g.SetOffset(l.next))
			l.next++
		}
		stored := int64(-1)
		ack := func() (err error) {
			offset := l.acks[0]
			l.acks = l.acks[1:]
			if offset == 0 {
				return nil // goka takes offset 0 for none
			}
			if err = l.g.SetOffset(offset); err == nil {
				stored = offset
			}
			return err
		}
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 6).Draw(t, "step") {
			case 0:
				l.delete(t)
			case 1:
				l.setUnreported(t, nil)
			case 2:
				l.setUnreported(t, []byte("part"))
			case 3:
				if len(l.acks) > 0 {
					must(t, ack())
				}
			default:
				l.set(t)
			}
		}
		for len(l.acks) > 0 {
			must(t, ack())
		}

		l.next++ // another instance's
		l.set(t)
		for range rapid.IntRange(0, 3).Draw(t, "more") {
			l.set(t)
		}
		fromEmpty, before := l.g.base < 0, stored
		var err error
		for len(l.acks) > 0 {
			if err = ack(); err == nil && !fromEmpty {
				t.Fatal("a second writer went unnoticed")
			}
		}
		if e, ok := errors.AsType[*brimline.Error](err); !ok || e.Kind != KindSecondWriter {
			t.Fatalf("got %v", err)
		}
		if at, _ := l.g.GetOffset(-1); before >= 0 && at != before && !distrusted {
			t.Fatalf("the stored offset is %d, want %d", at, before)
		}
		if l.g.Set("k", nil) == nil {
			t.Fatal("it goes on writing")
		}
	})
}

func TestGuardDistrustsALogThatLostRecords(t *testing.T) {
	w := inMemory(t)
	defer w.finish()
	g := newGuard(w, "t", 0, 10)
	distrusted := false
	g.distrust = func() error { distrusted = true; return nil }
	must(t, g.MarkRecovered())
	must(t, g.Set("k", []byte("v")))
	if err := g.SetOffset(9); err == nil || !distrusted {
		t.Fatalf("got %v, distrusted %v", err, distrusted)
	}
}
