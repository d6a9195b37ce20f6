package debezium_test

import (
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs/debezium"
)

func TestAmountEncodings(t *testing.T) {
	schemaOf := func(field, value string) string {
		return `{"schema":{"type":"struct","fields":[` + field + `]},"payload":` + with("amount", value) + `}`
	}
	three, none := 3, 0
	for _, test := range []struct {
		name  string
		value string
		set   func(*debezium.Options)
		want  string
	}{
		{"text", inserted("amount", `"12.34"`), nil, "12.34"},
		{"text with zeros beyond the scale", inserted("amount", `"12.340000"`), nil, "12.34"},
		{"text in scientific notation", inserted("amount", `"1.2E-1"`), nil, "0.12"},
		{"text that is base64 too", inserted("amount", `"1234"`), func(o *debezium.Options) { o.Decimals = debezium.DecimalsString }, "1234.00"},
		{"base64 that is digits too", inserted("amount", `"1234"`),
			func(o *debezium.Options) { o.Decimals = debezium.DecimalsPrecise; columnScale(2)(o) }, "-26588.24"},
		{"base64 of another scale", inserted("amount", `"fQg="`), func(o *debezium.Options) { o.AmountColumnScale = &three; o.Scale = 3 }, "32.008"},
		{"base64 of a larger scale that ends in zero", inserted("amount", `"CMo="`), func(o *debezium.Options) { o.AmountColumnScale = &three }, "2.25"},
		{"base64 of whole units", inserted("amount", `"fQ=="`), func(o *debezium.Options) { o.AmountColumnScale = &none }, "125.00"},
		{"largest", inserted("amount", `"f/////////8="`), columnScale(2), "92233720368547758.07"},
		{"lowest", inserted("amount", `"gAAAAAAAAAE="`), columnScale(2), "-92233720368547758.07"},
		{"base64 longer than it must be", inserted("amount", `"AAAAAAAAAAAAAAAAAAAABNI="`), columnScale(2), "12.34"},
		{"struct", inserted("amount", `{"scale":3,"value":"CMo="}`), nil, "2.25"},
		{"struct of negative scale", inserted("amount", `{"value":"BQ==","scale":-2}`), nil, "500.00"},
		{"integer", inserted("amount", `-12`), nil, "-12.00"},
		{"negative zero", inserted("amount", `-0`), nil, "0.00"},
		{"float, allowed", inserted("amount", `-9.99999999999E9`), func(o *debezium.Options) { o.AllowFloatAmounts = true }, "-9999999999.99"},
		{"scale from the schema", schemaOf(`{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"1"},"field":"amount"}`, `"fQ=="`), nil, "12.50"},
		{"exact number (decimal.format=numeric)", schemaOf(`{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"},"field":"amount"}`, `12.34`), nil, "12.34"},
		{"text, says the schema", schemaOf(`{"type":"string","field":"amount"}`, `"1234"`), nil, "1234.00"},
	} {
		t.Run(test.name, func(t *testing.T) {
			opt := options()
			if test.set != nil {
				test.set(&opt)
			}
			changes, err := decoder(t, opt).Decode([]byte(`{"id":1}`), []byte(test.value))
			if err != nil {
				t.Fatal(err)
			}
			want, _ := brimline.ParseAmount(test.want, opt.Scale)
			if got := changes[0].Row.Amount; got != want {
				t.Errorf("got %s, want %s", got.Format(opt.Scale), test.want)
			}
		})
	}
}

// A column that is altered gives the messages after it another schema.
func TestSchemaChanges(t *testing.T) {
	d := decoder(t, options())
	for _, test := range []struct{ scale, want string }{{"2", "1.25"}, {"1", "12.50"}, {"1", "12.50"}, {"2", "1.25"}} {
		value := `{"schema":{"fields":[{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal",` +
			`"parameters":{"scale":"` + test.scale + `"},"field":"amount"}]},"payload":` + with("amount", `"fQ=="`) + `}`
		changes, err := d.Decode([]byte("1"), []byte(value))
		if err != nil || changes[0].Row.Amount.Format(2) != test.want {
			t.Errorf("scale %s: got %v, %v", test.scale, changes, err)
		}
	}
}

