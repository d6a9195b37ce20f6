package debezium_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs/debezium"
)

// facts makes what the catalog says of a column: timestamp(3), timestamptz, date, numeric(12,2), int8, …
func facts(declared string) debezium.ColumnFacts {
	name, arguments, _ := strings.Cut(strings.TrimSuffix(declared, ")"), "(")
	f := debezium.ColumnFacts{Type: name}
	switch name {
	case "timestamp", "timestamptz", "time":
		f.Precision = 6
		if arguments != "" {
			fmt.Sscan(arguments, &f.Precision)
		}
	case "numeric":
		if arguments != "" {
			var precision, scale int
			fmt.Sscanf(arguments, "%d,%d", &precision, &scale)
			f.Scale = &scale
		}
	}
	return f
}

// table is facts of the test table, some of its columns as given: "timestamp", "timestamp(3)", …
func table(pairs ...string) func(*debezium.Options) {
	return func(o *debezium.Options) {
		o.Facts = map[string]debezium.ColumnFacts{"id": facts("int8"), "user_id": facts("int8"),
			"amount": facts("numeric(12,2)"), "timestamp": facts("timestamptz")}
		for i := 0; i+1 < len(pairs); i += 2 {
			o.Facts[pairs[i]] = facts(pairs[i+1])
		}
	}
}

func all(set ...func(*debezium.Options)) func(*debezium.Options) {
	return func(o *debezium.Options) {
		for _, f := range set {
			f(o)
		}
	}
}

func explicit(unit debezium.TimeUnit) func(*debezium.Options) {
	return func(o *debezium.Options) { o.TimeUnit = unit }
}

func decided(unit debezium.TimeUnit) func(*debezium.Options) {
	return func(o *debezium.Options) { o.DecidedUnit = unit }
}

// by makes a record say who wrote it.
func by(version, value string) string {
	return strings.Replace(value, `"source":{`, `"source":{"connector":"postgresql","version":"`+version+`",`, 1)
}

const (
	inMs   = `1795395723456`
	inUs   = `1795395723456789`
	inNs   = `1795395723456789000`
	inDays = `20780`
	asMs   = "2026-11-23T01:02:03.456000Z"
	asUs   = "2026-11-23T01:02:03.456789Z"
	asDay  = "2026-11-23T00:00:00.000000Z"
)

