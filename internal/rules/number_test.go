package rules

import (
	"math"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/brimline/brimline"
)

func decimals() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.StringMatching(`-?[0-9]{1,3}(\.[0-9]{1,3})?`), // small ones meet often
		rapid.StringMatching(`-?[0-9]{15,22}(\.[0-9]{1,4})?`),
		rapid.StringMatching(`-?0{0,2}[0-9]{1,40}(\.[0-9]{1,40}0{0,3})?`),
	)
}

func rat(t *rapid.T, s string) *big.Rat {
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		t.Fatalf("%q is not for big.Rat", s)
	}
	return r
}

// Comparison, negation and the absolute value agree with math/big for decimals of any length.
func TestNumbersAgreeWithRat(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := decimals().Draw(t, "a"), decimals().Draw(t, "b")
		x, okX := parseNumber(a)
		y, okY := parseNumber(b)
		if !okX || !okY {
			t.Fatalf("parseNumber refuses %q or %q", a, b)
		}
		r, s := rat(t, a), rat(t, b)
		if got, want := compareNumbers(x, y), r.Cmp(s); got != want {
			t.Fatalf("%s against %s: %d, want %d", a, b, got, want)
		}
		if got, want := compareNumbers(x.neg(), y), new(big.Rat).Neg(r).Cmp(s); got != want {
			t.Fatalf("-(%s) against %s: %d, want %d", a, b, got, want)
		}
		if got, want := compareNumbers(x.abs(), y), new(big.Rat).Abs(r).Cmp(s); got != want {
			t.Fatalf("|%s| against %s: %d, want %d", a, b, got, want)
		}
		if rat(t, x.canonical()).Cmp(r) != 0 {
			t.Fatalf("%s became %s", a, x.canonical())
		}
	})
}

// Amounts over their whole range compare exactly with literals at every scale.
func TestAmountsAgreeWithRat(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		scale := rapid.IntRange(0, brimline.MaxScale).Draw(t, "scale")
		units := rapid.OneOf(rapid.Int64Range(-2000, 2000), rapid.Int64()).Draw(t, "units")
		b := decimals().Draw(t, "b")
		y, _ := parseNumber(b)
		x := number{units: units, scale: scale}
		r := new(big.Rat).SetFrac(big.NewInt(units), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil))
		if got, want := compareNumbers(x, y), r.Cmp(rat(t, b)); got != want {
			t.Fatalf("%d at scale %d against %s: %d, want %d", units, scale, b, got, want)
		}
		if compareNumbers(x, y) != -compareNumbers(y, x) {
			t.Fatalf("%d at scale %d against %s is not antisymmetric", units, scale, b)
		}
	})
}

func TestNumberBounds(t *testing.T) {
	least := number{units: math.MinInt64}
	if got := least.abs().canonical(); got != "9223372036854775808" {
		t.Errorf("|least| = %s", got)
	}
	if compareNumbers(least.neg(), number{units: math.MaxInt64}) != 1 {
		t.Error("-least is not above the greatest")
	}
	for _, s := range []string{"", "-", ".", "1.", ".5", "+1", "1e3", "NaN", "Infinity",
		"0x1", "1_0", " 1", "--1", "1.2.3", "١"} {
		if n, ok := parseNumber(s); ok {
			t.Errorf("parseNumber(%q) = %v", s, n)
		}
	}
	long := "-" + strings.Repeat("9", 131072) + "." + strings.Repeat("9", 16383) // PostgreSQL's longest numeric
	n, ok := parseNumber(long)
	if !ok || compareNumbers(n, number{}) != -1 || compareNumbers(n, n) != 0 {
		t.Error("the longest numeric does not compare")
	}
}