func TestTimeEncodings(t *testing.T) {
	const want = "2026-02-03T00:00:03.123000Z"
	typed := func(name, value string) string {
		return `{"schema":{"fields":[{"type":"int64","name":"` + name + `","field":"timestamp"}]},"payload":` +
			with("timestamp", value) + `}`
	}
	for _, test := range []struct {
		value string
		unit  debezium.TimeUnit
		want  string
	}{
		{inserted("timestamp", `"2026-02-03T00:00:03.123Z"`), "", want},
		{inserted("timestamp", `"2026-02-03T00:00:03.123000Z"`), debezium.UnitMs, want},
		{inserted("timestamp", `"2026-02-03T02:00:03.123+02:00"`), "", want},
		{inserted("timestamp", `1770076803123000`), debezium.UnitUs, want},
		{inserted("timestamp", `1770076803123`), debezium.UnitMs, want},
		{inserted("timestamp", `1770076803123000000`), debezium.UnitNs, want},
		{typed("io.debezium.time.Timestamp", "1770076803123"), "", want},
		{typed("org.apache.kafka.connect.data.Timestamp", "1770076803123"), debezium.UnitNs, want},
		{typed("io.debezium.time.MicroTimestamp", "1770076803123000"), debezium.UnitMs, want},
		{typed("io.debezium.time.NanoTimestamp", "1770076803123000000"), "", want},
		{typed("io.debezium.time.Date", "20487"), "", "2026-02-03T00:00:00.000000Z"},
		{inserted("timestamp", `-1`), debezium.UnitUs, "1969-12-31T23:59:59.999999Z"},
	} {
		opt := options()
		opt.TimeUnit = test.unit
		changes, err := decoder(t, opt).Decode([]byte(`{"id":1}`), []byte(test.value))
		if err != nil {
			t.Errorf("%s: %v", test.value, err)
		} else if got := changes[0].Row.Time.String(); got != test.want {
			t.Errorf("%s: got %s, want %s", test.value, got, test.want)
		}
	}
}

// The quick parser of times must agree with brimline's on all that it takes.
func TestTimesAgree(t *testing.T) {
	d := decoder(t, options())
	rapid.Check(t, func(rt *rapid.T) {
		std := time.Date(rapid.IntRange(1, 9999).Draw(rt, "year"), time.Month(rapid.IntRange(1, 12).Draw(rt, "month")),
			rapid.IntRange(1, 31).Draw(rt, "day"),
			rapid.IntRange(0, 23).Draw(rt, "hour"), 59, rapid.IntRange(0, 59).Draw(rt, "second"),
			rapid.IntRange(0, 999_999).Draw(rt, "µs")*1000, time.UTC)
		text := std.Format("2006-01-02T15:04:05.999999Z")
		changes, err := d.Decode([]byte("1"), []byte(inserted("timestamp", `"`+text+`"`)))
		if err != nil {
			rt.Fatal(err)
		}
		if got := changes[0].Row.Time; got != brimline.TimeOf(std) {
			rt.Fatalf("%s: got %s", text, got)
		}
	})
}