// A bare number is a time in the unit that something says it has: else it is refused, never guessed.
func TestTimeUnits(t *testing.T) {
	typed := func(name, value string) string {
		return `{"schema":{"fields":[{"type":"int64","name":"` + name + `","field":"at"}]},"payload":` + value + `}`
	}
	const connect, nano = "org.apache.kafka.connect.data.Timestamp", "io.debezium.time.NanoTimestamp"
	for _, test := range []struct {
		name  string
		value string
		set   func(*debezium.Options)
		want  string
		by    string // who wrote the record
		typed string // inline schema of the column
	}{
		{"nothing is known, ms", inMs, nil, debezium.KindTimeUnit, "", ""},
		{"nothing is known, µs", inUs, nil, debezium.KindTimeUnit, "", ""},
		{"nothing is known, 0", `0`, nil, debezium.KindTimeUnit, "", ""},
		{"nothing is known of this column", inUs,
			func(o *debezium.Options) { o.Facts = map[string]debezium.ColumnFacts{} }, debezium.KindTimeUnit, "",
			""},
		{"nothing is known, infinity", `9223372036854775807`, nil, debezium.KindInfiniteTime, "", ""},

		{"timestamp(0)", `1795395723000`, table("at", "timestamp(0)"), "2026-11-23T01:02:03.000000Z", "", ""},
		{"timestamp(3)", inMs, table("at", "timestamp(3)"), asMs, "", ""},
		{"timestamp(4)", `1795395723456700`, table("at", "timestamp(4)"), "2026-11-23T01:02:03.456700Z", "", ""},
		{"timestamp", inUs, table("at", "timestamp"), asUs, "", ""},
		{"timestamp before 1970", `-1`, table("at", "timestamp"), "1969-12-31T23:59:59.999999Z", "", ""},
		{"timestamp(3) before 1970", `-1`, table("at", "timestamp(3)"), "1969-12-31T23:59:59.999000Z", "", ""},
		{"timestamp of 12026", `317336843045000000`, table("at", "timestamp"), debezium.KindTimeUnit, "", ""},
		{"timestamp of the last day of 9999, in a unit that is not known", `253402300799000`, nil, debezium.KindTimeUnit, "", ""},
		// 1980 in ns
		{"timestamp of 3026", `33341079845000000`, table("at", "timestamp"), "3026-07-16T03:04:05.000000Z", "", ""},
		{"timestamp of 9999", `253402300799999999`, table("at", "timestamp"), "9999-12-31T23:59:59.999999Z", "", ""},
		{"timestamp(3) of 9999", `253402214400000`, table("at", "timestamp(3)"), "9999-12-31T00:00:00.000000Z", "", ""},
		{"date", inDays, table("at", "date"), asDay, "", ""},
		{"date before 1970", `-735160`, table("at", "date"), "-0043-03-15T00:00:00.000000Z", "", ""},
		{"date, whatever the unit of times", inDays, all(table("at", "date"), explicit(debezium.UnitMs)), asDay, "", ""},
		{"date, whatever was decided", inDays, all(table("at", "date"), decided(debezium.UnitNs)), asDay, "", ""},
		{"timestamptz as a number", inUs, table("at", "timestamptz"), debezium.KindTimeUnit, "", ""},
		{"timestamptz as a number, decided for others", inUs, all(table("at", "timestamptz"),
			decided(debezium.UnitUs)), debezium.KindTimeUnit, "", ""},
		{"timestamptz as a number, set", inUs, all(table("at", "timestamptz"), explicit(debezium.UnitUs)), asUs, "", ""},

		{"set to ms", inMs, explicit(debezium.UnitMs), asMs, "", ""},
		{"set to µs", inUs, explicit(debezium.UnitUs), asUs, "", ""},
		{"set to ns", inNs, explicit(debezium.UnitNs), asUs, "", ""},
		{"set, although it looks otherwise", inMs, explicit(debezium.UnitUs), "1970-01-21T18:43:15.723456Z", "", ""},
		{"set, although the column is finer in Debezium", `1795395723456000`, all(table("at", "timestamp(3)"),
			explicit(debezium.UnitUs)), asMs, "", ""},
		{"set, and a date of an unknown column", inDays, explicit(debezium.UnitMs), debezium.KindTimeUnit, "", ""},
		{"decided ms", inMs, all(table("at", "timestamp(3)"), decided(debezium.UnitMs)), asMs, "", ""},
		{"decided µs", `1795395723456000`, all(table("at", "timestamp(3)"), decided(debezium.UnitUs)), asMs, "", ""},
		{"decided ns", inNs, all(table("at", "timestamp"), decided(debezium.UnitNs)), asUs, "", ""},
		{"decided without facts", inNs, decided(debezium.UnitNs), asUs, "", ""},
		{"set wins over decided", inMs, all(explicit(debezium.UnitMs), decided(debezium.UnitNs)), asMs, "", ""},

		// The mode was changed in the middle.
		{"timestamp(3), and µs come", inUs, table("at", "timestamp(3)"), debezium.KindTimeUnit, "", ""},
		{"timestamp(3), and ns come", inNs, table("at", "timestamp(3)"), debezium.KindTimeUnit, "", ""},
		{"timestamp, and ms come", inMs, table("at", "timestamp"), debezium.KindTimeUnit, "", ""},
		{"timestamp, and ns come", inNs, table("at", "timestamp"), debezium.KindTimeUnit, "", ""},
		{"timestamp, and days come", inDays, table("at", "timestamp"), debezium.KindTimeUnit, "", ""},
		{"timestamp(3), and seconds come", `1795395723`, table("at", "timestamp(3)"), debezium.KindTimeUnit, "", ""},
		{"date, and ms come", inMs, table("at", "date"), debezium.KindTimeUnit, "", ""},
		{"date, and µs come", inUs, table("at", "date"), debezium.KindTimeUnit, "", ""},
		{"decided ns, and µs come", inUs, decided(debezium.UnitNs), debezium.KindTimeUnit, "", ""},
		{"decided µs, and ms come", inMs, decided(debezium.UnitUs), debezium.KindTimeUnit, "", ""},
		{"the windows' edges, ms: 1973", `94694400000`, table("at", "timestamp"), debezium.KindTimeUnit, "", ""},
		{"the windows' edges, ms: before", `94694399999`, table("at", "timestamp"), "1970-01-02T02:18:14.399999Z",
			"", ""},
		{"the windows' edges, ms: 2286", `9999999999999`, table("at", "timestamp"), debezium.KindTimeUnit, "", ""},
		{"the windows' edges, ms: after", `10000000000000`, table("at", "timestamp"), "1970-04-26T17:46:40.000000Z",
			"", ""},
		{"in µs the same edges: 1973", `94694400000000`, table("at", "timestamp(3)"), debezium.KindTimeUnit, "", ""},
		{"in µs the same edges: before", `94694399999999`, table("at", "timestamp(3)"),
			"4970-09-29T23:59:59.999000Z", "", ""},

		// Milliseconds cannot hold what a finer column has.
		{"ms of timestamp(4), set", inMs, all(table("at", "timestamp(4)"), explicit(debezium.UnitMs)),
			debezium.KindTimeCut, "", ""},
		{"ms of timestamp, decided", inMs, all(table("at", "timestamp"), decided(debezium.UnitMs)), debezium.KindTimeCut,
			"", ""},
		{"ms of timestamp, connect's schema", inMs, table("at", "timestamp"), debezium.KindTimeCut, "", connect},
		{"ms of timestamptz, connect's schema", inMs, table("at", "timestamptz"), debezium.KindTimeCut, "", connect},
		{"ms of timestamp(3), connect's schema", inMs, table("at", "timestamp(3)"), asMs, "", connect},
		{"ms of an unknown column, connect's schema", inMs, nil, asMs, "", connect},

		{"schema wins over all", inNs, all(table("at", "timestamp(3)"), explicit(debezium.UnitMs),
			decided(debezium.UnitUs)), asUs, "", nano},
		{"schema wins over how it looks", `1795395723456000`, nil, "1970-01-21T18:43:15.723456Z", "", nano},
		{"schema of a plain number says nothing", inUs, nil, debezium.KindTimeUnit, "", " "},

		// Our own capture says what it writes.
		{"capture 2 writes µs", inUs, table("at", "timestamp(3)"), asUs, "brimline/2", ""},
		{"capture 2 writes µs, without facts", inUs, nil, asUs, "brimline/2", ""},
		{"capture 2 writes µs, whatever is set", inUs, explicit(debezium.UnitMs), asUs, "brimline/2", ""},
		{"capture 2 writes µs, however it looks", inMs, nil, "1970-01-21T18:43:15.723456Z", "brimline/2", ""},
		{"capture 2 writes days", inDays, table("at", "date"), asDay, "brimline/2", ""},
		{"the older capture wrote ms of timestamp(3)", inMs, table("at", "timestamp(3)"), asMs, "brimline", ""},
		{"the older capture wrote µs of timestamp", inUs, all(table("at", "timestamp"), decided(debezium.UnitMs)),
			asUs, "brimline", ""},
		{"the older capture wrote ms, decided is µs", inMs, all(table("at", "timestamp(3)"), decided(debezium.UnitUs)),
			asMs, "brimline", ""},
		{"the older capture, without facts", inMs, nil, debezium.KindTimeUnit, "brimline", ""},
		{"another version", inUs, nil, debezium.KindTimeUnit, "brimlined/2", ""},

		{"ISO text", `"2026-11-23T01:02:03.456789Z"`, nil, asUs, "", ""},
		{"ISO text of timestamp", `"2026-11-23T01:02:03Z"`, table("at", "timestamp"), "2026-11-23T01:02:03.000000Z",
			"", ""},
		{"ISO text of timestamp, ms decided", `"2026-11-23T01:02:03.456789Z"`, all(table("at", "timestamp"),
			decided(debezium.UnitMs)), asUs, "", ""},
		{"ISO text of 44 BC", `"-0043-03-15T12:00:00Z"`, table("at", "timestamp"), "-0043-03-15T12:00:00.000000Z",
			"", ""},
		{"ISO date", `"2026-11-23Z"`, table("at", "date"), asDay, "", ""},
		{"ISO date of an unknown column", `"2026-11-23Z"`, nil, asDay, "", ""},
		{"ISO date of 12026", `"+12026-01-02Z"`, table("at", "date"), "+12026-01-02T00:00:00.000000Z", "", ""},
		{"ISO date of 44 BC", `"-0043-03-15Z"`, table("at", "date"), "-0043-03-15T00:00:00.000000Z", "", ""},
		{"ISO date that is none", `"2026-02-30Z"`, table("at", "date"), debezium.KindBadTime, "", ""},
		{"date with offset", `"2026-11-23+02:00"`, table("at", "date"), debezium.KindBadTime, "", ""},
		{"infinity in ISO text", `"+292278994-08-16T23:00:00Z"`, table("at", "timestamp"), debezium.KindInfiniteTime,
			"", ""},
		{"-infinity in ISO text", `"-292275055-05-16T23:00:00Z"`, nil, debezium.KindInfiniteTime, "", ""},
		{"infinite ISO date", `"+5877611-06-21Z"`, table("at", "date"), debezium.KindInfiniteTime, "", ""},
		{"infinite date", `2146033979`, table("at", "date"), debezium.KindInfiniteTime, "", ""},
		{"-infinite date", `-2147472691`, table("at", "date"), debezium.KindInfiniteTime, "", ""},
		{"-infinite date of our capture", `-2147483648`, table("at", "date"), debezium.KindInfiniteTime, "brimline", ""},
		{"infinity in ms, timestamp(3)", `9223372036825200000`, table("at", "timestamp(3)"), debezium.KindInfiniteTime,
			"", ""},
		{"structured", `{"year":2026,"month":11,"day":23}`, table("at", "timestamp"), debezium.KindWrongType, "", ""},
		{"seconds with a fraction", `1795395723.456789`, table("at", "timestamp"), debezium.KindBadTime, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			// The same holds for the time column and for further columns.
			for _, asTime := range []bool{true, false} {
				opt, row := options(),
					`{"id":1,"user_id":2,"amount":"1.50","timestamp":"2026-01-02T03:04:05Z","at":`+test.value+`}`
				if asTime {
					opt.Time = "at"
				} else {
					opt.Columns = []brimline.Column{{Name: "at", Type: brimline.Timestamp}}
				}
				if test.set != nil {
					test.set(&opt)
				}
				if asTime && opt.Facts["at"].Type == "date" {
					if _, err := debezium.New(opt); err == nil || !strings.Contains(err.Error(), "column at") {
						t.Errorf("a date as the time: %v", err)
					}
					continue
				}
				value := event("c", "null", row)
				if test.by != "" {
					value = by(test.by, value)
				}
				if test.typed != "" {
					value = typed(strings.TrimSpace(test.typed), value)
				}
				changes, err := decoder(t, opt).Decode([]byte(`{"id":1}`), []byte(value))
				got := ""
				switch {
				case err != nil:
					got = kindOf(t, err)
					if e, _ := errors.AsType[*brimline.Error](err); !strings.Contains(e.Err.Error(), "column at") {
						t.Errorf("%v does not name the column", err)
					}
				case asTime:
					got = changes[0].Row.Time.String()
				default:
					got = fmt.Sprint(changes[0].Row.Columns[0].Value)
				}
				if got != test.want {
					t.Errorf("as the time column %v: got %s (%v), want %s", asTime, got, err, test.want)
				}
			}
		})
	}
}

