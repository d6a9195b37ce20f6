package codecs

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/brimline/brimline"
)

// Change is the codec of *brimline.Change, the changes stream. It leaves out Source.Topic.
//
// Version 3: version, kind, parts; user; partition, offset, lsn, txid, commit; then the parts there are; update,
// inserted, apart, whole and snapshot are parts without bytes. The life of the source topic comes first, 0 where it is
// missing. A row is [user] id amount time columns; an answer is the rule's fingerprint in 8 bytes, the cause and its
// index, and the edges, each as the difference to the one before; a reason is a text. All numbers are varints, signed
// ones zigzag.
//
// Version 2 had neither life nor whole nor snapshot, and its parts were a byte; it is read as well.
type Change struct{}

const (
	changeVersion      = 3
	olderChangeVersion = 2 // is read as well
)

// Parts of an encoded change that are there when their bit is set.
const (
	changeRow     = 1 << iota
	changeRowUser // the row's user is not the change's
	changeAnswer
	changeColumns
	changeUpdate
	changeInserted
	changeReason
	changeApart
	changeWhole
	changeLife
	changeSnapshot
	changeParts      = 1<<iota - 1
	olderChangeParts = changeWhole - 1
)

// Encode takes a *brimline.Change.
func (Change) Encode(v any) ([]byte, error) {
	c, ok := v.(*brimline.Change)
	if !ok {
		return nil, mistyped("changes", v)
	}
	return AppendChange(make([]byte, 0, 96), c)
}

// AppendChange appends the bytes that Change encodes; the only error is a column value of a type that brimline.Field
// does not allow.
func AppendChange(b []byte, c *brimline.Change) ([]byte, error) {
	parts := uint64(0)
	row := &c.Row
	if row.ID != "" || row.User != "" || row.Amount != 0 || row.Time != 0 || row.Columns != nil {
		parts |= changeRow
		if row.User != c.User {
			parts |= changeRowUser
		}
		if row.Columns != nil {
			parts |= changeColumns
		}
	}
	if c.Update {
		parts |= changeUpdate
	}
	if c.Inserted {
		parts |= changeInserted
	}
	if c.Reason != "" {
		parts |= changeReason
	}
	if c.Apart {
		parts |= changeApart
	}
	if c.Source.Life != 0 {
		parts |= changeLife
	}
	if c.Whole {
		parts |= changeWhole
	}
	if c.Source.Snapshot {
		parts |= changeSnapshot
	}
	if c.Rule != 0 || c.Edges != nil || c.Cause != 0 || c.Index != 0 {
		parts |= changeAnswer
	}
	b = binary.AppendUvarint(append(b, changeVersion, byte(c.Kind)), parts)
	b = appendID(b, c.User)
	b = appendVarint(b, int64(c.Source.Partition))
	b = appendVarint(b, c.Source.Offset)
	b = binary.AppendUvarint(b, c.Source.LSN)
	b = appendVarint(b, c.Source.TxID)
	b = appendVarint(b, c.Source.Commit)
	if parts&changeLife != 0 {
		b = binary.AppendUvarint(b, uint64(c.Source.Life))
	}
	if parts&changeRow != 0 {
		if parts&changeRowUser != 0 {
			b = appendID(b, row.User)
		}
		b = appendID(b, row.ID)
		b = appendVarint(b, int64(row.Amount))
		b = appendVarint(b, row.Time)
		if parts&changeColumns != 0 {
			b = binary.AppendUvarint(b, uint64(len(row.Columns)))
			for i := range row.Columns {
				var err error
				if b, err = appendColumnValue(appendText(b, row.Columns[i].Name), row.Columns[i].Value); err != nil {
					return nil, err
				}
			}
		}
	}
	if parts&changeAnswer != 0 {
		b = binary.BigEndian.AppendUint64(b, c.Rule)
		b = appendVarint(b, c.Cause)
		b = binary.AppendVarint(b, int64(c.Index))
		b = binary.AppendUvarint(b, uint64(len(c.Edges)))
		last := brimline.Time(0)
		for _, t := range c.Edges {
			b = appendVarint(b, t-last)
			last = t
		}
	}
	if parts&changeReason != 0 {
		b = appendText(b, string(c.Reason))
	}
	return b, nil
}

// Decode gives a *brimline.Change.
func (Change) Decode(b []byte) (any, error) {
	c := new(brimline.Change)
	if err := DecodeChange(b, c); err != nil {
		return nil, err
	}
	return c, nil
}

// DecodeChange is Change's Decode into a change that the caller has. A User that c has, and that is the same, is kept.
// It fails alike, and leaves then anything in c.
func DecodeChange(b []byte, c *brimline.Change) error {
	r, user := wireReader{b: b}, c.User
	most, older := uint64(changeParts), false
	switch v := r.byte(); {
	case r.err != nil || v == changeVersion:
	case v == olderChangeVersion:
		most, older = olderChangeParts, true
	default:
		return unknown("a record of the changes stream", int(v), changeVersion)
	}
	*c = brimline.Change{Kind: brimline.ChangeKind(r.byte())}
	var parts uint64
	if older { // a byte, not a varint
		parts = uint64(r.byte())
	} else {
		parts = r.uvarint()
	}
	if r.err == nil && (c.Kind < brimline.FirstChange || c.Kind > brimline.LastChange || parts > most) {
		r.fail(fmt.Errorf("kind %d with parts %b", c.Kind, parts))
	}
	c.Update, c.Inserted, c.Apart = parts&changeUpdate != 0, parts&changeInserted != 0, parts&changeApart != 0
	c.Whole, c.Source.Snapshot = parts&changeWhole != 0, parts&changeSnapshot != 0
	c.User = r.idLike(user)
	c.Source.Partition = int32(r.varint())
	c.Source.Offset = r.varint()
	c.Source.LSN = r.uvarint()
	c.Source.TxID = r.varint()
	c.Source.Commit = brimline.Time(r.varint())
	if parts&changeLife != 0 {
		c.Source.Life = r.uint32()
	}
	if parts&changeRow != 0 {
		c.Row.User = c.User
		if parts&changeRowUser != 0 {
			c.Row.User = r.id()
		}
		c.Row.ID = r.id()
		c.Row.Amount = brimline.Amount(r.varint())
		c.Row.Time = brimline.Time(r.varint())
		if parts&changeColumns != 0 {
			c.Row.Columns = make([]brimline.Field, r.count(2))
			for i := range c.Row.Columns {
				c.Row.Columns[i] = brimline.Field{Name: r.text(), Value: r.columnValue()}
			}
		}
	}
	if parts&changeAnswer != 0 {
		c.Rule = r.fixed64()
		c.Cause = r.varint()
		c.Index = int(r.varint())
		if n := r.count(1); n > 0 {
			c.Edges = make([]brimline.Time, n)
			last := brimline.Time(0)
			for i := range c.Edges {
				last += brimline.Time(r.varint())
				c.Edges[i] = last
			}
		}
	}
	if parts&changeReason != 0 {
		c.Reason = brimline.DistrustReason(r.text())
		if r.err == nil && c.Reason == "" {
			r.fail(errors.New("a reason without text"))
		}
	}
	if err := r.end(); err != nil {
		return corrupt("a record of the changes stream", err)
	}
	return nil
}
