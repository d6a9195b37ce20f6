package table

import (
	"errors"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"

	"github.com/lovoo/goka/storage"
	"github.com/syndtr/goleveldb/leveldb"
	leveldberrors "github.com/syndtr/goleveldb/leveldb/errors"
	"github.com/syndtr/goleveldb/leveldb/filter"
	"github.com/syndtr/goleveldb/leveldb/opt"
)

// Copy is the state of one partition for a reader: a view. It takes its Storage from OpenCopy. goka tells only the
// storage how far it has read, so the copy notes it.
type Copy struct {
	storage.Storage // set when goka opens it
	onRecovered     func()
	offset          atomic.Int64 // newest record of the table in it, -1 for none
	recovered       atomic.Bool
}

// NewCopy makes one that calls onRecovered once, when it has been read to the table's end for the first time.
func NewCopy(onRecovered func()) *Copy {
	c := &Copy{onRecovered: onRecovered}
	c.offset.Store(-1)
	return c
}

// Open finds out how far the copy has read.
func (c *Copy) Open() error {
	if err := c.Storage.Open(); err != nil {
		return err
	}
	offset, err := c.Storage.GetOffset(-1)
	if err != nil {
		return err
	}
	c.offset.Store(offset)
	return nil
}

// SetOffset notes how far the copy has read.
func (c *Copy) SetOffset(offset int64) error {
	if err := c.Storage.SetOffset(offset); err != nil {
		return err
	}
	c.offset.Store(offset)
	return nil
}

// MarkRecovered notes that the copy has been read to the table's end.
func (c *Copy) MarkRecovered() error {
	if err := c.Storage.MarkRecovered(); err != nil {
		return err
	}
	if !c.recovered.Swap(true) {
		c.onRecovered()
	}
	return nil
}

// Offset is the newest record of the table that the copy holds, -1 for none.
func (c *Copy) Offset() int64 { return c.offset.Load() }

// Recovered says whether the copy has once been read to the table's end.
func (c *Copy) Recovered() bool { return c.recovered.Load() }

// CopyDir is where copies of a topic are kept, one folder per topic id, and
// "" for copies in memory. A copy of a topic that was deleted and created anew
// would be served as if it were the new one's: folders of other ids are deleted.
func CopyDir(in, topic, id string, log *slog.Logger) string {
	if in == "" || id == "" {
		return ""
	}
	id = "id-" + url.PathEscape(id)
	all := filepath.Join(in, "views", topic)
	others, err := os.ReadDir(all)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Warn("view keeps its copy in memory", "table", topic, "error", err)
		return ""
	}
	for _, other := range others {
		if other.Name() != id {
			log.Info("deleting the local copy of an earlier table of this name", "table", topic)
			if err := os.RemoveAll(filepath.Join(all, other.Name())); err != nil {
				log.Warn("cannot delete the local copy of an earlier table", "table", topic, "error", err)
			}
		}
	}
	return filepath.Join(all, id)
}

// OpenCopy opens the copy of a partition in dir, or in memory where that
// is not possible: a view can always be read again from Kafka.
func OpenCopy(dir, topic string, partition int32, log *slog.Logger) storage.Storage {
	return escaping{openCopy(dir, topic, partition, log)}
}

func openCopy(dir, topic string, partition int32, log *slog.Logger) storage.Storage {
	if dir == "" {
		return newMemory()
	}
	log = log.With("table", topic, "partition", partition)
	path := filepath.Join(dir, strconv.Itoa(int(partition)))
	db, err := openLevelDB(path)
	if leveldberrors.IsCorrupted(err) {
		log.Warn("the local copy is damaged and is read anew", "path", path, "error", err)
		if err = os.RemoveAll(path); err == nil {
			db, err = openLevelDB(path)
		}
	}
	if err == nil {
		var s storage.Storage
		if s, err = storage.New(db); err == nil {
			return s
		}
		db.Close()
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		log.Debug("another process has the local copy open; this one keeps its own in memory", "path", path)
	} else {
		log.Warn("view keeps its copy in memory", "path", path, "error", err)
	}
	return newMemory()
}

func openLevelDB(path string) (*leveldb.DB, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	// There is one per partition and table. The defaults, 4 MiB of writes, as much again that is being stored, and 8 MiB
	// of blocks, are most of an instance's memory with eight partitions.
	return leveldb.OpenFile(path, &opt.Options{
		WriteBuffer: 512 * opt.KiB, BlockCacheCapacity: 512 * opt.KiB, OpenFilesCacheCapacity: 64,
		Filter:              filter.NewBloomFilter(10), // most lookups while it is read are of keys that are new
		CompactionL0Trigger: 16, WriteL0SlowdownTrigger: 32, WriteL0PauseTrigger: 48,
	})
}
