package views

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/sliding"
)

var (
	noon = brimline.TimeOf(time.Date(2026, 3, 8, 12, 0, 0, 0, time.UTC))
	week = rule("week", 7*24*time.Hour, "3000.00", brimline.SumAbs)
)

func rule(id string, window time.Duration, limit string, m brimline.Measure) sliding.Rule {
	l, err := brimline.ParseTotal(limit, m.Scale(2))
	if err != nil {
		panic(err)
	}
	r := brimline.Rule{ID: id, Window: window, Limit: l, Measure: m}
	return sliding.Rule{Rule: r, Fingerprint: r.Fingerprint()}
}

func compiled(scale int, rules ...sliding.Rule) *Rules { return &Rules{scale: scale, compiled: rules} }

// window has one row per pair of hours from noon and amount, in any order.
func window(last int64, pairs ...any) *brimline.Window {
	w := &brimline.Window{Last: last, Floor: brimline.MinTime, Scale: 2}
	for i := 0; i < len(pairs); i += 2 {
		amount, err := brimline.ParseAmount(pairs[i+1].(string), 2)
		if err != nil {
			panic(err)
		}
		w.Rows = append(w.Rows, brimline.RowOf(&brimline.Transaction{
			ID: string(rune('a' + i/2)), Amount: amount, Time: noon.Add(time.Duration(pairs[i].(int)) * time.Hour),
		}))
	}
	for i := range w.Rows {
		for j := i; j > 0 && w.Rows[j].Compare(&w.Rows[j-1]) < 0; j-- {
			w.Rows[j], w.Rows[j-1] = w.Rows[j-1], w.Rows[j]
		}
	}
	return w
}

func TestUserAt(t *testing.T) {
	day := rule("day", 24*time.Hour, "2", brimline.CountAll)
	rules := compiled(4, week, day)
	w := window(30, -24*7-1, "500.00", -24*7, "1000.00", -30, "-2000.00", -1, "441.50", 2, "1.00")
	w.Rules = []brimline.RuleState{{Rule: week.Fingerprint, Edges: []brimline.Edge{{Time: noon.Add(-time.Hour)}}},
		{Rule: 1, Edges: make([]brimline.Edge, 9)}}

	u := UserAt("27956157", w, rules, noon)
	if !u.Found || u.Scale != 2 || len(u.Rows) != 5 || u.Rows[0].User != "27956157" {
		t.Errorf("user: %+v", u)
	}
	r := u.Rules[0]
	// Both ends are closed: the row exactly seven days old counts, the one an hour older does not.
	if got := r.At.Total.Format(r.Scale); got != "3441.50" || r.At.Count != 3 {
		t.Errorf("week: total %s of %d, want 3441.50 of 3", got, r.At.Count)
	}
	if got := r.Distance.Format(r.Scale); got != "-441.50" || !r.Above() {
		t.Errorf("week: distance %s, above %v", got, r.Above())
	}
	if r.Newest == nil || *r.Newest != noon.Add(-time.Hour) {
		t.Errorf("week: newest %v", r.Newest)
	}
	if len(r.Edges) != 1 {
		t.Errorf("week: %d edges, want 1", len(r.Edges))
	}
	// At 14:00 the row of seven days before 12:00 has aged out, and the future row is in.
	if r.Ahead == nil || r.Ahead.Total.Format(2) != "2442.50" {
		t.Errorf("week: ahead %+v", r.Ahead)
	}
	if !r.Complete || !u.Rules[1].Complete {
		t.Error("nothing was dropped, so the figures are complete")
	}
	if r := u.Rules[1]; r.Scale != 0 || r.At.Total.Format(0) != "1" || r.Above() || r.Distance.Format(0) != "1" {
		t.Errorf("day: %+v", r)
	}

	w.Rows = w.Rows[:4]
	if u := UserAt("u", w, rules, noon); u.Rules[0].Ahead != nil {
		t.Error("no row is ahead")
	}
	later := noon.Add(8 * 24 * time.Hour)
	u = UserAt("u", w, rules, later)
	if u.Rules[0].At.Total.Sign() != 0 || u.Rules[0].Newest != nil || u.Rules[0].Above() {
		t.Errorf("all rows have aged out, without a sweep: %+v", u.Rules[0])
	}
}

