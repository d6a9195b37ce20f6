package window

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/sliding"
)

// doubts is one user in a model of everything that may happen around a distrust: transactions of PostgreSQL that are
// committed, and shown to who asks only later; changes that reach the stream late, or never; answers that are on their
// way; crashes. Who interleaves all that is the test. The judge is the definition, taken literally.
type doubts struct {
	t        failer
	set      brimline.RuleSet
	compiled []sliding.Rule
	fold     *Folder

	script    []write // what is still to be committed
	committed []write
	shown     int     // of committed, to who asks PostgreSQL
	flight    []write // not yet in the stream
	mustSee   int     // what is committed before the newest distrust
	clock     brimline.Time

	stream  []brimline.Change
	next    int
	kept    *userTable
	state   *State
	earlier []*userTable
	sent    map[brimline.CandidateKind][]brimline.Candidate
	mark    map[brimline.CandidateKind]brimline.Cause
	answers map[brimline.CandidateKind][]brimline.Change // PostgreSQL's, not yet in the stream
	alerts  []string
	log     []string

	byItself  bool        // dismissals are asked again, as verify does
	noCommand bool        // and there is no distrust by command
	patient   bool        // nothing lasts
	again     []dismissal // in the order in which they are asked again
	// partitions: the source has several, so changes of different rows come in any order.
	partitions bool
	since      int // edges are promised whose row was written after so many
}

// dismissal is a candidate that PostgreSQL has dismissed, with less than the window had.
type dismissal struct {
	brimline.Candidate
	asked int // again
}

// write is a transaction: a row as it is from then on, or its deletion. Lost is one that the stream never tells.
type write struct {
	row    brimline.Transaction
	gone   bool
	lost   bool
	blind  bool // neither insert nor update, as a snapshot or a record without operation has it
	silent bool // a deletion that does not say when the row was
	// unplaced: the record does not say where in PostgreSQL's log it is from, so that nothing waits for it to be shown.
	unplaced bool
	number   int
}

func newDoubts(t failer, script []write, rules ...brimline.Rule) *doubts {
	d := &doubts{t: t, set: brimline.RuleSet{Rules: rules, Lateness: 1000 * time.Hour}, script: script,
		kept: newTable(), answers: map[brimline.CandidateKind][]brimline.Change{}, sent: map[brimline.CandidateKind][]brimline.Candidate{},
		mark: map[brimline.CandidateKind]brimline.Cause{
			brimline.EdgeCandidate: {Offset: -1}, brimline.LateCandidate: {Offset: -1}}}
	there := map[string]bool{}
	d.script = slices.DeleteFunc(d.script, func(w write) bool { // nothing deletes a row that is not there
		nothing := w.gone && !there[w.row.ID]
		there[w.row.ID] = !w.gone
		return nothing
	})
	for i := range d.script {
		d.script[i].number = i + 1
	}
	for _, r := range rules {
		d.compiled = append(d.compiled, compiledOf(r))
	}
	d.fold = NewFolder(&d.set, d.compiled, 1000*time.Hour)
	d.state = d.kept.load(t, d.fold)
	return d
}

// rows is the table as PostgreSQL shows it after so many transactions.
func (d *doubts) rows(after int) map[string]brimline.Transaction {
	rows := map[string]brimline.Transaction{}
	for _, w := range d.committed[:after] {
		if rows[w.row.ID] = w.row; w.gone {
			delete(rows, w.row.ID)
		}
	}
	return rows
}

// edgesOf are the edges that raise alerts.
func edgesOf(rows map[string]brimline.Transaction, r *brimline.Rule) (edges []brimline.Time) {
	var times []brimline.Time
	for _, row := range rows {
		times = append(times, row.Time)
	}
	return loudOf(times, r, brimline.MinTime, brimline.MaxTime, func(at brimline.Time) (f brimline.Figures) {
		sum := newSum(r, at)
		for _, row := range rows {
			sum.add(&row)
		}
		return sum.f
	})
}

