package window

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/brimline/brimline"
)

// TestEchoesChangeNothing: one user's share of a stream in which rows are
// inserted, changed, moved away, moved back and deleted; any stretch of it that has been folded comes
// once more at any later point, as a route instance that was frozen and thawed
// writes it. The rows in the end are those of the stream without it.
func TestEchoesChangeNothing(t *testing.T) {
	f := NewFolder(&brimline.RuleSet{Lateness: 1000 * time.Hour}, nil, time.Hour)
	rapid.Check(t, func(t *rapid.T) {
		var stream []brimline.Change
		for range rapid.IntRange(1, 30).Draw(t, "changes") {
			id := rapid.IntRange(0, 4).Draw(t, "row")
			stream = append(stream, brimline.Change{
				Kind: rapid.SampledFrom([]brimline.ChangeKind{brimline.Upsert, brimline.Upsert, brimline.Delete}).Draw(t, "kind"),
				User: "u",
				Row: brimline.Transaction{
					ID: fmt.Sprint(id), User: "u", Amount: brimline.Amount(rapid.IntRange(0, 3).Draw(t, "amount")),
					Time: brimline.Time(rapid.Int64Range(0, 3).Draw(t, "hour") * 3600e6),
				},
				Source: brimline.Source{Partition: int32(id % 2), Offset: int64(len(stream))}, // a row stays in its partition
			})
		}
		fold := func(changes []brimline.Change) *State {
			w := f.NewState("u", nil, nil, 0)
			for i := range changes {
				f.Fold(w, Input{Change: &changes[i], Offset: int64(i)})
			}
			return w
		}
		to := rapid.IntRange(0, len(stream)).Draw(t, "to")
		from := rapid.IntRange(0, to).Draw(t, "from")
		later := rapid.IntRange(to, len(stream)).Draw(t, "later")
		got := fold(slices.Insert(slices.Clone(stream), later, stream[from:to]...)).rows.Rows()
		want := fold(stream).rows.Rows()
		if !slices.EqualFunc(got, want, func(a, b brimline.Row) bool { return a.SameRow(&b) }) {
			t.Fatalf("%v came again after %v: rows %v, want %v", stream[from:to], stream[:later], got, want)
		}
	})
}

// TestVersionsAreForgottenWithTheirRows: the list of changed rows is bounded like the rows.
func TestVersionsAreForgottenWithTheirRows(t *testing.T) {
	f := NewFolder(&brimline.RuleSet{Lateness: time.Hour}, nil, time.Hour)
	w := f.NewState("u", nil, nil, 0)
	change := func(offset int64, kind brimline.ChangeKind, id string, amount brimline.Amount, at time.Duration) {
		f.Fold(w, Input{Offset: offset, Change: &brimline.Change{Kind: kind, User: "u", Source: brimline.Source{Offset: offset},
			Row: brimline.Transaction{ID: id, User: "u", Amount: amount, Time: brimline.Time(at.Microseconds())}}})
	}
	change(0, brimline.Upsert, "a", 1, 0)
	change(1, brimline.Upsert, "b", 1, 0)
	if len(w.versions.all()) != 0 {
		t.Errorf("an insert leaves a version: %v", w.versions.all())
	}
	change(2, brimline.Upsert, "a", 2, time.Minute)
	change(3, brimline.Delete, "b", 0, 0)
	if len(w.versions.all()) != 2 {
		t.Errorf("a change and a delete leave %v", w.versions.all())
	}
	change(4, brimline.Upsert, "c", 1, 100*time.Hour)
	if len(w.versions.all()) != 0 {
		t.Errorf("the rows are gone, their versions are not: %v", w.versions.all())
	}
}
