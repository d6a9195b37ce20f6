package verify

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
)

// links are the superseded alerts as text: by id, those without left out.
func (w *world) links() (all []string) {
	w.t.Helper()
	for _, a := range decoded[*brimline.Alert](w.t, codecs.Alert{}, w.read(w.streams.Alerts)) {
		if len(a.Supersedes) > 0 {
			all = append(all, fmt.Sprint(a.Candidate.User, " ", a.Candidate.Edge, " supersedes ", a.Supersedes))
		}
	}
	slices.Sort(all)
	return all
}

func (w *world) expectLinks(want ...string) {
	w.t.Helper()
	if got := w.links(); !slices.Equal(got, want) {
		w.t.Errorf("links\n %s\nwant\n %s", strings.Join(got, "\n "), strings.Join(want, "\n "))
	}
}

func link(user string, edge brimline.Time, superseded ...brimline.Time) string {
	return fmt.Sprint(user, " ", edge, " supersedes ", superseded)
}

// naming is an edge candidate that names later edges.
func naming(user string, edge brimline.Time, offset int64, later ...brimline.Time) *brimline.Candidate {
	c := edgeCandidate(user, edge, offset)
	c.Later = later
	return c
}

// TestSupersedes: an alert names those that were sent before it, which are no edge any more by the rows that PostgreSQL
// shows, as far as the next edge. A candidate that was dismissed was not sent.
func TestSupersedes(t *testing.T) {
	w := newWorld(t, 1)
	w.put(
		edgeCandidate("u", 6*hour, 1), edgeCandidate("u", 5*hour, 2), edgeCandidate("u", 4*hour, 3),
		edgeCandidate("u", 22*hour, 4), edgeCandidate("u", 20*hour, 5),
	)
	one := w.start("one")
	w.caughtUp()
	w.expectLinks()
	w.ledger.finds(2*hour, 20*hour)
	for range 2 { // the second one is a replay
		w.put(naming("u", 2*hour, 8, 4*hour, 5*hour, 6*hour, 20*hour, 22*hour))
		w.caughtUp()
		w.expectLinks(link("u", 2*hour, 4*hour, 6*hour))
	}
	one.stopped(t)
}

// TestSupersedesInABatch: what is in the same batch counts as sent if it is confirmed there, whichever comes first.
func TestSupersedesInABatch(t *testing.T) {
	w := newWorld(t, 1)
	w.ledger.finds(2 * hour)
	w.put(
		edgeCandidate("before", 4*hour, 1), edgeCandidate("before", 5*hour, 2), naming("before", 2*hour, 3, 4*hour, 5*hour),
		edgeCandidate("after", 2*hour, 4), edgeCandidate("after", 4*hour, 5),
		edgeCandidate("dismissed", 3*hour, 6), naming("dismissed", 2*hour, 7, 3*hour),
		edgeCandidate("gone", 8*hour, 8), naming("gone", 4*hour, 9, 8*hour), // which is no edge any more when that is asked
	)
	w.once()
	w.expectLinks(link("after", 2*hour, 4*hour), link("before", 2*hour, 4*hour))
	// Of 9 candidates 2 are asked about once more, and "gone"; of "dismissed" nothing was sent.
	if w.ledger.asked != 9+3 {
		t.Errorf("%d questions, want %d", w.ledger.asked, 9+3)
	}
}

// TestOneStatementForAUser: what several alerts of a user may supersede is asked by one statement, and by one for each
// where that cannot be answered.
func TestOneStatementForAUser(t *testing.T) {
	for _, bad := range []bool{false, true} {
		w := newWorld(t, 1)
		w.put(edgeCandidate("u", 6*hour, 1), edgeCandidate("u", 36*hour, 2), edgeCandidate("v", 6*hour, 3))
		w.once()
		w.ledger.finds(4*hour, 34*hour)
		want := []string{link("u", 4*hour, 6*hour), link("u", 34*hour, 36*hour), link("v", 4*hour, 6*hour)}
		if bad { // between 34 and 36
			w.ledger.refuse(35 * hour)
			want = append(want[:1:1], want[2])
		}
		before := w.ledger.asked
		w.put(naming("u", 34*hour, 4, 36*hour), naming("u", 4*hour, 5, 6*hour), naming("v", 4*hour, 6, 6*hour))
		w.once()
		w.expectLinks(want...)
		if got := w.ledger.asked - before; got != 3+2 { // what is dismissed is not counted
			t.Errorf("%d statements, want 5", got)
		}
	}
}

