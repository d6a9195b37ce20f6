package table

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lovoo/goka/storage"
	"github.com/syndtr/goleveldb/leveldb"
	ldbstorage "github.com/syndtr/goleveldb/leveldb/storage"
	"pgregory.net/rapid"
)

type change struct {
	key      string
	value    []byte // nil: a tombstone
	reported bool
}

// partition is a table partition as a property test sees it: a log, what is on its way to it, and a storage in a
// directory.
type partition struct {
	*rapid.T
	dir     string
	lives   int
	db      *leveldb.DB
	g       *guard
	written []change // by offset: in the log, or on their way to it
	inLog   int      // so many are in the log
	acked   int      // and so many are known to be
}

func (p *partition) home() string { return filepath.Join(p.dir, fmt.Sprint(p.lives)) }

// open begins a life with what the last one left, and recovers.
func (p *partition) open() {
	o := levelDBOptions()
	o.NoSync = true
	var err error
	p.db, err = leveldb.OpenFile(p.home(), o)
	must(p, err)
	w, err := newWriteBehind(p.db, p.home(), NewReadCache(rapid.SampledFrom([]int{0, 20_000}).Draw(p.T, "cache")), 1000, 1)
	must(p, err)
	stored := int(w.stored)
	if stored >= p.inLog {
		p.Fatalf("LevelDB has read up to %d of a log of %d", stored, p.inLog)
	}
	p.isPrefix(stored + 1)
	base := w.stored
	if base == noOffset {
		base = int64(p.inLog) - 1
	}
	p.g = newGuard(w, "t", 0, base)
	p.written, p.acked = p.written[:p.inLog], p.inLog
	held := fold(p.written[:stored+1])
	for i, r := range p.written[stored+1:] {
		at := int64(stored + 1 + i)
		p.g.announce(at)
		if value, err := p.g.Get(r.key); err != nil || !bytes.Equal(value, held[r.key]) {
			p.Fatalf("while it is read, %q is %q (%v), want %q", r.key, value, err, held[r.key])
		}
		// Else as if KeepNewer had refused it.
		if old, ok := held[r.key]; !ok || r.value == nil || !bytes.Equal(old, r.value) {
			p.apply(r)
		}
		set(held, r)
		p.maybeFlush()
		must(p, p.g.SetOffset(at))
		p.maybeFlush()
	}
	must(p, p.g.MarkRecovered())
}

func (p *partition) apply(r change) {
	switch {
	case !r.reported:
		must(p, p.g.SetUnreported(r.key, r.value))
	case r.value == nil:
		must(p, p.g.Delete(r.key))
	default:
		must(p, p.g.Set(r.key, r.value))
	}
}

// isPrefix says that LevelDB holds exactly what the first n records of the log make.
func (p *partition) isPrefix(n int) {
	i := p.db.NewIterator(nil, nil)
	defer i.Release()
	got := map[string][]byte{}
	for i.Next() {
		if string(i.Key()) != offsetKey {
			got[string(i.Key())] = bytes.Clone(i.Value())
		}
	}
	if want := fold(p.written[:n]); !maps.EqualFunc(got, want, bytes.Equal) {
		p.Fatalf("LevelDB holds %q, the first %d records of the log %q", got, n, want)
	}
}

func fold(log []change) map[string][]byte {
	held := map[string][]byte{}
	for _, r := range log {
		set(held, r)
	}
	return held
}

func set(held map[string][]byte, r change) {
	if r.value == nil {
		delete(held, r.key)
	} else {
		held[r.key] = r.value
	}
}

func (p *partition) maybeFlush() {
	if rapid.IntRange(0, 5).Draw(p.T, "flush") == 0 {
		p.flush()
	}
}

func (p *partition) flush() {
	flushNow(p.g.writeBehind)
	p.isPrefix(int(p.g.stored) + 1)
}

// flushNow flushes a storage as its age would.
func flushNow(w *writeBehind) {
	w.mu.Lock()
	w.freeze()
	w.mu.Unlock()
	w.flush()
}

func (p *partition) write() {
	r := change{key: rapid.SampledFrom([]string{"a", "b", "ba", "c", "d"}).Draw(p.T, "key")}
	switch rapid.IntRange(0, 5).Draw(p.T, "kind") {
	case 0: // goka reports no tombstone
		must(p, p.g.Delete(r.key))
	case 1:
		must(p, p.g.SetUnreported(r.key, nil))
	case 2:
		r.value = p.value()
		must(p, p.g.SetUnreported(r.key, r.value))
	default:
		r.value, r.reported = p.value(), true
		must(p, p.g.Set(r.key, r.value))
	}
	p.written = append(p.written, r)
}

