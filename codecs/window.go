package codecs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/brimline/brimline"
)

// Window is the codec of *brimline.Window, the values of the window table. It reads those that are all there is of a
// user, and refuses others; a program that wants every user's figures opens a view with views.Open.
//
// Version 3: version, flags, last, scale; floor, if there is one; the rows; the rules; changed rows, older segments,
// rows that are gone, forgotten edges, what is asked, what stirred, spans that were not judged, a doubt and what is
// asked apart, what a total above a limit has asked, each if there are any; the newest change, if the scale's highest
// bit is set. All numbers are varints, signed ones zigzag.
//
//   - A row is the time since the row before it, the id, the amount and its columns. Ids that are integers are
//     differences to the integer id before.
//   - Column names are kept once: the rows' different lists of names come before the rows, and a row names its
//     list by number, 0 for none.
//   - The number of rows, times 8, has the unit of their times added: 0 for microseconds, 1 for 10 of them, up to 6 for
//     seconds. The first row's time is that since the floor, if there is one, which is rounded down to the unit.
//   - Stamps of rows, if any row has one, come after all rows. Of each the LSN, and the ticks of its commit time since
//     the row's own time, are differences to the row before. First comes the life of the first, doubled, with one more
//     where all LSNs are multiples of 8, as PostgreSQL's are, and are kept as eighths. Then each row has half a byte,
//     the even ones the lower half: how many bytes the LSN takes (0 for 2, 1 for 3, 2 for 4 bytes, 3 for a varint), and
//     above it how the ticks differ (0 not, 1 by one more, 2 by one less, 3 by a varint). Then come these for each row
//     and, if not all are of the same life, the life; after all, a bit for each row, if any is a snapshot's.
//   - A rule is its fingerprint in 8 bytes and its edges: time and cause as differences to the edge before, then
//     the status; after them its quiet time, if any rule has one.
//   - A changed row is its id, partition, and offset and time as differences to the one before; then its lowest
//     time as the difference to its time. Then come its life, doubled, with one more where a snapshot has
//     found the row so, its LSN and commit time as differences to the one before, its transaction, and the highest LSN
//     of timelines that were left.
//   - Older segments are the first number, how many there are, and the checksum in 4 bytes. Rows that are gone are
//     their ids; forgotten edges, of each rule in turn, their times as differences.
//   - What is asked is the newest question's cause, the index in 8 bytes, and how far down a question may reach.
//     The newest change that stirred is its offset, LSN and transaction. Offsets are differences to last.
//   - Spans are, of each rule in turn, their first time as the difference to the last one of the span before,
//     their length, and the offset of the question, doubled, with one more where it is to be asked again.
//   - A doubt is its offset as the difference to last, its reason, when it was said, its first time, the last one as
//     the difference to that, and how often it was asked again.
//   - Of questions that travel apart, the newest one's cause; then, of each span in its order, 1 where its question
//     does, else 0, in a byte.
//   - Of a total above a limit a byte with 1 where changes are to be asked about, and 2 where some were; then of the
//     first the offset of the newest and the first window end, of the second the offset, the time and the first end.
//   - The newest change is its LSN and ticks as differences to those of the row with the highest LSN, and its
//     transaction.
//
// Version 2 had no stamps, and of changed rows nothing after the lowest time; it is read as well.
type Window struct{}

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
	windowUnjudged               // there are spans that were not judged
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
	minChanged = 10 // of which version 2 had half
	minSpan    = 3
	minGone    = 1
)

// maxSegments is far more than a user can have: rows are bounded in bytes.
const maxSegments = 1 << 24

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

