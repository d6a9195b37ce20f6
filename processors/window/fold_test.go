package window

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/sliding"
)

// world is everything around a Folder, in miniature: a table that is complete
// from the start, a changes stream, and a verify stage that judges by the
// definition in the most literal way and drops replays by their cause.
type world struct {
	t         *rapid.T
	set       brimline.RuleSet
	compiled  []sliding.Rule
	fold      *Folder
	table     []brimline.Transaction
	stream    []brimline.Change
	next      int // offset of the next message to fold
	state     *State
	kept      *userTable           // of the window stage
	earlier   []*userTable         // what it was before each message
	sent      []brimline.Candidate // emitted, not yet acknowledged: a crash loses them
	watermark [2]brimline.Cause    // of candidates and of questions
	alerts    []string
	// between, if set, is called before each candidate that verify judges, and onAlert with each that it confirms.
	between func()
	onAlert func(*brimline.Candidate)
}

func (w *world) figures(r *brimline.Rule, at brimline.Time) (f brimline.Figures, rows int) {
	sum := newSum(r, at)
	for i := range w.table {
		if sum.add(&w.table[i]) {
			rows++
		}
	}
	return sum.f, rows
}

// sum is the definition of a rule's figures at a time, row by row.
type sum struct {
	r           *brimline.Rule
	at          brimline.Time
	f           brimline.Figures
	all, before map[any]bool // shops
}

func newSum(r *brimline.Rule, at brimline.Time) *sum {
	return &sum{r: r, at: at, all: map[any]bool{}, before: map[any]bool{}}
}

// add takes a row in, and says whether it has the time itself.
func (s *sum) add(row *brimline.Transaction) (here bool) {
	if row.Time < s.at.Add(-s.r.Window) || row.Time > s.at {
		return false
	}
	here = row.Time == s.at
	weight, counts := s.r.Measure.Weigh(row.Amount)
	if s.r.Measure == brimline.Distinct {
		shop := shopOf(row.Amount)
		if counts = shop != nil; counts {
			s.all[shop] = true
			if !here {
				s.before[shop] = true
			}
		}
	}
	if counts {
		s.f.Count++
		if s.r.Measure == brimline.Avg && !here {
			s.f.Earlier++
		}
	}
	switch {
	case s.r.Measure == brimline.Distinct:
		s.f.Total, s.f.Before = brimline.Count(int64(len(s.all))), brimline.Count(int64(len(s.before)))
	case here:
		s.f.Total = totalWith(s.r.Measure, s.f.Total, weight)
	default:
		s.f.Total = totalWith(s.r.Measure, s.f.Total, weight)
		s.f.Before = totalWith(s.r.Measure, s.f.Before, weight)
	}
	return here
}

// inShop gives a row a column that depends on its amount, with three values and NULL.
func inShop(row brimline.Transaction) brimline.Transaction {
	row.Columns = []brimline.Field{{Name: "shop", Value: shopOf(row.Amount)}}
	return row
}

func shopOf(a brimline.Amount) any {
	if n := (int64(a)%4 + 4) % 4; n != 0 {
		return n
	}
	return nil
}

// compiledOf makes drawn rules ready, whose column is that of inShop.
func compiledOf(r brimline.Rule) sliding.Rule {
	compiled := sliding.Rule{Rule: r, Fingerprint: r.Fingerprint()}
	if r.Measure == brimline.Distinct {
		compiled.Value = func(row *brimline.Transaction) any {
			v, _ := row.Column(r.Column)
			return v
		}
	}
	return compiled
}

// totalWith is a total with one row more.
func totalWith(m brimline.Measure, total brimline.Total, weight brimline.Amount) brimline.Total {
	if m == brimline.Max {
		if weight.Total().Cmp(total) > 0 {
			return weight.Total()
		}
		return total
	}
	return total.AddAmount(weight)
}

// edges are those that raise alerts.
func (w *world) edges(r *brimline.Rule, from, to brimline.Time) []brimline.Time {
	var all []brimline.Time
	for i := range w.table {
		all = append(all, w.table[i].Time)
	}
	return loudOf(all, r, from, to, func(t brimline.Time) brimline.Figures {
		f, _ := w.figures(r, t)
		return f
	})
}

