package verify

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/brimline/brimline"
)

// TestPositions: what is committed is read back, whatever is open below it.
func TestPositions(t *testing.T) {
	cause := rapid.Custom(func(t *rapid.T) brimline.Cause {
		return brimline.Cause{Offset: rapid.Int64().Draw(t, "offset"), Index: rapid.Int().Draw(t, "index")}
	})
	rapid.Check(t, func(t *rapid.T) {
		p := position{next: 1<<40 + rapid.Int64Range(1, 9).Draw(t, "more"), watermark: cause.Draw(t, "watermark")}
		open := rapid.SliceOfNDistinct(rapid.Int64Range(0, 1<<40), 0, 150, rapid.ID).Draw(t, "open")
		slices.Sort(open)
		for i, from := range open {
			u := openUser{from: from}
			u.user[0], u.user[11] = byte(i), byte(i+1)
			p.open = append(p.open, u)
		}
		if len(open) > 0 {
			p.begin = place{rapid.Int64Range(0, open[0]).Draw(t, "begin"), cause.Draw(t, "before")}
		}
		got, err := parsePosition(p.committed(), p.metadata())
		if err != nil || got.next != p.next || got.watermark != p.watermark || !slices.Equal(got.open, p.open) ||
			got.begin != p.begin {
			t.Fatalf("%+v became %+v by %q: %v", p, got, p.metadata(), err)
		}
	})
	for _, bad := range []string{
		"2:1:0:9:AQ", "3:1", "3:1:0:9:1:0", "3:1:0:9:1:0:", "3:1:0:9:1:0:!", "3:1:0:9:x:0:AAAAAAAAAAAAAAAAAQ",
		"3:x:0:9:1:0:AAAAAAAAAAAAAAAAAQ", "3:1:0:x:1:0:AAAAAAAAAAAAAAAAAQ", "3:1:0:9:1:0:AAAAAAAAAAAAAAAAAg",
		"3:1:0:9:1:0:AAAAAAAAAAAAAAAA", "3:1:0:9:1:0:AAAA", "4:1:0:9:1:0:AAAAAAAAAAAAAAAAAQ",
	} {
		if p, err := parsePosition(7, bad); brimline.ExitCode(err) != int(brimline.ClassEnvironment) {
			t.Errorf("%q is taken for %+v: %v", bad, p, err)
		}
	}
	if p, err := parsePosition(7, "3:1:0:9:1:0:AAAAAAAAAAAAAAAAAQ"); err != nil || p.open[0].from != 8 {
		t.Errorf("%+v, %v", p, err)
	}
}