// AppendWindow appends what Window encodes. It fails on a scale out of range and
// on column values of a type that brimline.Field does not allow.
func AppendWindow(b []byte, w *brimline.Window) ([]byte, error) {
	if w.Scale < 0 || w.Scale > brimline.MaxScale {
		return nil, fmt.Errorf("a window of scale %d", w.Scale)
	}
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
		if len(w.Rules[i].Unjudged) > 0 {
			flags |= windowUnjudged
		}
		if slices.ContainsFunc(w.Rules[i].Unjudged, func(s brimline.Span) bool { return s.Apart }) {
			flags |= windowApart
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
	b = binary.AppendUvarint(b, uint64(len(w.Rules)))
	for i := range w.Rules {
		b = appendRuleState(b, &w.Rules[i])
		if flags&windowQuiet != 0 {
			b = binary.AppendVarint(b, int64(w.Rules[i].Quiet))
		}
	}
	if flags&windowChanged != 0 {
		b = appendChanged(b, w.Changed)
	}
	b = appendLog(b, w, flags)
	if flags&windowAsked != 0 {
		b = binary.AppendVarint(b, w.Last-w.Asked.Offset)
		b = binary.BigEndian.AppendUint64(b, uint64(w.Asked.Index))
		b = appendVarint(b, w.Reach)
	}
	if flags&windowStirred != 0 {
		b = binary.AppendVarint(b, w.Last-w.Stirred.Last)
		b = binary.AppendUvarint(b, w.Stirred.LSN)
		b = binary.AppendVarint(b, w.Stirred.TxID)
	}
	if flags&windowUnjudged != 0 {
		for i := range w.Rules {
			b = appendSpans(b, w.Rules[i].Unjudged)
		}
	}
	if flags&windowDoubt != 0 {
		b = binary.AppendVarint(b, w.Last-w.Doubt.Offset)
		b = appendText(b, string(w.Doubt.Reason))
		b = appendVarint(b, w.Doubt.At)
		b = appendVarint(b, w.Doubt.From)
		b = binary.AppendVarint(b, int64(w.Doubt.Floor-w.Doubt.From))
		b = binary.AppendVarint(b, int64(w.Doubt.Asked))
	}
	if flags&windowApart != 0 {
		b = appendApart(b, w)
	}
	if flags&windowAbove != 0 {
		b = appendAbove(b, w)
	}
	if scale&windowNewest != 0 {
		last := newestRow(w)
		b = binary.AppendVarint(b, int64(w.Newest.LSN-last.LSN))
		b = binary.AppendVarint(b, w.Newest.Ticks-last.Ticks)
		b = binary.AppendVarint(b, w.Newest.TxID)
	}
	return b, nil
}

// newestRow is that of the rows which stands highest in the log, by which the newest change is told: mostly it is that.
func newestRow(w *brimline.Window) (newest brimline.Seen) {
	for i := range w.Rows {
		if s := w.Rows[i].Stamp; s.LSN > newest.LSN {
			newest = brimline.Seen{LSN: s.LSN, Ticks: s.Ticks()}
		}
	}
	return newest
}

// appendAbove says first which of the two offsets there are.
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

const (
	aboveLast = 1 << iota
	aboveAsked
)

func appendApart(b []byte, w *brimline.Window) []byte {
	b = binary.AppendVarint(b, w.Last-w.Apart.Offset)
	b = binary.BigEndian.AppendUint64(b, uint64(w.Apart.Index))
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

func appendSpans(b []byte, spans []brimline.Span) []byte {
	b = binary.AppendUvarint(b, uint64(len(spans)))
	last := brimline.Time(0)
	for _, s := range spans {
		b = appendVarint(b, s.From-last)
		b = binary.AppendUvarint(b, uint64(s.Until-s.From))
		asked := uint64(s.Asked) << 1
		if s.Again {
			asked |= 1
		}
		b = binary.AppendUvarint(b, asked)
		last = s.Until
	}
	return b
}

// appendLog appends what concerns older segments.
func appendLog(b []byte, w *brimline.Window, flags uint64) []byte {
	if flags&windowSegments != 0 {
		b = binary.AppendUvarint(b, w.Older.First)
		b = binary.AppendUvarint(b, w.Older.Next-w.Older.First)
		b = binary.BigEndian.AppendUint32(b, w.Older.Check)
	}
	if flags&windowGone != 0 {
		b = binary.AppendUvarint(b, uint64(len(w.Gone)))
		for _, id := range w.Gone {
			b = appendID(b, id)
		}
	}
	if flags&windowForgotten != 0 {
		for i := range w.Rules {
			b = binary.AppendUvarint(b, uint64(len(w.Rules[i].Forgotten)))
			last := brimline.Time(0)
			for _, t := range w.Rules[i].Forgotten {
				b = appendVarint(b, t-last)
				last = t
			}
		}
	}
	return b
}

// timeUnits are the units of rows' times, in microseconds. Many tables have times in milliseconds or seconds.
var timeUnits = [...]brimline.Time{1, 10, 100, 1e3, 1e4, 1e5, 1e6}

const (
	unitBits = 3
	farTime  = brimline.Time(1) << 61 // from here on times have differences that are none
)

// timeUnit gives the number of the largest unit in which rows' times are whole.
func timeUnit(w *brimline.Window) (unit int) {
	if w.Floor != brimline.MinTime && (w.Floor <= -farTime || w.Floor >= farTime) {
		return 0
	}
	unit = len(timeUnits) - 1
	for i := range w.Rows {
		t := w.Rows[i].Time
		if t <= -farTime || t >= farTime {
			return 0
		}
		for t%timeUnits[unit] != 0 {
			unit--
		}
		if unit == 0 {
			break
		}
	}
	return unit
}

// firstTime is what the first row's time is counted from.
func firstTime(floor, unit brimline.Time) brimline.Time {
	if floor == brimline.MinTime {
		return 0
	}
	return floor - (floor%unit+unit)%unit
}

func appendRows(b []byte, w *brimline.Window, flags uint64) ([]byte, error) {
	var (
		rows     = w.Rows
		number   = timeUnit(w)
		unit     = timeUnits[number]
		lastTime = firstTime(w.Floor, unit)
	)
	b = binary.AppendUvarint(b, uint64(len(rows))<<unitBits|uint64(number))
	var lists columnLists
	if flags&windowColumns != 0 {
		lists = listsOf(rows)
		b = lists.append(b, rows)
	}
	var lastID int64
	for i := range rows {
		row := &rows[i]
		b = binary.AppendUvarint(b, uint64((row.Time-lastTime)/unit))
		lastTime = row.Time
		id, integer := row.IntegerID()
		switch {
		case !integer:
			b = appendText1(b, row.ID())
		case flags&windowIntegerIDs == 0:
			b = append(b, 0)
			fallthrough
		default:
			b = binary.AppendVarint(b, id-lastID)
			lastID = id
		}
		b = appendVarint(b, int64(row.Amount))
		if flags&windowColumns == 0 {
			continue
		}
		b = binary.AppendUvarint(b, uint64(lists.number(rows, i)))
		for _, column := range row.Columns() {
			var err error
			if b, err = appendColumnValue(b, column.Value); err != nil {
				return nil, err
			}
		}
	}
	return b, nil
}

// tickOf is a row's own time in the ticks of stamps.
func tickOf(row *brimline.Row) int64 { return int64(row.Time) >> 16 }

// How a row's half byte says the two parts of its stamp.
const (
	lsnVarint = 3
	lagMore   = 1 << 2
	lagLess   = 2 << 2
	lagVarint = 3 << 2
)

func appendStamps(b []byte, rows []brimline.Row, flags uint64) []byte {
	var (
		bits, lastLSN uint64
		lastLag       int64
	)
	for i := range rows {
		bits |= rows[i].Stamp.LSN
	}
	head, shift := uint64(rows[0].Stamp.Life())<<1, 0
	if bits&7 == 0 {
		head, shift = head|1, 3
	}
	b = binary.AppendUvarint(b, head)
	halves := len(b)
	for range (len(rows) + 1) / 2 {
		b = append(b, 0)
	}
	for i := range rows {
		s := &rows[i].Stamp
		var half byte
		lsn := s.LSN >> shift
		switch delta := lsn - lastLSN; {
		case delta < 1<<16:
			b = append(b, byte(delta), byte(delta>>8))
		case delta < 1<<24:
			half = 1
			b = append(b, byte(delta), byte(delta>>8), byte(delta>>16))
		case delta < 1<<32:
			half = 2
			b = append(b, byte(delta), byte(delta>>8), byte(delta>>16), byte(delta>>24))
		default:
			half = lsnVarint
			b = binary.AppendVarint(b, int64(delta))
		}
		lag := s.Ticks() - tickOf(&rows[i])
		switch lag - lastLag {
		case 0:
		case 1:
			half |= lagMore
		case -1:
			half |= lagLess
		default:
			half |= lagVarint
			b = binary.AppendVarint(b, lag-lastLag)
		}
		b[halves+i/2] |= half << (i % 2 * 4)
		lastLSN, lastLag = lsn, lag
		if flags&windowLives != 0 {
			b = binary.AppendUvarint(b, uint64(s.Life()))
		}
	}
	if flags&windowSnapshots == 0 {
		return b
	}
	for at := range rows {
		if at%8 == 0 {
			b = append(b, 0)
		}
		if rows[at].Stamp.Snapshot() {
			b[len(b)-1] |= 1 << (at % 8)
		}
	}
	return b
}

func appendChanged(b []byte, changed []brimline.RowVersion) []byte {
	b = binary.AppendUvarint(b, uint64(len(changed)))
	var last brimline.RowVersion
	for _, v := range changed {
		b = appendText(b, v.ID)
		b = binary.AppendVarint(b, int64(v.Partition))
		b = binary.AppendVarint(b, v.Offset-last.Offset)
		b = binary.AppendVarint(b, int64(v.Time-last.Time))
		b = binary.AppendVarint(b, int64(v.From-v.Time))
		life := uint64(v.Life) << 1
		if v.Snapshot {
			life |= 1
		}
		b = binary.AppendUvarint(b, life)
		b = binary.AppendVarint(b, int64(v.LSN-last.LSN))
		b = binary.AppendVarint(b, int64(v.Commit-last.Commit))
		b = binary.AppendVarint(b, v.TxID)
		b = binary.AppendUvarint(b, v.Former)
		last = v
	}
	return b
}

func appendRuleState(b []byte, rule *brimline.RuleState) []byte {
	b = binary.BigEndian.AppendUint64(b, rule.Rule)
	b = binary.AppendUvarint(b, uint64(len(rule.Edges)))
	var last brimline.Edge
	for _, e := range rule.Edges {
		b = binary.AppendUvarint(b, uint64(e.Time-last.Time))
		b = binary.AppendVarint(b, e.Cause.Offset-last.Cause.Offset)
		b = binary.AppendVarint(b, int64(e.Cause.Index))
		b = append(b, byte(e.Status))
		last = e
	}
	return b
}

// columnLists are the different lists of column names, each as the index of the first row that has it.
type columnLists []int

func listsOf(rows []brimline.Row) columnLists {
	var lists columnLists
	for i := range rows {
		if rows[i].Columns() != nil && lists.number(rows, i) == 0 {
			lists = append(lists, i)
		}
	}
	return lists
}

// number gives the number of row i's list, from 1; 0 for a row without columns or with a list not seen yet.
func (l columnLists) number(rows []brimline.Row, i int) int {
	if rows[i].Columns() == nil {
		return 0
	}
	for n, first := range l {
		if sameNames(rows[first].Columns(), rows[i].Columns()) {
			return n + 1
		}
	}
	return 0
}

func sameNames(a, b []brimline.Field) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Name != b[i].Name {
			return false
		}
	}
	return true
}

