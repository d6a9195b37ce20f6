package window

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/sliding"
)

type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// userTable is the group table's content of one user.
type userTable struct {
	value    []byte
	segments map[uint64][]byte
	written  int // bytes, of all records
}

func newTable() *userTable { return &userTable{segments: map[uint64][]byte{}} }

func (tb *userTable) clone() *userTable {
	return &userTable{tb.value, maps.Clone(tb.segments), tb.written}
}

// withSegmentsOf is tb with the segments that were written later and came into the changelog before it ended.
func (tb *userTable) withSegmentsOf(later *userTable) *userTable {
	c := tb.clone()
	for n, value := range later.segments {
		c.segments[n] = value
	}
	return c
}

// write commits s, and checks that a reader finds a whole window between any two records.
func (tb *userTable) write(t failer, s *State) {
	t.Helper()
	c, err := s.commit()
	if err != nil {
		t.Fatalf("commit: %v", err)
	}
	var before *brimline.Window
	if len(c.sealed) > 0 {
		before = tb.read(t)
	}
	for _, seg := range c.sealed {
		if old, there := tb.segments[seg.number]; there && !bytes.Equal(old, seg.value) {
			t.Fatalf("segment %d was %x and is written as %x", seg.number, old, seg.value)
		}
		tb.segments[seg.number] = seg.value
		tb.written += len(seg.value)
	}
	if again := before; len(c.sealed) > 0 && !reflect.DeepEqual(tb.read(t), before) {
		t.Fatalf("new segments changed what the old value says: %+v, was %+v", again, before)
	}
	if tb.value, err = (codecs.WindowPart{}).Encode(s.value()); err != nil {
		t.Fatalf("encoding: %v", err)
	}
	tb.written += len(tb.value)
	for n := c.first; n != c.next; n++ {
		tb.read(t)
		delete(tb.segments, n)
	}
}

func (tb *userTable) read(t failer) *brimline.Window {
	t.Helper()
	if tb.value == nil {
		return nil
	}
	whole, _, err := codecs.AssembleWindow(tb.decoded(t), func(n uint64) ([]byte, error) { return tb.segments[n], nil })
	if err != nil {
		t.Fatalf("%v", err)
	}
	return whole
}

func (tb *userTable) decoded(t failer) *brimline.Window {
	t.Helper()
	v, err := codecs.WindowPart{}.Decode(tb.value)
	if err != nil {
		t.Fatalf("decoding: %v", err)
	}
	return v.(*brimline.Window)
}

// load reads the state back, as another instance would.
func (tb *userTable) load(t failer, f *Folder) *State {
	t.Helper()
	if tb.value == nil {
		return f.NewState("u", nil, nil, 0)
	}
	value := tb.decoded(t)
	whole, entries, err := codecs.AssembleWindow(value, func(n uint64) ([]byte, error) { return tb.segments[n], nil })
	if err != nil {
		t.Fatalf("%v", err)
	}
	return f.NewState("u", value, whole, entries)
}

// same fails unless two states say the same and would cut the same segments.
func same(t failer, got, want *State) {
	t.Helper()
	flat := func(s *State) string {
		w := *s.w
		w.Rows, w.Changed = s.rows.Rows(), s.versions.all()
		tail := brimline.Window{}
		if s.tail != nil {
			tail = *s.value()
		}
		var rows [2][]brimline.Transaction // Rows print their columns' addresses
		for i, of := range []*brimline.Window{&w, &tail} {
			for at := range of.Rows {
				rows[i] = append(rows[i], of.Rows[at].Transaction(""))
			}
			of.Rows = nil
		}
		return fmt.Sprintf("entries %d\n%+v %+v\ntail %+v %+v", s.entries, w, rows[0], tail, rows[1])
	}
	if g, w := flat(got), flat(want); g != w {
		t.Fatalf("read back:\n%s\nwas:\n%s", g, w)
	}
}

