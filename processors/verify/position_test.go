package verify

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"github.com/brimline/brimline"
)

// TestPositions: what is committed is read back, whatever is open below it.
func TestPositions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		open := rapid.SliceOfNDistinct(rapid.Int64Range(0, 1<<40), 0, 300, rapid.ID).Draw(t, "open")
		slices.Sort(open)
		p := position{
			next:      1<<40 + rapid.Int64Range(1, 9).Draw(t, "more"),
			watermark: brimline.Cause{Offset: rapid.Int64().Draw(t, "offset"), Index: rapid.Int().Draw(t, "index")},
			open:      open,
		}
		got, err := parsePosition(p.committed(), p.metadata())
		if err != nil || got.next != p.next || got.watermark != p.watermark || !slices.Equal(got.open, p.open) {
			t.Fatalf("%+v became %+v by %q: %v", p, got, p.metadata(), err)
		}
	})
	for _, bad := range []string{
		"2:1", "2:1:0:9", "2:1:0:9:!", "2:1:0:x:AQ", "2:x:0:9:AQ", "2:1:0:9:AA", "2:1:0:9:_____w", "2:1:0:9:AQEB", "3:1:0:9:AQ",
	} {
		if p, err := parsePosition(7, bad); brimline.ExitCode(err) != int(brimline.ClassEnvironment) {
			t.Errorf("%q is taken for %+v: %v", bad, p, err)
		}
	}
}

// TestPositionsGoOn: a batch's open messages are named until they are handled, and what is committed never passes one.
func TestPositionsGoOn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p position
		var unhandled []int64 // in order
		for offset := int64(0); offset < 60; {
			b := &batch{}
			if b.long = len(unhandled) > 0 && rapid.Bool().Draw(t, "long"); b.long {
				for range rapid.IntRange(1, len(unhandled)).Draw(t, "handled") {
					b.messages = append(b.messages, &kgo.Record{Offset: unhandled[0]})
					unhandled = unhandled[1:]
				}
			}
			for range rapid.IntRange(1, 5).Draw(t, "messages") {
				if b.long {
					break
				}
				m := &kgo.Record{Offset: offset}
				offset += rapid.Int64Range(1, 3).Draw(t, "gap")
				b.messages = append(b.messages, m)
				if rapid.IntRange(0, 2).Draw(t, "keep") == 0 {
					b.keptBack = append(b.keptBack, m)
					unhandled = append(unhandled, m.Offset)
				}
			}
			before := slices.Clone(p.open)
			after := p.with(b)
			if !slices.Equal(p.open, before) {
				t.Fatal("a position that is in force was changed")
			}
			if p = after; !slices.Equal(p.open, unhandled) || len(unhandled) > 0 && p.committed() != unhandled[0] {
				t.Fatalf("%+v, want %v open", p, unhandled)
			}
		}
	})
}