// move is something that may happen next; nil where it cannot.
type move struct {
	name string
	do   func()
}

func (d *doubts) moves() (all []move) {
	may := func(name string, can bool, do func()) {
		if can {
			all = append(all, move{name, do})
		}
	}
	may("fold", d.next < len(d.stream), d.step)
	may("route", len(d.flight) > 0, func() { d.route(0) })
	for i := 1; d.partitions && i < len(d.flight); i++ { // what is of other rows may come from other partitions
		before := slices.ContainsFunc(d.flight[:i], func(w write) bool { return w.row.ID == d.flight[i].row.ID })
		may(fmt.Sprint("route ", i), !before, func() { d.route(i) })
	}
	for _, kind := range []brimline.CandidateKind{brimline.EdgeCandidate, brimline.LateCandidate} {
		may("answer "+string(kind), len(d.answers[kind]) > 0, func() {
			d.stream, d.answers[kind] = append(d.stream, d.answers[kind][0]), d.answers[kind][1:]
		})
		may("verify "+string(kind), len(d.sent[kind]) > 0, func() { d.verify(kind) })
	}
	may("show", d.shown < len(d.committed), func() { d.shown++ })
	_, more := d.state.w.Doubt.Next()
	may("ask again", more && d.next == len(d.stream), d.askAgain)
	_, above := d.state.w.Above.Next()
	may("ask above", above && d.state.w.Apart == (brimline.Cause{}) && d.next == len(d.stream), d.askAbove)
	may("distrust", d.unhealed() && !d.noCommand, d.distrust)
	may("still dismissed", d.lasting() && !d.patient, d.stillDismissed)
	may("re-ask", d.mayReAsk() && (d.patient && d.shown == len(d.committed) || d.again[0].asked < 3), d.reAsk)
	may("commit", len(d.script) > 0, d.commit)
	return all
}

// unhealed says that the stream has lost something since the newest distrust, and nothing is to be lost any more.
func (d *doubts) unhealed() bool {
	lost := func(w write) bool { return w.lost }
	return slices.ContainsFunc(d.committed[d.mustSee:], lost) && !slices.ContainsFunc(d.script, lost)
}

func (d *doubts) commit() {
	w := d.script[0]
	d.script = d.script[1:]
	d.committed = append(d.committed, w)
	d.clock = max(d.clock, w.row.Time)
	if !w.lost {
		d.flight = append(d.flight, w)
	}
}

func (d *doubts) route(i int) {
	w := d.flight[i]
	d.flight = slices.Delete(slices.Clone(d.flight), i, i+1)
	before := d.rows(w.number - 1)
	was, there := before[w.row.ID]
	c := brimline.Change{Kind: brimline.Upsert, User: "u", Row: w.row, Update: there && !w.blind,
		Inserted: !there && !w.blind,
		Source:   brimline.Source{Offset: int64(w.number), LSN: uint64(w.number)}}
	if w.unplaced {
		c.Source.LSN = 0
	}
	if w.gone {
		c.Kind, c.Update, c.Inserted, c.Row = brimline.Delete, false, false, was
		if c.Row.ID = w.row.ID; w.silent || !there {
			c.Row.Time = brimline.MinTime
		}
	}
	d.stream = append(d.stream, c)
}

func (d *doubts) distrust() {
	d.mustSee = len(d.committed)
	d.stream = append(d.stream, brimline.Change{Kind: brimline.Distrust, User: "u", Reason: brimline.ByCommand,
		Row: brimline.Transaction{Time: d.clock}})
}

// reAsk asks about the first dismissal again, and puts it behind the others if it stands.
func (d *doubts) reAsk() {
	r := d.again[0]
	d.again = d.again[1:]
	switch f := d.figures(&r.Candidate); {
	case r.Rule.IsEdge(f):
		d.stream = append(d.stream, brimline.Change{Kind: brimline.Restored, User: "u", Rule: r.Rule.Fingerprint(),
			Row: r.Trigger, Source: r.Source, Edges: []brimline.Time{r.Edge}, Cause: r.Cause.Offset})
	case r.Stream.HaveMore(f, r.Rule.Measure):
		r.asked++
		d.again = append(d.again, r)
	}
}

