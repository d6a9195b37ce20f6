package window

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/storage"
	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/sliding"
	"github.com/brimline/brimline/processors"
)

// life is one partition of the stage as it is, with all but goka: users, sweeps and segments, in a table that is a
// map. Around it are a PostgreSQL that judges by the definition in the most literal way, a route stage that knows
// which rows it cannot take in, partitions of a source topic at any pace, a verify stage that answers late, and
// crashes.
type life struct {
	t        *rapid.T
	set      brimline.RuleSet
	compiled []sliding.Rule
	keep     time.Duration

	rows map[string]*fact // PostgreSQL's table, by id

	sources   [][]event // what is still to come of each partition of the source topic
	heard     []bool    // what was heard of since the last start
	stream    []message
	next      int // offset of the next message to fold
	task      *task
	table     map[string][]byte
	earlier   []map[string][]byte // what the table was before each message
	sweeps    []int               // offsets of the sweeps that were folded: no crash goes back beyond the last but one
	sent      []brimline.Candidate
	arrived   [2][]brimline.Candidate // in the topics of candidates and of questions, not yet with verify
	mark      [2]brimline.Cause       // of each
	closed    [2]int                  // users' questions that were answered
	letters   []brimline.Candidate
	dismissed []brimline.Candidate // and not yet asked about again for the last time
	last      map[brimline.ChangeKind]int

	alerts    []string
	late      []*fact         // hidden rows that were repaired below the history
	changed   bool            // rows that PostgreSQL counted have become others
	forgotten map[string]bool // edges of users who were swept
	swept     int
	died      int
}

// fact is a row of PostgreSQL. One that is bad cannot be read as an amount. One that is hidden can, and route cannot
// take it in all the same, as it is before it is repaired.
type fact struct {
	brimline.Transaction
	bad    bool
	hidden bool
	gone   bool
}

type event struct {
	change brimline.Change
	commit func() // what PostgreSQL does before the event is written
	dead   bool   // route cannot take it in
}

type message struct {
	key    string
	change brimline.Change
}

// alertOf is the alert id of an edge.
func (l *life) figures(user string, r *brimline.Rule, at brimline.Time) (f brimline.Figures, there bool, err error) {
	sum := newSum(r, at)
	for _, row := range l.rows {
		if row.gone || row.User != user || row.Time < at.Add(-r.Window) || row.Time > at {
			continue
		}
		if row.bad {
			err = errors.New("NaN")
			continue
		}
		there = sum.add(&row.Transaction) || there
	}
	return sum.f, there, err
}

// edges are those that raise alerts.
func (l *life) edges(user string, r *brimline.Rule, from, to brimline.Time) (times []brimline.Time, err error) {
	for _, row := range l.rows {
		if row.gone || row.User != user || row.Time < from.Add(-r.Reach()) || row.Time > to {
			continue
		}
		if row.bad {
			return nil, errors.New("NaN")
		}
		times = append(times, row.Time)
	}
	return loudOf(times, r, from, to, func(t brimline.Time) brimline.Figures {
		f, _, _ := l.figures(user, r, t)
		return f
	}), nil
}

// memory is the table's storage.
type memory struct {
	mapped
}

func (memory) MarkRecovered() error { return nil }

func (l *life) start() {
	markers, states := NewMarkers(1), NewStates(1<<20)
	clock := func() time.Time { return time.Unix(1e9, 0) }
	l.task = newTask(Config{
		Streams: processors.NewStreams("g", "src", "alerts"), Rules: l.set, Compiled: l.compiled, Keep: l.keep,
		Markers: markers, States: states,
		Seen: NewSeen(&l.set, l.keep, clock), Clock: clock, Metrics: NewMetrics(prometheus.NewRegistry()),
		Log: slog.New(slog.DiscardHandler),
	})
	inner := func(string, int32) (storage.Storage, error) { return memory{mapped{of: l.table}}, nil }
	st, err := kept(inner, markers, states).Build("table", 0)
	if err == nil {
		err = st.MarkRecovered()
	}
	if err != nil {
		l.t.Fatal(err)
	}
	l.heard = make([]bool, len(l.sources))
}