func TestIDs(t *testing.T) {
	for _, test := range []struct{ user, want string }{
		{`27956157`, "27956157"},
		{`-5`, "-5"},
		{`-0`, "0"},
		{`9223372036854775807`, "9223372036854775807"},
		{`123456789012345678901234567890`, "123456789012345678901234567890"},
		{`"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"`, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
		{`"Zoë \"Z\" \uD83D\uDE00\t/\/"`, "Zoë \"Z\" 😀\t//"},
		{`"007"`, "007"},
		{`"` + strings.Repeat("é", 1<<15) + `"`, strings.Repeat("é", 1<<15)},
	} {
		for _, column := range []string{"id", "user_id"} {
			changes, err := decoder(t, options()).Decode([]byte("1"), []byte(inserted(column, test.user)))
			if err != nil {
				t.Errorf("%.40s: %v", test.user, err)
				continue
			}
			got := map[string]string{"id": changes[0].Row.ID, "user_id": changes[0].User}[column]
			if got != test.want {
				t.Errorf("%.40s as %s: got %.40q", test.user, column, got)
			}
		}
	}
}

func TestCompositeKeyAndMoves(t *testing.T) {
	opt := options()
	opt.ID = []string{"bank", "id"}
	d := decoder(t, opt)
	row := func(bank, user, amount, at string) string {
		return `{"bank":` + bank +
			`,"id":1,"user_id":` + user + `,"amount":` + amount + `,"timestamp":` + at + `}`
	}
	const at, was = `"2026-01-02T00:00:00Z"`, `"2026-01-01T00:00:00Z"`
	for _, test := range []struct{ name, value, want string }{
		{"insert", event("c", "null", row(`"a,b\\"`, "2", `"1.00"`, at)), `+a\,b\\,1 2 1.00 2026-01-02T00:00:00.000000Z`},
		{"other amount", event("u", row("5", "2", `"9.00"`, was), row("5", "2", `"1.00"`, at)), `+5,1 2 1.00 2026-01-02T00:00:00.000000Z`},
		{"other part of the key", event("u", row("5", "2", `"9.00"`, was), row("6", "2", `"1.00"`, at)),
			`-5,1 2 9.00 2026-01-01T00:00:00.000000Z & +6,1 2 1.00 2026-01-02T00:00:00.000000Z`},
		{"other user", event("u", row("5", "2", `"9.00"`, was), row("5", "3", `"1.00"`, at)),
			`-5,1 2 9.00 2026-01-01T00:00:00.000000Z & +5,1 3 1.00 2026-01-02T00:00:00.000000Z`},
		{"same user written otherwise", event("u", row("5", `"\u0061"`, `"9.00"`, was), row("5", `"a"`, `"1.00"`, at)),
			`+5,1 a 1.00 2026-01-02T00:00:00.000000Z`},
		{"from a row that was never taken", event("u", row("5", "2", `"NaN"`, was), row("5", "3", `"1.00"`, at)),
			`-5,1 2 0.00 2026-01-01T00:00:00.000000Z & +5,1 3 1.00 2026-01-02T00:00:00.000000Z`},
	} {
		changes, err := d.Decode([]byte(`{"bank":5,"id":1}`), []byte(test.value))
		if got := describe(t, changes, err); got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.name, got, test.want)
		}
	}
}

func TestFurtherColumns(t *testing.T) {
	opt := options()
	opt.Columns = []brimline.Column{
		{Name: "description", Type: brimline.Text}, {Name: "booked_at", Type: brimline.Timestamp}, {Name: "fee", Type: brimline.Numeric},
		{Name: "rate", Type: brimline.Numeric}, {Name: "ok", Type: brimline.Boolean}, {Name: "booked_on", Type: brimline.Integer},
		{Name: "user_id", Type: brimline.Integer}, {Name: "currency", Type: brimline.Text},
	}
	booked, _ := brimline.ParseTime("2026-02-03T00:00:03.123456Z")
	want := []brimline.Field{
		{Name: "description", Value: "after a schema change"}, {Name: "booked_at", Value: booked}, {Name: "fee", Value: brimline.Decimal("0.125")},
		{Name: "rate", Value: brimline.Decimal("0.1")}, {Name: "ok", Value: true}, {Name: "booked_on", Value: int64(20487)},
		{Name: "user_id", Value: int64(6)}, {Name: "currency", Value: "EUR"},
	}
	for _, file := range []string{"precise", "string", "schemas", "connect-time", "unwrap"} {
		t.Run(file, func(t *testing.T) {
			opt := opt
			want := append([]brimline.Field(nil), want...)
			opt.Facts = map[string]debezium.ColumnFacts{"amount": facts("numeric(12,2)"), "booked_at": facts("timestamp")}
			if file == "connect-time" {
				opt.Facts["booked_at"], opt.TimeUnit = facts("timestamp(3)"), debezium.UnitMs
				want[1].Value = booked / 1000 * 1000
			}
			d, met := decoder(t, opt), map[string]int{}
			for _, r := range capture(t, file) {
				key, value := r.bytes()
				changes, err := d.Decode(key, value)
				switch {
				case err != nil:
					met[kindOf(t, err)]++
				case len(changes) == 1 && changes[0].Row.ID == "4000":
					if got := changes[0].Row.Columns; !reflect.DeepEqual(got, want) {
						t.Errorf("got %v, want %v", got, want)
					}
					met["row 4000"]++
				case len(changes) == 1 && changes[0].Row.ID == "9999":
					if got := changes[0].Row.Columns[1]; got != (brimline.Field{Name: "booked_at"}) {
						t.Errorf("a NULL became %v", got)
					}
				}
			}
			// The update of row 4000 sets booked_at to infinity, and of the rows before the ALTER TABLE none has all columns.
			if met["row 4000"] != 1 || met[debezium.KindInfiniteTime] < 1 || met[debezium.KindMissingColumn] < 20 {
				t.Errorf("met %v", met)
			}
		})
	}
}

