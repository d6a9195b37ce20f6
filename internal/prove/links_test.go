package prove

import (
	"testing"

	"github.com/brimline/brimline"
)

// TestSuccessor: links are followed as far as they lead to an edge, also through alerts that are none, and round in no
// circle.
func TestSuccessor(t *testing.T) {
	edge := func(id string, at brimline.Time) Edge { return Edge{ID: id, At: at} }
	const from = 10
	p := &picture{
		edges: map[string]Edge{"true": edge("true", 20)},
		by: map[string][]Edge{
			"near":    {edge("true", 20)},
			"far":     {edge("gone", 30), edge("near", 40)},
			"gone":    {edge("round", 25)},
			"round":   {edge("gone", 30)},
			"outside": {edge("older", 9)},
			"edge of": {edge("bound", 10)},
		},
	}
	for id, want := range map[string]string{
		"near": "true", "far": "true", "gone": "", "round": "", "outside": "older", "edge of": "", "unknown": "",
	} {
		if got := p.successor(id, from); got != want {
			t.Errorf("%s: %q and not %q", id, got, want)
		}
	}
}
