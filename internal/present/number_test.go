package present

import (
	"math"
	"testing"

	"github.com/brimline/brimline"
)

func TestAmount(t *testing.T) {
	for _, c := range []struct{ currency, in, want string }{
		{"$", "0.00", "$0.00"}, {"$", "999.9", "$999.9"}, {"€", "1000", "€1,000"}, {"$", "-0.05", "-$0.05"},
		{"", "-1234567.89", "-1,234,567.89"}, {"", "123456.123456", "123,456.123456"}, {"", "-999.5", "-999.5"},
	} {
		if got := Amount(c.currency, c.in); got != c.want {
			t.Errorf("%s: %s, want %s", c.in, got, c.want)
		}
	}
}

func TestTotal(t *testing.T) {
	total, err := brimline.ParseTotal("-1234.50", 2)
	if err != nil {
		t.Fatal(err)
	}
	if got := Total("$", total, &brimline.Rule{}, 2); got != "-$1,234.50" {
		t.Error(got)
	}
	if got := Total("$", brimline.Count(1234), &brimline.Rule{Measure: brimline.CountAll}, 2); got != "1,234" {
		t.Error(got)
	}
}

func TestPlural(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 rows", 1: "1 row", -1: "-1 rows", 1754155: "1,754,155 rows", math.MinInt64: "-9,223,372,036,854,775,808 rows",
	} {
		if got := Plural(n, "row"); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