// append writes the lists, and how many values the rows hold in all.
func (l columnLists) append(b []byte, rows []brimline.Row) []byte {
	b = binary.AppendUvarint(b, uint64(len(l)))
	for _, first := range l {
		columns := rows[first].Columns()
		b = binary.AppendUvarint(b, uint64(len(columns)))
		for i := range columns {
			b = appendText(b, columns[i].Name)
		}
	}
	values := 0
	for i := range rows {
		values += len(rows[i].Columns())
	}
	return binary.AppendUvarint(b, uint64(values))
}

// WindowLast gives Window.Last of an encoded value without decoding the rest,
// and false where the value is not one.
func WindowLast(b []byte) (last int64, ok bool) {
	r := wireReader{b: b}
	if v := r.byte(); v != windowVersion && v != olderWindowVersion {
		return 0, false
	}
	r.uvarint()
	last = r.varint()
	return last, r.err == nil
}

// todaysFlags are the flags of version 2 as those of version 3, where stamps have come in between.
func todaysFlags(older uint64) uint64 { return older&(windowStamps-1) | older&^(windowStamps-1)<<1 }

// WindowIsTimed says of an encoded value whether it has a doubt, or an Above, without decoding the rest: whether the
// clock may have to do with it.
func WindowIsTimed(b []byte) bool {
	r := wireReader{b: b}
	v, flags := r.byte(), r.uvarint()
	if v == olderWindowVersion {
		flags = todaysFlags(flags)
	}
	return (v == windowVersion || v == olderWindowVersion) && flags&(windowDoubt|windowAbove) != 0 && r.err == nil
}

