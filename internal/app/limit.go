package app

import (
	"github.com/brimline/brimline"
	"github.com/brimline/brimline/processors/route"
)

const kindTooLarge = "record_too_large"

// limited refuses records that are too large to be looked into. The limit
// protects memory: a record is decoded whole, one per partition at a time.
type limited struct {
	route.Decoder
	bytes int
}

func (d limited) Decode(key, value []byte) ([]brimline.Change, error) {
	if n := len(key) + len(value); n > d.bytes {
		return nil, brimline.BadInput(kindTooLarge, "leave large columns out of the change stream (column.exclude.list), or raise --max-record-bytes",
			"a record of %d bytes; at most %d are looked into", n, d.bytes)
	}
	return d.Decoder.Decode(key, value)
}
