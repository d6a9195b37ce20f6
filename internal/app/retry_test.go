package app

import (
	"strings"
	"testing"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/processors"
)

// TestAgain: what a retry writes for a dead letter, and which it leaves alone.
func TestAgain(t *testing.T) {
	streams := processors.NewStreams("g", "src", "alerts")
	encode := func(c *brimline.Change) []byte {
		value, err := codecs.Change{}.Encode(c)
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	candidate := brimline.Candidate{
		Kind: brimline.LateCandidate, User: "u", Scale: 2, Edge: 5, Until: 9, Cause: brimline.Cause{Offset: 77, Index: -3},
		Rule:    brimline.Rule{ID: "r", Window: day, Limit: brimline.Count(3), Measure: brimline.SumAbs},
		Trigger: brimline.Transaction{ID: "4", User: "u", Amount: 100, Time: 5}, Source: brimline.Source{Topic: "src", Offset: 12, LSN: 8},
	}
	question, err := codecs.Candidate{}.Encode(&candidate)
	if err != nil {
		t.Fatal(err)
	}
	const partitions = 7
	upsert := encode(&brimline.Change{Kind: brimline.Upsert, User: "u", Row: candidate.Trigger})
	for name, c := range map[string]struct {
		letter brimline.DeadLetter
		reason string // why it is left alone
		rules  *brimline.RuleSet
	}{
		"source":           {brimline.DeadLetter{Topic: "src", Value: []byte("{")}, "", nil},
		"change":           {brimline.DeadLetter{Topic: streams.Changes, Partition: 3, Key: []byte("u"), Value: upsert}, "", nil},
		"broken change":    {brimline.DeadLetter{Topic: streams.Changes, Key: []byte("u"), Value: upsert[:9]}, "cannot be read", nil},
		"another's change": {brimline.DeadLetter{Topic: streams.Changes, Key: []byte("v"), Value: upsert}, "its key", nil},
		"truncation": {brimline.DeadLetter{Topic: streams.Changes, Key: []byte("k"),
			Value: encode(&brimline.Change{Kind: brimline.Truncate, User: "k"})}, "a moment that has passed", nil},
		"sweep": {brimline.DeadLetter{Topic: streams.Changes, Key: []byte("k"),
			Value: encode(&brimline.Change{Kind: brimline.Sweep, User: "k", Row: brimline.Transaction{Time: 1}})}, "a moment that has passed", nil},
		"broken candidate": {brimline.DeadLetter{Topic: streams.Candidates, Key: []byte("u"), Value: question[1:]}, "cannot be read", nil},
		"rule gone": {brimline.DeadLetter{Topic: streams.Candidates, Key: []byte("u"), Value: question},
			`its rule "r" is no longer in force`, &brimline.RuleSet{Rules: []brimline.Rule{{ID: "r"}}}},
		"another topic": {brimline.DeadLetter{Topic: "h-candidates", Key: []byte("u"), Value: question}, "neither of the source topic src nor of group g", nil},
		"alerts":        {brimline.DeadLetter{Topic: "alerts", Key: []byte("u"), Value: question}, "neither of", nil},
	} {
		got, err := Again(&c.letter, streams, partitions, c.rules)
		switch {
		case c.reason != "" && (err == nil || !strings.Contains(err.Error(), c.reason)):
			t.Errorf("%s: %v, want %q", name, err, c.reason)
		case c.reason == "" && (err != nil || got != &c.letter):
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	got, err := Again(&brimline.DeadLetter{Topic: streams.Candidates, Partition: 5, Offset: 6, Key: []byte("u"), Value: question},
		streams, partitions, &brimline.RuleSet{Rules: []brimline.Rule{{ID: "q"}, candidate.Rule}})
	if err != nil {
		t.Fatal(err)
	}
	if got.Topic != streams.Changes || got.Partition != processors.Partition("u", partitions) || string(got.Key) != "u" ||
		len(got.Headers) != 1 || got.Headers[0].Key != RetryHeader || string(got.Headers[0].Value) != "g-candidates/5/6" {
		t.Errorf("record %+v", got)
	}
	v, err := codecs.Change{}.Decode(got.Value)
	if err != nil {
		t.Fatal(err)
	}
	c := v.(*brimline.Change)
	if c.Kind != brimline.Retry || c.Rule != candidate.Rule.Fingerprint() || len(c.Edges) != 2 || c.Edges[0] != 5 ||
		c.Edges[1] != 9 ||
		c.Cause != 77 || c.Row.ID != "4" || c.Source.LSN != 8 {
		t.Errorf("change %+v", c)
	}
}
