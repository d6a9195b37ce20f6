package window

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/lovoo/goka/storage"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
)

func stood(c brimline.Change, lsn uint64, tx int64, commit int) brimline.Change {
	c.Inserted = true
	c.Source.LSN, c.Source.TxID, c.Source.Commit = lsn, tx, brimline.Time(1e15)+brimline.Time(commit)*1e6
	return c
}

// Whichever change is the newest, the message's own transaction is waited for: visibility is not in order of commits.
func TestACandidateWaitsForItsOwnTransaction(t *testing.T) {
	for name, newest := range map[string]brimline.Change{
		"two commits, the later one is shown first": stood(put("n", 1, 600), 30, 3, 2),
		"a snapshot row, without transaction":       stood(put("n", 1, 600), 30, 0, 2),
	} {
		b := newBench(t, brimline.Rule{ID: "r", Window: time.Hour, Limit: brimline.Count(10)})
		b.next(stood(put("z", 1, 1), 10, 1, 0))
		b.next(newest)
		out := b.next(stood(put("m", 11, 30), 20, 2, 1))
		if len(out) == 0 {
			t.Errorf("%s: no candidate", name)
		}
		for _, c := range out {
			if c.Source.TxID != 2 || c.After.LSN != 30 {
				t.Errorf(
					"%s: %s of row m (tx 2, LSN 20) waits for tx %d, LSN %d only",
					name,
					c.Kind,
					c.Source.TxID,
					c.Source.LSN,
				)
			}
		}
	}
}

// A clock of the database that steps back pins nothing.
func TestNewestFollowsAClockThatStepsBack(t *testing.T) {
	b := newBench(t, brimline.Rule{ID: "r", Window: time.Hour, Limit: brimline.Count(10)})
	b.next(stood(put("z", 1, 1), 10, 1, 600)) // the database's clock was ten minutes ahead
	for i := range 3 {
		out := b.next(stood(put(fmt.Sprint("m", i), 11, 100*(i+1)), uint64(1000*(i+1)), int64(100+i), 60*i))
		for _, c := range out {
			if c.Source.LSN != uint64(1000*(i+1)) {
				t.Errorf(
					"%s of row m%d (LSN %d) waits for LSN %d, tx %d only",
					c.Kind,
					i,
					1000*(i+1),
					c.Source.LSN,
					c.Source.TxID,
				)
			}
		}
	}
}

// left is a partition whose table has a user who is remembered by nothing.
func left(t *testing.T, s *States) *partitionStates {
	build := func(string, int32) (storage.Storage, error) { return storage.NewMemory(), nil }
	st, err := kept(build, NewMarkers(2), s).Build("table", 0)
	if err != nil {
		t.Fatal(err)
	}
	value, err := codecs.WindowPart{}.Encode(&brimline.Window{Last: 5, Above: brimline.Above{Last: 5}})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Set("left", value); err != nil {
		t.Fatal(err)
	}
	return s.partition(0)
}

