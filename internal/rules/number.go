package rules

import (
	"math"
	"math/bits"
	"strconv"
	"strings"

	"github.com/brimline/brimline"
)

// number is an exact decimal: units of 10^-scale or, where those do not fit,
// plain text.
type number struct {
	units int64
	scale int    // of units, 0 to brimline.MaxScale
	text  string // if not empty, the value in canonical plain text
}

// parseNumber reads a plain decimal of any length: an optional minus, digits,
// and optionally a point and digits; no exponent, no NaN. Zeros that carry no
// value are allowed at both ends.
func parseNumber(s string) (number, bool) {
	rest, neg := strings.CutPrefix(s, "-")
	whole, frac, point := strings.Cut(rest, ".")
	if whole == "" || point && frac == "" || strings.Trim(whole+frac, "0123456789") != "" {
		return number{}, false
	}
	whole, frac = strings.TrimLeft(whole, "0"), strings.TrimRight(frac, "0")
	if len(whole)+len(frac) > brimline.MaxScale { // 18 digits always fit an int64
		return number{text: plain(neg, whole, frac)}, true
	}
	n := number{scale: len(frac)}
	for _, part := range [...]string{whole, frac} {
		for i := range len(part) {
			n.units = n.units*10 + int64(part[i]-'0')
		}
	}
	if neg {
		n.units = -n.units
	}
	return n, true
}

// plain puts canonical text together again; whole and frac have no idle zeros.
func plain(neg bool, whole, frac string) string {
	s := whole
	if s == "" {
		s = "0"
	}
	if frac != "" {
		s += "." + frac
	}
	if neg && s != "0" {
		return "-" + s
	}
	return s
}

// canonical is the text of n in the form that compareText needs.
func (n number) canonical() string {
	if n.text != "" {
		return n.text
	}
	s := brimline.Amount(n.units).Total().Format(n.scale)
	whole, frac, _ := strings.Cut(strings.TrimPrefix(s, "-"), ".")
	return plain(n.units < 0, strings.TrimLeft(whole, "0"), strings.TrimRight(frac, "0"))
}

// neg is -n, abs |n|.
func (n number) neg() number {
	switch {
	case n.text == "" && n.units == math.MinInt64:
		return number{text: strings.TrimPrefix(n.canonical(), "-")}
	case n.text == "":
		return number{units: -n.units, scale: n.scale}
	case n.text[0] == '-':
		return number{text: n.text[1:]}
	}
	return number{text: "-" + n.text}
}

func (n number) abs() number {
	if n.text == "" && n.units < 0 || n.text != "" && n.text[0] == '-' {
		return n.neg()
	}
	return n
}

// compareNumbers is exact for every pair. Its cost is constant where both fit
// 64 bits, and grows with the shorter text otherwise.
func compareNumbers(a, b number) int {
	switch {
	case a.text != "" || b.text != "":
		return compareText(a.canonical(), b.canonical())
	case a.scale == b.scale:
		return compareInts(a.units, b.units)
	case a.scale < b.scale:
		return compareScaled(a.units, b.units, b.scale-a.scale)
	}
	return -compareScaled(b.units, a.units, a.scale-b.scale)
}

// compareScaled compares a*10^decimals with b; 2^63 * 10^18 is below 2^127.
func compareScaled(a, b int64, decimals int) int {
	if (a < 0) != (b < 0) || a == 0 || b == 0 {
		return compareInts(a, b)
	}
	hi, lo := bits.Mul64(magnitude(a), pow10(decimals))
	c := 0
	switch m := magnitude(b); {
	case hi > 0 || lo > m:
		c = 1
	case lo < m:
		c = -1
	}
	if a < 0 {
		return -c
	}
	return c
}

func magnitude(a int64) uint64 {
	if a < 0 {
		return -uint64(a)
	}
	return uint64(a)
}

func pow10(n int) uint64 {
	p := uint64(1)
	for range n {
		p *= 10
	}
	return p
}

func compareInts(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// compareText compares canonical plain decimals digit by digit.
func compareText(a, b string) int {
	a, negA := strings.CutPrefix(a, "-")
	b, negB := strings.CutPrefix(b, "-")
	if negA != negB {
		if negA {
			return -1
		}
		return 1
	}
	wholeA, fracA, _ := strings.Cut(a, ".")
	wholeB, fracB, _ := strings.Cut(b, ".")
	c := compareInts(int64(len(wholeA)), int64(len(wholeB)))
	if c == 0 {
		c = strings.Compare(wholeA, wholeB)
	}
	if c == 0 {
		c = strings.Compare(fracA, fracB)
	}
	if negA {
		return -c
	}
	return c
}

func integer(n int64) number { return number{units: n} }

// String is for error messages.
func (n number) String() string {
	if n.text == "" && n.scale == 0 {
		return strconv.FormatInt(n.units, 10)
	}
	return n.canonical()
}
