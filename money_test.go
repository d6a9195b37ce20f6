package brimline

import (
	"errors"
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

func bigOf(t Total) *big.Int {
	hi, lo := t.Words()
	n := new(big.Int).Lsh(big.NewInt(hi), 64)
	return n.Add(n, new(big.Int).SetUint64(lo))
}

func TestTotalsAgreeWithBigIntegers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		amounts := rapid.SliceOf(rapid.Int64Range(-math.MaxInt64, math.MaxInt64)).Draw(t, "amounts")
		var total Total
		want := new(big.Int)
		for i, a := range amounts {
			if i%3 == 2 {
				total = total.Sub(Amount(a).Total())
				want.Sub(want, big.NewInt(a))
			} else {
				total = total.AddAmount(Amount(a))
				want.Add(want, big.NewInt(a))
			}
		}
		if bigOf(total).Cmp(want) != 0 || total.Sign() != want.Sign() {
			t.Fatalf("%v, want %v", bigOf(total), want)
		}
		if got := total.Format(0); got != want.String() {
			t.Fatalf("formatted %s, want %s", got, want)
		}
		scale := rapid.IntRange(0, MaxScale).Draw(t, "scale")
		back, err := ParseTotal(total.Format(scale), scale)
		if err != nil || back != total {
			t.Fatalf("%s came back as %v, %v", total.Format(scale), bigOf(back), err)
		}
		other := Amount(rapid.Int64Range(-9, 9).Draw(t, "other")).Total()
		if got, want := total.Cmp(other), bigOf(total).Cmp(bigOf(other)); got != want {
			t.Fatalf("compared %d, want %d", got, want)
		}
	})
}

func TestParseAmount(t *testing.T) {
	for _, tc := range []struct {
		in    string
		scale int
		want  Amount
		err   error
	}{
		{"0", 2, 0, nil},
		{"-3441.50", 2, -344150, nil},
		{"+1.5", 2, 150, nil},
		{".5", 1, 5, nil},
		{"1.2300", 2, 123, nil},
		{"92233720368547758.07", 2, math.MaxInt64, nil},
		{"-92233720368547758.07", 2, -math.MaxInt64, nil},
		{"-92233720368547758.08", 2, 0, ErrAmountRange},
		{"92233720368547758.08", 2, 0, ErrAmountRange},
		{"1.005", 2, 0, ErrAmountScale},
		{"1.", 2, 0, ErrAmountSyntax},
		{"", 2, 0, ErrAmountSyntax},
		{"-", 2, 0, ErrAmountSyntax},
		{"1e3", 2, 0, ErrAmountSyntax},
		{"1.00x", 2, 0, ErrAmountSyntax},
		{"NaN", 2, 0, ErrAmountSyntax},
		{"１", 2, 0, ErrAmountSyntax},
	} {
		got, err := ParseAmount(tc.in, tc.scale)
		if got != tc.want || !errors.Is(err, tc.err) {
			t.Errorf("%q: %d, %v", tc.in, got, err)
		}
	}
	if got := Amount(-5).Format(2); got != "-0.05" {
		t.Errorf("formatted %s", got)
	}
}

func TestMeasures(t *testing.T) {
	tried := map[Measure]bool{}
	for _, tc := range []struct {
		m      Measure
		amount Amount
		weight Amount
		counts bool
	}{
		{SumAbs, -5, 5, true}, {Sum, -5, -5, true}, {SumIn, -5, 0, false}, {SumIn, 5, 5, true},
		{SumOut, -5, 5, true}, {SumOut, 5, 0, false}, {CountAll, 0, 1, true}, {SumAbs, 0, 0, true},
		{Avg, -5, 5, true}, {Max, -5, 5, true}, {Max, 0, 0, true}, {Distinct, -5, 1, true},
	} {
		tried[tc.m] = true
		if w, c := tc.m.Weigh(tc.amount); w != tc.weight || c != tc.counts {
			t.Errorf("%v of %d: %d, %v", tc.m, tc.amount, w, c)
		}
	}
	for _, m := range Measures() {
		if got, err := ParseMeasure(m.String()); !tried[m] || err != nil || got != m {
			t.Errorf("measure %v: tried %v, read as %v, %v", m, tried[m], got, err)
		}
	}
}