// lived is goka's context, for a message or for a visit.
type lived struct {
	gokaContext
	l      *life
	key    string
	offset int64
}

func (c *lived) Key() string          { return c.key }
func (c *lived) Offset() int64        { return c.offset }
func (c *lived) Partition() int32     { return 0 }
func (c *lived) Topic() goka.Stream   { return "g-changes" }
func (c *lived) Timestamp() time.Time { return time.Unix(1e9, 0) }
func (c *lived) Fail(err error)       { c.l.t.Fatalf("the stage failed: %v", err) }
func (c *lived) Emit(to goka.Stream, key string, value any, _ ...goka.ContextOption) {
	switch v := value.(type) {
	case []brimline.Candidate:
		for i := range v {
			if v[i].Apart != (to == c.l.task.questions) || !v[i].Apart != (to == c.l.task.candidates) {
				c.l.t.Fatalf("a candidate with apart %v goes to %s", v[i].Apart, to)
			}
		}
		c.l.sent = append(c.l.sent, v...)
	case *brimline.DeadLetter:
		c.l.t.Fatalf("the stage cannot take in %+v", v)
	}
}

func (c *lived) SetValue(value any, _ ...goka.ContextOption) {
	b, err := codecs.WindowTable{}.Encode(value)
	if err == nil {
		err = c.l.task.States.partition(0).table.Set(c.key, b)
	}
	if err != nil {
		c.l.t.Fatal(err)
	}
}

func (c *lived) Value() any {
	v, err := codecs.WindowPart{}.Decode(c.l.table[c.key])
	if err != nil {
		c.l.t.Fatal(err)
	}
	return v
}

func (c *lived) Delete(...goka.ContextOption) {
	if _, _, segment := processors.ParseSegmentKey(c.key); !segment {
		c.l.forgets(c.key, int64(len(c.l.stream)))
		c.l.swept++
	}
	delete(c.l.table, c.key)
}

// forgets notes what is forgotten with a user before the message at an offset.
func (l *life) forgets(user string, offset int64) {
	if l.table[user] == nil || processors.IsMarker(user) {
		return
	}
	whole, _, err := l.task.States.partition(0).whole(user, (&lived{l: l, key: user}).Value().(*brimline.Window))
	if err != nil {
		l.t.Fatal(err)
	}
	if idle, before := l.task.Markers.swept(0, offset); !isForgotten(whole, idle, before) {
		return
	}
	for i, r := range whole.Rules {
		for _, e := range r.Edges {
			l.forgotten[brimline.AlertID(user, l.set.Rules[i].ID, e.Time)] = true
		}
	}
}

func (l *life) fold() {
	m := l.stream[l.next]
	l.earlier = append(l.earlier[:min(len(l.earlier), l.next)], maps.Clone(l.table))
	raw, err := codecs.Change{}.Encode(&m.change)
	if err != nil {
		l.t.Fatal(err)
	}
	l.forgets(m.key, int64(l.next))
	l.repaired(&m)
	l.task.change(&lived{l: l, key: m.key, offset: int64(l.next)}, raw)
	switch m.change.Kind {
	case brimline.Upsert:
		l.heard[m.change.Source.Partition] = true
	case brimline.Sweep:
		l.sweeps = append(l.sweeps, l.next)
	}
	l.next++
}

// repaired notes a hidden row that was below the retained history when it was repaired: what only that makes an edge
// is not looked for.
func (l *life) repaired(m *message) {
	f := l.rows[m.change.Row.ID]
	if f == nil || !f.hidden || m.change.Row.ID == "" || m.change.Kind != brimline.Upsert &&
		m.change.Kind != brimline.Delete {
		return
	}
	_, floor := l.task.Markers.swept(0, int64(l.next))
	if raw := l.table[m.key]; raw != nil {
		floor = (&lived{l: l, key: m.key}).Value().(*brimline.Window).Floor
	}
	if f.Time <= floor {
		l.late = append(l.late, f)
	}
}