// Decode gives a *brimline.Window. Its rows share one allocation.
func (WindowPart) Decode(b []byte) (any, error) {
	r := wireReader{b: b}
	most, older := uint64(windowFlags), false
	switch v := r.byte(); {
	case r.err != nil || v == windowVersion:
	case v == olderWindowVersion:
		most, older = olderWindowFlags, true
	default:
		return nil, unknown("a value of the window table", int(v), windowVersion)
	}
	flags := r.uvarint()
	if flags > most {
		r.fail(fmt.Errorf("flags %b", flags))
	}
	if older {
		flags = todaysFlags(flags)
	}
	w := &brimline.Window{Last: r.varint(), Floor: brimline.MinTime}
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
		unit := timeUnits[0]
		n := r.uvarint()
		if number := n & (1<<unitBits - 1); number < uint64(len(timeUnits)) {
			unit = timeUnits[number]
		} else {
			r.fail(fmt.Errorf("unit %d of times", number))
		}
		w.Rows = r.rows(r.counted(n>>unitBits, minRow), flags, firstTime(w.Floor, unit), unit)
	}
	if flags&windowStamps != 0 {
		r.stamps(w.Rows, flags)
	}
	if n := r.count(minRule); n > 0 {
		w.Rules = make([]brimline.RuleState, n)
		for i := range w.Rules {
			r.ruleState(&w.Rules[i])
			if flags&windowQuiet != 0 {
				w.Rules[i].Quiet = brimline.Time(r.varint())
			}
		}
	}
	if flags&windowChanged != 0 {
		w.Changed = r.changed(older)
	}
	r.log(w, flags)
	if flags&windowAsked != 0 {
		w.Asked.Offset = w.Last - r.varint()
		w.Asked.Index = int(r.fixed64())
		w.Reach = brimline.Time(r.varint())
	}
	if flags&windowStirred != 0 {
		w.Stirred.Last = w.Last - r.varint()
		w.Stirred.LSN = r.uvarint()
		w.Stirred.TxID = r.varint()
	}
	if flags&windowUnjudged != 0 {
		for i := range w.Rules {
			w.Rules[i].Unjudged = r.spans()
		}
	}
	if flags&windowDoubt != 0 {
		d := &w.Doubt
		d.Offset = w.Last - r.varint()
		d.Reason = brimline.DistrustReason(r.text())
		d.At, d.From = brimline.Time(r.varint()), brimline.Time(r.varint())
		d.Floor = d.From + brimline.Time(r.varint())
		d.Asked = int(r.varint())
	}
	if flags&windowApart != 0 {
		r.apart(w)
	}
	if flags&windowAbove != 0 {
		r.above(w)
	}
	if scale&windowNewest != 0 {
		last := newestRow(w)
		w.Newest = brimline.Seen{LSN: last.LSN + uint64(r.varint()), Ticks: last.Ticks + r.varint(), TxID: r.varint()}
	}
	if err := r.end(); err != nil {
		return nil, corrupt("a value of the window table", err)
	}
	return w, nil
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