// TestSegmentsOfAHeavyUser: thousands of rows in any order, some changed and
// some deleted; what is written per change does not grow with them.
func TestSegmentsOfAHeavyUser(t *testing.T) {
	const rows = 6000
	r := rand.New(rand.NewPCG(1, 2))
	rule := brimline.Rule{ID: "r", Window: 7 * 24 * time.Hour, Limit: brimline.Count(3000)}
	rules := []sliding.Rule{{Rule: rule, Fingerprint: rule.Fingerprint()}}
	f := NewFolder(&brimline.RuleSet{Rules: []brimline.Rule{rule}, Lateness: 24 * time.Hour}, rules, time.Hour)
	tb, s := newTable(), f.NewState("u", nil, nil, 0)
	want := map[string]brimline.Transaction{}
	fold := func(offset int64, c brimline.Change) {
		c.User, c.Source.Offset = "u", offset
		if _, write := f.Fold(s, Input{Change: &c, Offset: offset}); write {
			tb.write(t, s)
		} else if s.changed {
			s = tb.load(t, f)
		}
	}
	var perRow [2]int // bytes of the first and of the last thousand
	for i := range rows {
		before := tb.written
		row := brimline.Transaction{ID: fmt.Sprint(i), User: "u", Amount: brimline.Amount(r.IntN(10)),
			Time: brimline.Time(i)*brimline.Time(time.Minute.Microseconds()) - brimline.Time(r.Int64N(time.Hour.Microseconds()))}
		fold(int64(3*i), brimline.Change{Kind: brimline.Upsert, Row: row})
		want[row.ID] = row
		perRow[i*2/rows] += tb.written - before
		if r.IntN(10) == 0 {
			id := fmt.Sprint(r.IntN(i + 1))
			changed, ok := want[id]
			if !ok {
				continue
			}
			if r.IntN(2) == 0 {
				changed.Amount++
				want[id] = changed
				fold(int64(3*i+1), brimline.Change{Kind: brimline.Upsert, Row: changed})
			} else {
				delete(want, id)
				fold(int64(3*i+1), brimline.Change{Kind: brimline.Delete, Row: changed})
			}
		}
		if i%997 == 0 {
			same(t, tb.load(t, f), s)
		}
	}
	got := tb.read(t)
	maps.DeleteFunc(want, func(_ string, row brimline.Transaction) bool { return row.Time <= got.Floor })
	if len(got.Rows) != len(want) || got.Older.Len() == 0 {
		t.Fatalf("%d rows in %d segments, want %d", len(got.Rows), got.Older.Len(), len(want))
	}
	for _, row := range got.Rows {
		if w := want[row.ID()]; row.Amount != w.Amount || row.Time != w.Time {
			t.Errorf("row %+v, want %+v", row, w)
		}
	}
	for n := range tb.segments {
		if n < got.Older.First || n >= got.Older.Next {
			t.Errorf("segment %d is left behind", n)
		}
	}
	if perRow[1] > perRow[0]*3/2 || perRow[1] > rows/2*250 {
		t.Errorf("the second half of the rows took %d bytes, the first %d", perRow[1], perRow[0])
	}
}

// TestSegmentsGoWithWhatTheyHeld: what segments hold does not come back once it
// is gone by a truncation, with its rule, or row by row; and their numbers are not used again.
func TestSegmentsGoWithWhatTheyHeld(t *testing.T) {
	kept, other := hourly("kept", 10, brimline.SumAbs), hourly("other", 20, brimline.SumAbs)
	fill := func(b *bench, from int) {
		for i := range 40 {
			b.next(put(fmt.Sprint(from+i), 1, from+i))
		}
	}
	check := func(b *bench, what string, rows, edges int) {
		t.Helper()
		same(t, b.table.load(t, b.fold), b.st)
		w := b.table.read(t)
		n := 0
		for _, r := range w.Rules {
			n += len(r.Edges)
		}
		if len(w.Rows) != rows || n != edges {
			t.Errorf("%s: %d rows and %d edges, want %d and %d", what, len(w.Rows), n, rows, edges)
		}
		if len(b.table.segments) != w.Older.Len() {
			t.Errorf("%s: %d segments for %+v", what, len(b.table.segments), w.Older)
		}
	}
	b := newBench(t, kept, other)
	fill(b, 0)
	check(b, "filled", 40, 2)
	c := put("x", 1, 41)
	b.input(Input{Change: &c, Offset: 100, TruncatedAt: 100})
	check(b, "truncated", 1, 2)

	b = newBench(t, kept, other)
	fill(b, 0)
	b.apply(kept)
	b.next(put("x", 1, 41))
	check(b, "without the other rule", 41, 1)
	b.apply(kept, hourly("third", 1_000, brimline.SumAbs), other)
	b.next(put("y", 0, 42))
	check(b, "with it again", 42, 2)

	b = newBench(t, hourly("quiet", 1_000, brimline.SumAbs))
	fill(b, 0)
	last := b.table.read(t).Older.Next
	for i := range 40 {
		gone := put(fmt.Sprint(i), 1, i)
		gone.Kind = brimline.Delete
		b.next(gone)
	}
	b.next(put("later", 1, 10_000)) // the versions of the deleted rows go, too
	check(b, "deleted", 1, 0)
	if older := b.table.decoded(t).Older; older.Len() != 0 || older.Next < last {
		t.Errorf("one row is left, and segments %+v", older)
	}
	fill(b, 10_001)
	if older := b.table.decoded(t).Older; older.Len() == 0 || older.First < last {
		t.Errorf("filled again, and segments %+v: numbers up to %d were used", older, last)
	}
}

