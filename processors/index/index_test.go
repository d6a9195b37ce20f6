package index

import (
	"slices"
	"testing"

	"github.com/brimline/brimline"
)

func TestAddKeepsTheNewestOnce(t *testing.T) {
	alert := func(edge brimline.Time) *brimline.Alert {
		return &brimline.Alert{Candidate: brimline.Candidate{User: "u", Rule: brimline.Rule{ID: "r"}, Edge: edge}}
	}
	var log []*brimline.Alert
	for _, edge := range []brimline.Time{5, 1, 9, 5, 3, 9, 7} {
		log = add(log, alert(edge), 4)
	}
	var edges []brimline.Time
	for _, a := range log {
		edges = append(edges, a.Candidate.Edge)
	}
	if !slices.Equal(edges, []brimline.Time{9, 7, 5, 3}) {
		t.Errorf("edges %v", edges)
	}
}
