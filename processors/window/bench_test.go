package window

import (
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/storage"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/rules"
	"github.com/brimline/brimline/internal/sliding"
	"github.com/brimline/brimline/processors"
)

// BenchmarkFold folds one more row of a user who has n retained ones, and
// writes what the table gets: the newest row, or one a day late. A row leaves the history for each that comes.
func BenchmarkFold(b *testing.B) {
	const span = 14 * 24 * time.Hour
	rule := brimline.Rule{ID: "week", Window: span / 2, Limit: brimline.Count(1 << 40)}
	rules := []sliding.Rule{{Rule: rule, Fingerprint: rule.Fingerprint()}}
	f := NewFolder(&brimline.RuleSet{Scale: 2, Rules: []brimline.Rule{rule}, Lateness: span / 2}, rules, 24*time.Hour)
	for _, n := range []int{10, 100, 1_000, 100_000} {
		for _, late := range []time.Duration{0, 24 * time.Hour} {
			name := "newest"
			if late > 0 {
				name = "late"
			}
			b.Run(fmt.Sprintf("rows=%d/%s", n, name), func(b *testing.B) {
				var (
					state  = f.NewState("27956157", nil, nil, 0)
					offset int64
					bytes  int
				)
				fold := func(at brimline.Time) {
					c := brimline.Change{Kind: brimline.Upsert, User: "27956157", Source: written(offset, at, offset),
						Row: brimline.Transaction{ID: strconv.FormatInt(1_000_000+offset, 10), User: "27956157",
							Amount: brimline.Amount(offset%20_000 - 5_000), Time: at}}
					_, write := f.Fold(state, Input{Change: &c, Offset: offset})
					offset++
					if !write {
						return
					}
					cut, err := state.commit()
					if err != nil {
						b.Fatal(err)
					}
					for _, s := range cut.sealed {
						bytes += len(s.value)
					}
					value, err := codecs.WindowPart{}.Encode(state.value())
					if err != nil {
						b.Fatal(err)
					}
					bytes += len(value)
				}
				step := brimline.Time(span.Microseconds()) / brimline.Time(n)
				now := brimline.TimeOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
				for range 2 * n {
					now += step
					fold(now)
				}
				bytes = 0
				b.ReportAllocs()
				for b.Loop() {
					now += step
					fold(now.Add(-late) + 1)
				}
				b.ReportMetric(float64(bytes)/float64(b.N), "changelog-B/op")
				b.ReportMetric(float64(state.rows.Len()), "rows")
			})
		}
	}
}

// writing is goka's context as far as the stage uses it; what is emitted is encoded and dropped.
type writing struct {
	gokaContext
	table  storage.Storage
	key    string
	offset int64
	bytes  int
}

func (c *writing) Key() string      { return c.key }
func (c *writing) Offset() int64    { return c.offset }
func (c *writing) Partition() int32 { return 0 }

func (c *writing) Timestamp() time.Time { return time.Unix(1e9, 0) }
func (c *writing) Emit(_ goka.Stream, key string, value any, _ ...goka.ContextOption) {
	if segment, ok := value.([]byte); ok {
		c.bytes += len(segment)
	}
}

func (c *writing) SetValue(value any, _ ...goka.ContextOption) {
	b, err := codecs.WindowTable{}.Encode(value)
	if err == nil {
		err = c.table.Set(c.key, b)
	}
	if err != nil {
		panic(err) // goka's SetValue gives nothing back
	}
	c.bytes += len(b)
}

// written is where the nth change of the database stands: some 600 bytes of log for each, committed within 50 ms.
func written(offset int64, at brimline.Time, n int64) brimline.Source {
	return brimline.Source{
		Offset: offset, LSN: uint64(1<<36 + 600*n), TxID: 1000 + n, Commit: at + brimline.Time(n*7919%50_000),
	}
}

// mapped is a table that costs as good as nothing.
type mapped struct {
	storage.Storage
	of map[string][]byte
}

func (m mapped) Get(key string) ([]byte, error) { return m.of[key], nil }
func (m mapped) Set(key string, value []byte) error {
	m.of[key] = value
	return nil
}

func (m mapped) SetUnreported(key string, value []byte) error {
	if value == nil {
		delete(m.of, key)
		return nil
	}
	return m.Set(key, value)
}

// BenchmarkStage takes the changes of 14 days, 100,000 users by a Zipf-Mandelbrot law, through the stage: all
// but goka, Kafka and LevelDB.
func BenchmarkStage(b *testing.B) {
	rule := brimline.Rule{ID: "week", Window: 7 * 24 * time.Hour, Limit: brimline.Count(1 << 40)}
	takeThrough(b, drawChanges(b, 1_000_000), rule)
}