// notSought says whether an edge may be missing, because only a change to a row below the history makes it one.
func (l *life) notSought(user string, r *brimline.Rule, at brimline.Time) bool {
	return slices.ContainsFunc(l.late, func(f *fact) bool {
		rule := compiledOf(*r)
		weight, _ := rule.Weigh(&f.Transaction)
		return f.User == user && f.Time <= at && at <= f.Time.Add(r.Reach()) && (f.gone || weight == 0)
	})
}

// arrive brings the next event of a source partition to the stream.
func (l *life) arrive(p int) {
	e := l.sources[p][0]
	l.sources[p] = l.sources[p][1:]
	if e.commit != nil {
		e.commit()
	}
	if !e.dead {
		l.stream = append(l.stream, message{e.change.User, e.change})
	}
}

// sweep announces a sweep. The visit comes with the fold of any later message.
func (l *life) sweep() {
	// A partition of which nothing was heard counts as none: the suite starts them all before it sweeps.
	for p := range l.sources {
		if !l.heard[p] {
			return
		}
	}
	key := processors.MarkerKey(0, 1)
	for _, before := range l.task.Seen.Horizons() {
		l.stream = append(l.stream,
			message{key, brimline.Change{Kind: brimline.Sweep, User: key, Row: brimline.Transaction{Time: before}}})
	}
}

func (l *life) visit() {
	for _, key := range slices.Sorted(maps.Keys(l.table)) {
		if _, there := l.table[key]; there {
			l.task.sweep.visit(&lived{l: l, key: key}, nil)
		}
	}
}

// crash loses candidates that are on their way, goes back, and takes the table from any point in between.
func (l *life) crash() {
	lost := min(rapid.IntRange(0, 8).Draw(l.t, "lost"), len(l.sent))
	to := max(0, l.next-rapid.IntRange(0, 10).Draw(l.t, "back"))
	if n := len(l.sweeps); n > 1 {
		to = max(to, l.sweeps[n-2])
	}
	for lost > 0 && int(l.sent[len(l.sent)-lost].Cause.Offset) < to {
		lost--
	}
	if lost > 0 {
		to = min(to, int(l.sent[len(l.sent)-lost].Cause.Offset))
	}
	l.sent = l.sent[:len(l.sent)-lost]
	if from := rapid.IntRange(min(to, l.next), l.next).Draw(l.t, "the table's end"); from < l.next {
		l.table = maps.Clone(l.earlier[from])
	}
	l.next = min(to, l.next)
	l.sweeps = slices.DeleteFunc(l.sweeps, func(at int) bool { return at >= l.next })
	l.start()
}

// acknowledge lets what was sent arrive; no crash can lose it.
func (l *life) acknowledge() {
	for _, c := range l.sent {
		way := wayOf(&c)
		l.arrived[way] = append(l.arrived[way], c)
	}
	l.sent = nil
}

// wayOf is which of the two topics a candidate is in.
func wayOf(c *brimline.Candidate) int {
	if c.Apart {
		return 1
	}
	return 0
}