// loudOf are the edges that raise alerts, in [from, to] and in order. times are all row times.
func loudOf(
	times []brimline.Time, r *brimline.Rule, from, to brimline.Time, at func(brimline.Time) brimline.Figures,
) (loud []brimline.Time) {
	slices.Sort(times)
	var edges, low, high []brimline.Time
	for _, t := range slices.Compact(times) {
		f := at(t)
		if r.IsEdge(f) {
			edges = append(edges, t)
		}
		if f.Before.Cmp(r.Rearm) <= 0 {
			low = append(low, t)
		}
		if r.Above(f) {
			high = append(high, t)
		}
	}
	for _, t := range edges {
		silent := slices.ContainsFunc(edges, func(o brimline.Time) bool { return o < t && t <= o.Add(r.Quiet) })
		if r.Rearms {
			latest := func(in []brimline.Time, before brimline.Time) brimline.Time {
				n, _ := slices.BinarySearch(in, before)
				if n == 0 {
					return brimline.MinTime
				}
				return in[n-1]
			}
			silent = latest(low, t+1) <= latest(high, t)
		}
		if from <= t && t <= to && !silent {
			loud = append(loud, t)
		}
	}
	return loud
}

// drawSilences makes a third of the rules quiet, and a third rearm. Averages and numbers of shops have a limit that
// rows cross.
func drawSilences(t *rapid.T, r *brimline.Rule) {
	if r.Measure == brimline.Distinct {
		r.Column, r.Limit = "shop", brimline.Count(rapid.Int64Range(0, 2).Draw(t, "shops"))
	}
	if r.Measure == brimline.Avg {
		r.Limit = brimline.Count(rapid.Int64Range(0, 15).Draw(t, "average"))
		r.MinCount = rapid.SampledFrom([]int64{0, 2, 3}).Draw(t, "min count")
	}
	switch limit, _ := r.Limit.Int64(); rapid.IntRange(0, 2).Draw(t, "silences") {
	case 1:
		r.Quiet = time.Duration(rapid.IntRange(1, 24).Draw(t, "quiet")) * time.Hour
	case 2:
		if !r.Measure.Shrinks() {
			r.Rearms, r.Rearm = true, brimline.Count(rapid.Int64Range(0, limit).Draw(t, "rearm"))
		}
	}
}

// folded folds a message and writes the state, which is read back from the table now and then.
func (w *world) folded(c *brimline.Change, offset int64) []brimline.Candidate {
	w.earlier = append(w.earlier[:min(len(w.earlier), int(offset))], w.kept.clone())
	candidates, write := w.fold.Fold(w.state, Input{Change: c, Offset: offset})
	if write {
		w.kept.write(w.t, w.state)
	}
	switch {
	case !write && w.state.changed:
		w.state = w.kept.load(w.t, w.fold)
	case offset%4 == 0:
		same(w.t, w.kept.load(w.t, w.fold), w.state)
	}
	return candidates
}

// step folds one message. What comes of it is on its way to verify.
func (w *world) step() {
	candidates := w.folded(&w.stream[w.next], int64(w.next))
	w.next++
	w.sent = append(w.sent, candidates...)
}

// crash loses the last n candidates on their way; the offset had not moved past the messages that caused them. The
// table may have had their values or not, and a segment without the value that names it.
func (w *world) crash(n, back int) {
	n = min(n, len(w.sent))
	w.next = max(0, w.next-back)
	if n > 0 {
		w.next = min(w.next, int(w.sent[len(w.sent)-n].Cause.Offset))
	}
	w.sent = w.sent[:len(w.sent)-n]
	if from := w.next + rapid.IntRange(0, len(w.earlier)-w.next).Draw(w.t, "the table's end"); from < len(w.earlier) {
		w.kept = w.earlier[from].withSegmentsOf(w.kept)
	}
	w.state = w.kept.load(w.t, w.fold)
}

// verify judges what has arrived.
func (w *world) verify() {
	arrived := w.sent
	w.sent = nil
	for i := range arrived {
		c := &arrived[i]
		if c.Cause.Compare(w.watermark[wayOf(c)]) <= 0 {
			continue
		}
		w.watermark[wayOf(c)] = c.Cause
		if w.between != nil {
			w.between()
		}
		answer := brimline.Change{Kind: brimline.EdgesFound, User: c.User, Rule: c.Rule.Fingerprint(), Row: c.Trigger}
		if c.Kind == brimline.LateCandidate {
			answer.Edges = w.edges(&c.Rule, c.Edge, c.Until)
		} else if len(w.edges(&c.Rule, c.Edge, c.Edge)) > 0 {
			w.alerts = append(w.alerts, c.ID())
			if w.onAlert != nil {
				w.onAlert(c)
			}
		} else {
			answer.Kind, answer.Edges, answer.Cause = brimline.Dismissal, []brimline.Time{c.Edge}, c.Cause.Offset
		}
		if len(answer.Edges) > 0 {
			w.stream = append(w.stream, answer)
		}
	}
}

