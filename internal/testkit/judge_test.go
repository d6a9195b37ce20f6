package testkit

import (
	"testing"

	"github.com/brimline/brimline"
)

// TestStories: what the judge of links must see.
func TestStories(t *testing.T) {
	alert := func(edge brimline.Time, superseded ...brimline.Time) *brimline.Alert {
		return &brimline.Alert{Candidate: brimline.Candidate{User: "u", Rule: brimline.Rule{ID: "r"}, Edge: edge},
			Supersedes: superseded, Database: &brimline.Figures{}}
	}
	edges := func(times ...brimline.Time) map[string]Verdict {
		all := map[string]Verdict{}
		for _, at := range times {
			all[brimline.AlertID("u", "r", at)] = Verdict{}
		}
		return all
	}
	for name, x := range map[string]struct {
		alerts []*brimline.Alert
		edges  map[string]Verdict
		wrong  int
	}{
		"a chain":                {[]*brimline.Alert{alert(9), alert(5, 9), alert(2, 5)}, edges(2), 0},
		"two ways to one end":    {[]*brimline.Alert{alert(9), alert(5, 9), alert(2, 5, 9)}, edges(2), 0},
		"joined":                 {[]*brimline.Alert{alert(2), alert(9)}, edges(2), 0},
		"not the latest":         {[]*brimline.Alert{alert(9), alert(5), alert(2, 9)}, edges(2, 5), 1},
		"an edge is superseded":  {[]*brimline.Alert{alert(9), alert(2, 9)}, edges(2, 9), 1},
		"an earlier one is":      {[]*brimline.Alert{alert(1), alert(2, 1)}, edges(2), 1},
		"an edge has no alert":   {[]*brimline.Alert{alert(9)}, edges(2), 1},
		"one comes twice":        {[]*brimline.Alert{alert(2), alert(2)}, edges(2), 1},
		"what was never sent is": {[]*brimline.Alert{alert(2, 9)}, edges(2), 0},
	} {
		if s := Stories(x.alerts, x.edges, true); len(s.Wrong) != x.wrong {
			t.Errorf("%s: %q", name, s.Wrong)
		}
	}
	if s := Stories([]*brimline.Alert{alert(9), alert(5, 9), alert(7)}, edges(5), true); s.Told != 1 ||
		s.Superseded != 1 || len(s.Outdated) != 1 {
		t.Errorf("%+v", s)
	}
	if wrong := Differences([]*brimline.Alert{alert(2, 5), alert(5)}, edges(2, 5)); len(wrong) != 3 {
		t.Errorf("%q, want two with other figures and an edge that is superseded", wrong)
	}
}
