package codecs_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
)

func BenchmarkChange(b *testing.B) {
	change := exampleChange(b, brimline.Delete)
	value := encode(b, codecs.Change{}, change)
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = encode(b, codecs.Change{}, change)
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = decode(b, codecs.Change{}, value)
		}
	})
}

// randomWindow has n rows an hour apart on average, with ids from a sequence that all users share.
func randomWindow(n int, columns bool) *brimline.Window {
	r := rand.New(rand.NewPCG(1, 2))
	w := &brimline.Window{Last: 123_456_789, Floor: 1_770_000_000_000_000, Scale: 2}
	t, id := brimline.Time(1_770_000_000_000_000), int64(895_660)
	for range n {
		t += brimline.Time(r.Int64N(7_200_000_000))
		id += r.Int64N(100_000)
		row := brimline.Transaction{ID: strconv.FormatInt(id, 10),
			Amount: brimline.Amount(r.Int64N(1_000_000)) - 500_000, Time: t}
		if columns {
			row.Columns = []brimline.Field{{Name: "currency", Value: "EUR"}, {Name: "branch", Value: r.Int64N(1000)}}
		}
		w.Rows = append(w.Rows, brimline.RowOf(&row))
	}
	w.Rules = []brimline.RuleState{{Rule: r.Uint64()},
		{Rule: r.Uint64(), Edges: []brimline.Edge{{Time: t, Cause: brimline.Cause{Offset: 7}}}}}
	return w
}

func BenchmarkWindow(b *testing.B) {
	for _, n := range []int{10, 300, 10_000} {
		for _, columns := range []bool{false, true} {
			w := randomWindow(n, columns)
			value := encode(b, codecs.WindowPart{}, w)
			name := fmt.Sprintf("%d rows/columns=%v", n, columns)
			b.Run("append/"+name, func(b *testing.B) {
				b.ReportAllocs()
				buf := make([]byte, 0, 2*len(value))
				for b.Loop() {
					if _, err := codecs.AppendWindow(buf, w); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(len(value))/float64(n), "B/row")
			})
			b.Run("decode/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					_ = decode(b, codecs.WindowPart{}, value)
				}
			})
		}
	}
}

func BenchmarkAlert(b *testing.B) {
	alert := exampleAlert(b)
	value := encode(b, codecs.Alert{}, alert)
	b.Run("encode", func(b *testing.B) {
		for b.Loop() {
			_ = encode(b, codecs.Alert{}, alert)
		}
	})
	b.Run("decode", func(b *testing.B) {
		for b.Loop() {
			_ = decode(b, codecs.Alert{}, value)
		}
	})
}