// rows reads n rows, whose times are counted in units from time.
func (r *wireReader) rows(n int, flags uint64, time, unit brimline.Time) []brimline.Row {
	var columns columnReader
	if flags&windowColumns != 0 {
		columns.begin(r)
	}
	if n == 0 || r.err != nil {
		return nil
	}
	var (
		rows  = make([]brimline.Row, n, n+1) // for the one that comes next
		maker = brimline.RowMaker{Expected: n}
		id    int64
		from  = r.b
		texts string // from, of which text ids are parts
	)
	for i := range rows {
		time += brimline.Time(r.uvarint()) * unit
		length := uint64(0)
		if flags&windowIntegerIDs == 0 {
			length = r.uvarint()
		}
		var text string
		if length > 0 {
			if texts == "" {
				texts = string(from)
			}
			size := len(r.bytes(length - 1))
			end := len(from) - len(r.b)
			text = texts[end-size : end]
		} else {
			id += r.varint()
		}
		amount := brimline.Amount(r.varint())
		var fields []brimline.Field
		if flags&windowColumns != 0 {
			fields = columns.row(r)
		}
		switch {
		case r.err != nil:
			return nil
		case length == 0:
			rows[i] = maker.Integer(time, amount, id, fields)
		default:
			if _, integer := brimline.IntegerID(text); integer {
				r.fail(fmt.Errorf("the integer id %s as a text", text))
				return nil
			}
			rows[i] = maker.Text(time, amount, text, fields)
		}
	}
	return rows
}

