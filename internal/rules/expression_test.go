package rules_test

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/rules"
)

func columns() []brimline.Column {
	return []brimline.Column{
		{Name: "merchant", Type: brimline.Text},
		{Name: "fee", Type: brimline.Numeric},
		{Name: "attempts", Type: brimline.Integer},
		{Name: "flag", Type: brimline.Boolean},
		{Name: "booked", Type: brimline.Timestamp},
		{Name: "none", Type: brimline.Text},
		{Name: "none_n", Type: brimline.Numeric},
		{Name: "none_b", Type: brimline.Boolean},
		{Name: "none_t", Type: brimline.Timestamp},
	}
}

func moment(t testing.TB, s string) brimline.Time {
	t.Helper()
	at, err := brimline.ParseTime(s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// row is -12.50 at merchant Café, fee 0.30, and NULL in every none column.
func row(t testing.TB) *brimline.Transaction {
	return &brimline.Transaction{
		ID: "17", User: "27956157", Amount: -1250, Time: moment(t, "2026-01-02T03:04:05.123456Z"),
		Columns: []brimline.Field{
			{Name: "merchant", Value: "Café"},
			{Name: "fee", Value: brimline.Decimal("0.3")},
			{Name: "attempts", Value: int64(3)},
			{Name: "flag", Value: true},
			{Name: "booked", Value: moment(t, "2026-01-01T00:00:00Z")},
			{Name: "none"}, {Name: "none_n"}, {Name: "none_b"}, {Name: "none_t"},
		},
	}
}

func compiled(t testing.TB, where string, opts ...rules.Option) func(*brimline.Transaction) bool {
	t.Helper()
	takes, err := rules.Compile(where, columns(), 2, opts...)
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	return takes
}

func TestExpressions(t *testing.T) {
	for where, want := range map[string]bool{
		// the built-in names
		`id == "17" and user_id == "27956157"`: true,
		`amount == -12.50`:                     true, `amount == -12.5`: true, `amount == -12.500000000000000000000`: true,
		`amount != -12.5`: false, `amount < -12.499`: true, `amount > -12.501`: true, `amount == -12.5000000000000000000000001`: false,
		`amount < 0`: true, `0 > amount`: true, `-20 < amount < -10`: true, `-12.5 < amount < 0`: false,
		`abs(amount) == 12.5`: true, `amount | abs() >= 12.50`: true, `amount in [1, -12.5]`: true, `amount not in [1, 2]`: true,
		`timestamp == "2026-01-02T03:04:05.123456Z"`:                                  true,
		`timestamp >= "2026-01-02T04:04:05.123456+01:00" and timestamp > booked`:      true,
		`"2026-01-02T03:04:05.123457Z" <= timestamp`:                                  false,
		`timestamp in ["2026-01-02T03:04:05.123456Z"]`:                                true,
		`booked == "2026-01-01T00:00:00Z"`:                                            true,
		`booked < timestamp and timestamp < "2026-02-01T00:00:00Z" and amount < 1_00`: true,

		// the columns
		`merchant == "Café"`: true, `merchant != "Café"`: false, `merchant in ["a", 'Café']`: true, `not (merchant in ["a"])`: true,
		`merchant contains "af"`: true, `merchant startsWith "C"`: true, `merchant endsWith "é"`: true, `merchant not contains "af"`: false,
		`merchant matches "^c"`: false, `merchant matches "(?i)^c.*É$"`: true, `lower(merchant) == "café"`: true, `upper(merchant) == "CAFÉ"`: true,
		`len(merchant) == 4`: true, `trim(" x ") == "x"`: true,
		`fee == 0.3`: true, `fee == 0.30000000000000004`: false, `fee < 0.30000000000000004`: true, `fee == .3`: true, `fee > amount`: true,
		`fee < 99999999999999999999999999999.5`: true,
		`attempts == 3`:                         true, `attempts == 3.0`: true, `attempts > 2.99`: true, `attempts == 0x3`: true, `attempts > fee`: true, `attempts == +3`: true,
		`flag`: true, `flag == true`: true, `not flag`: false, `flag != (amount > 0)`: true, `!flag || amount < 0`: true,
		"true": true, "false": false, "flag /* why */ and // because\n amount < 0": true,

		// NULL
		`none == "x"`: false, `none != "x"`: false, `not (none == "x")`: false, `not (none != "x")`: false, `none == none`: false,
		`none in ["x"]`: false, `none not in ["x"]`: false, `none contains ""`: false, `none matches ""`: false, `len(none) >= 0`: false,
		`none_n > 0`: false, `none_n <= 0`: false, `abs(none_n) >= 0`: false, `none_n == amount`: false, `none_t < timestamp`: false,
		`none_b`: false, `not none_b`: false, `none_b == none_b`: false,
		`none_b or true`: true, `true or none_b`: true, `none_b and false`: false, `not (none_b and false)`: true, `not (none_b or false)`: false,
		`none == nil`: true, `none != nil`: false, `nil == merchant`: false, `merchant != nil`: true, `none_n == nil and none_b == nil and none_t == nil`: true,
		`(none == "x") == nil`: true, `none ?? "x" | upper() == "X"`: true,
		`(none ?? "x") == "x"`: true, `(none_n ?? 5) > 4.9`: true, `(none_b ?? false)`: false, `(none_b ?? true)`: true,
		`(none_t ?? "2026-01-01T00:00:00Z") == booked`: true, `(merchant ?? "x") == "Café"`: true,
	} {
		takes, err := rules.Compile(where, columns(), 2, rules.OnFailure(func(err error) { t.Errorf("%s: %v", where, err) }))
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if got := takes(row(t)); got != want {
			t.Errorf("%s is %v", where, got)
		}
	}
}

func TestCompileBlank(t *testing.T) {
	for _, where := range []string{"", " \n"} {
		if takes, err := rules.Compile(where, nil, 2); takes != nil || err != nil {
			t.Errorf("%q: not every row, %v", where, err)
		}
	}
}

func TestCompileErrors(t *testing.T) {
	deep := strings.Repeat("not ", 1000) + "flag"
	if _, err := rules.Compile(deep, columns(), 2); err != nil {
		t.Errorf("a thousand nots: %v", err)
	}
	for where, part := range map[string]string{
		strings.Repeat("(", 5000):          "longer than",
		strings.Repeat("(", 4000):          "ends too early",
		`amount > "x"`:                     "at character 8: cannot compare",
		`nope == 1 and nada`:               `at character 15: there is no column "nada"`,
		`repeat("x", 1000000000) == ""`:    "no function",
		`date("2026-01-01") < timestamp`:   "no function",
		`merchant matches "x{1001}{1001}"`: "regexp",
		`{"a": 1} == {"a": 1}`:             "not part of",
		`$env["x"] == 1`:                   "not part of",
		`"x"`:                              "not a condition",
		`nil`:                              "not a condition",
		`$env`:                             "no column",
		`kind`:                             "unknown type",
		`#`:                                "unexpected",
		"\x00":                             "",
		"\xff\xfe":                         "",
		`flag;`:                            "", // a trailing semicolon is taken by the grammar
	} {
		_, err := rules.Compile(where, append(columns(), brimline.Column{Name: "kind", Type: "enum"}), 2)
		if where == `flag;` {
			if err != nil {
				t.Errorf("%s: %v", where, err)
			}
			continue
		}
		var e *brimline.Error
		if !errors.As(err, &e) || e.Class != brimline.ClassInput || e.Kind != "where_invalid" ||
			!strings.Contains(err.Error(), part) {
			t.Errorf("%.40q: %v; want an input error with %q", where, err, part)
		}
	}
}

// A row that does not carry what is declared does not match, whichever way the
// expression asks, and is counted once.
func TestFailures(t *testing.T) {
	for name, field := range map[string]*brimline.Field{
		"absent":     nil,
		"wrong type": {Name: "fee", Value: "0.3"},
		"no decimal": {Name: "fee", Value: brimline.Decimal("NaN")},
	} {
		for where, counted := range map[string]int64{
			`fee > 1`: 1, `not (fee > 1)`: 1, `fee == nil`: 1, `(fee ?? 1) == 1`: 1, `fee > 1 or amount < 0`: 1, `none == "x" and fee > 1`: 1,
			`amount < 0 or fee > 1`: 0, // the left side has decided
		} {
			var failures atomic.Int64
			takes := compiled(t, where, rules.OnFailure(func(err error) {
				failures.Add(1)
				if !strings.Contains(err.Error(), `"fee"`) {
					t.Errorf("%s, %s: %v does not name the column", name, where, err)
				}
			}))
			r := row(t)
			if field == nil {
				r.Columns = append(r.Columns[:1:1], r.Columns[2:]...)
			} else {
				r.Columns[1] = *field
			}
			if got := takes(r); got != (counted == 0) || failures.Load() != counted {
				t.Errorf("%s, %s: %v with %d failures", name, where, got, failures.Load())
			}
			if got := compiled(t, where)(r); got != (counted == 0) {
				t.Errorf("%s, %s without a hook: %v", name, where, got)
			}
		}
	}
}

// Columns are found in whatever order a row carries them.
func TestColumnOrder(t *testing.T) {
	r := row(t)
	r.Columns[0], r.Columns[3] = r.Columns[3], r.Columns[0]
	if !compiled(t, `merchant == "Café" and flag`)(r) {
		t.Error("does not match")
	}
}

func TestConcurrentUse(t *testing.T) {
	takes := compiled(t, `amount < 0 and lower(merchant) matches "^caf" and fee < 1.005 `+
		`and attempts in [1,2,3] and timestamp > booked`)
	var wg sync.WaitGroup
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			r := row(t)
			for i := range 2000 {
				r.Amount = brimline.Amount(i%2*2 - 1)
				if takes(r) != (i%2 == 0) {
					t.Error("wrong answer under concurrent use")
					return
				}
			}
		}()
	}
	wg.Wait()
}

func BenchmarkWhere(b *testing.B) {
	for name, where := range map[string]string{
		"amount":  `amount < -10`,
		"simple":  `amount < -10 and merchant in ["a", "b", "Café"]`,
		"numeric": `fee < 1.005 and amount < fee`,
		"all":     `amount < 0 and fee < 1.005 and attempts >= 3 and flag and timestamp > booked and not (merchant contains "x")`,
		"regexp":  `merchant matches "^C.*é$"`,
	} {
		b.Run(name, func(b *testing.B) {
			takes, r := compiled(b, where), row(b)
			b.ReportAllocs()
			for b.Loop() {
				if !takes(r) {
					b.Fatal("does not match")
				}
			}
		})
	}
}
