package present

import (
	"strings"

	"github.com/brimline/brimline"
)

// Amount writes a decimal such as -3441.50 for reading, with a currency's sign or none before it: -$3,441.50.
func Amount(currency, decimal string) string {
	sign := ""
	if strings.HasPrefix(decimal, "-") {
		sign, decimal = "-", decimal[1:]
	}
	whole, fraction, point := strings.Cut(decimal, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if point {
		whole += "." + fraction
	}
	return sign + currency + whole
}

// Total writes a rule's total or limit, of amounts with that many decimals: $3,441.50, or 27 where the rule counts.
func Total(currency string, t brimline.Total, rule *brimline.Rule, amountScale int) string {
	if rule.Measure.Counts() {
		currency = ""
	}
	return Amount(currency, t.Format(rule.Measure.Scale(amountScale)))
}

// Count writes a number of things: 1,754,155.
func Count[N ~int | ~int32 | ~int64](n N) string {
	return Amount("", brimline.Count(int64(n)).Format(0))
}

// Plural writes a number of things and their name: 1 row, 1,754,155 rows.
func Plural[N ~int | ~int32 | ~int64](n N, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return Count(n) + " " + thing
}