func (w *world) expected() []string {
	var ids []string
	for i := range w.set.Rules {
		for _, t := range w.edges(&w.set.Rules[i], brimline.MinTime, brimline.MaxTime) {
			ids = append(ids, brimline.AlertID("u", w.set.Rules[i].ID, t))
		}
	}
	slices.Sort(ids)
	return ids
}

func drawWorld(t *rapid.T) *world {
	w := &world{t: t, kept: newTable(), watermark: [2]brimline.Cause{{Offset: -1}, {Offset: -1}}}
	hours := rapid.IntRange(1, 12)
	for i := range rapid.IntRange(1, 5).Draw(t, "rules") {
		r := brimline.Rule{
			ID: "r" + strconv.Itoa(i), Window: time.Duration(hours.Draw(t, "window")) * time.Hour,
			Measure: rapid.SampledFrom(brimline.Measures()).Draw(t, "measure"),
		}
		r.Limit = brimline.Amount(rapid.Int64Range(0, 60).Draw(t, "limit")).Total()
		if r.Measure == brimline.CountAll {
			r.Limit = brimline.Count(rapid.Int64Range(0, 4).Draw(t, "count"))
		}
		drawSilences(t, &r)
		w.set.Rules = append(w.set.Rules, r)
		w.compiled = append(w.compiled, compiledOf(r))
	}
	w.set.Lateness = time.Duration(rapid.IntRange(1, 10).Draw(t, "lateness")) * time.Hour
	w.fold = NewFolder(&w.set, w.compiled, time.Hour)
	w.state = w.fold.NewState("u", nil, nil, 0)
	for i := range rapid.IntRange(1, 40).Draw(t, "rows") {
		w.table = append(w.table, inShop(brimline.Transaction{
			ID: strconv.Itoa(i), User: "u",
			Amount: brimline.Amount(rapid.Int64Range(-30, 40).Draw(t, "amount")),
			Time:   brimline.Time(rapid.Int64Range(0, 60).Draw(t, "hour") * 3600 * 1e6),
		}))
	}
	for _, row := range rapid.Permutation(w.table).Draw(t, "arrival") {
		w.stream = append(w.stream, brimline.Change{Kind: brimline.Upsert, User: "u", Row: row})
		if rapid.IntRange(0, 9).Draw(t, "again") == 0 { // Debezium redelivers an earlier row
			w.stream = append(w.stream, w.stream[rapid.IntRange(0, len(w.stream)-1).Draw(t, "which")])
		}
	}
	return w
}

func TestFoldFindsExactlyTheEdges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		for w.next < len(w.stream) {
			w.step()
			if rapid.IntRange(0, 9).Draw(t, "crash") == 0 {
				w.crash(rapid.IntRange(0, 8).Draw(t, "lost"), rapid.IntRange(0, 8).Draw(t, "back"))
			}
			if w.next == len(w.stream) || rapid.IntRange(0, 2).Draw(t, "verify") == 0 {
				w.verify()
			}
		}
		slices.Sort(w.alerts)
		if want := w.expected(); !slices.Equal(w.alerts, want) {
			t.Fatalf("alerts\n %v\nwant\n %v", w.alerts, want)
		}
	})
}

func TestFoldAppliesUpdatesAndDeletes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		now := map[string]brimline.Transaction{}
		var changes []brimline.Change
		for _, c := range w.stream {
			changes = append(changes, c)
			if rapid.Bool().Draw(t, "change it") {
				row := c.Row
				row.Amount += 5
				row = inShop(row)
				row.Time += brimline.Time(rapid.Int64Range(-1, 1).Draw(t, "move") * 3600 * 1e6)
				changes = append(changes, brimline.Change{Kind: brimline.Upsert, User: "u", Row: row})
			}
			if rapid.IntRange(0, 3).Draw(t, "delete it") == 0 {
				changes = append(changes, brimline.Change{Kind: brimline.Delete, User: "u", Row: c.Row})
			}
		}
		for i := range changes {
			w.folded(&changes[i], int64(i))
			if changes[i].Kind == brimline.Delete {
				delete(now, changes[i].Row.ID)
			} else {
				now[changes[i].Row.ID] = changes[i].Row
			}
		}
		w.table = w.table[:0]
		for _, row := range now {
			w.table = append(w.table, row)
		}
		for i := range w.compiled {
			for _, row := range w.table {
				if row.Time.Add(-w.compiled[i].Window) <= w.state.w.Floor {
					continue
				}
				want, _ := w.figures(&w.set.Rules[i], row.Time)
				if got := w.state.rows.FiguresAt(i, row.Time); got != want {
					t.Fatalf("rule %+v at %v: %+v, want %+v", w.set.Rules[i], row.Time, got, want)
				}
			}
		}
	})
}