// lasting says that the first dismissal has stood for a while, for which PostgreSQL has shown all that the stream held
// then, and that everything of before is folded. Not all that it shows has come by the stream, and it never may.
func (d *doubts) lasting() bool {
	return d.mayReAsk() && (d.again[0].asked > 0 || d.again[0].Doubted) && d.next == len(d.stream)
}

// mayReAsk: the answer to the candidate is in the stream first, for it is of the same transaction.
func (d *doubts) mayReAsk() bool {
	return len(d.again) > 0 && len(d.answers[brimline.EdgeCandidate]) == 0
}

func (d *doubts) stillDismissed() {
	r := d.again[0]
	d.again = d.again[1:]
	c := brimline.Change{Kind: brimline.StillDismissed, User: "u", Row: r.Trigger, Rule: r.Rule.Fingerprint(),
		Source: r.Source, Edges: []brimline.Time{r.Edge}, Cause: r.Cause.Offset}
	if r.Doubted {
		d.mustSee = max(d.mustSee, len(d.committed))
		c.Kind, c.Reason, c.Row = brimline.Disbelieved, brimline.ByDismissals, brimline.Transaction{Time: d.clock}
	}
	d.stream = append(d.stream, c)
}

// figures are PostgreSQL's at a candidate's edge.
func (d *doubts) figures(c *brimline.Candidate) (f brimline.Figures) {
	sum := newSum(&c.Rule, c.Edge)
	for _, row := range d.rows(d.shown) {
		sum.add(&row)
	}
	return sum.f
}

// run takes the move that is picked until there is none.
func (d *doubts) run(pick func(int) int) {
	for {
		moves := d.moves()
		if len(moves) == 0 {
			return
		}
		m := moves[pick(len(moves))]
		d.log = append(d.log, m.name)
		m.do()
	}
}

// count is how many changes of a kind there were.
func (d *doubts) count(kind brimline.ChangeKind) (n int) {
	for _, c := range d.stream {
		if c.Kind == kind {
			n++
		}
	}
	return n
}

// askAgain is the clock's message. An hour later PostgreSQL shows what was committed before the distrust.
func (d *doubts) askAgain() {
	doubt := &d.state.w.Doubt
	if doubt.Asked == 2 {
		d.shown = max(d.shown, d.mustSee)
	}
	d.stream = append(d.stream, brimline.Change{Kind: brimline.AskAgain, User: "u", Cause: doubt.Offset,
		Index: doubt.Asked + 1})
}

// askAbove is the clock's message about a user above a limit. It may come twice.
func (d *doubts) askAbove() {
	d.stream = append(d.stream, brimline.Change{Kind: brimline.AskAbove, User: "u", Cause: d.state.w.Above.Asked})
}

func (d *doubts) step() {
	d.earlier = append(d.earlier[:min(len(d.earlier), d.next)], d.kept.clone())
	c := d.stream[d.next]
	found, write := d.fold.Fold(d.state, Input{Change: &c, Offset: int64(d.next)})
	switch {
	case write:
		d.kept.write(d.t, d.state)
	case d.state.changed:
		d.state = d.kept.load(d.t, d.fold)
	}
	d.next++
	for _, f := range found {
		d.sent[f.Kind] = append(d.sent[f.Kind], f)
	}
}

// crash goes back by some messages, with what they caused lost, and takes the table from any point in between.
func (d *doubts) crash(back, tableEnd int) {
	to := max(0, d.next-back)
	for kind, sent := range d.sent {
		d.sent[kind] = slices.DeleteFunc(slices.Clone(sent),
			func(c brimline.Candidate) bool { return c.Cause.Offset >= int64(to) })
	}
	if end := min(d.next, to+tableEnd); end < d.next {
		d.kept = d.earlier[end].withSegmentsOf(d.kept)
	}
	d.next = to
	d.state = d.kept.load(d.t, d.fold)
}

