package window

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lovoo/goka/storage"
	"pgregory.net/rapid"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/sliding"
	"github.com/brimline/brimline/processors"
)

// TestTruncatesAmongPartitions: rows are inserted into a table that is truncated now and then. The changes lie in
// several partitions, which are read as it comes; stretches are written a second time, and read a third time by an
// instance that thaws. In the end the rows are the table's, and each of its edges is alerted once.
func TestTruncatesAmongPartitions(t *testing.T) {
	rule := brimline.Rule{ID: "r", Window: 2 * time.Hour, Limit: brimline.Count(3)}
	rules := []sliding.Rule{{Rule: rule, Fingerprint: rule.Fingerprint()}}
	f := NewFolder(&brimline.RuleSet{Rules: []brimline.Rule{rule}, Lateness: 1000 * time.Hour}, rules, time.Hour)
	mixed := 0
	history := func(t *rapid.T) {
		partitions := rapid.IntRange(1, 3).Draw(t, "partitions")
		var (
			rows   []brimline.Transaction // of the table in the end
			queues = make([][]brimline.Change, partitions)
			all    []brimline.Change
			lsn    uint64
			commit = brimline.Time(1e15)
		)
		write := func(c brimline.Change, p int) {
			c.Source.Partition, c.Source.Offset = int32(p), int64(len(queues[p]))
			queues[p] = append(queues[p], c)
		}
		for n := range rapid.IntRange(1, 25).Draw(t, "changes") {
			lsn += rapid.Uint64Range(1, 500).Draw(t, "wal")
			commit += brimline.Time(rapid.Int64Range(0, 200_000).Draw(t, "later"))
			c := brimline.Change{Kind: brimline.Upsert, User: "u", Inserted: true,
				Source: brimline.Source{LSN: lsn, Commit: commit, TxID: int64(n + 1)}}
			if rapid.IntRange(0, 7).Draw(t, "truncate") == 0 {
				c.Kind, c.Inserted, c.Whole = brimline.Truncate, false, partitions == 1
				rows = nil
			} else {
				c.Row = brimline.Transaction{ID: fmt.Sprint(n), User: "u",
					Amount: brimline.Amount(rapid.Int64Range(1, 3).Draw(t, "amount")),
					Time:   brimline.Time(rapid.Int64Range(0, 8).Draw(t, "hour")) * hour}
				rows = append(rows, c.Row)
			}
			all = append(all, c)
			write(c, rapid.IntRange(0, partitions-1).Draw(t, "partition"))
			if rapid.IntRange(0, 9).Draw(t, "restart") == 0 { // the connector writes again what it has not confirmed
				for back := max(0, n-rapid.IntRange(0, 5).Draw(t, "unconfirmed")); back <= n; back++ {
					write(all[back], rapid.IntRange(0, partitions-1).Draw(t, "its partition"))
				}
			}
		}
		want := edgesAtRest(rows, &rules[0])
		alerts := map[brimline.Time]int{}
		var stream, answers []brimline.Change // what is read, and what verify and the stage itself add
		next := make([]int, partitions)
		for {
			open := slices.DeleteFunc(rangeOf(partitions), func(p int) bool { return next[p] == len(queues[p]) })
			if len(open) == 0 {
				break
			}
			p := rapid.SampledFrom(open).Draw(t, "read")
			stream = append(stream, queues[p][next[p]])
			next[p]++
		}
		if to := rapid.IntRange(0, len(stream)).Draw(t, "to"); to > 0 { // an instance that thaws
			begin := rapid.IntRange(0, to).Draw(t, "from")
			stream = slices.Insert(slices.Clone(stream), rapid.IntRange(to, len(stream)).Draw(t, "thawed"), stream[begin:to]...)
		}
		table, markers := newTable(), NewMarkers(1)
		state := table.load(t, f)
		for offset := int64(0); len(stream)+len(answers) > 0; offset++ {
			from := &stream
			if len(stream) == 0 || len(answers) > 0 && rapid.Bool().Draw(t, "answer") {
				from = &answers
			}
			c := (*from)[0]
			*from = (*from)[1:]
			if c.Kind == brimline.Truncate {
				markers.take(0, offset, &c)
				k := markers.get(0)
				if value := table.value; value != nil && !c.Whole && k.TruncatedAt == offset+1 {
					w, err := codecs.WindowPart{}.Decode(value)
					if err != nil {
						t.Fatal(err)
					}
					if isMixed(w.(*brimline.Window), k.Truncation) {
						answers = append(answers, brimline.Change{Kind: brimline.AskAgain, User: "u"})
					}
				}
				continue
			}
			k := markers.get(0)
			out, write := f.Fold(state, Input{Change: &c, Offset: offset, TruncatedAt: k.TruncatedAt, Truncation: k.Truncation})
			if write {
				table.write(t, state)
			} else if state.changed {
				state = table.load(t, f)
			}
			if c.Kind == brimline.AskAgain && len(out) > 0 {
				mixed++
			}
			for _, e := range out {
				if e.Kind != brimline.EdgeCandidate {
					t.Fatalf("a question: %+v", e)
				}
				if slices.Contains(want, e.Edge) {
					alerts[e.Edge]++
					continue
				}
				answers = append(answers, brimline.Change{Kind: brimline.Dismissal, User: "u", Rule: e.Rule.Fingerprint(),
					Edges: []brimline.Time{e.Edge}, Cause: e.Cause.Offset})
			}
			if rapid.IntRange(0, 9).Draw(t, "reload") == 0 {
				state = table.load(t, f)
			}
		}
		for _, e := range want {
			if alerts[e] != 1 {
				t.Errorf("the edge at %v was announced %d times", e, alerts[e])
			}
		}
		var held []brimline.Row
		for _, row := range rows {
			held = append(held, brimline.RowOf(&row))
		}
		slices.SortFunc(held, func(a, b brimline.Row) int {
			return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.ID(), b.ID()))
		})
		w := table.read(t)
		if w == nil {
			w = &brimline.Window{}
		}
		k := markers.get(0)
		got := slices.DeleteFunc(slices.Clone(w.Rows), func(r brimline.Row) bool {
			return w.Last <= k.TruncatedAt && (k.Truncation == nil || !k.Truncation.Spares(&r, w.Changed))
		})
		if !slices.EqualFunc(got, held, func(a, b brimline.Row) bool { return a.SameRow(&b) }) {
			t.Fatalf("rows %v, want %v", got, held)
		}
	}
	// Of a hundred histories about two have what is sought, and sometimes none.
	for round := 0; round < 50 && mixed == 0 && !t.Failed(); round++ {
		rapid.Check(t, history)
	}
	if mixed == 0 {
		t.Error("nothing to see: no edge came to light by a TRUNCATE alone")
	}
}

