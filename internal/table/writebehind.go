package table

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/lovoo/goka/storage"
	"github.com/syndtr/goleveldb/leveldb"
	ldberrors "github.com/syndtr/goleveldb/leveldb/errors"
	"github.com/syndtr/goleveldb/leveldb/filter"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/util"
)

// writeBehind keeps the newest values of a partition in memory and writes them to LevelDB later, many at once.
//
// LevelDB is never ahead of the changelog and always a prefix of it: each flush is one transaction that holds the
// values of all records up to an offset and that offset, and it waits until the changelog has acknowledged them.
// After a kill the rest is read from the changelog.
//
// Writes go to the active memtable. When that is large or old enough it is frozen, with the offset of its last
// record; a frozen one is flushed as soon as an acknowledgement has reached that offset, and its values move to the
// read cache. One whose last record is never reported waits for the next record that is; if none comes, its records
// are read from the changelog again after a restart.
//
// A transaction of LevelDB is a table and an entry in the manifest. Nothing goes through its journal, so a kill
// during a flush leaves a table that LevelDB does not know of, and no torn end that the strict journal would take for
// damage.
type writeBehind struct {
	db    *leveldb.DB
	files io.Closer // under db; nil: db closes them
	home  string
	cache *ReadCache
	table int // of the keys in cache
	limit int // bytes of a memtable

	flushing sync.Mutex // comes before mu

	mu      sync.Mutex
	reading bool      // the changelog is being read to its end: the cache is left alone
	written *written  // while it is read into an empty LevelDB: the keys that it has brought; nil: not known
	room    sync.Cond // frozen is flushed, or nothing will be any more
	active  *memtable
	frozen  *memtable // nil: none
	acked   int64     // the log holds all records up to here; noOffset: none is known
	stored  int64     // LevelDB holds them up to here
	flushes int
	err     error // of a flush; stays

	due        chan struct{} // the frozen memtable may be flushed
	stop, done chan struct{}
}

// memtable holds the newest value per key of consecutive records.
type memtable struct {
	values map[string][]byte // nil: deleted
	size   int
	last   int64 // offset of the last record
}

func newMemtable() *memtable { return &memtable{values: make(map[string][]byte), last: noOffset} }

func (m *memtable) put(key string, value []byte, at int64) {
	if old, ok := m.values[key]; ok {
		m.size -= entrySize(key, old)
	}
	m.values[key] = value
	m.size += entrySize(key, value)
	m.last = max(m.last, at)
}

const (
	// Values that change often are written to LevelDB once per memtable: the larger, the less is written.
	memtableBytes = 2 << 20
	// How far LevelDB is behind at most, in time. It costs a restart some records to read, and nothing else.
	flushEvery = 2 * time.Second
	// A writer waits for the disk when so many memtables' bytes have come during one flush.
	stallFactor = 4
)

func levelDBOptions() *opt.Options {
	return &opt.Options{
		// Most lookups of a new user end here instead of on disk.
		Filter: filter.NewBloomFilter(10),
		// The default of LevelDB drops what it cannot read of its journal and goes on. A value lost from the middle,
		// while a later offset survives, is a wrong total for ever.
		Strict: opt.StrictAll &^ opt.StrictRecovery,
		// There is one database per partition and table; 500 open files each, the default, exceed usual limits.
		OpenFilesCacheCapacity: 64,
		// Values are in the read cache; this is for the tables' indices and filters.
		BlockCacheCapacity: 512 * opt.KiB,
		// The size of the tables that a flush makes; they do not overlap. Some four full flushes call for a compaction.
		WriteBuffer:         512 * opt.KiB,
		CompactionL0Trigger: 16,
		WriteL0PauseTrigger: 48,
	}
}

// openWriteBehind opens what is in home, for a changelog of at most so many records.
func openWriteBehind(home string, cache *ReadCache, records int64) (*writeBehind, error) {
	db, files, err := openFiles(filepath.Join(home, "db"))
	if err != nil {
		return nil, err
	}
	w, err := newWriteBehind(db, home, cache, memtableBytes, records)
	if err != nil {
		_ = db.Close()
		_ = files.Close()
		return nil, err
	}
	w.files = files
	go w.run(flushEvery)
	return w, nil
}