// verify judges the first candidate of a kind. PostgreSQL is asked once it shows the transaction that made it
// necessary, and those before.
func (d *doubts) verify(kind brimline.CandidateKind) {
	c := d.sent[kind][0]
	d.sent[kind] = d.sent[kind][1:]
	if c.Cause.Compare(d.mark[kind]) <= 0 {
		return
	}
	d.mark[kind] = c.Cause
	d.shown = max(d.shown, int(c.Source.LSN), int(c.After.LSN))
	edges := edgesOf(d.rows(d.shown), &c.Rule)
	answer := brimline.Change{User: "u", Rule: c.Rule.Fingerprint(), Row: c.Trigger, Source: c.Source,
		Cause: c.Cause.Offset}
	switch {
	case kind == brimline.LateCandidate:
		answer.Kind, answer.Index, answer.Apart = brimline.EdgesFound, c.Cause.Index, c.Apart
		answer.Edges = slices.DeleteFunc(edges, func(t brimline.Time) bool { return t < c.Edge || t > c.Until })
	case slices.Contains(edges, c.Edge):
		d.alerts = append(d.alerts, c.ID())
		return
	default:
		answer.Kind, answer.Edges = brimline.Dismissal, []brimline.Time{c.Edge}
		if f := d.figures(&c); d.byItself && !c.Rule.IsEdge(f) && !c.Rule.WasAbove(f) &&
			c.Stream.HaveMore(f, c.Rule.Measure) {
			d.again = append(d.again, dismissal{Candidate: c})
		}
	}
	d.answers[kind] = append(d.answers[kind], answer)
}

// drain lets everything come to its end; but for transactions, where these are to wait.
func (d *doubts) drain(wait bool) {
	for n := 0; ; n++ {
		moves := d.moves()
		if wait {
			moves = slices.DeleteFunc(moves, func(m move) bool { return m.name == "commit" })
		}
		if len(moves) == 0 {
			return
		}
		if n > 10_000 {
			d.t.Fatalf("no end:\n%s", d)
		}
		moves[0].do()
	}
}

// wrong names the edges of the table at rest that are missing or there too often; "" for none.
func (d *doubts) wrong() (all string) {
	count := map[string]int{}
	for _, id := range d.alerts {
		count[id]++
	}
	for i := range d.set.Rules {
		r := &d.set.Rules[i]
		for _, at := range edgesOf(d.rows(len(d.committed)), r) {
			if id := brimline.AlertID("u", r.ID, at); count[id] == 0 && d.newest(at) > d.since {
				all += fmt.Sprintf("no alert %s at hour %d\n", id, at/hour)
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(count)) {
		if count[id] > 1 {
			all += fmt.Sprintf("%d alerts %s\n", count[id], id)
		}
	}
	return all
}

// newest is the number of the newest write that put a row at a time.
func (d *doubts) newest(at brimline.Time) (number int) {
	for _, w := range d.committed {
		if !w.gone && w.row.Time == at {
			number = w.number
		}
	}
	return number
}

func (d *doubts) String() string {
	var b strings.Builder
	for _, r := range d.set.Rules {
		fmt.Fprintf(&b, "rule %s: %v %s > %s, quiet %v\n", r.ID, r.Window, r.Measure, r.Limit.Format(0), r.Quiet)
	}
	for _, w := range d.committed {
		fmt.Fprintf(&b, "tx %d: row %s of %d at hour %d, gone %v, lost %v\n", w.number, w.row.ID, w.row.Amount,
			w.row.Time/hour, w.gone, w.lost)
	}
	for i, c := range d.stream {
		fmt.Fprintf(&b, "%3d kind %d row %s of %d at %d, edges %v cause %d/%d\n", i, c.Kind, c.Row.ID, c.Row.Amount,
			c.Row.Time/hour, c.Edges, c.Cause, c.Index)
	}
	return b.String() + strings.Join(d.log, ", ")
}

// TestDistrustRepairs: whatever the stream has lost, once the user is distrusted every edge of the table at rest is
// alerted, once: those before, those that it hides, and those that rows bring later.
func TestDistrustRepairs(t *testing.T) {
	distrusts, lost := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		var rules []brimline.Rule
		for i := range rapid.IntRange(1, 2).Draw(t, "rules") {
			rules = append(rules, brimline.Rule{ID: fmt.Sprint("r", i),
				Window:  time.Duration(rapid.IntRange(1, 8).Draw(t, "window")) * time.Hour,
				Measure: rapid.SampledFrom(brimline.Measures()).Draw(t, "measure"),
				Limit:   brimline.Count(rapid.Int64Range(0, 12).Draw(t, "limit"))})
			drawSilences(t, &rules[i])
		}
		d := newDoubts(t, drawWrites(t), rules...)
		d.live(t)
		distrusts += d.count(brimline.Distrust)
		for _, w := range d.committed {
			if w.lost {
				lost++
			}
		}
	})
	t.Logf("%d distrusts, %d changes lost", distrusts, lost)
	if distrusts == 0 || lost == 0 {
		t.Errorf("nothing to see: %d distrusts, %d changes lost", distrusts, lost)
	}
}

