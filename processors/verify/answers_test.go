package verify

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
)

// answers are the messages to the window stage, as text.
func (w *world) answers() (all []string) {
	w.t.Helper()
	for _, c := range decoded[*brimline.Change](w.t, codecs.Change{}, w.read(w.streams.Changes)) {
		var what string
		switch c.Kind {
		case brimline.EdgesFound:
			what = fmt.Sprintf("%d edges", len(c.Edges))
		case brimline.Unjudgeable:
			what = fmt.Sprintf("unjudgeable %v of %d", c.Edges, c.Cause)
		default:
			what = fmt.Sprintf("kind %d", c.Kind)
		}
		if c.Index < 0 {
			apart := ""
			if c.Apart {
				apart = "apart "
			}
			what += fmt.Sprintf(", all %sup to %d", apart, c.Cause)
		}
		all = append(all, c.User+": "+what)
	}
	return all
}

// once has a stage handle what is in candidates as one batch.
func (w *world) once() {
	w.t.Helper()
	i := w.start("one")
	w.caughtUp()
	i.stopped(w.t)
}

func (w *world) expect(want ...string) {
	w.t.Helper()
	if got := w.answers(); !slices.Equal(got, want) {
		w.t.Errorf("answers\n %s\nwant\n %s", strings.Join(got, "\n "), strings.Join(want, "\n "))
	}
}

// TestEveryQuestionIsAnswered: one that has no edges and one that becomes a dead letter, too; with one message for a
// user's questions of a batch, and none for replays.
func TestEveryQuestionIsAnswered(t *testing.T) {
	w := newWorld(t, 1)
	w.ledger.refuse(100 * hour)
	w.put(
		lateCandidate("none", hour+1, hour+2, 1),
		lateCandidate("some", 0, hour, 2),
		lateCandidate("none", 3*hour+1, 3*hour+2, 3),
		lateCandidate("dead", 101*hour, 102*hour, 4),
		lateCandidate("mixed", 0, hour/2, 5),
		lateCandidate("mixed", 101*hour, 102*hour, 6),
		lateCandidate("some", 0, hour, 2), // a replay
		edgeCandidate("none", 4*hour, 7),
	)
	w.once()
	w.expect(
		"some: 3 edges, all up to 2",
		"none: 0 edges, all up to 3",
		fmt.Sprintf("dead: unjudgeable %v of 4", []brimline.Time{101 * hour, 102 * hour}),
		"dead: 0 edges, all up to 4",
		"mixed: 2 edges",
		fmt.Sprintf("mixed: unjudgeable %v of 6", []brimline.Time{101 * hour, 102 * hour}),
		"mixed: 0 edges, all up to 6",
	)
}

// TestQuestionsAreAnsweredWithoutADatabase: with --verify off nothing is found, and nothing stays open.
func TestQuestionsAreAnsweredWithoutADatabase(t *testing.T) {
	w := newWorld(t, 1)
	w.config = func(c *Config) { c.Off = true }
	w.put(lateCandidate("u", 0, hour, 1), lateCandidate("v", 0, hour, 2), lateCandidate("u", 2*hour, 3*hour, 3),
		edgeCandidate("u", hour, 4))
	w.once()
	w.expect("v: 0 edges, all up to 2", "u: 0 edges, all up to 3")
}

// TestADeadCandidateIsToldOf: whatever it dies of, the window stage hears of it in the transaction of the dead letter.
func TestADeadCandidateIsToldOf(t *testing.T) {
	w := newWorld(t, 1)
	w.ledger.refuse(100 * hour)
	scale, where, large := edgeCandidate("scale", hour, 1), edgeCandidate("where", hour, 2),
		edgeCandidate("large", 2*hour, 3)
	scale.Scale = 3
	where.Rule.Where = "gone > 1"
	large.Rule.Description = strings.Repeat("x", 5000)
	dismissed := edgeCandidate("dismissed", hour, 4) // an odd hour
	dismissed.Rule.Description = large.Rule.Description
	w.config = func(c *Config) { c.MaxAlertBytes = 4000 }
	w.put(scale, where, large, dismissed, edgeCandidate("amount", 101*hour, 5))
	w.putRaw(&kgo.Record{Topic: w.streams.Candidates, Key: []byte("broken"), Value: []byte("{")})
	w.once()
	w.expect(
		fmt.Sprintf("scale: unjudgeable %v of 1", []brimline.Time{hour}),
		fmt.Sprintf("where: unjudgeable %v of 2", []brimline.Time{hour}),
		fmt.Sprintf("large: unjudgeable %v of 3", []brimline.Time{2 * hour}),
		fmt.Sprintf("dismissed: unjudgeable %v of 4", []brimline.Time{hour}),
		fmt.Sprintf("amount: unjudgeable %v of 5", []brimline.Time{101 * hour}),
	)
	var kinds []string
	for _, d := range decoded[*brimline.DeadLetter](t, codecs.DeadLetter{}, w.read(w.streams.DeadLetters)) {
		kinds = append(kinds, d.Kind+" "+d.User+" "+d.Row)
	}
	want := []string{"changed_scale scale 1", "bad_rule where 2", "alert_too_large large 3",
		"alert_too_large dismissed 4", "postgres_amount amount 5", "corrupt_record  "}
	if !slices.Equal(kinds, want) {
		t.Errorf("dead letters %q, want %q", kinds, want)
	}
	if alerts := w.read(w.streams.Alerts); len(alerts) != 0 {
		t.Errorf("%d alerts", len(alerts))
	}
}

