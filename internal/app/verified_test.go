package app

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/httpapi"
	"github.com/brimline/brimline/processors/verify"
)

// verifiedWorld is a tally and a clock that tests move.
type verifiedWorld struct {
	j   *verified
	now time.Time
	lag int64
	sum verify.Tally
	log strings.Builder
}

func newVerifiedWorld() *verifiedWorld {
	w := &verifiedWorld{now: time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)}
	w.j = newVerified(w.now, func() verify.Tally {
		t := verify.Tally{Edges: w.sum.Edges, Dismissed: map[string]int64{}}
		for reason, n := range w.sum.Dismissed {
			t.Dismissed[reason] = n
		}
		return t
	}, "g-dismissed", slog.New(slog.NewTextHandler(&w.log, nil)))
	w.sum.Dismissed = map[string]int64{}
	return w
}

// minute passes, in which so many edges were verified and dismissed.
func (w *verifiedWorld) minute(edges, notAbove, alreadyAbove int64) {
	w.sum.Edges += edges
	w.sum.Dismissed[brimline.ReasonNotAbove] += notAbove
	w.sum.Dismissed[brimline.ReasonAlreadyAbove] += alreadyAbove
	w.now = w.now.Add(time.Minute)
	w.j.look(w.now, w.lag)
}

// notice expects a notice of these figures; empty for no notice.
func (w *verifiedWorld) notice(t *testing.T, level httpapi.Level, figures string) {
	t.Helper()
	n := w.j.status(w.now, w.lag).Notice("g-dismissed")
	if figures == "" {
		if n != nil {
			t.Errorf("notice %+v, want none", n)
		}
		return
	}
	want := "PostgreSQL's figures differ from the stream's for " + figures + "; many are normal while the group catches up"
	if n == nil || n.Level != level || n.Message != want || (n.Remedy != "") != (level == httpapi.Warning) {
		t.Errorf("notice %+v, want %s %s", n, level, want)
	}
}

const steadily = "while the group had caught up: the stream held what PostgreSQL does not"

// What PostgreSQL dismissed is told for the last hour, and what it dismissed while the group had caught up stands out.
func TestVerified(t *testing.T) {
	w := newVerifiedWorld()
	w.notice(t, "", "")
	w.minute(100, 0, 0)
	w.notice(t, "", "")

	// A catch-up: whatever is dismissed then is as it should be.
	w.lag = 50_000
	w.minute(1000, 5, 300)
	w.notice(t, httpapi.Note, "305 of 1,100 candidates in the last 2 min: not_above 5, already_above 300")
	// It has just ended: what is verified since then may still have been found in it.
	w.lag = 0
	w.minute(100, 1, 10)
	w.notice(t, httpapi.Note, "316 of 1,200 candidates in the last 3 min: not_above 6, already_above 310")
	w.minute(0, 0, 4)
	w.notice(t, httpapi.Note, "320 of 1,200 candidates in the last 4 min: not_above 6, already_above 314")

	// In steady state, not_above says that the stream holds what PostgreSQL does not.
	w.minute(10, 2, 0)
	w.notice(t, httpapi.Warning, "322 of 1,210 candidates in the last 5 min: "+
		"not_above 8 (2 of them "+steadily+"), already_above 314")

	// An hour later it is over; the sum since the start stays.
	for range 58 {
		w.minute(1, 0, 0)
	}
	v := w.j.status(w.now, 0)
	if h := v.LastHour; h.Candidates != 68 || h.Dismissed["not_above"] != 2 || h.Steady["not_above"] != 2 {
		t.Errorf("%+v", v)
	}
	if v.SinceStart.Dismissed["not_above"] != 8 {
		t.Errorf("%+v", v)
	}
	for range 2 {
		w.minute(1, 0, 0)
	}
	w.notice(t, "", "")
	v = w.j.status(w.now, 0)
	if v.SinceStart.Candidates != 1270 || v.SinceStart.Dismissed["already_above"] != 314 {
		t.Errorf("%+v", v)
	}
	if v.LastHour.Candidates != 60 || v.LastHour.Dismissed["already_above"] != 0 {
		t.Errorf("%+v", v)
	}
	// Reasons that are there only since yesterday's version count as well.
	w.sum.Dismissed["quiet"] = 7
	w.minute(10, 0, 0)
	w.notice(t, httpapi.Note, "7 of 69 candidates in the last hour: quiet 7")
	if len(w.j.points) > 62 {
		t.Errorf("%d looks are kept", len(w.j.points))
	}
}

// What was verified since the last look is told at once.
func TestVerifiedBetweenLooks(t *testing.T) {
	w := newVerifiedWorld()
	w.now = w.now.Add(10 * time.Second)
	w.sum.Edges, w.sum.Dismissed[brimline.ReasonNotAbove] = 1, 1 // at the start, which may be a catch-up
	w.notice(t, httpapi.Note, "1 of 1 candidate in the last 10 s: not_above 1")

	w = newVerifiedWorld()
	w.minute(0, 0, 0)
	w.sum.Edges, w.sum.Dismissed[brimline.ReasonNotAbove] = 1, 1
	w.now = w.now.Add(10 * time.Second)
	w.notice(t, httpapi.Warning, "1 of 1 candidate in the last minute: not_above 1 (1 of them "+steadily+")")
	if v := w.j.status(w.now, 0); v.SinceStart.Candidates != 1 || v.LastHour.Dismissed["not_above"] != 1 {
		t.Errorf("%+v", v)
	}
	w.minute(0, 0, 0)
	w.notice(t, httpapi.Warning, "1 of 1 candidate in the last 2 min: not_above 1 (1 of them "+steadily+")")
}

// The log says it at once, and then rarely: only for what is new, and not twice within an hour.
func TestVerifiedIsLoggedRarely(t *testing.T) {
	w := newVerifiedWorld()
	lines := func(level string) int { return strings.Count(w.log.String(), "level="+level) }
	w.minute(10, 0, 1)
	if lines("INFO") != 1 || !strings.Contains(w.log.String(), "differ from the stream's for 1 of 10 candidates") {
		t.Errorf("at first:\n%s", w.log.String())
	}
	w.minute(10, 0, 1)
	if n := lines("INFO"); n != 1 {
		t.Errorf("a minute later %d lines", n)
	}
	w.minute(10, 1, 0) // worse than what was said
	if n := lines("WARN"); n != 1 {
		t.Errorf("%d warnings, want one at once:\n%s", n, w.log.String())
	}
	for range 59 {
		w.minute(10, 1, 1)
	}
	if lines("WARN") != 1 || lines("INFO") != 1 {
		t.Errorf("within the hour:\n%s", w.log.String())
	}
	w.minute(10, 1, 1)
	if n := lines("WARN"); n != 2 {
		t.Errorf("after an hour %d warnings, want 2", n)
	}
	for range 200 {
		w.minute(10, 0, 0)
	}
	if lines("WARN") != 2 || lines("INFO") != 1 {
		t.Errorf("nothing new was said again:\n%s", w.log.String())
	}
}
