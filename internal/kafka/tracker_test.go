package kafka

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Whatever the order in which messages finish, and whatever gaps offsets have,
// the mark is the offset after the longest finished prefix, never beyond, and in the end it is after the last message.
func TestMarkIsTheFinishedPrefix(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var (
			w        lowWater
			offsets  []int64 // handed out, ascending
			finished = map[int64]bool{}
			open     []int64
			mark     = int64(-1)
			next     = rapid.Int64Range(0, 5).Draw(t, "first")
		)
		start := func() {
			next += rapid.Int64Range(1, 4).Draw(t, "gap")
			w.started(next)
			if rapid.Bool().Draw(t, "repeat") { // sarama does, when a handler is slow
				w.started(next)
			}
			offsets, open = append(offsets, next), append(open, next)
		}
		finish := func() {
			i := rapid.IntRange(0, len(open)-1).Draw(t, "which")
			offset := open[i]
			open = slices.Delete(open, i, i+1)
			finished[offset] = true
			want, known := mark, false
			for _, o := range offsets {
				if !finished[o] {
					break
				}
				known = known || o+1 > mark
				want = max(want, o+1)
			}
			got, _, ok := w.finished(offset, "")
			if ok != known || ok && got != want {
				t.Fatalf("finished(%d) = %d, %v; want %d, %v", offset, got, ok, want, known)
			}
			mark = want
			if _, _, again := w.finished(offset, ""); again {
				t.Fatalf("finishing %d twice moved the mark", offset)
			}
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if len(open) == 0 || rapid.Bool().Draw(t, "start") {
				start()
			} else {
				finish()
			}
		}
		for len(open) > 0 {
			finish()
		}
		w.started(next)
		if mark != next+1 || len(w.pending) != 0 {
			t.Fatalf("all is finished, the mark is %d of %d, %d pending", mark, next+1, len(w.pending))
		}
	})
}

func TestMarkCarriesTheMetadataOfThePrefix(t *testing.T) {
	var w lowWater
	for _, o := range []int64{3, 5, 9} {
		w.started(o)
	}
	if _, _, ok := w.finished(5, "five"); ok {
		t.Fatal("the mark passed an unfinished message")
	}
	if _, _, ok := w.finished(4, "never handed out"); ok {
		t.Fatal("an unknown message moved the mark")
	}
	if mark, meta, ok := w.finished(3, "three"); !ok || mark != 6 || meta != "five" {
		t.Fatalf("got %d %q %v", mark, meta, ok)
	}
}

// Messages finish in the order in which they were handed out, thousands behind.
func BenchmarkLowWater(b *testing.B) {
	var w lowWater
	const ahead = 5000
	for i := range int64(ahead) {
		w.started(i)
	}
	b.ReportAllocs()
	for i := int64(0); b.Loop(); i++ {
		w.started(ahead + i)
		w.finished(i, "")
	}
}
