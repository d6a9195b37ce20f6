package window

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/sliding"
)

// largestRecord is that of what a table holds of a user, in bytes, and all are what they take together.
func (tb *userTable) largestRecord() (largest, all int) {
	largest, all = len(tb.value), len(tb.value)
	for _, segment := range tb.segments {
		largest, all = max(largest, len(segment)), all+len(segment)
	}
	return largest, all
}

// mostRecord is the largest size of a record of the window table, whatever the user has.
const mostRecord = segmentBytes + 2<<10

// TestVersionsAreBounded: what is remembered of changed rows, those that are gone among them, is bounded in bytes. The
// oldest go, the floor says so, and what comes back below it is asked of PostgreSQL. What is left reads back the same.
func TestVersionsAreBounded(t *testing.T) {
	const n = 150_000 // more than fit
	r := hourly("r", 100, brimline.SumAbs)
	set := &brimline.RuleSet{Rules: []brimline.Rule{r}, Lateness: 100_000 * time.Hour}
	f := NewFolder(set, newBench(t, r).rules, time.Hour)
	st, tb := f.NewState("u", nil, nil, 0), newTable()
	start := brimline.Time(1767225600000000)
	shortened := 0
	for i := range n {
		c := put(fmt.Sprintf("%08x-1234-4abc-9def-0123456789ab", i*7919%(1<<31)), 1, 0)
		c.User, c.Kind, c.Row.User = "u", brimline.Delete, "u"
		c.Row.Time, c.Source.Offset = start.Add(time.Duration(i)*time.Second), int64(i)
		if _, write := f.Fold(st, Input{Change: &c, Offset: int64(i)}); !write {
			t.Fatalf("deletion %d left nothing", i)
		}
		if st.versions.bytes > mostBytes {
			t.Fatalf("%d versions take %d bytes, of at most %d", st.versions.len(), st.versions.bytes, mostBytes)
		}
		if st.shortened {
			shortened++
		}
		if i%15_000 == 14_999 || i == n-1 { // whatever is between them
			tb.write(t, st)
			if largest, all := tb.largestRecord(); largest > mostRecord || all > 3*mostBytes {
				t.Fatalf("after %d: a record of %d bytes, and %d bytes in all", i+1, largest, all)
			}
		}
	}
	same(t, tb.load(t, f), st)
	if shortened == 0 || st.versions.len() < n/2 || st.w.Floor == brimline.MinTime {
		t.Errorf("%d versions are left, floor %v, shortened %d times", st.versions.len(), st.w.Floor, shortened)
	}
	old := put("again", 200, 0)
	old.User, old.Row.User, old.Row.Time, old.Source.Offset = "u", "u", st.w.Floor, n
	if out, _ := f.Fold(st, Input{Change: &old, Offset: n}); len(out) != 1 || out[0].Kind != brimline.LateCandidate {
		t.Errorf("a row at the floor is not asked about: %+v", out)
	}
}

// TestOneChangeWithManyEdges: a change that finds more edges than a segment holds.
func TestOneChangeWithManyEdges(t *testing.T) {
	r := brimline.Rule{ID: "r", Window: 10_000 * time.Hour, Limit: brimline.Count(100), Measure: brimline.Sum}
	b := newBench(t, r)
	w := &brimline.Window{Last: 5, Floor: brimline.MinTime, Rules: []brimline.RuleState{{Rule: r.Fingerprint()}}}
	const n = 64_000
	for i := range n { // the total goes from 0 to 90 and back, n/2 times
		c := put(fmt.Sprint(i+1), 90*(1-2*brimline.Amount(i%2)), 0)
		c.Row.Time = minutes(i + 1)
		w.Rows = append(w.Rows, brimline.RowOf(&c.Row))
	}
	b.st, b.offset = b.fold.NewState("u", w, w, codecs.Entries(w)), 10
	fold := func(c brimline.Change) (edges int) {
		c.User, c.Row.User = "u", "u"
		out, write := b.fold.Fold(b.st, Input{Change: &c, Offset: b.offset})
		b.offset++
		if !write {
			t.Fatal("nothing to write")
		}
		b.table.write(t, b.st)
		if largest, _ := b.table.largestRecord(); largest > mostRecord {
			t.Errorf("a record of %d bytes", largest)
		}
		same(t, b.table.load(t, b.fold), b.st)
		return len(out)
	}
	fold(put("one", 1, n+10))
	if got := fold(put("low", 20, 0)); got < n/2 {
		t.Errorf("%d edges, want %d", got, n/2)
	}
}