// verify judges a batch of one of the topics.
func (l *life) verify(way, most int) {
	batch := l.arrived[way][:min(most, len(l.arrived[way]))]
	l.arrived[way] = l.arrived[way][len(batch):]
	var answers []message
	closing := map[string]brimline.Cause{}
	for i := range batch {
		c := &batch[i]
		if c.Cause.Compare(l.mark[way]) <= 0 {
			continue
		}
		l.mark[way] = c.Cause
		answer := brimline.Change{User: c.User, Rule: c.Rule.Fingerprint(), Row: c.Trigger, Source: c.Source,
			Edges: []brimline.Time{c.Edge}, Cause: c.Cause.Offset}
		var err error
		if c.Kind == brimline.LateCandidate {
			closing[c.User] = c.Cause
			answer.Kind, answer.Cause = brimline.EdgesFound, 0
			answer.Edges, err = l.edges(c.User, &c.Rule, c.Edge, c.Until)
		} else {
			var f brimline.Figures
			var there bool
			f, there, err = l.figures(c.User, &c.Rule, c.Edge)
			answer.Kind = brimline.Dismissal
			is := err == nil && there && c.Rule.IsEdge(f)
			if is && c.Rule.Silences() {
				answer.Edges, err = l.edges(c.User, &c.Rule, c.Edge, c.Edge)
			}
			if is && err == nil && len(answer.Edges) > 0 {
				l.alerts = append(l.alerts, c.ID())
				continue
			}
			answer.Edges = []brimline.Time{c.Edge}
			if err == nil && !is {
				l.dismissed = append(l.dismissed, *c)
			}
		}
		if err != nil {
			l.died++
			l.letters = append(l.letters, *c)
			answer.Kind, answer.Edges, answer.Cause = brimline.Unjudgeable, []brimline.Time{c.Edge}, c.Cause.Offset
			if c.Kind == brimline.LateCandidate {
				answer.Edges = append(answer.Edges, c.Until)
			}
		}
		answers = append(answers, message{c.User, answer})
	}
	for _, user := range slices.Sorted(maps.Keys(closing)) {
		answers = append(answers,
			message{user, brimline.Change{Kind: brimline.EdgesFound, User: user, Cause: closing[user].Offset,
				Index: closing[user].Index, Apart: way == 1}})
		l.closed[way]++
	}
	l.stream = append(l.stream, answers...)
}

// retry sends a dead letter back, whatever has become of it.
func (l *life) retry(c brimline.Candidate) {
	change := brimline.Change{Kind: brimline.Retry, User: c.User, Rule: c.Rule.Fingerprint(),
		Edges: []brimline.Time{c.Edge}, Cause: c.Cause.Offset}
	if c.Kind == brimline.LateCandidate {
		change.Edges = append(change.Edges, c.Until)
	}
	l.stream = append(l.stream, message{c.User, change})
}

// distrust says of a user that the rows up to a time are wrong, or, where that is said already, that time has passed.
func (l *life) distrust(user string) {
	change := brimline.Change{Kind: brimline.Distrust, User: user, Reason: brimline.ByCommand,
		Row: brimline.Transaction{Time: hour * brimline.Time(rapid.IntRange(0, 2000).Draw(l.t, "up to"))}}
	if l.table[user] != nil {
		doubt := &(&lived{l: l, key: user}).Value().(*brimline.Window).Doubt
		if _, more := doubt.Next(); more && rapid.Bool().Draw(l.t, "once more") {
			change = brimline.Change{Kind: brimline.AskAgain, User: user, Cause: doubt.Offset, Index: doubt.Asked + 1}
		}
	}
	l.stream = append(l.stream, message{user, change})
}

// reAsk says PostgreSQL's last word about an edge that it dismissed. That it comes too early, or that the window has no
// more than PostgreSQL, costs questions, and nothing else.
func (l *life) reAsk(n int) {
	c := l.dismissed[n]
	l.dismissed = slices.Delete(l.dismissed, n, n+1)
	change := brimline.Change{Kind: brimline.Disbelieved, User: c.User, Reason: brimline.ByDismissals, Source: c.Source,
		Row:  brimline.Transaction{Time: hour * brimline.Time(rapid.IntRange(0, 2000).Draw(l.t, "now"))},
		Rule: c.Rule.Fingerprint(), Edges: []brimline.Time{c.Edge}, Cause: c.Cause.Offset}
	f, there, err := l.figures(c.User, &c.Rule, c.Edge)
	if err != nil {
		return
	}
	switch {
	case there && c.Rule.IsEdge(f):
		change.Kind, change.Reason, change.Row = brimline.Restored, "", c.Trigger
	case rapid.Bool().Draw(l.t, "first"):
		change.Kind, change.Reason, change.Row = brimline.StillDismissed, "", c.Trigger
	}
	l.last[change.Kind]++
	l.stream = append(l.stream, message{c.User, change})
}

