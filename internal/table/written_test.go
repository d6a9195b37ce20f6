package table

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/opt"
	ldbstorage "github.com/syndtr/goleveldb/leveldb/storage"
)

// No key that was written is taken for a new one, however many there are; and few new ones for written ones, as long
// as there are no more keys than records were said to come.
func TestWrittenKeysAreKnown(t *testing.T) {
	for _, c := range []struct {
		records, keys int
		most          float64 // share of new keys that are taken for written ones
	}{{1, 1_000, 0.1}, {20_000, 20_000, 0.06}, {5_000_000, 200_000, 0.02}} {
		w := newWritten(int64(c.records))
		if size := len(w.bits) * 8; size > mostWritten || size < leastWritten {
			t.Errorf("%d records: %d bytes", c.records, size)
		}
		for i := range c.keys {
			w.add(strconv.Itoa(i))
		}
		wrong := 0
		for i := range c.keys {
			if !w.mayHave(strconv.Itoa(i)) {
				t.Fatalf("%d records: key %d is not known", c.records, i)
			}
			if w.mayHave(strconv.Itoa(-1 - i)) {
				wrong++
			}
		}
		if share := float64(wrong) / float64(c.keys); share > c.most {
			t.Errorf("%d records, %d keys: %.3f of the others are taken for known, want %.2f at most",
				c.records, c.keys, share, c.most)
		}
	}
	var none *written
	if none.add("k"); !none.mayHave("k") {
		t.Error("without it every key may be there")
	}
}

// readTables counts the tables that LevelDB reads from.
type readTables struct {
	ldbstorage.Storage
	opened atomic.Int64
}

func (d *readTables) Open(fd ldbstorage.FileDesc) (ldbstorage.Reader, error) {
	if fd.Type == ldbstorage.TypeTable {
		d.opened.Add(1)
	}
	return d.Storage.Open(fd)
}

// A changelog of new keys is read into an empty LevelDB without a look at its tables, and without the cache; those that
// come again are found, and so is everything afterwards.
func TestKeysThatAreNewAreNotLookedFor(t *testing.T) {
	const keys = 2_000
	disk := &readTables{Storage: ldbstorage.NewMemStorage()}
	o := levelDBOptions()
	o.CompactionL0Trigger, o.WriteL0PauseTrigger = 1<<20, 1<<20 // a compaction reads tables too
	o.WriteL0SlowdownTrigger = 1 << 20
	open := func() *writeBehind {
		db, err := leveldb.Open(disk, o)
		must(t, err)
		w, err := newWriteBehind(db, "", NewReadCache(1<<20), 10_000, mostWritten)
		must(t, err)
		return w
	}
	w := open()
	at := int64(0)
	come := func(key string) (held []byte) {
		held, err := w.Get(key)
		must(t, err)
		must(t, w.write(key, []byte(key), at))
		must(t, w.SetOffset(at))
		w.flush()
		at++
		return held
	}
	for i := range keys {
		if come(fmt.Sprint(i)) != nil {
			t.Fatalf("key %d is there before it came", i)
		}
	}
	if n := disk.opened.Load(); n > 0 {
		t.Errorf("%d tables were opened to look for %d new keys", n, keys)
	}
	if n := len(w.cache.index); n > 0 {
		t.Errorf("%d values are in the cache", n)
	}
	for range keys {
		key := fmt.Sprint(rand.IntN(keys))
		if held := come(key); string(held) != key {
			t.Fatalf("%s is %q", key, held)
		}
	}
	must(t, w.MarkRecovered())
	if w.written != nil {
		t.Error("the bits are kept")
	}
	for i := range keys + 10 {
		if held, err := w.Get(fmt.Sprint(i)); err != nil || (held != nil) != (i < keys) {
			t.Fatalf("afterwards key %d is %q, %v", i, held, err)
		}
	}
	if len(w.cache.index) == 0 {
		t.Error("what is read afterwards is not in the cache")
	}
	must(t, w.finish())
	if w = open(); w.written != nil {
		t.Error("a state that is not empty has keys that did not come now")
	}
	must(t, w.finish())
}

// tornTables has no room for what tables hold.
type tornTables struct{ ldbstorage.Storage }

type torn struct{ ldbstorage.Writer }

func (torn) Write([]byte) (int, error) { return 0, errNoRoom }

var errNoRoom = errors.New("no room")

func (d tornTables) Create(fd ldbstorage.FileDesc) (ldbstorage.Writer, error) {
	w, err := d.Storage.Create(fd)
	if fd.Type == ldbstorage.TypeTable {
		w = torn{w}
	}
	return w, err
}

// A table that could not be written in the end is not taken for one.
func TestTablesAreWrittenWhenTheyAreSynced(t *testing.T) {
	disk := ldbstorage.NewMemStorage()
	for _, full := range []bool{false, true} {
		var files ldbstorage.Storage = disk
		if full {
			files = tornTables{disk}
		}
		db, err := leveldb.Open(bufferedTables{files}, &opt.Options{WriteBuffer: 1 << 10})
		must(t, err)
		w, err := newWriteBehind(db, "", NewReadCache(0), memtableBytes, 1)
		must(t, err)
		key := fmt.Sprint("full: ", full)
		must(t, w.write(key, make([]byte, 100), w.stored+1))
		must(t, w.SetOffset(w.stored+1))
		flushNow(w)
		if _, err := w.GetOffset(0); err != nil || errors.Is(w.err, errNoRoom) != full {
			t.Errorf("%s: the flush gives %v", key, w.err)
		}
		if inLevelDB(t, w, key) == full {
			t.Errorf("%s: the value is there: %v", key, !full)
		}
		if err := w.finish(); errors.Is(err, errNoRoom) != full {
			t.Error(err)
		}
	}
}
