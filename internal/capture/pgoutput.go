package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The messages of PostgreSQL's pgoutput plugin, protocol version 1, as the
// chapter "Logical Replication Message Formats" lays them out. Version 1 sends a
// transaction when it is committed and never streams one in progress, so
// everything that arrives between begin and commit is final.

// relation is a table as the stream describes it before its first change.
type relation struct {
	schema, name string
	columns      []column
	key          []int // columns of the primary key, in its order
}

type column struct {
	name     string
	oid      uint32
	modifier int32 // numeric: precision and scale; timestamp: fraction digits; -1 none
	identity bool  // part of the replica identity
}

// setKey finds the primary key's columns. The catalog is newer than the stream:
// if it names columns that this change does not have, the replica identity is
// all there is to go by.
func (r *relation) setKey(k *tableKey) {
	r.key = nil
	for _, name := range k.columns {
		for i, col := range r.columns {
			if col.name == name {
				r.key = append(r.key, i)
			}
		}
	}
	if len(r.key) == len(k.columns) {
		return
	}
	r.key = nil
	for i, col := range r.columns {
		if col.identity {
			r.key = append(r.key, i)
		}
	}
}

const (
	kindNull      = 0 // the zero value; 'n' on the wire
	kindText      = 't'
	kindUnchanged = 'u' // a large value that the update did not touch and the WAL does not hold
)

type datum struct {
	kind byte
	text []byte
}

type tuple []datum

// reader takes a message apart. After the first short read every further one
// returns zero and err stays: one check at the end is enough.
type reader struct {
	b   []byte
	err error
}

var errShort = errors.New("pgoutput message is too short")

func (r *reader) take(n int) []byte {
	if r.err != nil || n < 0 || n > len(r.b) {
		r.err = errShort
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) uint8() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint16() int {
	if b := r.take(2); b != nil {
		return int(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) string() string {
	for i, c := range r.b {
		if c == 0 {
			return string(r.take(i + 1)[:i])
		}
	}
	r.err = errShort
	return ""
}

// tuple copies the values: the message's bytes are the connection's buffer.
func (r *reader) tuple() tuple {
	n := r.uint16()
	if n > len(r.b) { // each takes a byte at least
		r.err = errShort
		return nil
	}
	t := make(tuple, n)
	for i := range t {
		switch kind := r.uint8(); kind {
		case 'n':
		case kindUnchanged:
			t[i].kind = kind
		case kindText:
			t[i] = datum{kind, append([]byte{}, r.take(int(r.uint32()))...)}
		default:
			if r.err == nil {
				r.err = fmt.Errorf("pgoutput value of unknown kind %q", kind)
			}
		}
	}
	return t
}

func (r *reader) relation() (uint32, *relation) {
	id := r.uint32()
	rel := &relation{schema: r.string(), name: r.string()}
	r.uint8() // replica identity
	for range r.uint16() {
		flags := r.uint8()
		rel.columns = append(rel.columns, column{identity: flags&1 != 0, name: r.string(), oid: r.uint32(), modifier: int32(r.uint32())})
		if r.err != nil {
			break
		}
	}
	return id, rel
}

// change is one change of one row (or of the table, for t).
type change struct {
	op     byte // r c u d t
	before tuple
	after  tuple
	full   bool // before is the whole row, not only its identity
}

// change reads what follows the relation's number in I, U and D.
func (r *reader) change(kind byte) change {
	var ch change
	switch kind {
	case 'I':
		ch.op = 'c'
	case 'U':
		ch.op = 'u'
	case 'D':
		ch.op = 'd'
	}
	for len(r.b) > 0 && r.err == nil {
		switch part := r.uint8(); part {
		case 'N':
			ch.after = r.tuple()
		case 'O', 'K':
			ch.before, ch.full = r.tuple(), part == 'O'
		default:
			r.err = fmt.Errorf("pgoutput change with unknown part %q", part)
		}
	}
	needed := ch.after
	if ch.op == 'd' {
		needed = ch.before
	}
	if needed == nil && r.err == nil {
		r.err = errShort
	}
	return ch
}

func parseLSN(s string) (uint64, error) {
	high, low, ok := strings.Cut(s, "/")
	h, err1 := strconv.ParseUint(high, 16, 32)
	l, err2 := strconv.ParseUint(low, 16, 32)
	if !ok || err1 != nil || err2 != nil {
		return 0, fmt.Errorf("%q is no position in the WAL", s)
	}
	return h<<32 | l, nil
}

func formatLSN(lsn uint64) string { return fmt.Sprintf("%X/%X", lsn>>32, uint32(lsn)) }
