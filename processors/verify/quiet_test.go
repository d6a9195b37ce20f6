package verify

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
)

// TestQuiet: an edge that comes less than the rule's quiet after another one is dismissed with the figures of an edge,
// the window stage hears a no, and it is neither asked about again nor does it supersede anything. What the rule says
// decides: the same edge of a rule that is not quiet is an alert.
func TestQuiet(t *testing.T) {
	w := newWorld(t, 1)
	w.ledger.finds(2*hour, 4*hour, 6*hour, 12*hour)
	of := func(
		user string, quiet time.Duration, edge brimline.Time, offset int64, later ...brimline.Time,
	) *brimline.Candidate {
		c := naming(user, edge, offset, later...)
		c.Rule.Quiet = quiet
		c.Stream = brimline.Figures{Before: total(60), Total: total(1000), Count: 9} // more than PostgreSQL has
		return c
	}
	rearming := of("unarmed", 0, 6*hour, 7)
	rearming.Rule.Rearms, rearming.Rule.Rearm = true, total(90)
	w.put(
		of("silent", 2*time.Hour, 4*hour, 1, 8*hour), // exactly so far
		of("loud", 2*time.Hour-time.Microsecond, 4*hour, 2),
		of("silent", 2*time.Hour, 6*hour, 3), // although the one before is silent
		of("never", 0, 4*hour, 4),
		of("silent", 2*time.Hour, 12*hour, 5), // long after
		of("above", 2*time.Hour, 3*hour, 6),   // an odd hour: no edge at all
		rearming,
	)
	w.config = func(c *Config) { c.AsOfNow = true }
	w.once()
	said := func(topic string) (all []string) {
		for _, a := range decoded[*brimline.Alert](t, codecs.Alert{}, w.read(topic)) {
			all = append(
				all,
				fmt.Sprint(a.Candidate.User, int64(a.Candidate.Edge/hour), a.Reason,
					(&brimline.Rule{Limit: total(100)}).IsEdge(*a.Database),
					a.Candidate.Rule.Quiet, len(a.Supersedes), a.AsOfNow != nil),
			)
		}
		return all
	}
	alerts := []string{fmt.Sprint("loud", 4, "", true, 2*time.Hour-time.Microsecond, 0, true),
		fmt.Sprint(
			"never",
			4,
			"",
			true,
			time.Duration(0),
			0,
			true,
		), fmt.Sprint("silent", 12, "", true, 2*time.Hour, 0, true)}
	dismissed := []string{fmt.Sprint("silent", 4, "quiet", true, 2*time.Hour, 0, false),
		fmt.Sprint("silent", 6, "quiet", true, 2*time.Hour, 0, false),
		fmt.Sprint("above", 3, "already_above", false, 2*time.Hour, 0, false),
		fmt.Sprint("unarmed", 6, "not_rearmed", true, time.Duration(0), 0, false)}
	if got := said(w.streams.Alerts); !slices.Equal(got, alerts) {
		t.Errorf("alerts\n %q\nwant\n %q", got, alerts)
	}
	if got := said(w.streams.Dismissed); !slices.Equal(got, dismissed) {
		t.Errorf("dismissed\n %q\nwant\n %q", got, dismissed)
	}
	no := fmt.Sprintf("kind %d", brimline.Dismissal)
	w.expect("silent: "+no, "silent: "+no, "above: "+no, "unarmed: "+no)
	if got := w.read(w.streams.Again); len(got) != 0 {
		t.Errorf("%d edges are asked about again", len(got))
	}
	if tally := w.metric("dismissed_total"); tally != 4 {
		t.Errorf("%v dismissed", tally)
	}
}