// newWriteBehind makes one that flushes when flush is called; run does so by itself.
func newWriteBehind(db *leveldb.DB, home string, cache *ReadCache, limit int, records int64) (*writeBehind, error) {
	w := &writeBehind{
		db: db, home: home, cache: cache, table: cache.newTable(), limit: limit,
		reading: true, active: newMemtable(), due: make(chan struct{}, 1),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	w.room.L = &w.mu
	stored, err := w.storedOffset()
	w.acked, w.stored = stored, stored
	if stored == noOffset {
		w.written = newWritten(records)
	}
	return w, err
}

func (w *writeBehind) storedOffset() (int64, error) {
	text, err := w.db.Get([]byte(offsetKey), nil)
	if errors.Is(err, leveldb.ErrNotFound) {
		return noOffset, nil
	}
	if err != nil {
		return noOffset, err
	}
	return strconv.ParseInt(string(text), 10, 64)
}

// heed makes sure that the next start does not meet the same damage.
func (w *writeBehind) heed(err error) error {
	if ldberrors.IsCorrupted(err) {
		return errors.Join(err, distrust(w.home))
	}
	return err
}

// Open has nothing left to do.
func (w *writeBehind) Open() error { return nil }

// write takes a value, nil for none, whose record has or will get the offset at. It keeps value.
func (w *writeBehind) write(key string, value []byte, at int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.isDue() && w.active.size >= stallFactor*w.limit {
		w.room.Wait()
	}
	if w.err != nil {
		return w.err
	}
	w.written.add(key)
	w.active.put(key, value, at)
	if w.active.size >= w.limit {
		w.freeze()
	}
	return nil
}

// SetOffset says that the log holds all records up to offset, and that they were written here.
func (w *writeBehind) SetOffset(offset int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	w.acked = offset
	w.wakeIfDue()
	return nil
}

func (w *writeBehind) GetOffset(def int64) (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.acked == noOffset {
		return def, nil
	}
	return w.acked, nil
}

// freeze makes the active memtable the one to be flushed next, unless there is one or there is nothing to flush.
func (w *writeBehind) freeze() {
	if w.frozen != nil || len(w.active.values) == 0 && w.acked == w.stored {
		return
	}
	w.frozen, w.active = w.active, newMemtable()
	// A log that is read has records that write nothing. What is acknowledged was written here before.
	w.frozen.last = max(w.frozen.last, w.acked)
	w.wakeIfDue()
}

func (w *writeBehind) isDue() bool {
	return w.frozen != nil && w.acked >= w.frozen.last && w.err == nil
}

func (w *writeBehind) wakeIfDue() {
	if !w.isDue() {
		return
	}
	select {
	case w.due <- struct{}{}:
	default:
	}
}

func (w *writeBehind) run(every time.Duration) {
	defer close(w.done)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.mu.Lock()
			w.freeze()
			w.mu.Unlock()
		case <-w.due:
			w.flush()
		case <-w.stop:
			return
		}
	}
}

// flush stores the frozen memtable if it is due.
func (w *writeBehind) flush() {
	w.flushing.Lock()
	defer w.flushing.Unlock()
	w.mu.Lock()
	m, due := w.frozen, w.isDue()
	w.mu.Unlock()
	if !due {
		return
	}
	err := w.store(m)
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.room.Broadcast()
	if err != nil {
		w.err = fmt.Errorf("local state in %q cannot be written: %w", w.home, w.heed(err))
		return
	}
	if !w.reading {
		for key, value := range m.values {
			w.cache.put(w.table, key, value)
		}
	}
	w.frozen, w.stored = nil, m.last
	w.flushes++
}

func (w *writeBehind) store(m *memtable) error {
	tx, err := w.db.OpenTransaction()
	if err != nil {
		return err
	}
	if err := fill(tx, m); err != nil {
		tx.Discard()
		return err
	}
	if err := tx.Commit(); err != nil {
		tx.Discard()
		return err
	}
	return nil
}

func fill(tx *leveldb.Transaction, m *memtable) error {
	err := tx.Put([]byte(offsetKey), strconv.AppendInt(nil, m.last, 10), nil)
	for _, e := range m.sorted(nil) {
		if err != nil {
			return err
		}
		if e.value == nil {
			err = tx.Delete(e.key, nil)
		} else {
			err = tx.Put(e.key, e.value, nil)
		}
	}
	return err
}

// MarkRecovered says that the changelog has been read to its end. From here on what is read and flushed goes to the
// cache. What was read is flushed apart from what is written now, which may have to wait for the changelog.
func (w *writeBehind) MarkRecovered() error {
	w.flush()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.freeze()
	w.reading, w.written = false, nil
	return w.err
}

