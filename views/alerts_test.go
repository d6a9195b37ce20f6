package views

import (
	"fmt"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
)

// alert of a user with its edge and its raising in hours from noon.
func alert(user string, edge, raised int) *brimline.Alert {
	at := noon.Add(time.Duration(edge) * time.Hour)
	total := brimline.Count(344150)
	figures := brimline.Figures{Before: brimline.Count(290000), Total: total, Count: 12}
	return &brimline.Alert{
		Candidate: brimline.Candidate{
			Kind: brimline.EdgeCandidate, User: user, Scale: 2, Rule: week.Rule, Edge: at,
			Trigger: brimline.Transaction{ID: "7", User: user, Amount: 54150, Time: at}, Stream: figures,
		},
		Database:     &figures,
		Verification: brimline.Verification{Status: brimline.Verified, At: noon.Add(time.Duration(raised) * time.Hour)},
	}
}

func ids(alerts []*brimline.Alert) string {
	s := ""
	for _, a := range alerts {
		s += fmt.Sprintf("%s%+d ", a.Candidate.User, a.Candidate.Edge.Std().Sub(noon.Std())/time.Hour)
	}
	return s
}

func TestAlerts(t *testing.T) {
	f := newFixture(t)
	put := func(pairs ...any) { f.put(f.streams.IndexTable, codecs.AlertLog{}, pairs...) }
	put("a", []*brimline.Alert{alert("a", -30, -9), alert("a", -3, -3)}, "b", []*brimline.Alert{alert("b", -2, -4)})
	v, err := OpenAlerts(t.Context(), Config{Brokers: f.kafka.Brokers, Group: f.streams.Group, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	run(t, v)
	got, err := v.User("a")
	if err != nil || ids(got) != "a-3 a-30 " {
		t.Errorf("of a: %s (%v)", ids(got), err)
	}
	if got, err := v.User("nobody"); err != nil || len(got) != 0 {
		t.Errorf("of nobody: %s (%v)", ids(got), err)
	}
	recent := func(n int) string {
		got, err := v.Recent(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		return ids(got)
	}
	// By when they were raised: a late alert about an old edge is news.
	if got := recent(9); got != "a-3 b-2 a-30 " {
		t.Errorf("recent: %s", got)
	}
	if got := recent(1) + recent(0) + recent(-1); got != "a-3 " {
		t.Errorf("the newest one: %s", got)
	}
	put("b", []*brimline.Alert{alert("b", -2, -4), alert("b", -50, -1)})
	eventually(t, "the new alert is on top, the old one not twice", func() bool {
		return recent(9) == "b-50 a-3 b-2 a-30 "
	})
}

// TestRecentForgets: who is forgotten is not among the newest alerts of a view that has collected them before, and what
// these had displaced is.
func TestRecentForgets(t *testing.T) {
	f := newFixture(t)
	put := func(pairs ...any) { f.put(f.streams.IndexTable, codecs.AlertLog{}, pairs...) }
	put("old", []*brimline.Alert{alert("old", -30, -30)}, "b", []*brimline.Alert{alert("b", -2, -4)})
	var many []*brimline.Alert
	for i := range RecentKept - 1 {
		many = append(many, alert("many", i, i))
	}
	put("many", many)
	v, err := OpenAlerts(t.Context(), Config{Brokers: f.kafka.Brokers, Group: f.streams.Group, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	run(t, v)
	recent := func() []*brimline.Alert {
		got, err := v.Recent(t.Context(), RecentKept)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := recent(); len(got) != RecentKept || got[0].Candidate.User != "many" {
		t.Fatalf("before: %s", ids(got))
	}
	f.put(f.streams.IndexTable, codecs.Raw{}, "many", nil)
	eventually(t, "the user is forgotten", func() bool { return ids(recent()) == "b-2 old-30 " })
	put("many", []*brimline.Alert{alert("many", 1, 1)})
	eventually(t, "the user is back", func() bool { return ids(recent()) == "many+1 b-2 old-30 " })
}

// stage keeps one partition in memory, as a stage of the same program would.
type stage struct {
	Kept
	values map[string][]byte
	lost   bool
	losses int64
}

func (s *stage) IsRead(int32) bool           { return !s.lost }
func (s *stage) Losses() int64               { return s.losses }
func (s *stage) Listen(func(string, []byte)) {}

func (s *stage) Each(_ int32, _ string, visit func(key string, value []byte) bool) error {
	for key, value := range s.values {
		if !visit(key, value) {
			break
		}
	}
	return nil
}

// TestRecentOfALostState: a state that was lost is read anew, perhaps of a table that was created anew. Alerts of the
// one before are not given, neither meanwhile nor afterwards.
func TestRecentOfALostState(t *testing.T) {
	value := func(user string) []byte {
		raw, err := codecs.AlertLog{}.Encode([]*brimline.Alert{alert(user, -3, -3)})
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	s := &stage{values: map[string][]byte{"a": value("a")}}
	v := &Alerts{tableView: &tableView{
		name: "index", codec: codecs.AlertLog{}, kept: s, parts: []part{kept{s, 0, &viewState{}}},
		recovered: make(chan struct{}), ended: make(chan struct{}), started: true,
	}}
	close(v.recovered)
	recent := func() string {
		got, err := v.Recent(t.Context(), 9)
		if err != nil {
			return "error"
		}
		return ids(got)
	}
	if got := recent(); got != "a-3 " || !v.Recovered() {
		t.Fatalf("recent: %s, recovered %v", got, v.Recovered())
	}
	s.lost, s.losses, s.values = true, 1, nil
	if got := recent(); got != "error" || v.Recovered() {
		t.Errorf("while it is read anew: %s, recovered %v", got, v.Recovered())
	}
	s.lost, s.values = false, map[string][]byte{"b": value("b")}
	if got := recent(); got != "b-3 " || !v.Recovered() {
		t.Errorf("read anew: %s, recovered %v", got, v.Recovered())
	}
}

func TestRecentIsBounded(t *testing.T) {
	var r recent
	for i := range RecentKept + 50 {
		r.add([]*brimline.Alert{alert("u", i, i)})
	}
	got := r.newest(RecentKept * 2)
	if len(got) != RecentKept || got[0].Candidate.Edge != noon.Add(time.Duration(RecentKept+49)*time.Hour) {
		t.Errorf("%d kept, the first of %v", len(got), got[0].Candidate.Edge)
	}
}

func TestRaised(t *testing.T) {
	a := alert("u", -5, -1)
	if Raised(a) != a.Verification.At {
		t.Error("verified: when PostgreSQL answered")
	}
	a.Verification.At, a.Candidate.Source.Commit = 0, noon
	if Raised(a) != noon {
		t.Error("unverified: the commit")
	}
	a.Candidate.Source.Commit = 0
	if Raised(a) != a.Candidate.Edge {
		t.Error("else: the edge")
	}
}
