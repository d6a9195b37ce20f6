package views

import (
	"fmt"
	"slices"
	"testing"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/processors"
)

// TestUsersAreAllListed: each user is listed once, however many come at once, and nothing that is no user; each one's
// state is given as it was folded, without what a TRUNCATE took away.
func TestUsersAreAllListed(t *testing.T) {
	f := newFixture(t)
	want := []string{"__offset"} // a user may be called as goka's own key is
	pairs := []any{"__offset", window(3, -1, "1.00")}
	for n := range 25 {
		id := fmt.Sprintf("user-%02d", n)
		want = append(want, id)
		pairs = append(pairs, id, window(int64(5+n), -1, "40.00", -2, "2.50"))
	}
	pairs = append(pairs, processors.SegmentKey("user-03", 4), window(1))
	f.putWindows(pairs...)
	for p := range int32(partitions) {
		marker := &brimline.Marker{
			TruncatedAt: 10, Sweeps: []brimline.Swept{{Offset: 1, Before: 66}, {Offset: 2, Before: 77}},
		}
		f.put(f.streams.WindowTable, codecs.Marker{}, processors.MarkerKey(p, partitions), marker)
	}
	for _, dir := range []string{"", t.TempDir()} {
		c := f.config()
		c.Dir = dir
		w := openWindows(t, c)
		stop := run(t, w)
		for _, most := range []int{1, 2, 7, 100} {
			var got []string
			if err := w.Users(t.Context(), most, func(ids []string) error {
				if len(ids) > most {
					t.Errorf("%d users at once and not %d", len(ids), most)
				}
				got = append(got, ids...)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if slices.Sort(got); !slices.Equal(got, want) {
				t.Errorf("%d at once: %q", most, got)
			}
		}
		for id, rows := range map[string]int{"user-03": 0, "user-20": 2} { // folded before and after the TRUNCATE
			if h, err := w.Held(id); err != nil || len(h.Window.Rows) != rows {
				t.Errorf("%s: %+v, %v", id, h.Window, err)
			}
		}
		if h, err := w.Held("nobody"); err != nil || h.Window != nil || h.Forgotten != 77 {
			t.Errorf("nobody: %+v, %v", h, err)
		}
		if _, err := w.Held("\x00x"); err == nil {
			t.Error("a key that is no user's is looked up")
		}
		stop()
	}
}