// value is one of a few, so that some records change nothing.
func (p *partition) value() []byte {
	return bytes.Repeat([]byte(rapid.SampledFrom([]string{"x", "y"}).Draw(p.T, "value")),
		rapid.SampledFrom([]int{0, 1, 300}).Draw(p.T, "size"))
}

func (p *partition) look() {
	want := fold(p.written)
	for _, key := range []string{"a", "b", "ba", "c", "d", "e"} {
		value, err := p.g.Get(key)
		must(p, err)
		if known, ok := want[key]; (value != nil) != ok || !bytes.Equal(value, known) {
			p.Fatalf("%q is %q, want %q", key, value, known)
		}
	}
	i, err := p.g.Iterator()
	must(p, err)
	p.gives(i, want, slices.Sorted(maps.Keys(want)))

	start := rapid.SampledFrom([]string{"a", "b", "bb", "e"}).Draw(p.T, "start")
	i, err = p.g.IteratorWithRange([]byte(start), []byte("d"))
	must(p, err)
	p.gives(i, want, keys(want, func(k string) bool { return k >= start && k < "d" }))
	i, err = p.g.IteratorWithRange([]byte("b"), nil)
	must(p, err)
	p.gives(i, want, keys(want, func(k string) bool { return k[0] == 'b' }))

	i, err = p.g.Iterator()
	must(p, err)
	i.Next()
	after := keys(want, func(k string) bool { return k >= start })
	if got := i.Seek([]byte(start)); got != (len(after) > 0) {
		p.Fatalf("sought %q: %v, there is %q", start, got, after)
	}
	p.gives(i, want, after)
}

func keys(held map[string][]byte, f func(string) bool) (out []string) {
	for _, k := range slices.Sorted(maps.Keys(held)) {
		if f(k) {
			out = append(out, k)
		}
	}
	return out
}

func (p *partition) gives(i storage.Iterator, want map[string][]byte, order []string) {
	defer i.Release()
	for _, key := range order {
		if !i.Next() {
			p.Fatalf("the iterator ends before %q", key)
		}
		value, err := i.Value()
		must(p, err)
		if string(i.Key()) != key || !bytes.Equal(value, want[key]) {
			p.Fatalf("the iterator gives %q=%q, want %q=%q", i.Key(), value, key, want[key])
		}
	}
	if i.Next() {
		p.Fatalf("the iterator gives %q too", i.Key())
	}
	must(p, i.Err())
}

// ack has more records reach the log and more acknowledgements reach us.
func (p *partition) ack() {
	p.inLog += rapid.IntRange(0, len(p.written)-p.inLog).Draw(p.T, "reach")
	for range rapid.IntRange(0, p.inLog-p.acked).Draw(p.T, "acknowledged") {
		if p.acked > 0 && p.written[p.acked].reported {
			must(p, p.g.SetOffset(int64(p.acked)))
		}
		p.acked++
	}
}

// Whatever is written, acknowledged, flushed and killed, LevelDB holds what the log holds up to the stored offset,
// which the log has; and reads, by key and in order, give what was written last.
func TestLevelDBIsAPrefixOfTheLog(t *testing.T) {
	root := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(root, "")
		must(t, err)
		p := &partition{T: t, dir: dir}
		p.open()
		defer func() { p.db.Close() }()
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 19).Draw(t, "step") {
			case 0: // a kill: what is in memory is gone, and of what was on its way some arrives
				old, killed := p.home(), p.db
				p.lives++
				must(t, os.CopyFS(p.home(), os.DirFS(old)))
				must(t, killed.Close())
				p.inLog += rapid.IntRange(0, len(p.written)-p.inLog).Draw(t, "arrives")
				p.open()
			case 1:
				must(t, p.g.finish())
				p.open()
			case 2, 3:
				p.flush()
			case 4, 5:
				p.look()
			case 6, 7, 8:
				p.ack()
			default:
				p.write()
			}
		}
		p.look()
	})
}

// inLevelDB says whether key has got there.
func inLevelDB(t *testing.T, w *writeBehind, key string) bool {
	t.Helper()
	ok, err := w.db.Has([]byte(key), nil)
	must(t, err)
	return ok
}

