package table

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/failpoint"
	"github.com/lovoo/goka/storage"
	ldberrors "github.com/syndtr/goleveldb/leveldb/errors"
)

// Log is the changelog behind a table, as far as local state must agree with it. kafka.Cluster is one.
type Log interface {
	// TopicID changes when the topic is created anew; "" if the broker knows no ids.
	TopicID(topic string) (string, error)
	// NextOffset is the offset that the partition's next record will get.
	NextOffset(topic string, partition int32) (int64, error)
}

// Remembering gives unknownNext for the next offset of a log that is away.
const unknownNext = -1

// LocalOptions are those of Local. Dir and Log are required.
type LocalOptions struct {
	// Dir holds the local state, one directory per topic and partition. One process, and in it one
	// processor, at a time: a second one that opens a partition fails.
	Dir string
	// Log is the changelog that the state must agree with.
	Log Log
	// Cache is shared with the other tables of the process. Default: one of DefaultCacheBytes for these alone.
	Cache *ReadCache
	// Now stamps what is set aside. Default time.Now.
	Now func() time.Time
	// Logger is told what is set aside and why. Default: one that discards it.
	Logger *slog.Logger
}

// Local keeps the partitions of a goka table in LevelDB. The state is a copy of the changelog, so
// whatever is doubtful about it (damage, another topic id, offsets beyond the
// changelog's end) is set aside and read again. Each storage writes to LevelDB
// behind the changelog (see writeBehind) and is guarded against a second writer (see guard).
type Local struct {
	o LocalOptions
}

// NewLocal makes the storages of one processor.
func NewLocal(o LocalOptions) *Local {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Cache == nil {
		o.Cache = NewReadCache(DefaultCacheBytes)
	}
	return &Local{o}
}

// Build opens the state of a partition; it is a goka storage.Builder.
func (l *Local) Build(topic string, partition int32) (storage.Storage, error) {
	home := filepath.Join(l.o.Dir, fmt.Sprintf("%s.%d", topic, partition))
	if err := l.bind(topic, home); err != nil {
		return nil, l.fail(home, err)
	}
	next, err := l.o.Log.NextOffset(topic, partition)
	if err != nil {
		return nil, err
	}
	records := next
	if next == unknownNext {
		records = mostWritten
	}
	s, err := l.openSound(home, records)
	if err != nil {
		return nil, l.fail(home, err)
	}
	base := s.stored
	if next != unknownNext && base >= next {
		// goka would log it and serve values that the log does not have.
		l.o.Logger.Warn("local state is ahead of its topic and is read again",
			"topic", topic, "partition", partition, "local", base, "next", next)
		if s, err = l.reopenEmpty(home, s, topic, records); err != nil {
			return nil, l.fail(home, err)
		}
		base = noOffset
	}
	if next != unknownNext && base == noOffset {
		base = next - 1 // if recovery finds nothing to read, the first write gets next
	}
	g := newGuard(s, topic, partition, base)
	g.distrust = func() error { return distrust(home) }
	return g, nil
}

func (l *Local) fail(home string, err error) error {
	e := &brimline.Error{
		Class: brimline.ClassEnvironment, Kind: "state_dir", Where: fmt.Sprintf("local state in %q", home),
		Remedy: "check that the directory can be written and the disk is not full", Err: err,
	}
	if _, ok := errors.AsType[*brimline.Error](err); ok {
		return err
	}
	if errors.Is(err, syscall.EAGAIN) { // flock
		e.Kind, e.Remedy = "state_dir_locked",
			"give each instance a state directory of its own, or stop the one that uses this one"
	}
	return e
}

const idFile = "topic-id"

// bind makes sure that the state in home is of the topic as it is now, or that there is none.
func (l *Local) bind(topic, home string) error {
	id, err := l.o.Log.TopicID(topic)
	if err != nil {
		return err
	}
	if err := removeLeftovers(home); err != nil {
		return err
	}
	if id == "" {
		l.o.Logger.Warn("the brokers give topics no ids: delete the local state whenever the topic is created anew",
			"topic", topic, "dir", home)
		return os.MkdirAll(home, 0o755)
	}
	known, err := os.ReadFile(filepath.Join(home, idFile))
	if err == nil && (string(known) == id || failpoint.Without(failpoint.TopicID)) {
		return nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if _, err := os.Stat(home); err == nil {
		l.o.Logger.Warn("local state is of another topic with the same name, or distrusted, and is read again",
			"topic", topic, "dir", home)
		if err := l.discard(home); err != nil {
			return err
		}
	}
	return writeID(home, id)
}

// writeID comes before the state, never after it: state without an id is not trusted.
func writeID(home, id string) error {
	if err := os.MkdirAll(home, 0o755); err != nil {
		return err
	}
	name := filepath.Join(home, idFile)
	if err := os.WriteFile(name+".new", []byte(id), 0o644); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

func distrust(home string) error {
	err := os.Remove(filepath.Join(home, idFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

const (
	stale   = ".stale-"
	damaged = ".damaged-"
)

// discard deletes home. It is renamed first: deletion cut short must not leave half a state behind.
func (l *Local) discard(home string) error {
	aside := home + stale + l.stamp()
	if err := os.Rename(home, aside); err != nil {
		return err
	}
	return os.RemoveAll(aside)
}

func removeLeftovers(home string) error {
	found, err := filepath.Glob(quoteGlob(home) + stale + "*")
	for _, f := range found {
		err = errors.Join(err, os.RemoveAll(f))
	}
	return err
}

// setAside keeps home for whoever wants to know what happened to it; only the newest such copy is kept.
func (l *Local) setAside(home string) (string, error) {
	older, err := filepath.Glob(quoteGlob(home) + damaged + "*")
	for _, f := range older {
		err = errors.Join(err, os.RemoveAll(f))
	}
	if err != nil {
		return "", err
	}
	aside := home + damaged + l.stamp()
	return aside, os.Rename(home, aside)
}

func (l *Local) stamp() string { return l.o.Now().UTC().Format("20060102T150405.000") }

func quoteGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// openSound opens the database in home, an empty one if it is damaged.
func (l *Local) openSound(home string, records int64) (*writeBehind, error) {
	s, err := openWriteBehind(home, l.o.Cache, records)
	if !ldberrors.IsCorrupted(err) || failpoint.Without(failpoint.SoundState) {
		return s, err
	}
	id, idErr := os.ReadFile(filepath.Join(home, idFile))
	aside, asideErr := l.setAside(home)
	if asideErr != nil {
		return nil, errors.Join(err, asideErr)
	}
	l.o.Logger.Error("local state is damaged; it is set aside and read again from the topic",
		"dir", home, "aside", aside, "error", err)
	if idErr == nil {
		if err := writeID(home, string(id)); err != nil {
			return nil, err
		}
	}
	return openWriteBehind(home, l.o.Cache, records)
}

func (l *Local) reopenEmpty(home string, s *writeBehind, topic string, records int64) (*writeBehind, error) {
	if err := errors.Join(s.Close(), l.discard(home), l.bind(topic, home)); err != nil {
		return nil, err
	}
	return openWriteBehind(home, l.o.Cache, records)
}
