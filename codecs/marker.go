package codecs

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/brimline/brimline"
)

// Marker is the codec of *brimline.Marker, what the window table keeps about all users of a partition.
//
// Version 2: the version, with the highest bit set, which no window has; flags; the offset after the newest TRUNCATE;
// if it is known where that stands, its life, partition, offset, LSN, transaction and commit time; the sweeps, each as
// its offset and its time as differences to the sweep before. All numbers are varints, signed ones zigzag.
//
// Version 1 was a Window of version 2 or 3: Last was the offset, the only version of Changed was the place, whose From
// was 1 if the TRUNCATE was Whole, and the edges of the only rule were the sweeps. It is read as well.
type Marker struct{}

const (
	markerBit     = 0x80
	markerVersion = 2
)

const (
	markerPlaced   = 1 << iota // it is known where the TRUNCATE stands
	markerWhole                // it is Whole
	markerSnapshot             // its source is a snapshot
	markerFlags    = 1<<iota - 1
)

// minSweep is the smallest size of a sweep in bytes.
const minSweep = 2

const aMarker = "a marker of the window table"

// KindMarker is of a marker that is read as a window.
const KindMarker = "marker_of_partition"

// Encode takes a *brimline.Marker.
func (Marker) Encode(v any) ([]byte, error) {
	m, ok := v.(*brimline.Marker)
	if !ok {
		return nil, mistyped("markers", v)
	}
	flags := byte(0)
	t := m.Truncation
	if t != nil {
		flags |= markerPlaced
		if t.Whole {
			flags |= markerWhole
		}
		if t.Source.Snapshot {
			flags |= markerSnapshot
		}
	}
	b := binary.AppendVarint([]byte{markerBit | markerVersion, flags}, m.TruncatedAt)
	if t != nil {
		b = binary.AppendUvarint(b, uint64(t.Source.Life))
		b = binary.AppendVarint(b, int64(t.Source.Partition))
		b = binary.AppendVarint(b, t.Source.Offset)
		b = binary.AppendUvarint(b, t.Source.LSN)
		b = binary.AppendVarint(b, t.Source.TxID)
		b = appendVarint(b, t.Source.Commit)
	}
	b = binary.AppendUvarint(b, uint64(len(m.Sweeps)))
	var last brimline.Swept
	for _, s := range m.Sweeps {
		b = binary.AppendVarint(b, s.Offset-last.Offset)
		b = appendVarint(b, s.Before-last.Before)
		last = s
	}
	return b, nil
}

// Decode gives a *brimline.Marker.
func (Marker) Decode(b []byte) (any, error) {
	if len(b) > 0 && !isMarker(b) {
		return olderMarker(b)
	}
	r := wireReader{b: b}
	if v := int(r.byte()) &^ markerBit; r.err == nil && v != markerVersion {
		return nil, unknown(aMarker, v, markerVersion)
	}
	flags := r.byte()
	if flags > markerFlags || flags&markerPlaced == 0 && flags != 0 {
		r.fail(fmt.Errorf("flags %b", flags))
	}
	m := &brimline.Marker{TruncatedAt: r.varint()}
	if flags&markerPlaced != 0 {
		m.Truncation = &brimline.Truncation{
			Source: brimline.Source{
				Life: r.uint32(), Partition: int32(r.varint()), Offset: r.varint(), LSN: r.uvarint(), TxID: r.varint(),
				Commit: brimline.Time(r.varint()), Snapshot: flags&markerSnapshot != 0,
			},
			Whole: flags&markerWhole != 0,
		}
	}
	if n := r.count(minSweep); n > 0 {
		m.Sweeps = make([]brimline.Swept, n)
	}
	var last brimline.Swept
	for i := range m.Sweeps {
		last.Offset += r.varint()
		last.Before += brimline.Time(r.varint())
		m.Sweeps[i] = last
	}
	if err := r.end(); err != nil {
		return nil, corrupt(aMarker, err)
	}
	return m, nil
}

// isMarker reports whether a value of the window table is a marker of any version from 2 on.
func isMarker(b []byte) bool { return len(b) > 0 && b[0]&markerBit != 0 }

// olderMarker reads a marker that is a Window.
func olderMarker(b []byte) (any, error) {
	v, err := WindowPart{}.Decode(b)
	if err != nil {
		return nil, err
	}
	w := v.(*brimline.Window)
	if len(w.Rows) > 0 || len(w.Rules) > 1 || len(w.Changed) > 1 {
		return nil, corrupt(aMarker, errors.New("it is a user's window"))
	}
	m := &brimline.Marker{TruncatedAt: w.Last}
	for _, v := range w.Changed {
		m.Truncation = &brimline.Truncation{Source: v.Source(), Whole: v.From == 1}
	}
	for _, rule := range w.Rules {
		for _, e := range rule.Edges {
			m.Sweeps = append(m.Sweeps, brimline.Swept{Offset: e.Cause.Offset, Before: e.Time})
		}
	}
	return m, nil
}

// WindowTable is the codec of all records of the window table: *brimline.Window of users and their segments, and
// *brimline.Marker of partitions. A marker of version 1 is decoded as the window that it is; who looks for markers
// decodes with Marker.
type WindowTable struct{}

// Encode takes a *brimline.Window or a *brimline.Marker.
func (WindowTable) Encode(v any) ([]byte, error) {
	if _, ok := v.(*brimline.Marker); ok {
		return Marker{}.Encode(v)
	}
	return WindowPart{}.Encode(v)
}

// Decode gives a *brimline.Window or a *brimline.Marker.
func (WindowTable) Decode(b []byte) (any, error) {
	if isMarker(b) {
		return Marker{}.Decode(b)
	}
	return WindowPart{}.Decode(b)
}