func TestFlushWaitsForTheLastAcknowledgement(t *testing.T) {
	w := inMemory(t)
	defer w.finish()
	g := newGuard(w, "t", 0, 9)
	must(t, g.MarkRecovered())
	must(t, g.Set("a", []byte("v")))           // 10
	must(t, g.SetUnreported("b", []byte("v"))) // 11
	must(t, g.SetOffset(10))
	if flushNow(w); inLevelDB(t, w, "a") {
		t.Fatal("11 is not acknowledged and in LevelDB")
	}
	must(t, g.Set("c", []byte("v"))) // 12
	must(t, g.SetOffset(12))
	if w.flush(); !inLevelDB(t, w, "a") || !inLevelDB(t, w, "b") || inLevelDB(t, w, "c") {
		t.Fatal("what was frozen is to be in LevelDB, and no more")
	}
	if at, err := w.storedOffset(); err != nil || at != 11 {
		t.Fatalf("stored up to %d (%v), want 11", at, err)
	}
	if flushNow(w); !inLevelDB(t, w, "c") {
		t.Fatal("12 is acknowledged")
	}
}

// A refused writer leaves in LevelDB what was its own, and no more.
func TestRefusedWritesStayOutOfLevelDB(t *testing.T) {
	w := inMemory(t)
	g := newGuard(w, "t", 0, 9)
	must(t, g.MarkRecovered())
	must(t, g.Set("a", []byte("v")))
	must(t, g.SetOffset(10))
	w.mu.Lock()
	w.freeze()
	w.mu.Unlock()
	must(t, g.Set("b", []byte("v")))
	if g.SetOffset(12) == nil {
		t.Fatal("11 was due")
	}
	flushNow(w)
	flushNow(w)
	if !inLevelDB(t, w, "a") || inLevelDB(t, w, "b") {
		t.Fatalf("a there: %v, b there: %v", inLevelDB(t, w, "a"), inLevelDB(t, w, "b"))
	}
	must(t, w.finish())
}

// fullDisk has no room for tables while full.
type fullDisk struct {
	ldbstorage.Storage
	full bool
}

func (d *fullDisk) Create(fd ldbstorage.FileDesc) (ldbstorage.Writer, error) {
	if d.full && fd.Type == ldbstorage.TypeTable {
		return nil, syscall.ENOSPC
	}
	return d.Storage.Create(fd)
}

func TestFailureOfAFlushStays(t *testing.T) {
	disk := &fullDisk{Storage: ldbstorage.NewMemStorage()}
	open := func() *writeBehind {
		db, err := leveldb.Open(disk, levelDBOptions())
		must(t, err)
		w, err := newWriteBehind(db, "", NewReadCache(0), memtableBytes, 1)
		must(t, err)
		return w
	}
	w := open()
	must(t, w.write("a", []byte("v"), 1))
	must(t, w.SetOffset(1))
	disk.full = true
	flushNow(w)
	disk.full = false
	w.flush()
	for what, err := range map[string]error{"a write": w.write("b", []byte("v"), 2),
		"an acknowledgement": w.SetOffset(2)} {
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("after a failed flush %s gives %v", what, err)
		}
	}
	if v, err := w.Get("a"); err != nil || string(v) != "v" {
		t.Errorf("got %q, %v", v, err)
	}
	if err := w.finish(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("closing gives %v", err)
	}
	w = open()
	if w.stored != noOffset || inLevelDB(t, w, "a") {
		t.Errorf("a failed flush has left something, up to %d", w.stored)
	}
	must(t, w.finish())
}

// slowDisk opens a table when the test lets it.
type slowDisk struct {
	ldbstorage.Storage
	asked, allowed chan struct{}
}

func (d *slowDisk) Open(fd ldbstorage.FileDesc) (ldbstorage.Reader, error) {
	if fd.Type == ldbstorage.TypeTable {
		d.asked <- struct{}{}
		<-d.allowed
	}
	return d.Storage.Open(fd)
}

// What a slow read of LevelDB brings does not replace, in the cache, what has been flushed meanwhile.
func TestSlowReadDoesNotHideANewerValue(t *testing.T) {
	disk := &slowDisk{ldbstorage.NewMemStorage(), make(chan struct{}), make(chan struct{})}
	db, err := leveldb.Open(disk, levelDBOptions())
	must(t, err)
	w, err := newWriteBehind(db, "", NewReadCache(1<<20), memtableBytes, 1)
	must(t, err)
	must(t, w.MarkRecovered())
	must(t, w.write("k", []byte("old"), 1))
	must(t, w.SetOffset(1))
	flushNow(w)
	w.cache.forget(w.table)
	read := make(chan error)
	go func() {
		_, err := w.Get("k")
		read <- err
	}()
	<-disk.asked
	must(t, w.write("k", []byte("new"), 2))
	must(t, w.SetOffset(2))
	flushNow(w)
	close(disk.allowed)
	must(t, <-read)
	if v, err := w.Get("k"); err != nil || string(v) != "new" {
		t.Fatalf("got %q, %v", v, err)
	}
	must(t, w.finish())
}

