package brimline

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strings"
)

// MaxScale is the largest number of decimals an Amount can be configured with.
const MaxScale = 18

// Amount is an exact decimal: an integer count of 10^-scale units, where the
// scale is one setting of the whole group. Its range is symmetric, ±(2^63-1),
// so that its absolute value always fits.
type Amount int64

// Errors of ParseAmount and Decimal parsing, told apart because their remedies differ.
var (
	ErrAmountSyntax = errors.New("not a decimal number")
	ErrAmountScale  = errors.New("more decimals than the configured scale")
	ErrAmountRange  = errors.New("outside the range of a 64-bit amount at this scale")
)

// ParseAmount reads a plain or exponent-free decimal such as "-3441.50".
// Decimals beyond scale must be zeros: a value that does not fit is an error, never a rounding.
func ParseAmount(s string, scale int) (Amount, error) {
	t, err := ParseTotal(s, scale)
	if err != nil {
		return 0, err
	}
	a, ok := t.amount()
	if !ok {
		return 0, fmt.Errorf("%q: %w", s, ErrAmountRange)
	}
	return a, nil
}

// Abs is |a|.
func (a Amount) Abs() Amount {
	if a < 0 {
		return -a
	}
	return a
}

// Total widens a for summing.
func (a Amount) Total() Total {
	return Total{hi: int64(a) >> 63, lo: uint64(a)}
}

// Format writes a with exactly scale decimals.
func (a Amount) Format(scale int) string { return a.Total().Format(scale) }

// Total is a sum of Amounts: a 128-bit two's complement integer of 10^-scale
// units. 2^64 amounts of any size cannot overflow it.
type Total struct {
	hi int64
	lo uint64
}

// Add returns t+o.
func (t Total) Add(o Total) Total {
	lo, carry := bits.Add64(t.lo, o.lo, 0)
	return Total{hi: t.hi + o.hi + int64(carry), lo: lo}
}

// Sub returns t-o.
func (t Total) Sub(o Total) Total {
	lo, borrow := bits.Sub64(t.lo, o.lo, 0)
	return Total{hi: t.hi - o.hi - int64(borrow), lo: lo}
}

// times returns t×n; neither is below zero. What does not fit is the highest total.
func (t Total) times(n int64) Total {
	over, lo := bits.Mul64(t.lo, uint64(n))
	most, hi := bits.Mul64(uint64(t.hi), uint64(n))
	hi, carry := bits.Add64(hi, over, 0)
	if most != 0 || carry != 0 || hi > math.MaxInt64 {
		return Total{hi: math.MaxInt64, lo: math.MaxUint64}
	}
	return Total{hi: int64(hi), lo: lo}
}

// AddAmount returns t+a.
func (t Total) AddAmount(a Amount) Total { return t.Add(a.Total()) }

// Cmp is negative when t<o, zero when they are equal, positive when t>o.
func (t Total) Cmp(o Total) int {
	switch {
	case t.hi != o.hi:
		if t.hi < o.hi {
			return -1
		}
		return 1
	case t.lo != o.lo:
		if t.lo < o.lo {
			return -1
		}
		return 1
	}
	return 0
}

// Sign is -1, 0 or 1.
func (t Total) Sign() int { return t.Cmp(Total{}) }

func (t Total) amount() (Amount, bool) {
	a := Amount(t.lo)
	return a, a.Total() == t && a != math.MinInt64
}

// Words gives the two halves of t for codecs; TotalOf puts them together again.
func (t Total) Words() (hi int64, lo uint64) { return t.hi, t.lo }

// TotalOf is the inverse of Words.
func TotalOf(hi int64, lo uint64) Total { return Total{hi: hi, lo: lo} }

// Count is n as a Total, for measures that count rows.
func Count(n int64) Total { return Amount(n).Total() }

// Int64 returns t where it fits, for totals that are counts.
func (t Total) Int64() (int64, bool) {
	a, ok := t.amount()
	return int64(a), ok
}

// Format writes t with exactly scale decimals: "-3441.50".
func (t Total) Format(scale int) string {
	neg := t.hi < 0
	if neg {
		t = Total{}.Sub(t)
	}
	digits := t.digits()
	if len(digits) <= scale {
		digits = strings.Repeat("0", scale-len(digits)+1) + digits
	}
	if scale > 0 {
		digits = digits[:len(digits)-scale] + "." + digits[len(digits)-scale:]
	}
	if neg {
		return "-" + digits
	}
	return digits
}

func (t Total) digits() string {
	const chunk = 1e19
	hi, lo := uint64(t.hi), t.lo
	var low []uint64
	for hi != 0 {
		q := hi / chunk
		var r uint64
		lo, r = bits.Div64(hi%chunk, lo, chunk)
		hi = q
		low = append(low, r)
	}
	s := fmt.Sprint(lo)
	for i := len(low) - 1; i >= 0; i-- {
		s += fmt.Sprintf("%019d", low[i])
	}
	return s
}

// ParseTotal reads a decimal such as "3000" or "-0.05" at the given scale.
func ParseTotal(s string, scale int) (Total, error) {
	if scale < 0 || scale > MaxScale {
		return Total{}, fmt.Errorf("scale %d is not between 0 and %d", scale, MaxScale)
	}
	rest, neg := s, false
	if rest != "" && (rest[0] == '-' || rest[0] == '+') {
		neg, rest = rest[0] == '-', rest[1:]
	}
	whole, frac, point := strings.Cut(rest, ".")
	if whole == "" && frac == "" || point && frac == "" {
		return Total{}, fmt.Errorf("%q: %w", s, ErrAmountSyntax)
	}
	var t Total
	for i := range len(whole) {
		if err := t.pushDigit(whole[i]); err != nil {
			return Total{}, fmt.Errorf("%q: %w", s, err)
		}
	}
	for i := 0; i < len(frac) || i < scale; i++ {
		c := byte('0')
		if i < len(frac) {
			c = frac[i]
		}
		if i >= scale {
			if c < '0' || c > '9' {
				return Total{}, fmt.Errorf("%q: %w", s, ErrAmountSyntax)
			}
			if c != '0' {
				return Total{}, fmt.Errorf("%q: %w (%d)", s, ErrAmountScale, scale)
			}
			continue
		}
		if err := t.pushDigit(c); err != nil {
			return Total{}, fmt.Errorf("%q: %w", s, err)
		}
	}
	if neg {
		t = Total{}.Sub(t)
	}
	return t, nil
}

// pushDigit makes t ten times larger plus one decimal digit.
func (t *Total) pushDigit(c byte) error {
	if c < '0' || c > '9' {
		return ErrAmountSyntax
	}
	if t.hi > math.MaxInt64/20 {
		return ErrAmountRange
	}
	carry, lo := bits.Mul64(t.lo, 10)
	lo, more := bits.Add64(lo, uint64(c-'0'), 0)
	t.hi, t.lo = t.hi*10+int64(carry+more), lo
	return nil
}