// live lets anything happen, crashes among it, and then everything come to its end, which must be right.
func (d *doubts) live(t *rapid.T) {
	for range rapid.IntRange(0, 60).Draw(t, "moves") {
		moves := d.moves()
		if len(moves) == 0 {
			break
		}
		n := rapid.IntRange(0, len(moves)+1).Draw(t, "then")
		if n > len(moves) {
			d.log = append(d.log, "an hour later")
			d.drain(true)
			continue
		}
		if n == len(moves) {
			back, end := rapid.IntRange(0, 6).Draw(t, "back"), rapid.IntRange(0, 6).Draw(t, "the table's end")
			d.log = append(d.log, fmt.Sprintf("crash %d %d", back, end))
			d.crash(back, end)
			continue
		}
		d.log = append(d.log, moves[n].name)
		moves[n].do()
	}
	d.drain(false)
	if wrong := d.wrong(); wrong != "" {
		t.Fatalf("%s%s", wrong, d)
	}
}

// drawWrites draws transactions of one user's rows. Up to some point the stream loses some.
func drawWrites(t *rapid.T) (all []write) {
	n := rapid.IntRange(1, 14).Draw(t, "transactions")
	lossy := rapid.IntRange(0, n).Draw(t, "lossy")
	for i := range n {
		w := write{row: inShop(brimline.Transaction{ID: fmt.Sprint(rapid.IntRange(0, 6).Draw(t, "row")), User: "u",
			Amount: brimline.Amount(rapid.Int64Range(-6, 9).Draw(t, "amount")),
			Time:   hour * brimline.Time(i+int(rapid.Int64Range(-12, 4).Draw(t, "hour")))})}
		w.gone = rapid.IntRange(0, 3).Draw(t, "gone") == 0
		w.lost = i < lossy && rapid.IntRange(0, 2).Draw(t, "lost") == 0
		w.blind, w.silent = rapid.IntRange(0, 3).Draw(t, "blind") == 0, rapid.IntRange(0, 3).Draw(t, "silent") == 0
		all = append(all, w)
	}
	return all
}

// schedules runs f once for every interleaving that departs from the order of moves at most so many times.
func schedules(most int, f func(pick func(moves int) int)) (n int) {
	var run func(departures []int, left int)
	run = func(departures []int, left int) {
		// Each pick up to the last departure is given; those after it take the first move, and tell what else there
		// was.
		step, choices := 0, []int(nil)
		f(func(moves int) int {
			at := 0
			if step < len(departures) {
				at = departures[step]
			} else {
				choices = append(choices, moves)
			}
			step++
			return at
		})
		n++
		if left == 0 {
			return
		}
		for i, moves := range choices {
			for at := 1; at < moves; at++ {
				next := append(append(slices.Clone(departures), make([]int, i)...), at)
				run(next, left-1)
			}
		}
	}
	run(nil, most)
	return n
}