// Writer, acknowledgements, readers and flushes at once. The race detector has its part in this test.
func TestStorageIsSafeForConcurrentUse(t *testing.T) {
	const records, users = 20_000, 500
	dir := t.TempDir()
	cache := NewReadCache(100_000)
	db, err := leveldb.OpenFile(dir, levelDBOptions())
	must(t, err)
	w, err := newWriteBehind(db, dir, cache, 20_000, 1)
	must(t, err)
	go w.run(time.Millisecond)
	g := newGuard(w, "t", 0, -1)
	must(t, g.MarkRecovered())

	var all sync.WaitGroup
	stop := make(chan struct{})
	acks := make(chan int64, 256)
	all.Go(func() {
		for at := range acks {
			if err := g.SetOffset(at); err != nil {
				t.Errorf("%d: %v", at, err)
			}
		}
	})
	value := func(n int) []byte { return fmt.Appendf(nil, "%08d", n) }
	all.Go(func() { // a user's value never goes back, by whatever way it is read
		newest := map[string]string{}
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			key := fmt.Sprint(n % users)
			v, err := g.Get(key)
			if err != nil || string(v) < newest[key] {
				t.Errorf("%s: %q after %q, %v", key, v, newest[key], err)
				return
			}
			newest[key] = string(v)
			if n%1000 == 0 {
				i, _ := g.Iterator()
				for i.Next() {
					v, _ := i.Value()
					if string(v) < newest[string(i.Key())] {
						t.Errorf("%s: iterator gives %q after %q", i.Key(), v, newest[string(i.Key())])
					}
				}
				i.Release()
			}
		}
	})
	for n := range records {
		key := fmt.Sprint(n * 7 % users)
		if v, err := g.Get(key); err != nil || n >= users && string(v) != string(value(n-users)) {
			t.Fatalf("%d: read %q, %v", n, v, err)
		}
		must(t, g.Set(key, value(n)))
		if n > 0 {
			acks <- int64(n)
		}
	}
	close(acks)
	for caughtUp := false; !caughtUp; time.Sleep(time.Millisecond) {
		w.mu.Lock()
		caughtUp = w.stored == records-1
		w.mu.Unlock()
	}
	close(stop)
	all.Wait()
	must(t, g.Close())
	if err := g.Set("k", nil); !errors.Is(err, leveldb.ErrClosed) {
		t.Errorf("writing to what is closed gives %v", err)
	}
	if len(cache.index) > 0 {
		t.Errorf("%d entries of a closed table are in the cache", len(cache.index))
	}
}

// Who walks through a table does not drive out what is in use.
func TestPeekLeavesTheCacheAlone(t *testing.T) {
	db, err := leveldb.Open(ldbstorage.NewMemStorage(), nil)
	must(t, err)
	cache := NewReadCache(100 * (slotBytes + 20))
	w, err := newWriteBehind(db, "", cache, memtableBytes, 1)
	must(t, err)
	defer w.finish()
	must(t, w.MarkRecovered())
	for i := range 1000 {
		must(t, db.Put(fmt.Appendf(nil, "key %d", i), []byte("value"), nil))
	}
	for i := range 50 {
		if v, err := w.Get(fmt.Sprint("key ", i)); err != nil || string(v) != "value" {
			t.Fatalf("%q, %v", v, err)
		}
	}
	held := len(cache.index)
	for i := range 1000 {
		if v, err := w.Peek(fmt.Sprint("key ", i)); err != nil || string(v) != "value" {
			t.Fatalf("%q, %v", v, err)
		}
	}
	if v, err := w.Peek("none"); v != nil || err != nil {
		t.Errorf("%q, %v", v, err)
	}
	for i := range 50 {
		if _, ok := cache.get(w.table, fmt.Sprint("key ", i)); !ok {
			t.Fatalf("key %d was driven out", i)
		}
	}
	if len(cache.index) != held {
		t.Errorf("%d entries, were %d", len(cache.index), held)
	}
}
