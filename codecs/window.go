package codecs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/brimline/brimline"
)

// Window is the codec of *brimline.Window, the values of the window table. It reads those that are all there is of a
// user, and refuses others; a program that wants every user's figures opens a view with views.Open.
//
// Version 3: version, flags, last, scale; floor, if there is one; the rows; the rules; versions of changed rows, older
// segments, rows that are gone, forgotten edges, an open question, what stirred, spans that were not decided, a doubt,
// questions that travel apart, a total above a limit, each if there are any; the newest change, if the scale's highest
// bit is set. All numbers are varints, signed ones zigzag. The functions that append the parts say how each lies.
//
// Version 2 had no stamps, no units of time, and of changed rows nothing after the lowest time; it is read as well.
type Window struct{}

// WindowPart is Window for those who put parts together, as views and the window stage do: a record of the window
// table as it is, be it all that there is of a user, the newest part of it, or a segment (see AssembleWindow).
type WindowPart struct{}

// KindWindowInSegments is of a value of the window table that shows a part of a user's state.
const KindWindowInSegments = "window_in_segments"

const (
	windowVersion      = 3
	olderWindowVersion = 2 // is read as well
)

// What is rare has the high bits, so that the flags of most values are one byte.
const (
	windowFloor      = 1 << iota // there is a floor
	windowColumns                // rows carry columns
	windowIntegerIDs             // all ids are integers
	windowChanged                // some rows were changed
	windowSegments               // there are older segments
	windowStamps                 // rows have stamps
	windowGone                   // rows of older segments are gone
	windowForgotten              // edges of older segments are forgotten
	windowQuiet                  // some rules came later
	windowAsked                  // a question is open
	windowStirred                // rows of what was asked or announced have changed
	windowUnjudged               // there are spans that were not decided
	windowDoubt                  // the user was distrusted
	windowApart                  // a question that travels apart is open
	windowLives                  // rows have stamps of different lives
	windowSnapshots              // rows have stamps of snapshots
	windowAbove                  // PostgreSQL is to be asked, or was asked, about a user above a limit
	windowFlags      = 1<<iota - 1
	olderWindowFlags = windowApart>>1 | (windowApart>>1 - 1)
)

// windowNewest is in the byte of the scale, which has bits to spare: nearly every value has it.
const windowNewest = 1 << 7

// Smallest sizes in bytes, by which counts are checked before anything is allocated.
const (
	minRow     = 3
	minRule    = 9
	minEdge    = 4
	minVersion = 10 // of which version 2 had half
	minSpan    = 3
	minGone    = 1
)

const aWindow = "a value of the window table"

// Encode takes a *brimline.Window.
func (Window) Encode(v any) ([]byte, error) {
	w, ok := v.(*brimline.Window)
	if !ok {
		return nil, mistyped("windows", v)
	}
	scratch := scratches.Get().(*[]byte)
	defer scratches.Put(scratch)
	b, err := AppendWindow((*scratch)[:0], w)
	if err != nil {
		return nil, err
	}
	*scratch = b
	return bytes.Clone(b), nil // values are kept for long: no byte more than they need
}

var scratches = sync.Pool{New: func() any { return new([]byte) }}

// Encode takes a *brimline.Window.
func (WindowPart) Encode(v any) ([]byte, error) { return Window{}.Encode(v) }