func (r *wireReader) log(w *brimline.Window, flags uint64) {
	if flags&windowSegments != 0 {
		w.Older.First = r.uvarint()
		n := r.uvarint()
		if w.Older.Next = w.Older.First + n; n > maxSegments || w.Older.Next < w.Older.First {
			r.fail(fmt.Errorf("%d segments from number %d", n, w.Older.First))
			return
		}
		if check := r.bytes(4); check != nil {
			w.Older.Check = binary.BigEndian.Uint32(check)
		}
		if w.Older.Next == 0 { // which is written as nothing
			r.fail(errors.New("segments up to number 0"))
			return
		}
	}
	if flags&windowGone != 0 {
		if n := r.count(minGone); n > 0 {
			w.Gone = make([]string, n)
		}
		for i := range w.Gone {
			w.Gone[i] = r.id()
		}
	}
	if flags&windowForgotten == 0 {
		return
	}
	for i := range w.Rules {
		if n := r.count(1); n > 0 {
			w.Rules[i].Forgotten = make([]brimline.Time, n)
		}
		last := brimline.Time(0)
		for at := range w.Rules[i].Forgotten {
			last += brimline.Time(r.varint())
			w.Rules[i].Forgotten[at] = last
		}
	}
}

func (r *wireReader) stamps(rows []brimline.Row, flags uint64) {
	var (
		head   = r.uvarint()
		shift  = head & 1 * 3
		halves = r.bytes(uint64(len(rows)+1) / 2)
		lsn    uint64
		lag    int64
	)
	if r.err != nil {
		return
	}
	for i := range rows {
		half := halves[i/2] >> (i % 2 * 4)
		if half&3 == lsnVarint {
			lsn += uint64(r.varint())
		} else {
			delta := uint64(0)
			for at, b := range r.bytes(uint64(half&3) + 2) {
				delta |= uint64(b) << (8 * at)
			}
			lsn += delta
		}
		switch half & lagVarint {
		case lagMore:
			lag++
		case lagLess:
			lag--
		case lagVarint:
			lag += r.varint()
		}
		life := head >> 1
		if flags&windowLives != 0 {
			life = r.uvarint()
		}
		ticks := lag + tickOf(&rows[i])
		if rows[i].Stamp = brimline.MakeStamp(lsn<<shift, ticks, uint32(life)); r.err == nil &&
			(life != uint64(rows[i].Stamp.Life()) || ticks != rows[i].Stamp.Ticks()) {
			r.fail(fmt.Errorf("a stamp of life %d and %d ticks", life, ticks))
		}
	}
	if flags&windowSnapshots == 0 {
		return
	}
	for at, bits := range r.bytes(uint64(len(rows)+7) / 8) {
		for i := 8 * at; i < min(8*at+8, len(rows)); i++ {
			if bits>>(i%8)&1 != 0 {
				rows[i].Stamp = rows[i].Stamp.OfSnapshot()
			}
		}
	}
}

