package table

import (
	"bufio"
	"io"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/storage"
)

// openFiles opens a LevelDB whose tables are written many blocks at a time: LevelDB itself calls the system for each
// block of 4 KiB. Journal and manifest are written as LevelDB writes them. files are to be closed after it.
func openFiles(path string) (db *leveldb.DB, files io.Closer, err error) {
	stor, err := storage.OpenFile(path, false)
	if err != nil {
		return nil, nil, err
	}
	if db, err = leveldb.Open(bufferedTables{stor}, levelDBOptions()); err != nil {
		_ = stor.Close()
		return nil, nil, err
	}
	return db, stor, nil
}

// bufferedTables writes tables tableBuffer bytes at a time. LevelDB reads none before it has had it synced and closed.
type bufferedTables struct{ storage.Storage }

const tableBuffer = 64 << 10

func (b bufferedTables) Create(fd storage.FileDesc) (storage.Writer, error) {
	w, err := b.Storage.Create(fd)
	if err != nil || fd.Type != storage.TypeTable {
		return w, err
	}
	return &bufferedTable{bufio.NewWriterSize(w, tableBuffer), w}, nil
}

type bufferedTable struct {
	*bufio.Writer
	file storage.Writer
}

func (t *bufferedTable) Sync() error {
	if err := t.Flush(); err != nil {
		return err
	}
	return t.file.Sync()
}

// Close writes nothing that Sync has not: a table is closed without one when it is given up.
func (t *bufferedTable) Close() error { return t.file.Close() }
