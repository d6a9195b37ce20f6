package app

import (
	"slices"
	"sync/atomic"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs/debezium"
	"github.com/brimline/brimline/processors/route"
)

const kindTooLarge = "record_too_large"

// limited refuses records that are too large to be taken: a record is decoded
// whole, one per partition at a time, and its columns are kept. It still reads
// which row such a record is about, because that row must not stay as it was.
type limited struct {
	route.Decoder
	bytes int
}

// current is the decoder that holds now: what is known of the columns may change while the stage runs.
type current struct {
	*atomic.Pointer[debezium.Decoder]
}

func (c current) Read(key, value []byte) (debezium.Decoded, error) { return c.Load().Read(key, value) }

// mostRead bounds the records that are looked into at all. Brokers let none through that come near.
const mostRead = 64 << 20

func (d limited) Read(key, value []byte) (debezium.Decoded, error) {
	n := len(key) + len(value)
	if n <= d.bytes {
		return d.Decoder.Read(key, value)
	}
	tooLarge := brimline.BadInput(kindTooLarge,
		"leave large columns out of the change stream (column.exclude.list), or raise --max-record-bytes",
		"a record of %d bytes; at most %d are looked into", n, d.bytes)
	if n > mostRead {
		return debezium.Decoded{}, tooLarge
	}
	read, err := d.Decoder.Read(key, value)
	if err == nil && !slices.ContainsFunc(read.Changes,
		func(c brimline.Change) bool { return c.Kind == brimline.Upsert }) {
		return read, nil // a deletion keeps nothing, and what is passed over neither
	}
	read.User, read.Row = read.Whose()
	read.Changes = read.Refused()
	return read, tooLarge
}