func TestUnavailableValue(t *testing.T) {
	opt := options()
	opt.Columns = []brimline.Column{{Name: "description", Type: brimline.Text}}
	for file, want := range map[string]string{
		"string": debezium.KindUnavailable, "string-full": "taken", "unwrap-rewrite": debezium.KindUnavailable,
	} {
		got := "absent"
		d := decoder(t, opt)
		for _, r := range capture(t, file) {
			key, value := r.bytes()
			if !strings.Contains(string(value), `"amount":"20.00"`) {
				continue
			}
			if changes, err := d.Decode(key, value); err != nil {
				got = kindOf(t, err)
			} else if text, _ := changes[0].Row.Columns[0].Value.(string); len(text) == 3200 {
				got = "taken"
			}
		}
		if got != want {
			t.Errorf("%s: %s, want %s", file, got, want)
		}
	}
	// Debezium leaves out what did not change; with a before image it can be taken from there.
	before := strings.TrimSuffix(goodRow, "}") + `,"description":"long"}`
	after := strings.TrimSuffix(goodRow, "}") + `,"description":"__debezium_unavailable_value"}`
	changes, err := decoder(t, opt).Decode([]byte("1"), []byte(event("u", before, after)))
	if err != nil || changes[0].Row.Columns[0].Value != "long" {
		t.Errorf("got %v, %v", changes, err)
	}
}

func TestTombstones(t *testing.T) {
	flat, rewritten := goodRow, strings.TrimSuffix(goodRow, "}")+`,"__deleted":"false"}`
	for _, test := range []struct {
		name   string
		before []string // records decoded first
		format debezium.Format
		want   string
	}{
		{"first of all", nil, "", "nothing"},
		{"after an envelope", []string{flat, event("c", "null", goodRow)}, "", "nothing"},
		{"after a flat row", []string{event("c", "null", goodRow), flat}, "", debezium.KindFlatTombstone},
		{"after a rewritten row", []string{flat, rewritten}, "", "nothing"},
		{"flat, first of all", nil, debezium.FormatFlat, debezium.KindFlatTombstone},
		{"flat, after a rewritten row", []string{rewritten}, debezium.FormatFlat, "nothing"},
	} {
		opt := options()
		opt.Format = test.format
		d := decoder(t, opt)
		for _, value := range test.before {
			if _, err := d.Decode([]byte("1"), []byte(value)); err != nil {
				t.Fatal(err)
			}
		}
		changes, err := d.Decode([]byte(`{"id":1}`), nil)
		if got := describe(t, changes, err); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
}

func TestLargeValue(t *testing.T) {
	value := event("c", "null", strings.TrimSuffix(goodRow, "}")+`,"doc":"`+strings.Repeat(`x\n`, 350_000)+`"}`)
	changes, err := decoder(t, options()).Decode([]byte("1"), []byte(value))
	if got := describe(t, changes, err); got != "+1 2 1.50 2026-01-02T03:04:05.000000Z" {
		t.Error(got)
	}
}

func TestConcurrentUse(t *testing.T) {
	records := capture(t, "schemas-full")
	d := decoder(t, options())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for _, r := range records {
				key, value := r.bytes()
				_, _ = d.Decode(key, value)
			}
		})
	}
	wg.Wait()
}

func TestOptionsAreCheckedAtOnce(t *testing.T) {
	scale := -3
	_, err := debezium.New(debezium.Options{
		Table: "transactions", Scale: 19, AmountColumnScale: &scale, Format: "xml", TimeUnit: "h", Decimals: "roman",
		Columns: []brimline.Column{{Name: "a", Type: "jsonb"}, {Name: "a", Type: brimline.Text}}})
	for _, want := range []string{"schema.table", "primary key", "user column", "amount column", "time column", "scale 19",
		"scale -3", `"xml"`, `"h"`, `"roman"`, `"jsonb"`, "twice"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %s", err, want)
		}
	}
	if brimline.ExitCode(err) != int(brimline.ClassInput) {
		t.Errorf("class %d", brimline.ExitCode(err))
	}
}
