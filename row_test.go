package brimline

import (
	"testing"

	"pgregory.net/rapid"
)

// TestRowIsATransaction: nothing is lost, and ids are told apart and ordered as texts are.
func TestRowIsATransaction(t *testing.T) {
	ids := rapid.OneOf(
		rapid.SampledFrom([]string{"0", "-0", "00", "1", "10", "2", "-1", "-", "", "9223372036854775807",
			"9223372036854775808", "-9223372036854775808", "-9223372036854775809", "99999999999999999999", "1e3", "+1"}),
		rapid.StringMatching(`-?[0-9]{1,3}`), rapid.StringN(0, 8, -1))
	draw := func(t *rapid.T) Transaction {
		tx := Transaction{ID: ids.Draw(t, "id"), User: "u", Amount: Amount(rapid.Int64().Draw(t, "amount")),
			Time: Time(rapid.Int64Range(0, 1).Draw(t, "time"))}
		if rapid.Bool().Draw(t, "columns") {
			tx.Columns = []Field{{"currency", rapid.SampledFrom([]any{nil, "EUR", int64(3)}).Draw(t, "value")}}
		}
		return tx
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw(t), draw(t)
		x, y := RowOf(&a), RowOf(&b)
		if back := x.Transaction("u"); !back.SameRow(&a) {
			t.Fatalf("%+v became %+v", a, back)
		}
		maker := RowMaker{Expected: 2}
		for tx, row := range map[*Transaction]*Row{&a: &x, &b: &y} {
			var made Row
			if n, integer := IntegerID(tx.ID); integer {
				made = maker.Integer(tx.Time, tx.Amount, n, tx.Columns)
			} else {
				made = maker.Text(tx.Time, tx.Amount, tx.ID, tx.Columns)
			}
			if !made.SameRow(row) || made.ID() != tx.ID {
				t.Fatalf("%+v was made of %+v", made, tx)
			}
		}
		if got, want := x.Compare(&y), a.Compare(&b); got != want {
			t.Fatalf("%+v and %+v compare %d, want %d", a, b, got, want)
		}
		if x.SameID(&y) != (a.ID == b.ID) || x.SameRow(&y) != a.SameRow(&b) {
			t.Fatalf("%+v and %+v: the same id %v, the same row %v", a, b, x.SameID(&y), x.SameRow(&y))
		}
	})
}
