package capture

import (
	"bytes"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pglogrepl"
)

// Version is source.version of every record: brimline, and the version of the
// encoding. Version 2: times without zone in microseconds, whatever the column's
// precision, decimals as strings, domains as what is under them. A reader that
// sees "brimline/" knows that much without the connector's settings.
const Version = "brimline/2"

// origin is where a change comes from: the envelope's source.
type origin struct {
	micros   int64  // of the commit, or of the snapshot
	snapshot string // first, true, last; empty in the stream
	previous uint64 // end of the commit before; 0 if unknown
	lsn      uint64
	txid     uint64 // 0 for rows of a snapshot: they are older than any transaction that is still to be waited for
}

// Headers of the three records that a changed primary key becomes, as Debezium names them.
const (
	headerNewKey = "__debezium.newkey"
	headerOldKey = "__debezium.oldkey"
)

// unavailable stands for a large value that an update did not touch: the WAL
// does not hold it, unless the replica identity is FULL.
const unavailable = `"__debezium_unavailable_value"`

// records appends what a change becomes: one record, or a delete and its
// tombstone, or for a changed primary key delete, tombstone and insert.
func (c *Capture) records(to []Record, rel *relation, ch change, from origin) []Record {
	now := time.Now()
	one := func(key []byte, op byte, before, after tuple, headers []Header) {
		value := c.appendEnvelope(make([]byte, 0, 768), rel, op, before, after, from, now)
		to = append(to, Record{Topic: c.topic, Key: key, Value: value, Headers: headers, Timestamp: now})
	}
	gone := func(key []byte, headers []Header) {
		one(key, 'd', ch.before, nil, headers)
		to = append(to, Record{Topic: c.topic, Key: key, Headers: headers, Timestamp: now})
	}
	switch ch.op {
	case 'd':
		gone(rel.appendKey(nil, ch.before), nil)
	case 't':
		one(nil, 't', nil, nil, nil)
	case 'u':
		if ch.full {
			fillUnchanged(ch.after, ch.before)
		}
		key := rel.appendKey(nil, ch.after)
		if ch.before != nil {
			if old := rel.appendKey(nil, ch.before); !bytes.Equal(old, key) {
				gone(old, []Header{{headerNewKey, key}})
				one(key, 'c', nil, ch.after, []Header{{headerOldKey, old}})
				break
			}
		}
		before := ch.before
		if !ch.full {
			before = nil // of the old row only the identity is known, and it is in after
		}
		one(key, 'u', before, ch.after, nil)
	default:
		one(rel.appendKey(nil, ch.after), ch.op, nil, ch.after, nil)
	}
	return to
}

// fillUnchanged takes what an update left alone from the old row.
func fillUnchanged(after, before tuple) {
	for i := range after {
		if after[i].DataType == pglogrepl.TupleDataTypeToast && i < len(before) {
			after[i] = before[i]
		}
	}
}

func (r *relation) appendKey(to []byte, row tuple) []byte {
	key := slices.Values(r.key)
	return r.appendColumns(to, row, key)
}

func (r *relation) appendRow(to []byte, row tuple) []byte {
	if row == nil {
		return append(to, "null"...)
	}
	return r.appendColumns(to, row, func(yield func(int) bool) {
		for i := range r.columns {
			if !yield(i) {
				return
			}
		}
	})
}

func (r *relation) appendColumns(to []byte, row tuple, columns func(func(int) bool)) []byte {
	to = append(to, '{')
	for i := range columns {
		if to[len(to)-1] != '{' {
			to = append(to, ',')
		}
		col := &r.columns[i]
		to = append(appendString(to, col.name), ':')
		switch {
		case i >= len(row) || row[i] == nil || row[i].DataType == pglogrepl.TupleDataTypeNull:
			to = append(to, "null"...)
		case row[i].DataType == pglogrepl.TupleDataTypeToast:
			to = append(to, unavailable...)
		default:
			to = appendValue(to, &col.form, string(row[i].Data))
		}
	}
	return append(to, '}')
}

// appendEnvelope writes the value, its fields in Debezium's order.
func (c *Capture) appendEnvelope(
	b []byte, rel *relation, op byte, before, after tuple, from origin, now time.Time,
) []byte {
	snapshot := from.snapshot
	if snapshot == "" {
		snapshot = "false"
	}
	b = rel.appendRow(append(b, `{"before":`...), before)
	b = rel.appendRow(append(b, `,"after":`...), after)
	b = append(b, `,"source":{"version":"`+Version+`","connector":"postgresql","name":`...)
	b = appendString(b, c.o.TopicPrefix)
	b = strconv.AppendInt(append(b, `,"ts_ms":`...), floor(from.micros, 1000), 10)
	b = appendString(append(b, `,"snapshot":`...), snapshot)
	b = appendString(append(b, `,"db":`...), c.config.Database)
	b = append(b, `,"sequence":"[`...)
	if from.previous == 0 {
		b = append(b, "null"...)
	} else {
		b = append(strconv.AppendUint(append(b, `\"`...), from.previous, 10), `\"`...)
	}
	b = append(strconv.AppendUint(append(b, `,\"`...), from.lsn, 10), `\"]"`...)
	b = strconv.AppendInt(append(b, `,"ts_us":`...), from.micros, 10)
	b = strconv.AppendInt(append(b, `,"ts_ns":`...), from.micros*1000, 10)
	b = appendString(append(b, `,"schema":`...), rel.schema)
	b = appendString(append(b, `,"table":`...), rel.name)
	b = append(b, `,"txId":`...)
	if from.txid == 0 {
		b = append(b, "null"...)
	} else {
		b = strconv.AppendUint(b, from.txid, 10)
	}
	b = strconv.AppendUint(append(b, `,"lsn":`...), from.lsn, 10)
	b = append(b, `,"xmin":null,"origin":null,"origin_lsn":null},"transaction":null,"op":"`...)
	b = append(b, op, '"')
	b = strconv.AppendInt(append(b, `,"ts_ms":`...), now.UnixMilli(), 10)
	b = strconv.AppendInt(append(b, `,"ts_us":`...), now.UnixMicro(), 10)
	b = strconv.AppendInt(append(b, `,"ts_ns":`...), now.UnixNano(), 10)
	return append(b, '}')
}