// TestSnapshotsAfterATruncate: a snapshot that is taken soon after a TRUNCATE has rows that are newer, whether the row
// was known before or not.
func TestSnapshotsAfterATruncate(t *testing.T) {
	truncate := brimline.Truncation{Source: brimline.Source{Partition: 1, LSN: 50, Commit: 1e15}}
	at := brimline.Source{LSN: 60, Commit: 1e15 + 10e6, Snapshot: true}
	row := brimline.RowOf(&brimline.Transaction{ID: "1"})
	row.Stamp = brimline.StampOf(&at)
	known := brimline.RowVersion{ID: "1"}
	known.Note(&at, brimline.Newer)
	if !truncate.Spares(&row, nil) || !truncate.Spares(&row, []brimline.RowVersion{known}) {
		t.Error("it takes them")
	}
	at.LSN, row.Stamp = 40, brimline.StampOf(&brimline.Source{LSN: 40, Commit: 1e15 - 10e6, Snapshot: true})
	known.Note(&at, brimline.Newer)
	if truncate.Spares(&row, nil) || truncate.Spares(&row, []brimline.RowVersion{known}) {
		t.Error("it leaves those of a snapshot before it")
	}
}

// TestTruncateOfAHeavyUser: rows that a TRUNCATE takes out of segments are not noted one by one as gone, which takes
// time with the square of their number; and what is left, few rows or many, is what a reader finds.
func TestTruncateOfAHeavyUser(t *testing.T) {
	rule := brimline.Rule{ID: "r", Window: 2 * time.Hour, Limit: brimline.Count(1 << 40)}
	f := NewFolder(&brimline.RuleSet{Rules: []brimline.Rule{rule}, Lateness: 1000 * time.Hour},
		[]sliding.Rule{{Rule: rule, Fingerprint: rule.Fingerprint()}}, time.Hour)
	for _, spared := range []int{1, 3000} {
		table := newTable()
		state := table.load(t, f)
		const rows = 6000
		for i := range rows {
			from := brimline.Source{LSN: uint64(i + 1), Commit: 1e15, Offset: int64(i)}
			f.Fold(state, Input{Offset: int64(i), Change: &brimline.Change{Kind: brimline.Upsert, User: "u", Source: from,
				Row: brimline.Transaction{ID: fmt.Sprint("id", i), User: "u", Amount: 1, Time: minutes(i)}}})
			table.write(t, state)
		}
		truncate := &brimline.Truncation{
			Source: brimline.Source{LSN: uint64(rows - spared), Commit: 1e15, Partition: 1}}
		state = table.load(t, f)
		if state.tail == nil {
			t.Fatal("nothing to see: the user has no segments")
		}
		_, write := f.Fold(state, Input{Offset: rows + 1, TruncatedAt: rows + 1, Truncation: truncate,
			Change: &brimline.Change{Kind: brimline.AskAgain, User: "u"}})
		if !write || len(state.tail.Gone) > 0 {
			t.Errorf("%d spared: write %v, %d noted as gone", spared, write, len(state.tail.Gone))
		}
		table.write(t, state)
		if got := table.read(t).Rows; len(got) != spared || got[0].ID() != fmt.Sprint("id", rows-spared) {
			t.Errorf("%d rows, want %d", len(got), spared)
		}
		same(t, table.load(t, f), state)
	}
}