func (l *life) check(mayRepeat bool) {
	count := map[string]int{}
	for _, id := range l.alerts {
		count[id]++
	}
	var wrong []string
	users := map[string]bool{}
	for _, row := range l.rows {
		users[row.User] = true
	}
	for user := range users {
		for i := range l.set.Rules {
			times, err := l.edges(user, &l.set.Rules[i], brimline.MinTime, brimline.MaxTime)
			if err != nil {
				l.t.Fatalf("a row is still bad")
			}
			for _, at := range times {
				id := brimline.AlertID(user, l.set.Rules[i].ID, at)
				if n := count[id]; n == 0 && !l.notSought(user, &l.set.Rules[i], at) || n > 1 &&
					!(mayRepeat && l.forgotten[id]) {
					wrong = append(wrong, fmt.Sprintf("%d alerts %s", n, id))
				}
				delete(count, id)
			}
		}
	}
	for id, n := range count {
		if l.changed { // it was one before a row became another
			continue
		}
		wrong = append(wrong, fmt.Sprintf("%d alerts %s, which is no edge", n, id))
	}
	if len(wrong) > 0 {
		slices.Sort(wrong)
		l.t.Fatalf("%s\n%s", strings.Join(wrong, "\n"), l)
	}
}

func (l *life) String() string {
	var b strings.Builder
	for _, r := range l.set.Rules {
		fmt.Fprintf(&b, "rule %s: %v %s > %s, quiet %v, rearms %v at %s, fingerprint %x\n", r.ID, r.Window,
			r.Measure, r.Limit.Format(0), r.Quiet, r.Rearms, r.Rearm.Format(0), r.Fingerprint())
	}
	fmt.Fprintf(&b, "history %v, edges %v longer\n", l.set.Retention(), l.keep)
	hours := func(t brimline.Time) string { return fmt.Sprint(int64(t / hour)) }
	for i, m := range l.stream {
		c := m.change
		var edges []string
		for _, e := range c.Edges {
			edges = append(edges, hours(e))
		}
		fmt.Fprintf(&b, "%3d %q kind %d row %s of %d at %s from %d, rule %x edges %v, cause %d/%d\n",
			i, m.key, c.Kind, c.Row.ID, c.Row.Amount, hours(c.Row.Time), c.Source.Partition, c.Rule, edges, c.Cause,
			c.Index)
	}
	return b.String()
}

