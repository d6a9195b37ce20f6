package perrow

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/brimline/brimline"
)

// TestIDsAreToldApartAsTextsAre: an id that is kept as a number is not taken for another that reads like it.
func TestIDsAreToldApartAsTextsAre(t *testing.T) {
	ids := rapid.OneOf(
		rapid.SampledFrom([]string{"0", "-0", "00", "1", "10", "-1", "", "9223372036854775807", "9223372036854775808"}),
		rapid.StringMatching(`-?[0-9]{1,3}`), rapid.StringN(0, 8, -1))
	rapid.Check(t, func(t *rapid.T) {
		a := brimline.Transaction{ID: ids.Draw(t, "a")}
		b := brimline.Transaction{ID: ids.Draw(t, "b")}
		x, y := brimline.RowOf(&a), brimline.RowOf(&b)
		at := MakeIDs[int](2, &y)
		at.Set(&x, 1)
		if _, known := at.Get(&y); known != (a.ID == b.ID) {
			t.Fatalf("%q is taken for %q: %v", b.ID, a.ID, known)
		}
		at.Delete(&y)
		if _, known := at.Get(&x); known != (a.ID != b.ID) {
			t.Fatalf("%q was deleted, and %q is there: %v", b.ID, a.ID, known)
		}
	})
}