// A rebalance ends a walk; the next one finds whom it has not come to.
func TestAWalkThatEndsEarlyIsMadeUpFor(t *testing.T) {
	s := NewStates(1 << 20)
	p := left(t, s)
	p.recalled, p.more = true, true
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Recall(ctx); err == nil {
		t.Fatal("no error")
	}
	if err := s.Recall(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.Above() == 0 {
		t.Error("who was left out is never asked about: the walk that ended early is not made up for")
	}
}

// Others who are asked about all the time keep out none who stands in the table only.
func TestWhoIsLeftOutIsAskedAbout(t *testing.T) {
	s := NewStates(1 << 20)
	p := left(t, s)
	p.recalled, p.more = true, true
	start := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	const busy = 12_000 // a fifth of what 100 a second allows in ten minutes
	for i := range busy {
		p.note(fmt.Sprint("u", i), brimline.Doubt{}, brimline.Above{Last: 10})
	}
	n := int64(11)
	for second := range 3600 {
		now := start.Add(time.Duration(second) * time.Second)
		if err := s.Recall(t.Context()); err != nil {
			t.Fatal(err)
		}
		for user := range s.DueAbove(now, now, false) {
			if user == "left" {
				return
			}
			n += 2 // asked, and the next row comes
			p.note(user, brimline.Doubt{}, brimline.Above{Asked: n, At: brimline.TimeOf(now)})
			p.note(user, brimline.Doubt{}, brimline.Above{Last: n + 1, Asked: n, At: brimline.TimeOf(now)})
		}
	}
	t.Errorf("an hour later the user who was left out was not asked about; %d wait", s.Above())
}

// Where PostgreSQL is not asked, a user above a limit is swept like any other.
func TestNothingIsNotedThatIsNotAsked(t *testing.T) {
	b := newBench(t, brimline.Rule{ID: "r", Window: time.Hour, Limit: brimline.Count(10)})
	b.fold.noAbove = true
	b.next(put("a", 11, 1))
	b.next(put("b", 1, 2))
	// --distrust-after 0 or --verify off: no AskAbove will ever come.
	if w := b.table.read(t); !isForgotten(w, math.MaxInt64, minutes(1_000_000)) {
		t.Errorf("never swept: %+v", w.Above)
	}
}

// After a failover the log begins lower; without commit times the transactions tell.
func TestNewestFollowsAFailover(t *testing.T) {
	b := newBench(t, brimline.Rule{ID: "r", Window: time.Hour, Limit: brimline.Count(10)})
	z, m := stood(put("z", 1, 1), 9000, 77, 0), stood(put("m", 11, 100), 5000, 60, 0)
	z.Source.Commit, m.Source.Commit = 0, 0
	b.next(z) // of the timeline that was left
	for _, c := range b.next(m) {
		if c.Source.LSN != 5000 {
			t.Errorf(
				"%s of row m (LSN 5000) waits for LSN %d, tx %d, of a timeline that was left",
				c.Kind,
				c.Source.LSN,
				c.Source.TxID,
			)
		}
	}
}

// Transaction 3 is shown before transaction 2, whose row makes the edge.
func TestALateEdgeWaitsForItsOwnTransaction(t *testing.T) {
	r := brimline.Rule{ID: "r", Window: time.Hour, Limit: brimline.Count(10)}
	b := newBench(t, r)
	b.next(stood(put("z", 1, 1), 10, 1, 0))
	b.next(stood(put("n", 1, 600), 30, 3, 2))
	shown := map[int64]bool{1: true, 3: true}
	rows := map[int64]brimline.Transaction{1: put("z", 1, 1).Row, 3: put("n", 1, 600).Row}
	out := b.next(stood(put("m", 11, 30), 20, 2, 1))
	if len(out) != 1 {
		t.Fatal(out)
	}
	if !shown[out[0].Source.TxID] { // PostgreSQL is waited for
		shown[2] = true
	}
	if shown[2] {
		rows[2] = put("m", 11, 30).Row
	}
	all := map[string]brimline.Transaction{}
	for _, row := range rows {
		all[row.ID] = row
	}
	edges := edgesOf(all, &r)
	var alerts []brimline.Candidate
	answer := brimline.Change{
		Kind:  brimline.EdgesFound,
		Rule:  r.Fingerprint(),
		Cause: out[0].Cause.Offset,
		Index: out[0].Cause.Index,
		Edges: edges,
	}
	alerts = append(alerts, b.next(answer)...)
	if len(alerts) == 0 || waits(b.table.read(t)) {
		t.Errorf(
			"edge of row m: asked while its transaction was not shown, %d edges found, and nothing is open: no alert, ever",
			len(edges),
		)
	}
}

// Users whose question apart is open heed no word, and take no share from others.
func TestWhoWasToldInVainComesLast(t *testing.T) {
	s := NewStates(1 << 20)
	p := open(t, s, 0, nil)
	start := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	const waiting = 4000
	for i := range waiting { // each has a question apart open, of a backfill, so the fold heeds none of the words
		p.note(fmt.Sprint("a", i), brimline.Doubt{}, brimline.Above{Last: 10})
	}
	p.note("z", brimline.Doubt{}, brimline.Above{Last: 10}) // has none
	words := 0
	for second := range 600 {
		now := start.Add(time.Duration(second) * time.Second)
		due := s.DueAbove(now, now, false)
		words += len(due)
		if due["z"] != nil {
			return
		}
		for user := range due {
			p.note(user, brimline.Doubt{}, brimline.Above{Last: 10})
		}
	}
	t.Errorf("not asked within ten minutes, behind %d words of no use", words)
}

// The metric of delays and the alert tell of the row's own commit.
func TestTheSourceIsTheTriggers(t *testing.T) {
	b := newBench(t, brimline.Rule{ID: "r", Window: time.Hour, Limit: brimline.Count(10)})
	n := stood(put("n", 1, 600), 30, 3, 0)
	n.Source.Commit += 1 // one microsecond later than a tick may be
	b.next(n)
	out := b.next(stood(put("m", 11, 601), 31, 4, -1))
	for _, c := range out {
		if got, want := c.Source.Commit, stood(put("m", 11, 601), 31, 4, -1).Source.Commit; got != want {
			t.Errorf(
				"%s of row m, committed at %v, has source.commit %v (row n was at %v)",
				c.Kind,
				want,
				got,
				n.Source.Commit,
			)
		}
	}
}