// AppendWindow appends the bytes that Window encodes. It fails on a scale out of range and on column values of a type
// that brimline.Field does not allow.
func AppendWindow(b []byte, w *brimline.Window) ([]byte, error) {
	if w.Scale < 0 || w.Scale > brimline.MaxScale {
		return nil, fmt.Errorf("a window of scale %d", w.Scale)
	}
	flags := flagsOf(w)
	b = appendVarint(binary.AppendUvarint(append(b, windowVersion), flags), w.Last)
	scale := byte(w.Scale)
	if w.Newest != (brimline.Seen{}) {
		scale |= windowNewest
	}
	b = append(b, scale)
	if flags&windowFloor != 0 {
		b = appendVarint(b, w.Floor)
	}
	b, err := appendRows(b, w, flags)
	if err != nil {
		return nil, err
	}
	if flags&windowStamps != 0 {
		b = appendStamps(b, w.Rows, flags)
	}
	b = appendRules(b, w.Rules, flags)
	if flags&windowChanged != 0 {
		b = appendVersions(b, w.Changed)
	}
	if flags&windowSegments != 0 {
		b = appendOlder(b, &w.Older)
	}
	if flags&windowGone != 0 {
		b = appendGone(b, w.Gone)
	}
	if flags&windowForgotten != 0 {
		b = appendForgotten(b, w.Rules)
	}
	if flags&windowAsked != 0 {
		b = appendAsked(b, w)
	}
	if flags&windowStirred != 0 {
		b = appendStirred(b, w)
	}
	if flags&windowUnjudged != 0 {
		b = appendSpans(b, w.Rules)
	}
	if flags&windowDoubt != 0 {
		b = appendDoubt(b, w)
	}
	if flags&windowApart != 0 {
		b = appendApart(b, w)
	}
	if flags&windowAbove != 0 {
		b = appendAbove(b, w)
	}
	if scale&windowNewest != 0 {
		b = appendNewest(b, w)
	}
	return b, nil
}

// flagsOf says which parts a value has.
func flagsOf(w *brimline.Window) uint64 {
	flags := uint64(windowIntegerIDs)
	if w.Floor != brimline.MinTime {
		flags |= windowFloor
	}
	if len(w.Changed) > 0 {
		flags |= windowChanged
	}
	for i := range w.Rules {
		if w.Rules[i].Quiet != 0 {
			flags |= windowQuiet
		}
		if len(w.Rules[i].Forgotten) > 0 {
			flags |= windowForgotten
		}
		if spans := w.Rules[i].Unjudged; len(spans) > 0 {
			flags |= windowUnjudged
			if slices.ContainsFunc(spans, func(s brimline.Span) bool { return s.Apart }) {
				flags |= windowApart
			}
		}
	}
	if w.Apart != (brimline.Cause{}) {
		flags |= windowApart
	}
	if w.Asked != (brimline.Cause{}) || w.Reach != 0 {
		flags |= windowAsked
	}
	if w.Stirred != (brimline.Stir{}) {
		flags |= windowStirred
	}
	if w.Doubt != (brimline.Doubt{}) {
		flags |= windowDoubt
	}
	if w.Above != (brimline.Above{}) {
		flags |= windowAbove
	}
	if w.Older.Next > 0 { // numbers are never used again, so they are kept even when there is none
		flags |= windowSegments
	}
	if len(w.Gone) > 0 {
		flags |= windowGone
	}
	for i := range w.Rows {
		if w.Rows[i].Columns() != nil {
			flags |= windowColumns
		}
		if _, ok := w.Rows[i].IntegerID(); !ok {
			flags &^= windowIntegerIDs
		}
		if w.Rows[i].Stamp != (brimline.Stamp{}) {
			flags |= windowStamps
		}
		if w.Rows[i].Stamp.Life() != w.Rows[0].Stamp.Life() {
			flags |= windowLives
		}
		if w.Rows[i].Stamp.Snapshot() {
			flags |= windowSnapshots
		}
	}
	return flags
}

// Decode gives a *brimline.Window that is all there is of a user. A value that has segments under other keys is
// refused: what it holds itself are the newest rows of many, and would be taken for all of them.
func (Window) Decode(b []byte) (any, error) {
	v, err := WindowPart{}.Decode(b)
	if err != nil {
		return nil, err
	}
	if n := v.(*brimline.Window).Older.Len(); n > 0 {
		return nil, &brimline.Error{
			Class: brimline.ClassInput, Kind: KindWindowInSegments, Where: aWindow,
			Remedy: "read the table with views.Open of github.com/brimline/brimline/views, which puts the parts together",
			Err:    fmt.Errorf("it is a part: the older rows of this user are in %d segments under keys of their own", n),
		}
	}
	return v, nil
}

// Decode gives a *brimline.Window. Its rows share one allocation.
func (WindowPart) Decode(b []byte) (any, error) {
	w := new(brimline.Window)
	if err := DecodeWindowPart(b, w); err != nil {
		return nil, err
	}
	return w, nil
}