// TestIndexOfVersions compares the index with a list, whatever is done.
func TestIndexOfVersions(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	for range 50 {
		vs, want := newRowVersions(nil), map[string]brimline.RowVersion{}
		for range 2000 {
			id := fmt.Sprint(random.IntN(300))
			if random.IntN(3) > 0 {
				v := want[id]
				v.ID, v.Offset, v.Time = id, v.Offset+1, v.Time+brimline.Time(random.IntN(3))*brimline.Time(random.IntN(100))
				vs.set(v)
				want[id] = v
			} else if random.IntN(20) == 0 {
				for range random.IntN(300) {
					if v, any := vs.oldest(); any {
						vs.remove(v)
						delete(want, v.ID)
					}
				}
			}
			lowest, newest, bytes := brimline.MaxTime, brimline.MinTime, 0
			for _, v := range want {
				lowest, newest, bytes = min(lowest, v.Time), max(newest, v.Time), bytes+rowVersionBytes(&v)
			}
			oldest, any := vs.oldest()
			if any != (len(want) > 0) || any && oldest.Time != lowest || vs.len() != len(want) || vs.bytes != bytes ||
				any && vs.newest < newest {
				t.Fatalf("oldest %v of %v, %d of %d, %d bytes of %d", oldest.Time, lowest, vs.len(), len(want), vs.bytes, bytes)
			}
			if got, known := vs.get(id); got != want[id] || known != (want[id].ID != "") {
				t.Fatalf("%s is %+v, want %+v", id, got, want[id])
			}
		}
		all := vs.all()
		for i := range all {
			if all[i] != want[all[i].ID] || i > 0 && all[i-1].ID >= all[i].ID {
				t.Fatalf("%+v, want %+v", all[i], want[all[i].ID])
			}
		}
	}
}

// TestEdgesAtOnce: many edges that are set or taken out at once leave what they leave one by one, in the table too.
func TestEdgesAtOnce(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	r := hourly("r", 100, brimline.SumAbs)
	f := newBench(t, r).fold
	for range 30 {
		states := [2]*State{}
		tables := [2]*userTable{newTable(), newTable()}
		for i := range states {
			w := &brimline.Window{Last: 5, Floor: brimline.MinTime, Rules: []brimline.RuleState{{Rule: r.Fingerprint()}}}
			states[i] = f.NewState("u", w, w, 0)
		}
		one, all := states[0], states[1]
		for range 40 {
			from := minutes(random.IntN(80))
			to := from.Add(time.Duration(random.IntN(60)) * time.Minute)
			switch random.IntN(4) {
			case 0, 1:
				var set []brimline.Edge
				for at := from; at <= to; at = at.Add(time.Duration(1+random.IntN(5)) * time.Minute) {
					e := brimline.Edge{Time: at, Cause: brimline.Cause{Offset: 1}, Status: brimline.EdgeStatus(random.IntN(3))}
					set = append(set, e)
					one.setEdge(0, e)
				}
				all.addEdges(0, set)
			case 2:
				next := func(e brimline.Edge) (brimline.Edge, bool) {
					e.Status = (e.Status + 1) % 3
					return e, e.Status != 0 || e.Time%2 == 0
				}
				for at, _ := one.edge(0, from); at < len(one.w.Rules[0].Edges) && one.w.Rules[0].Edges[at].Time <= to; {
					e, stays := next(one.w.Rules[0].Edges[at])
					if !stays {
						one.forget(0, at)
						continue
					}
					one.setEdge(0, e)
					at++
				}
				all.eachEdge(0, from, to, next)
			case 3:
				for n := random.IntN(5); n > 0 && len(one.w.Rules[0].Edges) > 0; n-- {
					one.forget(0, 0)
					all.forget(0, 0)
				}
			}
			one.changed, all.changed = true, true
			for i, tb := range tables {
				tb.write(t, states[i])
				same(t, tb.load(t, f), states[i])
			}
			if want, got := tables[0].read(t), tables[1].read(t); !slices.Equal(want.Rules[0].Edges, got.Rules[0].Edges) {
				t.Fatalf("%v, want %v", got.Rules[0].Edges, want.Rules[0].Edges)
			}
		}
	}
}