func TestUserAtKnowsWhatItMisses(t *testing.T) {
	w := window(3, -1, "1.00")
	for _, c := range []struct {
		floor    brimline.Time
		complete bool
	}{
		{noon.Add(-week.Window - time.Microsecond), true},
		{noon.Add(-week.Window), false}, // a row at the floor itself may be missing, and the window's start is closed
		{noon.Add(-time.Hour), false},
	} {
		w.Floor = c.floor
		if got := UserAt("u", w, compiled(2, week), noon).Rules[0].Complete; got != c.complete {
			t.Errorf("floor %v: complete %v, want %v", c.floor, got, c.complete)
		}
	}
}

func TestTruncated(t *testing.T) {
	w := window(10, -1, "1.00")
	w.Floor = noon
	for _, c := range []struct {
		marker *brimline.Marker
		rows   int
	}{{nil, 1}, {&brimline.Marker{}, 1}, {&brimline.Marker{TruncatedAt: 9}, 1},
		{&brimline.Marker{TruncatedAt: 10}, 0}, {&brimline.Marker{TruncatedAt: 11}, 0}} {
		got := Truncated(w, c.marker)
		if len(got.Rows) != c.rows || c.rows == 0 && got.Floor != brimline.MinTime {
			t.Errorf("marker %+v: %+v", c.marker, got)
		}
	}
	if len(w.Rows) != 1 {
		t.Error("the window itself was changed")
	}
	place := func(lsn uint64) *brimline.Marker {
		return &brimline.Marker{TruncatedAt: 11,
			Truncation: &brimline.Truncation{Source: brimline.Source{LSN: lsn, Commit: noon}}}
	}
	w.Rows[0].Stamp = brimline.StampOf(&brimline.Source{LSN: 20, Commit: noon})
	for lsn, rows := range map[uint64]int{10: 1, 30: 0} { // newer rows stay, and what lies below the floor is not known
		if got := Truncated(w, place(lsn)); len(got.Rows) != rows || got.Floor != noon {
			t.Errorf("a TRUNCATE at %d: %+v", lsn, got)
		}
	}
	if Truncated(nil, &brimline.Marker{TruncatedAt: 1}) != nil {
		t.Error("nothing became something")
	}
}

func TestCourse(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	hour := rule("hour", 3*time.Hour, "10.00", brimline.Sum)
	for range 200 {
		var pairs []any
		for range rng.IntN(12) {
			pairs = append(pairs, rng.IntN(20)-10, fmt.Sprint(rng.IntN(7)-3))
		}
		u := UserAt("u", window(1, pairs...), compiled(2, hour), noon)
		from, to := noon.Add(-6*time.Hour), noon.Add(8*time.Hour)
		points := u.Course(0, from, to)
		if len(points) == 0 || points[0].Time != from {
			t.Fatalf("%v: no point at the start: %v", pairs, points)
		}
		// Whatever the time, the course says what FiguresAt says.
		for at := from; at <= to; at = at.Add(20 * time.Minute) {
			i, found := slices.BinarySearchFunc(points, at, func(p Point, at brimline.Time) int {
				return cmp.Compare(p.Time, at)
			})
			if !found {
				i--
			}
			if want := sliding.FiguresAt(u.Rows, &hour, at).Total; points[i].Total != want {
				t.Fatalf("%v at %v: %s, want %s", pairs, at, points[i].Total.Format(2), want.Format(2))
			}
		}
	}
	u := UserAt("u", nil, compiled(2, hour), noon)
	if len(u.Course(0, noon, noon.Add(-1000))) != 0 || u.Course(1, noon, noon) != nil ||
		len(u.Course(0, noon, noon)) != 1 {
		t.Error("empty spans, unknown rules")
	}
}
