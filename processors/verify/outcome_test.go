package verify

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/sliding"
	"pgregory.net/rapid"
)

const hour = brimline.Time(3600e6)

func total(n int64) brimline.Total { return brimline.Count(n) }

func testRule() brimline.Rule {
	return brimline.Rule{ID: "weekly", Window: 7 * time.Hour, Limit: total(100)}
}

func edgeCandidate(user string, edge brimline.Time, offset int64) *brimline.Candidate {
	row := brimline.Transaction{ID: fmt.Sprint(offset), User: user, Amount: 60, Time: edge}
	return &brimline.Candidate{
		Kind: brimline.EdgeCandidate, User: user, Scale: 2, Rule: testRule(), Edge: edge, Trigger: row,
		Source: brimline.Source{Topic: "t", Partition: 3, Offset: 9, LSN: uint64(offset) + 1, TxID: 7, Commit: edge},
		Stream: brimline.Figures{Before: total(60), Total: total(120), Count: 2}, Newest: []brimline.Transaction{row},
		Cause: brimline.Cause{Offset: offset, Index: 1},
	}
}

func lateCandidate(user string, from, until brimline.Time, offset int64) *brimline.Candidate {
	c := edgeCandidate(user, from, offset)
	c.Kind, c.Until, c.Stream, c.Newest = brimline.LateCandidate, until, brimline.Figures{}, nil
	c.Cause.Index = -1 - int(c.Rule.Fingerprint()>>1) // as the window stage numbers it
	return c
}

func itemOf(c *brimline.Candidate) item {
	return item{candidate: c, rule: &sliding.Rule{Rule: c.Rule, Fingerprint: c.Rule.Fingerprint()}}
}

func TestDecideEdge(t *testing.T) {
	for name, c := range map[string]struct {
		before, total int64
		reason        string
	}{
		"an edge":              {100, 101, ""},
		"from nothing":         {0, 500, ""},
		"already above":        {101, 150, brimline.ReasonAlreadyAbove},
		"above, then below":    {101, 100, brimline.ReasonAlreadyAbove},
		"exactly at the limit": {40, 100, brimline.ReasonNotAbove},
		"gone":                 {0, 0, brimline.ReasonNotAbove},
	} {
		batch := []item{itemOf(edgeCandidate("u", hour, 5))}
		questions, it := plan(batch), &batch[0]
		if len(questions) != 1 || questions[0].late || questions[0].from != hour || questions[0].to != hour {
			t.Fatalf("%s: questions %+v", name, questions)
		}
		q := questions[0]
		q.figures = brimline.Figures{Before: total(c.before), Total: total(c.total), Count: 3}
		q.verification = brimline.Verification{At: 2 * hour, Duration: time.Millisecond, LSN: 77}
		settle(it)
		a := it.out.alert
		want := brimline.Verified
		if c.reason != "" {
			a, want = it.out.dismissed, brimline.Dismissed
		}
		if a == nil || (it.out.alert == nil) == (it.out.dismissed == nil) {
			t.Fatalf("%s: %+v", name, it.out)
		}
		if a.Reason != c.reason || a.Verification.Status != want || *a.Database != q.figures || a.Verification.LSN != 77 ||
			a.Candidate.Stream != it.candidate.Stream {
			t.Errorf("%s: %+v", name, a)
		}
		if c.reason == "" {
			if it.out.answers != nil {
				t.Errorf("%s: answers %v", name, it.out.answers)
			}
			continue
		}
		answer := it.out.answers[0]
		if len(it.out.answers) != 1 || answer.Kind != brimline.Dismissal || answer.User != "u" || answer.Cause != 5 ||
			!slices.Equal(answer.Edges, []brimline.Time{hour}) ||
			answer.Rule != it.rule.Fingerprint ||
			answer.Source != it.candidate.Source {
			t.Errorf("%s: answers %+v", name, answer)
		}
	}
}

func TestWithoutDatabase(t *testing.T) {
	out := withoutDatabase(edgeCandidate("u", hour, 5))
	if out.alert == nil || out.alert.Database != nil ||
		out.alert.Verification != (brimline.Verification{Status: brimline.Unverified}) ||
		out.dismissed != nil ||
		out.answers != nil {
		t.Errorf("edge: %+v", out)
	}
	out = withoutDatabase(lateCandidate("u", hour, 2*hour, 5))
	if out.alert != nil || out.dismissed == nil || out.dismissed.Reason != brimline.ReasonNoDatabase ||
		out.dismissed.Verification.Status != brimline.Dismissed ||
		out.answers != nil {
		t.Errorf("late: %+v", out)
	}
}