// TestTornStateAsksPostgreSQL: a user whose segments are not those of the value
// knows nothing, says so, and is whole again after a window.
func TestTornStateAsksPostgreSQL(t *testing.T) {
	rule := hourly("r", 100, brimline.SumAbs)
	b := newBench(t, rule)
	for i := range 60 {
		b.next(put(fmt.Sprint(i), 1+100*brimline.Amount(i/39%2), i))
	}
	lost := slices.Min(slices.Collect(maps.Keys(b.table.segments)))
	delete(b.table.segments, lost)
	value := b.table.decoded(t)
	rest, _, err := codecs.AssembleWindow(value, func(n uint64) ([]byte, error) { return b.table.segments[n], nil })
	if !errors.Is(err, codecs.ErrTorn) {
		t.Fatalf("a missing segment: %v", err)
	}
	b.table = newTable()
	b.st = b.fold.brokenState("u", value, rest, minutes(1000))
	out := causes(b.next(put("late", 5, 900)))
	if _, ok := out["late r"]; !ok {
		t.Errorf("PostgreSQL was not asked: %v", out)
	}
	known := brimline.Change{Kind: brimline.EdgesFound, Rule: rule.Fingerprint(), Edges: []brimline.Time{minutes(39)}}
	if out := b.next(known); len(out) != 0 {
		t.Errorf("an edge of a segment that is there was announced again: %+v", out)
	}
	b.next(put("new", 101, 1061))
	if out := b.next(put("newer", 101, 1200)); len(out) != 1 || out[0].Kind != brimline.EdgeCandidate {
		t.Errorf("after the window has filled again: %+v", out)
	}
}

// TestALogThatIsWrittenAnewFitsRecords: however many versions, with ids as long as can be, and edges a user has, no
// record is larger than a segment may be, and what is read back is the same.
func TestALogThatIsWrittenAnewFitsRecords(t *testing.T) {
	rule, other := hourly("r", 100, brimline.SumAbs), hourly("other", 100, brimline.SumAbs)
	b := newBench(t, rule, other)
	w := &brimline.Window{Last: 5, Floor: brimline.MinTime,
		Rules: []brimline.RuleState{{Rule: rule.Fingerprint()}, {Rule: other.Fingerprint()}}}
	for i := range 6_000 {
		w.Changed = append(w.Changed,
			brimline.RowVersion{ID: fmt.Sprintf("%01024d", i), Offset: int64(i), Time: minutes(0) + 1,
				From: minutes(0)})
	}
	for i := range 60_000 {
		e := brimline.Edge{Time: minutes(i), Cause: brimline.Cause{Offset: int64(i) * 211}}
		w.Rules[i%2].Edges = append(w.Rules[i%2].Edges, e)
	}
	want := codecs.Entries(w)
	b.st = b.fold.NewState("u", w, w, want)
	b.offset = 10
	c := put("x", 1, 1)
	c.User = "u"
	if _, write := b.fold.Fold(b.st, Input{Change: &c, Offset: b.offset}); !write {
		t.Fatal("nothing to write")
	}
	b.table.write(t, b.st)
	most := len(b.table.value)
	for _, segment := range b.table.segments {
		most = max(most, len(segment))
	}
	if most > segmentBytes+2<<10 {
		t.Errorf("a record of %d bytes, in %d segments", most, len(b.table.segments))
	}
	if got := codecs.Entries(b.table.read(t)); got != want+1 {
		t.Errorf("%d entries are read back, want %d", got, want+1)
	}
	same(t, b.table.load(t, b.fold), b.st)
}