func TestDismissedEdgeComesBack(t *testing.T) {
	r := brimline.Rule{ID: "net", Window: time.Hour, Limit: brimline.Count(10), Measure: brimline.Sum}
	f := NewFolder(&brimline.RuleSet{Rules: []brimline.Rule{r}},
		[]sliding.Rule{{Rule: r, Fingerprint: r.Fingerprint()}}, time.Hour)
	at := brimline.TimeOf(time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC))
	upsert := func(id string, amount brimline.Amount, t brimline.Time) brimline.Change {
		return brimline.Change{Kind: brimline.Upsert, User: "u",
			Row: brimline.Transaction{ID: id, User: "u", Amount: amount, Time: t}}
	}
	dismissed := brimline.Change{
		Kind: brimline.Dismissal, User: "u", Rule: r.Fingerprint(), Edges: []brimline.Time{at}, Cause: 0,
	}
	changed := upsert("2", 1, at-1)
	for _, tc := range []struct {
		name   string
		stream []brimline.Change
		want   []int64 // offsets that raise the candidate
	}{
		{"a dismissed edge stays quiet", []brimline.Change{upsert("1", 11, at), dismissed, upsert("2", -1, at+1)}, []int64{0}},
		{"the no comes first", []brimline.Change{upsert("1", 11, at), dismissed, changed}, []int64{0, 2}},
		{"the change comes first", []brimline.Change{upsert("1", 11, at), changed, dismissed}, []int64{0, 2}},
		{"an old no means nothing", []brimline.Change{upsert("1", 11, at), dismissed, changed, dismissed, upsert("3", 0, at-2)}, []int64{0, 2}},
	} {
		w, got := f.NewState("u", nil, nil, 0), []int64(nil)
		for i := range tc.stream {
			candidates, _ := f.Fold(w, Input{Change: &tc.stream[i], Offset: int64(i)})
			for range candidates {
				got = append(got, int64(i))
			}
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: candidates at %v, want %v", tc.name, got, tc.want)
		}
	}
}

func TestNewRuleKeepsQuietAboutHistory(t *testing.T) {
	rule := func(id string, limit int64) sliding.Rule {
		r := brimline.Rule{ID: id, Window: time.Hour, Limit: brimline.Count(limit)}
		return sliding.Rule{Rule: r, Fingerprint: r.Fingerprint()}
	}
	row := func(id int, amount brimline.Amount, at time.Duration) *brimline.Change {
		return &brimline.Change{Kind: brimline.Upsert, User: "u", Row: brimline.Transaction{
			ID: fmt.Sprint(id), User: "u", Amount: amount, Time: brimline.Time(at.Microseconds()),
		}}
	}
	before := []sliding.Rule{rule("a", 100)}
	after := []sliding.Rule{rule("a", 100), rule("b", 10)}
	set := func(rules []sliding.Rule) *brimline.RuleSet {
		s := &brimline.RuleSet{Lateness: 100 * time.Hour}
		for _, r := range rules {
			s.Rules = append(s.Rules, r.Rule)
		}
		return s
	}
	old := NewFolder(set(before), before, time.Hour)
	w, kept := old.NewState("u", nil, nil, 0), newTable()
	old.Fold(w, Input{Change: row(1, 50, 0), Offset: 0})
	kept.write(t, w)
	f := NewFolder(set(after), after, time.Hour)
	w = kept.load(t, f)
	if got, _ := f.Fold(w, Input{Change: row(2, 1, 10*time.Minute), Offset: 1}); len(got) != 0 {
		t.Fatalf("a rule that is new alerted for history: %+v", got)
	}
	got, _ := f.Fold(w, Input{Change: row(3, 11, 5*time.Hour), Offset: 2})
	if len(got) != 1 || got[0].Rule.ID != "b" {
		t.Fatalf("the new rule's first edge after the change: %+v", got)
	}
}