// TestTruncateWaitsForTheRowsItLeaves: of an edge that comes to light by a TRUNCATE, PostgreSQL is asked where it has
// seen the rows that make it. The message that brings it to light knows no place, or an earlier one.
func TestTruncateWaitsForTheRowsItLeaves(t *testing.T) {
	rule := brimline.Rule{ID: "r", Window: 2 * time.Hour, Limit: brimline.Count(100)}
	f := NewFolder(&brimline.RuleSet{Rules: []brimline.Rule{rule}, Lateness: 1000 * time.Hour},
		[]sliding.Rule{{Rule: rule, Fingerprint: rule.Fingerprint()}}, time.Hour)
	at := func(lsn uint64) brimline.Source {
		return brimline.Source{LSN: lsn, Commit: 1e15 + brimline.Time(lsn)<<20, Offset: int64(lsn), TxID: int64(lsn)}
	}
	row := func(id string, minute int, lsn uint64) *brimline.Change {
		return &brimline.Change{Kind: brimline.Upsert, User: "u", Source: at(lsn),
			Row: brimline.Transaction{ID: id, User: "u", Amount: 101, Time: minutes(minute)}}
	}
	truncate := &brimline.Truncation{Source: brimline.Source{LSN: 20, Commit: at(20).Commit, Partition: 1}}
	for _, wake := range []*brimline.Change{{Kind: brimline.AskAgain, User: "u"}, row("4", 2, 15), row("5", 200, 25)} {
		table := newTable()
		state := table.load(t, f)
		for i, c := range []*brimline.Change{row("1", 0, 10), row("2", 1, 30), row("3", -500, 28)} {
			f.Fold(state, Input{Offset: int64(i), Change: c})
		}
		table.write(t, state)
		in := Input{Offset: 4, TruncatedAt: 4, Truncation: truncate, Change: wake}
		first, _ := f.Fold(state, in)
		table.write(t, state)
		again, _ := f.Fold(table.load(t, f), in)
		for what, out := range map[string][]brimline.Candidate{"first": first, "again": again} {
			seen := false
			for _, c := range out {
				if c.Edge == minutes(1) {
					seen = true
					if after := c.After.Source(); after.LSN != 30 || after.Commit < at(30).Commit ||
						after.Commit > at(30).Commit+1<<16 {
						t.Errorf("%s, by %v at %d: %+v", what, wake.Kind, wake.Source.LSN, after)
					}
				}
			}
			if !seen {
				t.Errorf("%s, by %v at %d: no candidate in %+v", what, wake.Kind, wake.Source.LSN, out)
			}
		}
	}
}

// edgesAtRest judges rows as SQL does.
func edgesAtRest(rows []brimline.Transaction, rule *sliding.Rule) (edges []brimline.Time) {
	for i := range rows {
		t, total, before := rows[i].Time, int64(0), int64(0)
		for _, r := range rows {
			if r.Time > t || r.Time < t.Add(-rule.Window) {
				continue
			}
			total += int64(r.Amount)
			if r.Time != t {
				before += int64(r.Amount)
			}
		}
		limit := func(n int64) int { return brimline.Count(n).Cmp(rule.Limit) }
		if limit(before) <= 0 && limit(total) > 0 && !slices.Contains(edges, t) {
			edges = append(edges, t)
		}
	}
	return edges
}