// The remedy is one that is not in force already.
func TestTimeUnitRemedies(t *testing.T) {
	for _, test := range []struct {
		name  string
		value string
		set   func(*debezium.Options)
		want  []string
	}{
		{"nothing is known", inUs, nil, []string{"--time-unit"}},
		{"the mode was changed", inUs, table("timestamp", "timestamp(3)"), []string{"time.precision.mode",
			"--time-unit"}},
		{"timestamptz", inUs, table(), []string{"transforms"}},
		{"cut", inMs, all(table("timestamp", "timestamp"), explicit(debezium.UnitMs)), []string{"time.precision.mode",
			"new --group"}},
	} {
		opt := options()
		if test.set != nil {
			test.set(&opt)
		}
		_, err := decoder(t, opt).Decode([]byte(`{"id":1}`), []byte(inserted("timestamp", test.value)))
		e, ok := errors.AsType[*brimline.Error](err)
		if !ok {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(e.Remedy, want) {
				t.Errorf("%s: remedy %q does not say %s", test.name, e.Remedy, want)
			}
		}
	}
}

// Keys hold times in one text, however the connector writes them.
func TestKeysOfEveryType(t *testing.T) {
	const zoned = `"2026-11-23T01:02:03Z"`
	for _, test := range []struct{ name, declared, value, want string }{
		{"timestamptz(0)", "timestamptz(0)", zoned, "2026-11-23T01:02:03.000000Z"},
		{"timestamptz", "timestamptz", `"2026-11-23T01:02:03.456789Z"`, asUs},
		{"timestamp(3)", "timestamp(3)", inMs, asMs},
		{"timestamp(3), ISO", "timestamp(3)", `"2026-11-23T01:02:03.456Z"`, asMs},
		{"timestamp", "timestamp", inUs, asUs},
		{"timestamp in another unit", "timestamp", inMs, debezium.KindTimeUnit},
		{"date", "date", inDays, asDay},
		{"date, ISO", "date", `"2026-11-23Z"`, asDay},
		{"numeric(12,2)", "numeric(12,2)", `"5.00"`, "5.00"},
		{"numeric(12,2), precise", "numeric(12,2)", `"AfQ="`, "5.00"},
		{"numeric", "numeric", `"5.10"`, "5.10"},
		{"numeric, precise", "numeric", `{"scale":2,"value":"Af4="}`, "5.10"},
		{"numeric(12,0)", "numeric(12,0)", `"AQ=="`, "1"},
		{"numeric(12,0), either", "numeric(12,0)", `"1234"`, debezium.KindAmountAmbiguous},
		{"char(10)", "bpchar", `"AB        "`, "AB"},
		{"varchar", "varchar", `"AB  "`, "AB  "},
		{"uuid", "uuid", `"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"`, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
		{"int8", "int8", `-0`, "0"},
		{"unknown, text", "", zoned, "2026-11-23T01:02:03Z"},
		{"unknown, number", "", inUs, inUs},
	} {
		opt := options()
		opt.ID = []string{"k"}
		if test.declared != "" {
			table("k", test.declared)(&opt)
		}
		value := event("c", "null",
			`{"k":`+test.value+`,"user_id":2,"amount":"1.50","timestamp":"2026-01-02T03:04:05Z"}`)
		changes, err := decoder(t, opt).Decode([]byte(`{"k":1}`), []byte(value))
		got := ""
		if err != nil {
			got = kindOf(t, err)
		} else {
			got = changes[0].Row.ID
		}
		if got != test.want {
			t.Errorf("%s: got %s (%v), want %s", test.name, got, err, test.want)
		}
	}
}