// giveWritten gives which keys were written since the state was empty, for who opens it next; nil: not known.
func (w *writeBehind) giveWritten() *written {
	w.mu.Lock()
	defer w.mu.Unlock()
	keys := w.written
	w.written = nil
	return keys
}

// takeWritten takes what giveWritten gave in this process: of a state that is as it was, or empty.
func (w *writeBehind) takeWritten(keys *written) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.reading && w.written == nil {
		w.written = keys
	}
}

// memory finds what the memtables know of key. Callers hold mu.
func (w *writeBehind) memory(key string) (value []byte, ok bool) {
	if value, ok = w.active.values[key]; !ok && w.frozen != nil {
		value, ok = w.frozen.values[key]
	}
	return value, ok
}

// Peek is Get for who walks through the whole table: what it reads does not drive what is in use out of the cache.
func (w *writeBehind) Peek(key string) ([]byte, error) {
	w.mu.Lock()
	value, ok := w.memory(key)
	w.mu.Unlock()
	if ok {
		return value, nil
	}
	return w.read(key)
}

// Get gives nil for a key that has no value. What it gives is shared, and may not be changed.
func (w *writeBehind) Get(key string) ([]byte, error) {
	w.mu.Lock()
	if !w.written.mayHave(key) {
		w.mu.Unlock()
		return nil, nil
	}
	value, ok := w.memory(key)
	if !ok && !w.reading {
		value, ok = w.cache.get(w.table, key)
	}
	flushes, reading := w.flushes, w.reading
	w.mu.Unlock()
	if ok {
		return value, nil
	}
	value, err := w.read(key)
	if err != nil || reading {
		return value, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.flushes == flushes { // else a newer value may have come to the cache
		w.cache.put(w.table, key, value)
	}
	return value, nil
}

func (w *writeBehind) read(key string) ([]byte, error) {
	value, err := w.db.Get([]byte(key), nil)
	switch {
	case errors.Is(err, leveldb.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, w.heed(err)
	}
	return notNil(value), nil
}

func (w *writeBehind) Has(key string) (bool, error) {
	value, err := w.Get(key)
	return value != nil, err
}

func (w *writeBehind) Iterator() (storage.Iterator, error) { return w.iterate(nil), nil }

// IteratorWithRange goes, like goka's, over all keys that begin with start if limit is empty.
func (w *writeBehind) IteratorWithRange(start, limit []byte) (storage.Iterator, error) {
	if len(limit) == 0 {
		return w.iterate(util.BytesPrefix(start)), nil
	}
	return w.iterate(&util.Range{Start: start, Limit: limit}), nil
}

// iterate writes nothing to LevelDB: what is in memory is merged in, because it may not be acknowledged yet.
func (w *writeBehind) iterate(r *util.Range) storage.Iterator {
	w.mu.Lock()
	held := newMemtable()
	for _, m := range []*memtable{w.frozen, w.active} {
		if m != nil {
			for key, value := range m.values {
				held.values[key] = value
			}
		}
	}
	db := w.db.NewIterator(r, &opt.ReadOptions{DontFillCache: true})
	w.mu.Unlock()
	return &merged{db: db, held: held.sorted(r), step: true, heed: w.heed}
}

type entry struct {
	key, value []byte
}

// sorted gives the entries within r, all for nil, by key.
func (m *memtable) sorted(r *util.Range) []entry {
	all := make([]entry, 0, len(m.values))
	for key, value := range m.values {
		if e := (entry{[]byte(key), value}); within(r, e.key) {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b entry) int { return cmp.Compare(string(a.key), string(b.key)) })
	return all
}

func within(r *util.Range, key []byte) bool {
	return r == nil || string(key) >= string(r.Start) && (r.Limit == nil || string(key) < string(r.Limit))
}

// Close flushes what is acknowledged.
func (w *writeBehind) Close() error {
	close(w.stop)
	<-w.done
	return w.finish()
}

func (w *writeBehind) finish() error {
	w.flush()
	w.mu.Lock()
	w.freeze()
	w.mu.Unlock()
	w.flush()
	w.mu.Lock()
	defer w.mu.Unlock()
	err := w.err
	if err == nil {
		w.err = leveldb.ErrClosed
	}
	w.flushes++ // a read that is under way caches nothing
	w.cache.forget(w.table)
	w.room.Broadcast()
	err = errors.Join(err, w.db.Close())
	if w.files != nil {
		err = errors.Join(err, w.files.Close())
	}
	return err
}
