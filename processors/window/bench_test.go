package window

import (
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/storage"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
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
						Row: brimline.Transaction{ID: strconv.FormatInt(1_000_000+offset, 10), User: "27956157", Amount: brimline.Amount(offset%20_000 - 5_000), Time: at}}
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
	const users, n = 100_000, 1_000_000
	rule := brimline.Rule{ID: "week", Window: 7 * 24 * time.Hour, Limit: brimline.Count(1 << 40)}
	var (
		weights = make([]float64, users)
		sum     float64
		rnd     = rand.New(rand.NewPCG(1, 2))
		start   = brimline.TimeOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
		keys    = make([]string, n)
		changes = make([][]byte, n)
	)
	for i := range weights {
		sum += math.Pow(float64(i+500), -1.1)
		weights[i] = sum
	}
	for i := range changes {
		at, _ := slices.BinarySearch(weights, rnd.Float64()*sum)
		keys[i] = strconv.Itoa(27_000_000 + at)
		t := start.Add(time.Duration(i) * (14 * 24 * time.Hour / n))
		if rnd.IntN(100) == 0 {
			t = t.Add(-time.Duration(rnd.Int64N(int64(time.Hour))))
		}
		change, err := codecs.Change{}.Encode(&brimline.Change{Kind: brimline.Upsert, User: keys[i],
			Source: written(int64(i), t, int64(i)),
			Row: brimline.Transaction{
				ID: strconv.Itoa(1_000_000 + i), User: keys[i], Amount: brimline.Amount(rnd.IntN(20_000) - 4_000), Time: t,
			}})
		if err != nil {
			b.Fatal(err)
		}
		changes[i] = change
	}
	b.ReportAllocs()
	for b.Loop() {
		markers, states := NewMarkers(1), NewStates(64<<20)
		ctx := &writing{}
		var err error
		inner := func(string, int32) (storage.Storage, error) { return mapped{of: map[string][]byte{}}, nil }
		if ctx.table, err = kept(inner, markers, states).Build("table", 0); err != nil {
			b.Fatal(err)
		}
		set := brimline.RuleSet{Scale: 2, Rules: []brimline.Rule{rule}}
		stage := newTask(Config{
			Streams: processors.NewStreams("g", "src", "alerts"), Rules: set,
			Seen:     NewSeen(&set, 24*time.Hour, time.Now),
			Compiled: []sliding.Rule{{Rule: rule, Fingerprint: rule.Fingerprint()}}, Keep: 24 * time.Hour,
			Markers: markers, States: states, Clock: time.Now, Metrics: NewMetrics(prometheus.NewRegistry()),
			Log: slog.New(slog.DiscardHandler),
		})
		for i := range changes {
			ctx.key, ctx.offset = keys[i], int64(i)
			stage.change(ctx, changes[i])
		}
		b.ReportMetric(float64(ctx.bytes)/n, "changelog-B/event")
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/event")
}