// BenchmarkRules is BenchmarkStage, shorter, for more rules than one: of sums of amounts, ten windows by ten limits,
// and of a hundred expressions, beside one rule of the longest window. Of those that cross, the limits are such that
// most users come above some of them.
func BenchmarkRules(b *testing.B) {
	all := drawChanges(b, 200_000)
	rule := func(id string, hours, limit int) brimline.Rule {
		return brimline.Rule{ID: id, Measure: brimline.SumAbs, Window: time.Duration(hours) * time.Hour,
			Limit: brimline.Amount(limit * 10_000_000_000).Total()}
	}
	crossing := func(r brimline.Rule, n int) brimline.Rule {
		r.Limit = brimline.Amount(n * 10_000).Total()
		return r
	}
	var limits, where, crossed, whereCrossed []brimline.Rule
	for i := range 100 {
		limits = append(limits, rule(fmt.Sprint("r", i), 24*(1+i/10), 1+i%10))
		w := limits[i]
		w.Where = fmt.Sprintf("amount > %d.00", i)
		where = append(where, w)
		crossed, whereCrossed = append(crossed, crossing(limits[i], 1+i%10)), append(whereCrossed, crossing(w, 1+i%10))
	}
	b.Run("1", func(b *testing.B) { takeThrough(b, all, rule("one", 240, 1)) })
	b.Run("10-limits", func(b *testing.B) { takeThrough(b, all, limits[90:]...) })
	b.Run("10-windows-10-limits", func(b *testing.B) { takeThrough(b, all, limits...) })
	b.Run("100-where", func(b *testing.B) { takeThrough(b, all, where...) })
	b.Run("1-crossed", func(b *testing.B) { takeThrough(b, all, crossed[99]) })
	b.Run("100-crossed", func(b *testing.B) { takeThrough(b, all, crossed...) })
	b.Run("100-where-crossed", func(b *testing.B) { takeThrough(b, all, whereCrossed...) })
}

// BenchmarkWindow is BenchmarkStage, shorter, for windows of 7, 30 and 90 days, while the history is of 14.
func BenchmarkWindow(b *testing.B) {
	all := drawChanges(b, 200_000)
	for _, days := range []int{7, 30, 90} {
		b.Run(fmt.Sprint(days, "d"), func(b *testing.B) {
			rule := brimline.Rule{ID: "r", Limit: brimline.Count(1 << 40)}
			rule.Window = time.Duration(days) * 24 * time.Hour
			takeThrough(b, all, rule)
		})
	}
}

type encodedChange struct {
	key   string
	value []byte
}

// drawChanges are the changes of 14 days.
func drawChanges(b *testing.B, n int) []encodedChange {
	b.Helper()
	users := n / 10
	var (
		weights = make([]float64, users)
		sum     float64
		rnd     = rand.New(rand.NewPCG(1, 2))
		start   = brimline.TimeOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
		changes = make([]encodedChange, n)
	)
	for i := range weights {
		sum += math.Pow(float64(i+500), -1.1)
		weights[i] = sum
	}
	for i := range changes {
		at, _ := slices.BinarySearch(weights, rnd.Float64()*sum)
		key := strconv.Itoa(27_000_000 + at)
		t := start.Add(time.Duration(i) * (14 * 24 * time.Hour / time.Duration(n)))
		if rnd.IntN(100) == 0 {
			t = t.Add(-time.Duration(rnd.Int64N(int64(time.Hour))))
		}
		change, err := codecs.Change{}.Encode(&brimline.Change{Kind: brimline.Upsert, User: key,
			Source: written(int64(i), t, int64(i)),
			Row: brimline.Transaction{
				ID: strconv.Itoa(1_000_000 + i), User: key, Amount: brimline.Amount(rnd.IntN(20_000) - 4_000), Time: t,
			}})
		if err != nil {
			b.Fatal(err)
		}
		changes[i] = encodedChange{key, change}
	}
	return changes
}

// takeThrough takes changes through a stage with these rules; their where is compiled.
func takeThrough(b *testing.B, changes []encodedChange, all ...brimline.Rule) {
	b.Helper()
	set := brimline.RuleSet{Scale: 2, Rules: all}
	var compiled []sliding.Rule
	for _, rule := range all {
		r, err := rules.CompileRule(rule, set.Columns, set.Scale)
		if err != nil {
			b.Fatal(err)
		}
		compiled = append(compiled, r)
	}
	b.ReportAllocs()
	before := cpuTime(b)
	for b.Loop() {
		markers, states := NewMarkers(1), NewStates(64<<20)
		ctx := &writing{}
		var err error
		inner := func(string, int32) (storage.Storage, error) { return mapped{of: map[string][]byte{}}, nil }
		if ctx.table, err = kept(inner, markers, states).Build("table", 0); err != nil {
			b.Fatal(err)
		}
		stage := newTask(Config{
			Streams: processors.NewStreams("g", "src", "alerts"), Rules: set,
			Seen:     NewSeen(&set, 24*time.Hour, time.Now),
			Compiled: compiled, Keep: 24 * time.Hour,
			Markers: markers, States: states, Clock: time.Now, Metrics: NewMetrics(prometheus.NewRegistry()),
			Log: slog.New(slog.DiscardHandler),
		})
		for i := range changes {
			ctx.key, ctx.offset = changes[i].key, int64(i)
			stage.change(ctx, changes[i].value)
		}
		b.ReportMetric(float64(ctx.bytes)/float64(len(changes)), "changelog-B/event")
	}
	events := float64(b.N) * float64(len(changes))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/events, "ns/event")
	b.ReportMetric(float64((cpuTime(b)-before).Nanoseconds())/events, "cpu-ns/event")
}

// cpuTime is the processor time of this process.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