// TestOneBadRowIsInTheWayOfThoseThatNeedIt: questions of a batch that share one are answered, but for those whose own
// rows are bad.
func TestOneBadRowIsInTheWayOfThoseThatNeedIt(t *testing.T) {
	w := newWorld(t, 1)
	w.ledger.refuse(20 * hour)
	w.put(lateCandidate("u", 0, 7*hour, 1), lateCandidate("u", 7*hour, 14*hour, 2),
		lateCandidate("u", 14*hour, 21*hour, 3))
	w.once()
	w.expect(
		"u: 15 edges",
		"u: 15 edges",
		fmt.Sprintf("u: unjudgeable %v of 3", []brimline.Time{14 * hour, 21 * hour}),
		"u: 0 edges, all up to 3",
	)
}

// questionsOf are those of one message, one for each limit, in the order of their causes.
func questionsOf(user string, from, until brimline.Time, offset int64, limits ...int64) (all []*brimline.Candidate) {
	for _, limit := range limits {
		c := oldCandidate(user, from, until, offset)
		c.Rule.ID, c.Rule.Limit = fmt.Sprint("r", limit), total(limit)
		c.Cause.Index = -1 - int(c.Rule.Fingerprint()>>1)
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b *brimline.Candidate) int { return a.Cause.Compare(b.Cause) })
	return all
}

// TestQuestionsOfAMessage: each is judged by itself. One that dies is alone in its dead letter, and a replay that asks
// more than the first time is answered for what is above the watermark.
func TestQuestionsOfAMessage(t *testing.T) {
	w := newWorld(t, 1)
	first := questionsOf("u", 0, hour, 1, 1, 2, 3)
	dead := first[1]
	dead.Rule.Where = "gone > 1"
	w.put(first...)
	w.once()
	w.expect(
		"u: 3 edges",
		fmt.Sprintf("u: unjudgeable %v of 1", []brimline.Time{0, hour}),
		"u: 3 edges, all apart up to 1",
	)
	letters := decoded[*brimline.DeadLetter](t, codecs.DeadLetter{}, w.read(w.streams.DeadLetters))
	if len(letters) != 1 || letters[0].User != "u" || letters[0].Topic != w.streams.Questions {
		t.Fatalf("dead letters %+v", letters)
	}
	c, err := codecs.Candidate{}.Decode(letters[0].Value)
	if err != nil || c.(*brimline.Candidate).ID() != dead.ID() {
		t.Errorf("the dead letter is of %+v, %v", c, err)
	}
	if got := len(w.read(w.streams.Questions)); got != 1 {
		t.Fatalf("%d records of questions", got)
	}

	again := append(slices.Clone(first), questionsOf("u", 0, hour, 1, 4, 5, 6, 7, 8, 9)...)
	slices.SortFunc(again, func(a, b *brimline.Candidate) int { return a.Cause.Compare(b.Cause) })
	above := slices.DeleteFunc(slices.Clone(again), func(c *brimline.Candidate) bool {
		return c.Cause.Compare(first[2].Cause) <= 0
	})
	if len(above) == 0 || len(above) == len(again)-len(first) {
		t.Fatalf("%d of %d are above the watermark: draw other limits", len(above), len(again))
	}
	w.put(again...)
	before := len(w.answers())
	w.once()
	if got := len(w.answers()) - before; got != len(above) {
		t.Errorf("%d answers to a replay, want %d", got, len(above))
	}
	if got := w.metric("replays_total"); got != float64(len(again)-len(above)) {
		t.Errorf("%v replays, want %d", got, len(again)-len(above))
	}
}

// TestAlertsFrom: an edge before the time is confirmed and dismissed, one at the time or after is an alert.
func TestAlertsFrom(t *testing.T) {
	for _, off := range []bool{false, true} {
		w := newWorld(t, 1)
		const from = 4*hour + hour/2
		w.config = func(c *Config) { c.AlertsFrom, c.Off = from, off }
		w.put(edgeCandidate("u", 2*hour, 1), edgeCandidate("u", from-1, 2), edgeCandidate("u", from, 3),
			edgeCandidate("u", 6*hour, 4))
		if !off {
			w.put(edgeCandidate("u", hour, 5)) // dismissed, whatever the time
		}
		w.once()
		status := brimline.Verified
		if off {
			status = brimline.Unverified
		}
		var alerts, dismissed []string
		for _, a := range decoded[*brimline.Alert](t, codecs.Alert{}, w.read(w.streams.Alerts)) {
			alerts = append(alerts, fmt.Sprint(a.Candidate.Cause.Offset, a.Verification.Status, a.Reason))
		}
		for _, a := range decoded[*brimline.Alert](t, codecs.Alert{}, w.read(w.streams.Dismissed)) {
			dismissed = append(dismissed,
				fmt.Sprint(a.Candidate.Cause.Offset, a.Verification.Status, a.Reason, a.Database == nil))
		}
		wantAlerts := []string{fmt.Sprint(3, status, ""), fmt.Sprint(4, status, "")}
		wantDismissed := []string{fmt.Sprint(1, status, "before_alerts_from", off),
			fmt.Sprint(2, status, "before_alerts_from", off)}
		if !off {
			wantDismissed = append(wantDismissed, fmt.Sprint(5, brimline.Dismissed, "already_above", false))
		}
		if !slices.Equal(alerts, wantAlerts) || !slices.Equal(dismissed, wantDismissed) {
			t.Errorf("off %v: alerts %q, want %q; dismissed %q, want %q", off, alerts, wantAlerts, dismissed,
				wantDismissed)
		}
		// The window stage goes on taking them for announced.
		want := 1
		if off {
			want = 0
		}
		if got := w.answers(); len(got) != want {
			t.Errorf("off %v: answers %q", off, got)
		}
	}
}
