package processors

import (
	"slices"
	"testing"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
)

func TestStaleListsTakeNoAlertAway(t *testing.T) {
	log := func(edges ...brimline.Time) []byte {
		var alerts []*brimline.Alert
		for _, e := range edges {
			alerts = append(alerts, &brimline.Alert{
				Candidate:    brimline.Candidate{Kind: brimline.EdgeCandidate, User: "u", Rule: brimline.Rule{ID: "r"}, Edge: e},
				Verification: brimline.Verification{Status: brimline.Unverified},
			})
		}
		b, err := codecs.AlertLog{}.Encode(alerts)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, c := range map[string]struct {
		held, value []byte
		want        []brimline.Time
	}{
		"the first":                  {nil, log(3), []brimline.Time{3}},
		"one more":                   {log(3), log(5, 3), []brimline.Time{5, 3}},
		"a stale list":               {log(9, 5, 3), log(5, 3), []brimline.Time{9, 5, 3}},
		"what both lack":             {log(9, 3), log(5, 3), []brimline.Time{9, 5}},
		"a full list drops its last": {log(5, 3), log(9, 5), []brimline.Time{9, 5}},
		"a held value of no sense":   {[]byte("x"), log(3), []brimline.Time{3}},
	} {
		v, err := codecs.AlertLog{}.Decode(mergeAlerts(c.held, c.value))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var got []brimline.Time
		for _, a := range v.([]*brimline.Alert) {
			got = append(got, a.Candidate.Edge)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: edges %v, want %v", name, got, c.want)
		}
	}
	if b := mergeAlerts(log(1), []byte("x")); string(b) != "x" {
		t.Errorf("a value of no sense is stored as %q", b)
	}
}
