package codecs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/brimline/brimline"
)

// Kinds of failure of brimline's own records, which no other program writes.
const (
	KindCorruptRecord = "corrupt_record" // this codec cannot have written it
	KindNewerFormat   = "newer_format"   // written by a newer brimline
	KindOlderFormat   = "older_format"   // written by an older brimline, whose groups this one does not take over
)

var (
	errTruncated = errors.New("ends too early")
	errTrailing  = errors.New("goes on after its end")
	errVarint    = errors.New("a varint of more than 64 bits")
)

// corrupt is the error of a record that cannot be read back.
func corrupt(what string, err error) error {
	return &brimline.Error{Class: brimline.ClassEnvironment, Kind: KindCorruptRecord, Where: what,
		Remedy: "find out what else writes to the group's topics; `brimline reset` rebuilds them from the source topic",
		Err:    err}
}

// newer is the error of a format that this brimline does not know.
func newer(what string, version int) error {
	return &brimline.Error{Class: brimline.ClassEnvironment, Kind: KindNewerFormat, Where: what,
		Remedy: "run the brimline that wrote it, or a newer one", Err: fmt.Errorf("format version %d is not known", version)}
}

// unknown is newer, or the error of a format of an older brimline that is not taken over.
func unknown(what string, version, current int) error {
	if version > current {
		return newer(what, version)
	}
	return &brimline.Error{Class: brimline.ClassInput, Kind: KindOlderFormat, Where: what,
		Remedy: "start a new --group, which reads everything from the beginning; an older brimline can go on with this one",
		Err:    fmt.Errorf("format version %d is of an older brimline, and this one has %d", version, current)}
}

// mistyped is the error of a codec that was given something else than its own type.
func mistyped(what string, v any) error { return fmt.Errorf("the codec of %s was given a %T", what, v) }

// appendVarint appends n in zigzag form.
func appendVarint[T ~int64](b []byte, n T) []byte { return binary.AppendVarint(b, int64(n)) }

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// appendID appends an id: 0 and a varint if it is the canonical text of an
// int64, else its length plus one and its bytes.
func appendID(b []byte, id string) []byte {
	if n, ok := brimline.IntegerID(id); ok {
		return binary.AppendVarint(append(b, 0), n)
	}
	return appendText1(b, id)
}

// appendText1 appends a text whose length plus one leaves 0 free to say something else.
func appendText1(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))+1), s...)
}

// Types of column values on the wire.
const (
	wireNull byte = iota
	wireText
	wireInteger
	wireFalse
	wireTrue
	wireDecimal
	wireTime
)

func appendColumnValue(b []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(b, wireNull), nil
	case string:
		return appendText(append(b, wireText), v), nil
	case int64:
		return appendVarint(append(b, wireInteger), v), nil
	case bool:
		if v {
			return append(b, wireTrue), nil
		}
		return append(b, wireFalse), nil
	case brimline.Decimal:
		return appendText(append(b, wireDecimal), string(v)), nil
	case brimline.Time:
		return appendVarint(append(b, wireTime), v), nil
	}
	return b, fmt.Errorf("a column cannot hold a %T", v)
}

// wireReader reads what the functions above append. After a failure it gives
// zeros; err holds the first one.
type wireReader struct {
	b   []byte
	err error
	// spare takes the rules of a window, where they fit.
	spare []brimline.RuleState
}

func (r *wireReader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.b = nil
}

// end is the reader's verdict once everything was read.
func (r *wireReader) end() error {
	if r.err == nil && len(r.b) > 0 {
		return errTrailing
	}
	return r.err
}

func (r *wireReader) byte() byte {
	if len(r.b) == 0 {
		r.fail(errTruncated)
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *wireReader) uvarint() uint64 {
	if len(r.b) > 0 && r.b[0] < 0x80 {
		n := r.b[0]
		r.b = r.b[1:]
		return uint64(n)
	}
	n, size := binary.Uvarint(r.b)
	switch {
	case size == 0:
		r.fail(errTruncated)
		return 0
	case size < 0:
		r.fail(errVarint)
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *wireReader) varint() int64 {
	u := r.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

func (r *wireReader) uint32() uint32 {
	n := r.uvarint()
	if n > math.MaxUint32 {
		r.fail(fmt.Errorf("%d does not fit 32 bits", n))
		return 0
	}
	return uint32(n)
}

func (r *wireReader) fixed64() uint64 {
	if len(r.b) < 8 {
		r.fail(errTruncated)
		return 0
	}
	n := binary.BigEndian.Uint64(r.b)
	r.b = r.b[8:]
	return n
}

// bytes gives the next n bytes, which stay part of the input.
func (r *wireReader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail(errTruncated)
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *wireReader) text() string { return string(r.bytes(r.uvarint())) }

// count reads how many items follow, each of at least size bytes, so that no
// allocation is out of proportion to the input.
func (r *wireReader) count(size int) int {
	return r.counted(r.uvarint(), size)
}

// counted is count of a number that has been read.
func (r *wireReader) counted(n uint64, size int) int {
	if n > uint64(len(r.b)/size) {
		r.fail(errTruncated)
		return 0
	}
	return int(n)
}

// idLike is id where it is likely to be the same as one that there is.
func (r *wireReader) idLike(one string) string {
	var digits [20]byte
	rest := *r
	switch n := rest.uvarint(); {
	case rest.err != nil:
	case n == 0:
		if n := rest.varint(); rest.err == nil && string(strconv.AppendInt(digits[:0], n, 10)) == one {
			r.b = rest.b
			return one
		}
	default:
		if b := rest.bytes(n - 1); rest.err == nil && string(b) == one {
			r.b = rest.b
			return one
		}
	}
	return r.id()
}

func (r *wireReader) id() string {
	switch n := r.uvarint(); {
	case r.err != nil:
		return ""
	case n == 0:
		n := r.varint()
		if r.err != nil {
			return ""
		}
		return strconv.FormatInt(n, 10)
	default:
		return string(r.bytes(n - 1))
	}
}

func (r *wireReader) columnValue() any {
	switch t := r.byte(); t {
	case wireNull:
		return nil
	case wireText:
		return r.text()
	case wireInteger:
		return r.varint()
	case wireFalse:
		return false
	case wireTrue:
		return true
	case wireDecimal:
		return brimline.Decimal(r.text())
	case wireTime:
		return brimline.Time(r.varint())
	default:
		r.fail(fmt.Errorf("column type %d", t))
		return nil
	}
}