// drawLife draws rules, rows, what is wrong with some of them, and when that is repaired. Rows of a partition of the
// source topic are in the order of their times, or in any.
func drawLife(t *rapid.T, inOrder bool) *life {
	l := &life{t: t, rows: map[string]*fact{}, table: map[string][]byte{}, mark: [2]brimline.Cause{{Offset: -1}, {Offset: -1}},
		forgotten: map[string]bool{}, last: map[brimline.ChangeKind]int{}}
	for i := range rapid.IntRange(1, 3).Draw(t, "rules") {
		r := brimline.Rule{ID: "r" + strconv.Itoa(i),
			Window:  time.Duration(rapid.IntRange(1, 12).Draw(t, "window")) * time.Hour,
			Measure: rapid.SampledFrom(brimline.Measures()).Draw(t, "measure"),
			Limit:   brimline.Count(rapid.Int64Range(0, 50).Draw(t, "limit"))}
		if r.Measure == brimline.CountAll {
			r.Limit = brimline.Count(rapid.Int64Range(0, 3).Draw(t, "count"))
		}
		drawSilences(t, &r)
		l.set.Rules = append(l.set.Rules, r)
		l.compiled = append(l.compiled, compiledOf(r))
	}
	l.set.Lateness = time.Duration(rapid.IntRange(1, 10).Draw(t, "lateness")) * time.Hour
	l.keep = time.Duration(rapid.IntRange(0, 20).Draw(t, "keep")) * time.Hour
	l.sources = make([][]event, rapid.IntRange(1, 4).Draw(t, "partitions"))
	var facts []*fact
	at := brimline.Time(0)
	for i := range rapid.IntRange(1, 60).Draw(t, "rows") {
		at += hour * brimline.Time(rapid.SampledFrom([]int{0, 0, 1, 2, 5, 30, 100, 400}).Draw(t, "hours later"))
		facts = append(facts,
			&fact{Transaction: inShop(brimline.Transaction{ID: strconv.Itoa(i),
				User:   fmt.Sprint("u", rapid.IntRange(0, 3).Draw(t, "user")),
				Amount: brimline.Amount(rapid.Int64Range(-20, 40).Draw(t, "amount")), Time: at})})
	}
	if !inOrder {
		facts = rapid.Permutation(facts).Draw(t, "arrival")
	}
	for _, f := range facts {
		p := rapid.IntRange(0, len(l.sources)-1).Draw(t, "partition")
		l.rows[f.ID] = f
		switch rapid.IntRange(0, 4).Draw(t, "bad") {
		case 0:
			f.bad = true
		case 1:
			f.hidden, l.changed = true, true
		}
		l.sources[p] = append(l.sources[p], event{
			change: brimline.Change{Kind: brimline.Upsert, User: f.User, Row: f.Transaction}, dead: f.bad || f.hidden,
		})
	}
	for _, f := range facts {
		if f.bad || f.hidden {
			l.repair(f, inOrder)
		}
	}
	for p := range l.sources {
		for i := range l.sources[p] {
			l.sources[p][i].change.Source = brimline.Source{Partition: int32(p), Offset: int64(i), LSN: uint64(i + 1)}
		}
	}
	l.start()
	return l
}

// repair puts what mends a bad row at any place behind it, or soon enough for nothing to be forgotten by then.
func (l *life) repair(f *fact, soon bool) {
	for p := range l.sources {
		i := slices.IndexFunc(l.sources[p], func(e event) bool { return e.change.Row.ID == f.ID })
		if i < 0 {
			continue
		}
		last := len(l.sources[p])
		for soon && last > i+1 && l.sources[p][last-1].change.Row.Time >= f.Time.Add(l.set.Retention()+l.keep) {
			last--
		}
		at := rapid.IntRange(i+1, last).Draw(l.t, "repaired")
		change := l.sources[p][i].change
		change.Update = f.hidden
		if f.hidden {
			change.Row.Amount = brimline.Amount(rapid.Int64Range(-20, 40).Draw(l.t, "other amount"))
			change.Row = inShop(change.Row)
		}
		kind := rapid.IntRange(0, 3).Draw(l.t, "how")
		commit := func() {
			f.bad, f.Amount, f.Columns = false, change.Row.Amount, change.Row.Columns
			f.gone = kind == 1
		}
		remove := change
		remove.Kind, remove.Update = brimline.Delete, false
		if rapid.Bool().Draw(l.t, "its time is not known") {
			remove.Row.Time = brimline.MinTime
		}
		switch kind {
		case 0: // an update
			l.sources[p] = slices.Insert(l.sources[p], at, event{change: change, commit: commit})
		case 1: // a delete
			l.sources[p] = slices.Insert(l.sources[p], at, event{change: remove, commit: commit})
		case 2: // both, in one transaction
			l.sources[p] = slices.Insert(l.sources[p], at, event{change: remove, commit: commit}, event{change: change})
		case 3: // repaired, and then touched once more
			l.sources[p] = slices.Insert(l.sources[p], at, event{change: change, commit: commit}, event{change: change})
		}
		return
	}
}