// DecodeWindowPart is WindowPart.Decode into a window that the caller has, for one who reads many. The slice of its
// Rules is used again; nothing else of what it has is kept or changed. It fails alike, and leaves then anything in w.
func DecodeWindowPart(b []byte, w *brimline.Window) error {
	if isMarker(b) {
		return &brimline.Error{Class: brimline.ClassInput, Kind: KindMarker, Where: aWindow,
			Remedy: "leave out keys that begin with a NUL: they are no users",
			Err:    errors.New("it is a marker, which is about all users of a partition")}
	}
	r := wireReader{b: b, spare: w.Rules[:0]}
	most, older := uint64(windowFlags), false
	switch v := r.byte(); {
	case r.err != nil || v == windowVersion:
	case v == olderWindowVersion:
		most, older = olderWindowFlags, true
	default:
		return unknown(aWindow, int(v), windowVersion)
	}
	flags := r.uvarint()
	if flags > most {
		r.fail(fmt.Errorf("flags %b", flags))
	}
	if older {
		flags = todaysFlags(flags)
	}
	*w = brimline.Window{Last: r.varint(), Floor: brimline.MinTime}
	scale := r.byte()
	w.Scale = int(scale &^ windowNewest)
	if r.err == nil && w.Scale > brimline.MaxScale {
		r.fail(fmt.Errorf("a scale of %d", w.Scale))
	}
	if flags&windowFloor != 0 {
		w.Floor = brimline.Time(r.varint())
	}
	if older {
		w.Rows = r.rows(r.count(minRow), flags, 0, 1)
	} else {
		w.Rows = r.timedRows(w.Floor, flags)
	}
	if flags&windowStamps != 0 {
		r.stamps(w.Rows, flags)
	}
	w.Rules = r.rules(flags)
	if flags&windowChanged != 0 {
		w.Changed = r.versions(older)
	}
	if flags&windowSegments != 0 {
		w.Older = r.older()
	}
	if flags&windowGone != 0 {
		w.Gone = r.gone()
	}
	if flags&windowForgotten != 0 {
		r.forgotten(w.Rules)
	}
	if flags&windowAsked != 0 {
		r.asked(w)
	}
	if flags&windowStirred != 0 {
		r.stirred(w)
	}
	if flags&windowUnjudged != 0 {
		r.spans(w.Rules)
	}
	if flags&windowDoubt != 0 {
		r.doubt(w)
	}
	if flags&windowApart != 0 {
		r.apart(w)
	}
	if flags&windowAbove != 0 {
		r.above(w)
	}
	if scale&windowNewest != 0 {
		r.newest(w)
	}
	if err := r.end(); err != nil {
		return corrupt(aWindow, err)
	}
	return nil
}

// todaysFlags are the flags of version 2 as those of version 3, which has stamps between them.
func todaysFlags(older uint64) uint64 { return older&(windowStamps-1) | older&^(windowStamps-1)<<1 }

// WindowLast gives Window.Last of an encoded value without decoding the rest, Marker.Last of a marker, and false where
// the value is neither.
func WindowLast(b []byte) (last int64, ok bool) {
	if isMarker(b) {
		v, err := Marker{}.Decode(b)
		if err != nil {
			return 0, false
		}
		return v.(*brimline.Marker).Last(), true
	}
	r := wireReader{b: b}
	if v := r.byte(); v != windowVersion && v != olderWindowVersion {
		return 0, false
	}
	r.uvarint()
	last = r.varint()
	return last, r.err == nil
}

// WindowIsTimed reports whether an encoded value has a doubt, or an Above, without decoding the rest: whether the clock
// may have to do with it.
func WindowIsTimed(b []byte) bool {
	r := wireReader{b: b}
	v, flags := r.byte(), r.uvarint()
	if v == olderWindowVersion {
		flags = todaysFlags(flags)
	}
	return (v == windowVersion || v == olderWindowVersion) && flags&(windowDoubt|windowAbove) != 0 && r.err == nil
}