// BenchmarkVersions deletes rows of a user who has had many changed: what is remembered of those must not be walked.
func BenchmarkVersions(b *testing.B) {
	for _, n := range []int{10, 1000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := hourly("r", 100, brimline.SumAbs)
			w := &brimline.Window{Last: 5, Floor: brimline.MinTime, Rules: []brimline.RuleState{{Rule: r.Fingerprint()}}}
			for i := range n {
				w.Changed = append(w.Changed, brimline.RowVersion{ID: fmt.Sprintf("%08d-1234-4abc-9def-0123456789ab", i),
					Time: brimline.Time(1767225600000000).Add(time.Duration(i) * time.Second)})
			}
			set := &brimline.RuleSet{Rules: []brimline.Rule{r}, Lateness: time.Duration(n) * time.Second}
			f := NewFolder(set, []sliding.Rule{{Rule: r, Fingerprint: r.Fingerprint()}}, time.Hour)
			st := f.NewState("u", w, w, n)
			for i := 0; b.Loop(); i++ {
				c := brimline.Change{Kind: brimline.Delete, User: "u", Row: brimline.Transaction{
					ID: fmt.Sprintf("%08d-1234-4abc-9def-0123456789ac", i%n), User: "u",
					Time: brimline.Time(1767225600000000).Add(time.Duration(n+i) * time.Second)}}
				c.Source.Offset = int64(i)
				f.Fold(st, Input{Change: &c, Offset: int64(10 + i)})
			}
		})
	}
}

// BenchmarkReach takes back what PostgreSQL dismissed of a user: a row goes, in whose window it all lies. Half of the
// edges stay, between the others.
func BenchmarkReach(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		for _, segments := range []bool{false, true} {
			b.Run(fmt.Sprintf("%d/segments=%v", n, segments), func(b *testing.B) {
				r := brimline.Rule{
					ID:      "r",
					Window:  time.Duration(n+10) * time.Minute,
					Limit:   brimline.Count(1e9),
					Measure: brimline.SumAbs,
				}
				set := &brimline.RuleSet{Rules: []brimline.Rule{r}}
				f := NewFolder(set, []sliding.Rule{{Rule: r, Fingerprint: r.Fingerprint()}}, time.Hour)
				row := put("1", 1, 1)
				for i := int64(0); b.Loop(); i++ {
					b.StopTimer()
					w := &brimline.Window{Last: 5, Floor: brimline.MinTime, Rules: []brimline.RuleState{{Rule: r.Fingerprint()}}}
					w.Rows = append(w.Rows, brimline.RowOf(&row.Row))
					for i := range n {
						e := brimline.Edge{Time: minutes(i + 2), Status: brimline.EdgeDismissed}
						if i%2 == 1 {
							e.Status = brimline.Disturbed
						}
						w.Rules[0].Edges = append(w.Rules[0].Edges, e)
					}
					st := f.NewState("u", w, w, codecs.Entries(w))
					if segments {
						if _, err := st.commit(); err != nil {
							b.Fatal(err)
						}
					}
					c := brimline.Change{
						Kind: brimline.Delete,
						User: "u",
						Row:  brimline.Transaction{ID: "1", User: "u", Time: minutes(1)},
					}
					c.Source.Offset = 1
					b.StartTimer()
					f.Fold(st, Input{Change: &c, Offset: 10})
					b.StopTimer()
					if got := len(st.w.Rules[0].Edges); got != n/2 {
						b.Fatalf("%d edges are left", got)
					}
					b.StartTimer()
				}
			})
		}
	}
}
