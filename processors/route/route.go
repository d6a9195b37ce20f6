package route

import (
	"errors"
	"fmt"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/lovoo/goka"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/processors"
)

// Decoder turns one record of the source topic into changes. Its errors are
// *brimline.Error of ClassInput; no changes and no error means that the record
// says nothing about rows (a tombstone after a delete, transaction metadata).
type Decoder interface {
	Decode(key, value []byte) ([]brimline.Change, error)
}

// record is one input message.
type record struct {
	source  brimline.Source // topic, partition, offset
	key     []byte
	value   []byte
	headers func() goka.Headers // asked for when they are kept: goka makes a map of them
	at      brimline.Time       // when it was met
}

// outcome is what one record becomes: changes, or one dead letter.
type outcome struct {
	changes []brimline.Change
	dead    *brimline.DeadLetter
}

// route decides what becomes of a record. Partitions is the number of
// partitions of the changes stream.
func route(d Decoder, partitions int, r record) outcome {
	changes, err := d.Decode(r.key, r.value)
	if err == nil {
		changes, err = address(changes, partitions, r.source)
	}
	if err != nil {
		return outcome{dead: deadLetter(r, err)}
	}
	return outcome{changes: changes}
}

// address completes the changes with their coordinates, checks that they can be
// keyed, and spreads a truncation over all partitions.
func address(changes []brimline.Change, partitions int, source brimline.Source) ([]brimline.Change, error) {
	for i := range changes {
		c := &changes[i]
		c.Source.Topic, c.Source.Partition, c.Source.Offset = source.Topic, source.Partition, source.Offset
		switch {
		case c.Kind == brimline.Truncate:
			return truncation(*c, partitions), nil
		case len(c.User) > maxID || len(c.Row.ID) > maxID:
			return nil, brimline.BadInput(kindIDTooLong, "shorten the id, or watch another column",
				"an id of %d bytes; at most %d are kept", max(len(c.User), len(c.Row.ID)), maxID)
		case columnBytes(c.Row.Columns) > maxColumns:
			return nil, brimline.BadInput(kindColumnsTooLong, "declare only short columns in the rules file: their values are kept with every row",
				"the columns that rules use hold %d bytes; at most %d are kept with a row", columnBytes(c.Row.Columns), maxColumns)
		case strings.IndexByte(c.User, 0) >= 0 || !utf8.ValidString(c.User):
			return nil, brimline.BadInput(kindBadUser, "repair the user column: PostgreSQL itself cannot hold such a text",
				"the user id %q is not text", c.User)
		}
	}
	return changes, nil
}

// Kinds of what is refused here; the decoder has its own.
const (
	kindIDTooLong      = "id_too_long"
	kindColumnsTooLong = "columns_too_long"
	kindBadUser        = "bad_user"
	kindUnknown        = "unknown" // an error that does not say its kind
)

// maxID bounds ids in bytes: they are keys of records and parts of alert ids.
const maxID = 1024

// maxColumns bounds the further columns of a row in bytes: they are kept in the
// user's window, and alerts carry those of a few rows.
const maxColumns = 16 << 10

func columnBytes(columns []brimline.Field) (n int) {
	for i := range columns {
		switch v := columns[i].Value.(type) {
		case string:
			n += len(v)
		case brimline.Decimal:
			n += len(v)
		}
	}
	return n
}

func truncation(c brimline.Change, partitions int) []brimline.Change {
	all := make([]brimline.Change, partitions)
	for p := range all {
		all[p] = c
		all[p].User = processors.MarkerKey(int32(p), partitions)
	}
	return all
}

// maxKept bounds the record that a dead letter carries, which makes it a third larger.
const maxKept = 8 << 20

func deadLetter(r record, err error) *brimline.DeadLetter {
	d := &brimline.DeadLetter{
		Topic: r.source.Topic, Partition: r.source.Partition, Offset: r.source.Offset,
		Key: r.key, Value: r.value, Kind: kindUnknown, Error: err.Error(), At: r.at,
	}
	if e, ok := errors.AsType[*brimline.Error](err); ok {
		d.Kind, d.Error, d.Remedy = e.Kind, e.Err.Error(), e.Remedy
	}
	size, headers := len(r.key)+len(r.value), r.headers()
	for _, value := range headers {
		size += len(value)
	}
	if size > maxKept {
		d.Key, d.Value = nil, nil
		d.Error += fmt.Sprintf("; its %d bytes are more than a dead letter carries: look at the source topic", size)
		return d
	}
	for key, value := range headers {
		d.Headers = append(d.Headers, brimline.Header{Key: key, Value: value})
	}
	sort.Slice(d.Headers, func(i, j int) bool { return d.Headers[i].Key < d.Headers[j].Key })
	return d
}