func made(id string, amount brimline.Amount, h int) write {
	return write{row: brimline.Transaction{ID: id, User: "u", Amount: amount, Time: hour * brimline.Time(h)}}
}

func unseen(w write) write { w.lost = true; return w }

func removed(id string) write { return write{row: brimline.Transaction{ID: id, User: "u"}, gone: true} }

// TestEveryInterleavingOfADistrust: the cases of decision 26, with everything that happens on the way in every order
// that departs at most twice from the plain one.
func TestEveryInterleavingOfADistrust(t *testing.T) {
	put, lost, gone := made, unseen, removed
	blind := func(w write) write { w.blind, w.silent = true, true; return w }
	rule := brimline.Rule{ID: "r", Window: 168 * time.Hour, Limit: brimline.Count(3000)}
	for name, script := range map[string][]write{
		"a row deleted unseen":           {put("a", 2500, 0), lost(gone("a")), put("b", 2600, 24), put("c", 700, 25)},
		"alerted, deleted, and the next": {put("a", 3500, 0), lost(gone("a")), put("b", 3200, 24)},
		"a forgotten row is deleted":     {put("a", 2500, 0), lost(put("b", 600, 1)), put("c", 2700, 2), gone("a")},
		"a delete without a time":        {put("a", 2500, 0), lost(put("b", 600, 1)), put("c", 2700, 2), blind(gone("a"))},
		"a forgotten row becomes 0":      {put("a", 2500, 0), lost(put("b", 600, 1)), put("c", 2700, 2), put("a", 0, 0)},
		"a forgotten row moves":          {put("a", 2500, 0), put("b", 600, 1), lost(gone("a")), put("c", 2700, 2), put("b", 600, 200)},
		"forgotten, changed and back":    {lost(put("a", 100, 0)), put("b", 2950, 1), put("a", 10, 0), blind(put("a", 100, 0))},
	} {
		n := schedules(2, func(pick func(int) int) {
			d := newDoubts(t, slices.Clone(script), rule)
			d.run(pick)
			if wrong := d.wrong(); wrong != "" {
				t.Fatalf("%s: %s%s", name, wrong, d)
			}
		})
		t.Logf("%s: %d interleavings", name, n)
	}
}

// TestEveryInterleavingOfAQuietDistrust: an edge was silent because of a row that was forgotten, and is so no more when
// the row changes, which makes it no edge of a window that has the row.
func TestEveryInterleavingOfAQuietDistrust(t *testing.T) {
	blind := func(w write) write { w.blind = true; return w }
	rule := brimline.Rule{ID: "r", Window: time.Hour, Quiet: 3 * time.Hour, Limit: brimline.Count(0)}
	for name, script := range map[string][]write{
		"it becomes 0":      {unseen(made("a", 1, 1)), made("b", 1, 4), blind(made("a", 0, 2))},
		"it moves away":     {unseen(made("a", 1, 3)), made("b", 1, 5), blind(made("a", 1, 1))},
		"it is deleted":     {unseen(made("a", 1, 3)), made("b", 1, 5), removed("a")},
		"another is before": {made("c", 1, 0), unseen(made("a", 1, 2)), made("b", 1, 4), removed("a"), removed("c")},
	} {
		n := schedules(2, func(pick func(int) int) {
			d := newDoubts(t, slices.Clone(script), rule)
			d.run(pick)
			if wrong := d.wrong(); wrong != "" {
				t.Fatalf("%s: %s%s", name, wrong, d)
			}
		})
		t.Logf("%s: %d interleavings", name, n)
	}
}