// TestGraphWakesMixedUsers: rows from after a TRUNCATE came before it, and those from before it hide their edge. It
// comes without another row of the user's.
func TestGraphWakesMixedUsers(t *testing.T) {
	row := func(s *stage, user, id string, at time.Duration, lsn uint64) {
		from := brimline.Source{LSN: lsn, Commit: 1e15, Offset: int64(lsn)}
		s.change(user, brimline.Change{Kind: brimline.Upsert, Source: from,
			Row: brimline.Transaction{ID: id, User: user, Amount: 101, Time: brimline.Time(at.Microseconds())}})
	}
	truncate := brimline.Change{Kind: brimline.Truncate, Source: brimline.Source{LSN: 20, Commit: 1e15, Partition: 1}}
	s := start(t)
	for _, user := range []string{"mixed", "before"} {
		row(s, user, "1", 0, 10)
	}
	row(s, "mixed", "2", time.Minute, 30)
	row(s, "after", "2", time.Minute, 30)
	if got := s.candidates(); len(got) != 3 {
		t.Fatalf("candidates %v", got)
	}
	s.change(processors.MarkerKey(0, 1), truncate)
	if got := s.candidates(); len(got) != 1 || got[0] != "mixed/r/1970-01-01T00:01:00.000000Z" {
		t.Errorf("candidates %v", got)
	}
	if w := s.window("mixed"); len(w.Rows) != 1 || w.Rows[0].ID() != "2" {
		t.Errorf("rows %+v", w.Rows)
	}
	row(s, "before", "3", time.Hour, 15) // late, and of before
	if w := s.window("before"); w.Last > 5 {
		t.Errorf("a row that the TRUNCATE took was taken in: %+v", w)
	}
}

// TestMarkersRememberPlaces: what a marker says of a TRUNCATE is there after a restart, and an older one changes
// nothing.
func TestMarkersRememberPlaces(t *testing.T) {
	in := mapped{of: map[string][]byte{}}
	m := reopened(t, in)
	for i, c := range []struct {
		lsn   uint64
		whole bool
		at    int64 // what is known then
		known uint64
		alone bool
	}{{40, true, 1, 40, true}, {30, false, 1, 40, true}, {40, false, 1, 40, true}, {50, false, 4, 50, false},
		{0, false, 5, 0, false}} {
		keep(t, in, m.take(0, int64(i), &brimline.Change{Kind: brimline.Truncate, Whole: c.whole,
			Source: brimline.Source{Topic: "t", LSN: c.lsn, Partition: int32(i), Commit: 1e15}}))
		before := m.get(0)
		m = reopened(t, in)
		k := m.get(0)
		if !reflect.DeepEqual(k, before) {
			t.Errorf("%d: %+v is %+v after a restart", i, before, k)
		}
		if k.TruncatedAt != c.at || (k.Truncation == nil) != (c.known == 0) ||
			k.Truncation != nil && (k.Truncation.Source.LSN != c.known || k.Truncation.Whole != c.alone) {
			t.Errorf("%d: %+v of %+v", i, k, k.Truncation)
		}
	}
}

// TestMarkersKnowReplays: messages that come once more after a restart find the marker as the newest has left it.
func TestMarkersKnowReplays(t *testing.T) {
	in := mapped{of: map[string][]byte{}}
	messages := []*brimline.Change{
		{Kind: brimline.Truncate}, {Kind: brimline.Sweep, Row: brimline.Transaction{Time: 7}},
		{Kind: brimline.Truncate, Source: brimline.Source{LSN: 40, Offset: 1}},
		{Kind: brimline.Truncate, Source: brimline.Source{Offset: 2}},
		{Kind: brimline.Sweep, Row: brimline.Transaction{Time: 9}},
	}
	m := reopened(t, in)
	for offset, c := range messages {
		keep(t, in, m.take(0, int64(offset), c))
	}
	want := m.get(0)
	if want.TruncatedAt != 4 || want.Truncation != nil || len(want.Sweeps) != 2 || want.Last() != 5 {
		t.Fatalf("%+v", want)
	}
	m = reopened(t, in)
	for offset, c := range messages {
		keep(t, in, m.take(0, int64(offset), c))
		if got := m.get(0); !reflect.DeepEqual(got, want) {
			t.Errorf("message %d once more makes %+v of %+v", offset, got, want)
		}
	}
}

// TestMarkersOfTheLayoutBefore: what an older brimline wrote down of a partition is taken over.
func TestMarkersOfTheLayoutBefore(t *testing.T) {
	text, err := os.ReadFile("../../testdata/wire/older/marker-v1/swept.hex")
	if err != nil {
		t.Fatal(err)
	}
	stored, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	m := reopened(t, mapped{of: map[string][]byte{processors.MarkerKey(0, 1): stored}})
	k := m.get(0)
	if k.TruncatedAt != 4712 || k.Truncation == nil || !k.Truncation.Whole || len(k.Sweeps) != 2 {
		t.Errorf("%+v of %+v", k, k.Truncation)
	}
}

// reopened are the markers that a table has after a restart.
func reopened(t *testing.T, in mapped) *Markers {
	t.Helper()
	m := NewMarkers(1)
	inner := func(string, int32) (storage.Storage, error) { return memory{in}, nil }
	st, err := kept(inner, m, NewStates(0)).Build("table", 0)
	if err == nil {
		err = st.MarkRecovered()
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func keep(t *testing.T, in mapped, m *brimline.Marker) {
	t.Helper()
	value, err := codecs.WindowTable{}.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	in.of[processors.MarkerKey(0, 1)] = value
}