// TestWhatWasNotSentIsNotSuperseded: a claim remembers which of the latest candidates became no alert.
func TestWhatWasNotSentIsNotSuperseded(t *testing.T) {
	w := newWorld(t, 1)
	w.ledger.finds(2 * hour)
	w.put(edgeCandidate("u", 3*hour, 1))
	one := w.start("one")
	w.caughtUp()
	w.put(naming("u", 2*hour, 2, 3*hour))
	w.caughtUp()
	if w.ledger.asked != 2 {
		t.Errorf("%d questions, want 2", w.ledger.asked)
	}
	one.stopped(t)
	w.expectLinks()
}

// TestHeavyUsersSupersede: the question goes in pieces where the rows are many, and the user waits for it.
func TestHeavyUsersSupersede(t *testing.T) {
	w := newWorld(t, 1)
	w.ledger.finds(2 * hour)
	long := &fakeLedger{}
	long.finds(2 * hour)
	w.heavy = func(user string, _ brimline.Time) bool { return user == "heavy" }
	w.config = func(c *Config) { c.Long = long }
	w.put(edgeCandidate("heavy", 4*hour, 1), naming("heavy", 2*hour, 2, 4*hour))
	w.once()
	w.expectLinks(link("heavy", 2*hour, 4*hour))
	if long.asked != 3 {
		t.Errorf("%d long questions, want 3", long.asked)
	}
}

// TestWhatCannotBeJudgedIsNotSuperseded: rows between the two edges that cannot be added up keep no alert back.
func TestWhatCannotBeJudgedIsNotSuperseded(t *testing.T) {
	w := newWorld(t, 1)
	w.ledger.finds(2 * hour)
	w.put(edgeCandidate("u", 20*hour, 1))
	w.once()
	w.ledger.refuse(10 * hour)
	w.put(naming("u", 2*hour, 2, 20*hour))
	w.once()
	w.expectLinks()
	if n := len(w.read(w.streams.Alerts)); n != 2 {
		t.Errorf("%d alerts, want 2", n)
	}
}

// TestBeforeAlertsFromNothingIsSuperseded: an alert that is not sent supersedes none, and one that was not sent is not
// superseded.
func TestBeforeAlertsFromNothingIsSuperseded(t *testing.T) {
	w := newWorld(t, 1)
	w.ledger.finds(2*hour, 10*hour)
	w.config = func(c *Config) { c.AlertsFrom = 10 * hour }
	w.put(edgeCandidate("u", 4*hour, 1), edgeCandidate("u", 12*hour, 2), naming("u", 2*hour, 3, 4*hour),
		naming("u", 10*hour, 4, 12*hour))
	w.once()
	w.expectLinks(link("u", 10*hour, 12*hour))
}

// TestServersHaveWhatWasShown: the question waits for the newest change by which an alert was confirmed, also where
// that came in an earlier batch, of another transaction.
func TestServersHaveWhatWasShown(t *testing.T) {
	w := newWorld(t, 1)
	w.ledger.finds(2 * hour)
	first := edgeCandidate("u", 4*hour, 10)
	first.Source.LSN, first.Source.TxID = 500, 8
	w.put(first)
	one := w.start("one")
	w.caughtUp()
	w.put(naming("u", 2*hour, 11, 4*hour))
	w.caughtUp()
	one.stopped(t)
	w.expectLinks(link("u", 2*hour, 4*hour))
	if !slices.ContainsFunc(w.ledger.after, func(s brimline.Source) bool { return s.LSN == 500 && s.TxID == 8 }) {
		t.Errorf("it waits for %+v", w.ledger.after)
	}
}

func TestUnsent(t *testing.T) {
	var u unsent
	key := func(n int) edgeKey { return edgeKey{"u", 1, brimline.Time(n)} }
	for n := range 5 * mostUnsent {
		u.note(key(n), brimline.Source{}, false)
	}
	if !u.has(key(4*mostUnsent)) || len(u.newer)+len(u.last) > 2*mostUnsent {
		t.Errorf("%d are remembered", len(u.newer)+len(u.last))
	}
	if u.note(key(5*mostUnsent-1), brimline.Source{}, true); u.has(key(5*mostUnsent - 1)) {
		t.Error("what was sent counts as unsent")
	}
}
