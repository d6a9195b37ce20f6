package codecs

import (
	"encoding/binary"
	"fmt"

	"github.com/brimline/brimline"
)

// All offsets here are differences to Window.Last.

// An open question is its cause, the index in 8 bytes, and how far down a question may reach.
func appendAsked(b []byte, w *brimline.Window) []byte {
	return appendVarint(appendCause(b, w, w.Asked), w.Reach)
}

func (r *wireReader) asked(w *brimline.Window) {
	w.Asked = r.cause(w)
	w.Reach = brimline.Time(r.varint())
}

func appendCause(b []byte, w *brimline.Window, c brimline.Cause) []byte {
	b = binary.AppendVarint(b, w.Last-c.Offset)
	return binary.BigEndian.AppendUint64(b, uint64(c.Index))
}

func (r *wireReader) cause(w *brimline.Window) brimline.Cause {
	return brimline.Cause{Offset: w.Last - r.varint(), Index: int(r.fixed64())}
}

// The newest change that stirred is its offset, LSN and transaction.
func appendStirred(b []byte, w *brimline.Window) []byte {
	b = binary.AppendVarint(b, w.Last-w.Stirred.Last)
	b = binary.AppendUvarint(b, w.Stirred.LSN)
	return binary.AppendVarint(b, w.Stirred.TxID)
}

func (r *wireReader) stirred(w *brimline.Window) {
	w.Stirred = brimline.Stir{Last: w.Last - r.varint(), LSN: r.uvarint(), TxID: r.varint()}
}

// A doubt is its offset, its reason, when it was said, its first time, the last one as the difference to that, and how
// often it was asked again.
func appendDoubt(b []byte, w *brimline.Window) []byte {
	d := &w.Doubt
	b = binary.AppendVarint(b, w.Last-d.Offset)
	b = appendText(b, string(d.Reason))
	b = appendVarint(b, d.At)
	b = appendVarint(b, d.From)
	b = binary.AppendVarint(b, int64(d.Floor-d.From))
	return binary.AppendVarint(b, int64(d.Asked))
}

func (r *wireReader) doubt(w *brimline.Window) {
	d := &w.Doubt
	d.Offset = w.Last - r.varint()
	d.Reason = brimline.DistrustReason(r.text())
	d.At, d.From = brimline.Time(r.varint()), brimline.Time(r.varint())
	d.Floor = d.From + brimline.Time(r.varint())
	d.Asked = int(r.varint())
}

// Questions that travel apart are the newest one's cause; then, of each span in its order, a byte: 1 where its question
// does, else 0.
func appendApart(b []byte, w *brimline.Window) []byte {
	b = appendCause(b, w, w.Apart)
	for i := range w.Rules {
		for _, s := range w.Rules[i].Unjudged {
			apart := byte(0)
			if s.Apart {
				apart = 1
			}
			b = append(b, apart)
		}
	}
	return b
}

func (r *wireReader) apart(w *brimline.Window) {
	w.Apart = r.cause(w)
	for i := range w.Rules {
		for n := range w.Rules[i].Unjudged {
			apart := r.byte()
			if w.Rules[i].Unjudged[n].Apart = apart == 1; apart > 1 {
				r.fail(fmt.Errorf("a span with %d", apart))
			}
		}
	}
}

const (
	aboveLast = 1 << iota
	aboveAsked
)

// A total above a limit is a byte, with 1 where changes are to be asked about and 2 where some were. The first have the
// offset of the newest and the first window end, the second the offset, the time and the first window end.
func appendAbove(b []byte, w *brimline.Window) []byte {
	a := &w.Above
	there := byte(0)
	if a.Last != 0 {
		there |= aboveLast
	}
	if a.Asked != 0 {
		there |= aboveAsked
	}
	b = append(b, there)
	if a.Last != 0 {
		b = appendVarint(binary.AppendVarint(b, w.Last-a.Last), a.From)
	}
	if a.Asked != 0 {
		b = appendVarint(appendVarint(binary.AppendVarint(b, w.Last-a.Asked), a.At), a.Since)
	}
	return b
}

func (r *wireReader) above(w *brimline.Window) {
	a, there := &w.Above, r.byte()
	if there&aboveLast != 0 {
		a.Last, a.From = w.Last-r.varint(), brimline.Time(r.varint())
	}
	if there&aboveAsked != 0 {
		a.Asked = w.Last - r.varint()
		a.At, a.Since = brimline.Time(r.varint()), brimline.Time(r.varint())
	}
}

// The newest change is its LSN and ticks as differences to those of the row that stands highest in the log, which
// mostly is the one that it brought, and its transaction.
func appendNewest(b []byte, w *brimline.Window) []byte {
	last := highestRow(w)
	b = binary.AppendVarint(b, int64(w.Newest.LSN-last.LSN))
	b = binary.AppendVarint(b, w.Newest.Ticks-last.Ticks)
	return binary.AppendVarint(b, w.Newest.TxID)
}

func (r *wireReader) newest(w *brimline.Window) {
	last := highestRow(w)
	w.Newest = brimline.Seen{LSN: last.LSN + uint64(r.varint()), Ticks: last.Ticks + r.varint(), TxID: r.varint()}
}

func highestRow(w *brimline.Window) (highest brimline.Seen) {
	for i := range w.Rows {
		if s := w.Rows[i].Stamp; s.LSN > highest.LSN {
			highest = brimline.Seen{LSN: s.LSN, Ticks: s.Ticks()}
		}
	}
	return highest
}