func (r *wireReader) changed(older bool) []brimline.RowVersion {
	size := minChanged
	if older {
		size /= 2
	}
	n := r.count(size)
	if n == 0 {
		return nil
	}
	changed := make([]brimline.RowVersion, n)
	var last brimline.RowVersion
	for i := range changed {
		last.ID = r.text()
		last.Partition = int32(r.varint())
		last.Offset += r.varint()
		last.Time += brimline.Time(r.varint())
		last.From = last.Time + brimline.Time(r.varint())
		if !older {
			life := r.uvarint()
			if last.Life, last.Snapshot = uint32(life>>1), life&1 != 0; life>>1 > math.MaxUint32 {
				r.fail(fmt.Errorf("life %d", life>>1))
			}
			last.LSN += uint64(r.varint())
			last.Commit += brimline.Time(r.varint())
			last.TxID = r.varint()
			last.Former = r.uvarint()
		}
		changed[i] = last
	}
	return changed
}

func (r *wireReader) spans() []brimline.Span {
	n := r.count(minSpan)
	if n == 0 {
		return nil
	}
	spans := make([]brimline.Span, n)
	last := brimline.Time(0)
	for i := range spans {
		s := &spans[i]
		s.From = last + brimline.Time(r.varint())
		s.Until = s.From + brimline.Time(r.uvarint())
		asked := r.uvarint()
		s.Asked, s.Again = int64(asked>>1), asked&1 != 0
		last = s.Until
	}
	return spans
}

func (r *wireReader) apart(w *brimline.Window) {
	w.Apart.Offset = w.Last - r.varint()
	w.Apart.Index = int(r.fixed64())
	for i := range w.Rules {
		for n := range w.Rules[i].Unjudged {
			apart := r.byte()
			if w.Rules[i].Unjudged[n].Apart = apart == 1; apart > 1 {
				r.fail(fmt.Errorf("a span with %d", apart))
			}
		}
	}
}

func (r *wireReader) ruleState(rule *brimline.RuleState) {
	rule.Rule = r.fixed64()
	n := r.count(minEdge)
	if n == 0 {
		return
	}
	rule.Edges = make([]brimline.Edge, n)
	var last brimline.Edge
	for i := range rule.Edges {
		last.Time += brimline.Time(r.uvarint())
		last.Cause.Offset += r.varint()
		last.Cause.Index = int(r.varint())
		last.Status = brimline.EdgeStatus(r.byte())
		if last.Status > brimline.Touched {
			r.fail(fmt.Errorf("edge status %d", last.Status))
			return
		}
		rule.Edges[i] = last
	}
}

// columnReader reads the columns of a window's rows.
type columnReader struct {
	lists [][]string
	slab  []brimline.Field // what is left of one allocation for all rows
}

func (c *columnReader) begin(r *wireReader) {
	c.lists = make([][]string, r.count(1))
	for i := range c.lists {
		c.lists[i] = make([]string, r.count(1))
		for j := range c.lists[i] {
			c.lists[i][j] = r.text()
		}
	}
	c.slab = make([]brimline.Field, r.count(1))
}

func (c *columnReader) row(r *wireReader) []brimline.Field {
	n := r.uvarint()
	if n == 0 {
		return nil
	}
	if n > uint64(len(c.lists)) || len(c.lists[n-1]) > len(c.slab) {
		r.fail(fmt.Errorf("column list %d", n))
		return nil
	}
	names := c.lists[n-1]
	fields := c.slab[:len(names):len(names)]
	c.slab = c.slab[len(names):]
	for i, name := range names {
		fields[i] = brimline.Field{Name: name, Value: r.columnValue()}
	}
	return fields
}