// TestLateSpans shares questions among late candidates, and compares what each
// user and rule gets with asking for every span by itself.
func TestLateSpans(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		edges := map[string][]brimline.Time{}
		for _, user := range []string{"a", "b"} {
			for i := range brimline.Time(60) {
				if rapid.Bool().Draw(t, "edge") {
					edges[user] = append(edges[user], i*hour)
				}
			}
		}
		within := func(user string, from, to brimline.Time) (in []brimline.Time) {
			for _, e := range edges[user] {
				if from <= e && e <= to {
					in = append(in, e)
				}
			}
			return in
		}
		items := make([]item, rapid.IntRange(0, 12).Draw(t, "candidates"))
		want := map[string]map[brimline.Time]bool{"a": {}, "b": {}}
		for i := range items {
			user := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "user")
			from := brimline.Time(rapid.IntRange(0, 50).Draw(t, "from")) * hour
			c := lateCandidate(user, from, from+brimline.Time(rapid.IntRange(0, 8).Draw(t, "span"))*hour, int64(i))
			c.Source.TxID, c.Source.LSN = int64(
				rapid.IntRange(1, 3).Draw(t, "transaction"),
			), uint64(
				rapid.IntRange(1, 9).Draw(t, "lsn"),
			)
			items[i] = itemOf(c)
			items[i].replay = rapid.IntRange(0, 5).Draw(t, "replay") == 0
			if !items[i].replay {
				for _, e := range within(user, c.Edge, c.Until) {
					want[user][e] = true
				}
			}
		}
		questions := plan(items)
		for _, q := range questions {
			q.edges = within(q.user, q.from, q.to)
			for _, other := range questions {
				if q != other && q.user == other.user && q.from <= other.to && other.from <= q.to {
					t.Fatalf("two questions about one span: %v to %v and %v to %v", q.from, q.to, other.from, other.to)
				}
			}
		}
		got := map[string]map[brimline.Time]bool{"a": {}, "b": {}}
		for i := range items {
			it := &items[i]
			if it.replay {
				if it.question != nil {
					t.Fatal("a replay is asked about")
				}
				continue
			}
			if !slices.ContainsFunc(it.question.after.all, func(s brimline.Source) bool {
				return s.TxID == it.candidate.Source.TxID && s.LSN >= it.candidate.Source.LSN
			}) {
				t.Fatalf("the replica is not waited for: %v, after %v", it.candidate.Source, it.question.after.all)
			}
			settle(it)
			for _, c := range it.out.answers {
				if c.Kind != brimline.EdgesFound || c.Row.ID != it.candidate.Trigger.ID || c.User != it.candidate.User ||
					len(c.Edges) == 0 {
					t.Fatalf("answer %+v", c)
				}
				for _, e := range c.Edges {
					if got[c.User][e] || e < it.candidate.Edge || e > it.candidate.Until {
						t.Fatalf("edge %v told twice, or to the wrong candidate", e)
					}
					got[c.User][e] = true
				}
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("edges %v, want %v", got, want)
		}
	})
}

func TestManyEdges(t *testing.T) {
	c := lateCandidate("u", 0, hour, 1)
	var edges []brimline.Time
	for i := range brimline.Time(2*edgesPerAnswer + 1) {
		edges = append(edges, i*1e9)
	}
	answers := edgesFound(c, &sliding.Rule{Rule: c.Rule}, edges)
	var told []brimline.Time
	for _, a := range answers {
		told = append(told, a.Edges...)
		if b, err := (codecs.Change{}).Encode(a); err != nil || len(b) > 200_000 {
			t.Errorf("a record of %d bytes: %v", len(b), err)
		}
	}
	if len(answers) != 3 || !slices.Equal(told, edges) {
		t.Errorf("%d answers with %d edges", len(answers), len(told))
	}
}

func TestFit(t *testing.T) {
	large := strings.Repeat("x", 1000)
	alert := func() *brimline.Alert {
		c := edgeCandidate("u", hour, 1)
		c.Trigger.Columns = []brimline.Field{{Name: "note", Value: large}}
		c.Newest = []brimline.Transaction{c.Trigger}
		return &brimline.Alert{Candidate: *c, Verification: brimline.Verification{Status: brimline.Unverified}}
	}
	for _, c := range []struct {
		most            int
		newest, columns bool
		fits            bool
	}{{10_000, true, true, true}, {2400, false, true, true}, {1400, false, false, true}, {100, false, false, false}} {
		a := alert()
		b, cut, err := codecs.FitAlert(a, c.most)
		if (err == nil) != c.fits || c.fits && cut == c.newest || c.fits && len(b) > c.most ||
			(a.Candidate.Newest != nil) != c.newest ||
			(a.Candidate.Trigger.Columns != nil) != c.columns {
			t.Errorf("at most %d: %d bytes, %v, %+v", c.most, len(b), err, a.Candidate.Trigger)
		}
	}
}

func TestWatermark(t *testing.T) {
	for _, c := range []brimline.Cause{beforeAll(), {}, {Offset: 1, Index: 2}, {Offset: 1<<63 - 1, Index: 1 << 30}} {
		if got, err := parseWatermark(formatWatermark(c)); err != nil || got != c {
			t.Errorf("%v came back as %v: %v", c, got, err)
		}
	}
	if got := formatWatermark(brimline.Cause{Offset: 42, Index: 3}); got != "1:42:3" {
		t.Errorf("the stored form changed to %q", got)
	}
	if got, err := parseWatermark(""); err != nil || got != beforeAll() {
		t.Errorf("empty: %v %v", got, err)
	}
	for _, bad := range []string{"42", "2:1:1", "1:", "1:1", "1:a:1", "1:1:b", "1:1:1:1",
		"1:99999999999999999999:0", strings.Repeat("x", 4096)} {
		if got, err := parseWatermark(bad); brimline.ExitCode(err) != int(brimline.ClassEnvironment) ||
			len(err.Error()) > 400 {
			t.Errorf("%.20q was read as %v: %v", bad, got, err)
		}
	}
}