// TestLife: every edge of the final table is alerted once, whatever happens on the way. What was announced to a user
// who is swept is forgotten, as semantics.md says: such an edge may come again, if rows come later than what is kept.
func TestLife(t *testing.T) { testLife(t, false) }

// TestLifeInOrder: where each partition of the source topic has its rows in order, nothing comes again, however far
// apart the partitions are, and however often users are swept.
func TestLifeInOrder(t *testing.T) { testLife(t, true) }

func testLife(t *testing.T, inOrder bool) {
	swept, died, repeated, near, apart, restored, lasting := 0, 0, 0, 0, 0, 0, 0
	live := func(t *rapid.T) {
		l := drawLife(t, inOrder)
		due := 0 // visits
		for {
			left := 0
			for p := range l.sources {
				left += len(l.sources[p])
			}
			if left == 0 && l.next == len(l.stream) && len(l.sent)+len(l.arrived[0])+len(l.arrived[1]) == 0 {
				break
			}
			switch rapid.IntRange(0, 14).Draw(t, "then") {
			case 0, 1, 2:
				p := rapid.IntRange(0, len(l.sources)-1).Draw(t, "from")
				for range min(len(l.sources[p]), rapid.IntRange(1, 5).Draw(t, "events")) {
					l.arrive(p)
				}
			case 3, 4, 5, 6:
				for range min(len(l.stream)-l.next, rapid.IntRange(1, 6).Draw(t, "messages")) {
					if l.stream[l.next].change.Kind == brimline.Sweep {
						due++
					}
					l.fold()
				}
			case 7:
				l.acknowledge()
			case 8:
				l.acknowledge()
				l.verify(rapid.IntRange(0, 1).Draw(t, "way"), rapid.IntRange(1, 10).Draw(t, "batch"))
			case 9, 13:
				if left > 0 { // else there would be no end
					l.sweep()
				}
				for range rapid.IntRange(0, 1).Draw(t, "at once") * (len(l.stream) - l.next) {
					if l.stream[l.next].change.Kind == brimline.Sweep {
						due++
					}
					l.fold()
				}
				if due > 0 {
					due--
					l.visit()
				}
			case 10:
				if rapid.IntRange(0, 3).Draw(t, "crash") == 0 {
					l.crash()
				}
			case 11:
				if len(l.letters) > 0 && left > 0 {
					l.retry(rapid.SampledFrom(l.letters).Draw(t, "letter"))
				}
			case 12:
				if left > 0 {
					l.distrust(fmt.Sprint("u", rapid.IntRange(0, 3).Draw(t, "distrusted")))
				}
			case 14:
				for range min(len(l.dismissed), rapid.IntRange(1, 4).Draw(t, "asked again")) * min(left, 1) {
					l.reAsk(rapid.IntRange(0, len(l.dismissed)-1).Draw(t, "dismissed"))
				}
			}
		}
		l.check(!inOrder)
		swept, died = swept+l.swept, died+l.died
		restored, lasting = restored+l.last[brimline.Restored], lasting+l.last[brimline.Disbelieved]
		near, apart = near+l.closed[0], apart+l.closed[1]
		for range l.alerts {
			repeated++
		}
	}
	nothing := func() bool {
		return swept == 0 || died == 0 || repeated == 0 || near == 0 || apart == 0 || lasting == 0
	}
	for tries := 0; tries < 3 && nothing(); tries++ { // a hundred lives may have no sweep by chance
		rapid.Check(t, live)
	}
	seen := fmt.Sprintf("%d users were swept, %d candidates died, %d alerts, %d answers about rows near the newest, "+
		"%d about older ones, %d dismissals lasted, %d did not", swept, died, repeated, near, apart, lasting, restored)
	t.Log(seen)
	if nothing() {
		t.Errorf("nothing to see: %s", seen)
	}
}
