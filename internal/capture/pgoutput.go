package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"github.com/jackc/pglogrepl"
)

// The messages of PostgreSQL's pgoutput plugin, protocol version 1, taken apart
// by pglogrepl. Version 1 sends a transaction when it is committed and never
// streams one in progress, so everything that arrives between begin and commit
// is final.

// relation is a table as the stream describes it before its first change.
type relation struct {
	schema, name string
	columns      []column
	key          []int // columns of the primary key, in its order
	partial      bool  // the table has more columns
}

type column struct {
	name     string
	oid      uint32
	modifier int32
	form     form
	identity bool // part of the replica identity
}

// setKey finds the primary key's columns, which the stream does not tell: under
// REPLICA IDENTITY FULL it marks every column. The catalog is newer than the
// stream, so keys are all those that the table is known to have had, the newest
// first. If this change has none of them whole, an index as replica identity
// says which row it is; else nothing does.
func (r *relation) setKey(keys [][]string) {
	for _, names := range keys {
		r.key = nil
		for _, name := range names {
			if i := slices.IndexFunc(r.columns, func(c column) bool { return c.name == name }); i >= 0 {
				r.key = append(r.key, i)
			}
		}
		if len(r.key) == len(names) && len(names) > 0 {
			return
		}
	}
	r.key = nil
	for i, col := range r.columns {
		if col.identity {
			r.key = append(r.key, i)
		}
	}
	if len(r.key) == len(r.columns) {
		r.key = nil
	}
}

func (r *relation) setForms(t types) {
	for i := range r.columns {
		c := &r.columns[i]
		c.form = t.form(c.oid, c.modifier)
	}
}

func (r *relation) oids() []uint32 {
	oids := make([]uint32, len(r.columns))
	for i, c := range r.columns {
		oids[i] = c.oid
	}
	return oids
}

func newRelation(m *pglogrepl.RelationMessage) *relation {
	r := &relation{schema: m.Namespace, name: m.RelationName, columns: make([]column, len(m.Columns))}
	for i, c := range m.Columns {
		r.columns[i] = column{name: c.Name, oid: c.DataType, modifier: c.TypeModifier, identity: c.Flags&1 != 0}
	}
	return r
}

// tuple is a row. A value that is nil is NULL, too.
type tuple []*pglogrepl.TupleDataColumn

// change is one change of one row (or of the table, for t).
type change struct {
	op     byte // r c u d t
	before tuple
	after  tuple
	full   bool // before is the whole row, not only its identity
}

// withoutRow gives the change that takes a row away: itself for a delete or a truncate, the
// row's old key for an update of it, and nothing for any other.
func (r *relation) withoutRow(ch change) change {
	switch {
	case ch.op == 'd' || ch.op == 't':
		return ch
	case ch.before != nil && !bytes.Equal(r.appendKey(nil, ch.before), r.appendKey(nil, ch.after)):
		return change{op: 'd', before: ch.before, full: ch.full}
	}
	return change{}
}

func newChange(m pglogrepl.Message) (relation uint32, ch change) {
	old := func(t *pglogrepl.TupleData, kind uint8) {
		if t != nil {
			ch.before, ch.full = t.Columns, kind == pglogrepl.UpdateMessageTupleTypeOld
		}
	}
	switch m := m.(type) {
	case *pglogrepl.InsertMessage:
		ch.op, ch.after, relation = 'c', m.Tuple.Columns, m.RelationID
	case *pglogrepl.UpdateMessage:
		ch.op, ch.after, relation = 'u', m.NewTuple.Columns, m.RelationID
		old(m.OldTuple, m.OldTupleType)
	case *pglogrepl.DeleteMessage:
		ch.op, relation = 'd', m.RelationID
		old(m.OldTuple, m.OldTupleType)
	}
	return relation, ch
}

var errShort = errors.New("pgoutput message is too short")

// parse takes a message apart, and is nil for one that says nothing to us
// (types, origins, logical messages). pglogrepl believes what a message says of
// its own lengths: it makes room for a value of 4 GiB that is not there, and
// panics where bytes end. So lengths are checked first, and what is still too
// short is an error.
func parse(data []byte) (m pglogrepl.Message, err error) {
	if len(data) == 0 {
		return nil, errShort
	}
	switch body := data[1:]; pglogrepl.MessageType(data[0]) {
	case pglogrepl.MessageTypeInsert, pglogrepl.MessageTypeUpdate, pglogrepl.MessageTypeDelete:
		err = checkChange(body)
	case pglogrepl.MessageTypeTruncate:
		if len(body) < 4 || uint64(binary.BigEndian.Uint32(body))*4 > uint64(len(body)) {
			err = errShort
		}
	case pglogrepl.MessageTypeBegin, pglogrepl.MessageTypeCommit, pglogrepl.MessageTypeRelation:
	default:
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() {
		switch cause := recover().(type) {
		case nil:
		case runtime.Error:
			m, err = nil, fmt.Errorf("%w: %w", errShort, cause)
		default:
			panic(cause)
		}
	}()
	return pglogrepl.Parse(data)
}

// checkChange walks over the rows of an insert, update or delete: number of the
// relation, then for each row its kind, its number of columns, and of each column
// its kind and for a text its length and bytes.
func checkChange(b []byte) error {
	if len(b) < 4 {
		return errShort
	}
	for b = b[4:]; len(b) > 0; {
		if len(b) < 3 {
			return errShort
		}
		n := binary.BigEndian.Uint16(b[1:])
		b = b[3:]
		for range n {
			if len(b) == 0 {
				return errShort
			}
			kind := b[0]
			b = b[1:]
			switch kind {
			case pglogrepl.TupleDataTypeNull, pglogrepl.TupleDataTypeToast:
			case pglogrepl.TupleDataTypeText:
				if len(b) < 4 || uint64(binary.BigEndian.Uint32(b)) > uint64(len(b)-4) {
					return errShort
				}
				b = b[4+binary.BigEndian.Uint32(b):]
			default:
				return fmt.Errorf("pgoutput value of unknown kind %q", kind)
			}
		}
	}
	return nil
}
