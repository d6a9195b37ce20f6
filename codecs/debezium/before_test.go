package debezium_test

import (
	"strings"
	"testing"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs/debezium"
)

func identity(columns ...string) func(*debezium.Options) {
	return func(o *debezium.Options) { o.Identity = debezium.Identity{Known: true, Columns: columns} }
}

func fullIdentity(o *debezium.Options) { o.Identity = debezium.Identity{Known: true, Full: true} }

// defaults gives columns constant defaults, as the catalog writes them.
func defaults(pairs ...string) func(*debezium.Options) {
	return func(o *debezium.Options) {
		for i := 0; i+1 < len(pairs); i += 2 {
			f := o.Facts[pairs[i]]
			f.Default = &pairs[i+1]
			o.Facts[pairs[i]] = f
		}
	}
}

func key(columns ...string) func(*debezium.Options) {
	return func(o *debezium.Options) { o.ID = columns }
}

// A row's earlier contents are believed where PostgreSQL sent them, and not where Debezium made them up.
func TestBefore(t *testing.T) {
	row := func(id, user, amount, at string) string {
		return `{"id":` + id + `,"user_id":` + user + `,"amount":` + amount + `,"timestamp":` + at + `}`
	}
	const at, epoch = `"2026-01-02T03:04:05Z"`, `"1970-01-01T00:00:00Z"`
	const kept = "2026-01-02T03:04:05.000000Z"
	var before = row("1", "0", `"0.00"`, epoch)
	for _, test := range []struct {
		name   string
		before string
		set    func(*debezium.Options)
		want   string // of a delete
	}{
		{"a row", row("1", "2", `"1.50"`, at), nil, "-1 2 1.50 " + kept},
		{"a row of user 0", row("1", "0", `"1.50"`, at), nil, "-1 0 1.50 " + kept},
		{"a row of nothing", row("1", "2", `"0.00"`, at), nil, "-1 2 0.00 " + kept},
		{"made up", before, nil, debezium.KindMadeUpBefore},
		{"made up, precise", row("1", "0", `"AA=="`, epoch), columnScale(2), debezium.KindMadeUpBefore},
		{"made up, precise, of a scale that is not known", row("1", "0", `"AA=="`, epoch), nil,
			debezium.KindMadeUpBefore},
		{"made up, struct", row("1", "0", `{"scale":0,"value":"AA=="}`, epoch), nil, debezium.KindMadeUpBefore},
		{"made up, double", row("1", "0", `0.0`, epoch), nil, debezium.KindMadeUpBefore},
		{"made up, integer", row("1", "0", `0`, epoch), nil, debezium.KindMadeUpBefore},
		{"made up, exact number", row("1", "0", `0.00`, epoch), nil, debezium.KindMadeUpBefore},
		{"made up, time of six digits", row("1", "0", `"0.00"`, `"1970-01-01T00:00:00.000000Z"`), nil,
			debezium.KindMadeUpBefore},
		{"made up, bare time", row("1", "0", `"0.00"`, `0`), nil, debezium.KindMadeUpBefore},
		{"made up, ISO date", row("1", "0", `"0.00"`, `"1970-01-01Z"`), nil, debezium.KindMadeUpBefore},
		{"made up, text user", row("1", `""`, `"0.00"`, epoch), nil, debezium.KindMadeUpBefore},
		{"made up, numeric user", row("1", `"0"`, `"0.00"`, epoch), nil, debezium.KindMadeUpBefore},
		{"made up, as Java writes a zero of ten decimals", row("1", "0", `"0E-10"`, epoch), table("amount",
			"numeric(30,10)"), debezium.KindMadeUpBefore},
		{"made up, structured", row("1", "0", `"0.00"`, `{"year":1970,"month":1,"day":1}`), nil,
			debezium.KindMadeUpBefore},
		{"made up, nulls", row("1", `null`, `null`, `null`), nil, debezium.KindMadeUpBefore},
		{"made up, some nulls", row("1", `0`, `null`, epoch), nil, debezium.KindMadeUpBefore},
		{"made up, and the catalog says full: it was not always", before, fullIdentity, debezium.KindMadeUpBefore},

		// What the catalog says.
		{"the identity is the key", row("1", "2", `"1.50"`, at), identity("id"), debezium.KindMadeUpBefore},
		{"the identity is nothing", row("1", "2", `"1.50"`, at), identity(), debezium.KindMadeUpBefore},
		{"the identity is an index with the user", row("1", "2", `"0.00"`, epoch), identity("id", "user_id"),
			"-1 2 0.00 ?"},
		{"the identity is an index with user and time", row("1", "2", `"0.00"`, at), identity("id", "user_id",
			"timestamp"), "-1 2 0.00 " + kept},
		{"the identity is an index without the key", row("0", "2", `"0.00"`, epoch), identity("user_id"),
			debezium.KindMadeUpBefore},
		{"the identity is full", row("1", "2", `"1.50"`, at), fullIdentity, "-1 2 1.50 " + kept},
		{"full, a row of user 0", row("1", "0", `"1.50"`, epoch), fullIdentity,
			"-1 0 1.50 1970-01-01T00:00:00.000000Z"},

		// Keys that hold more than an id.
		{"the key holds the time", row("1", "0", `"0.00"`, at), key("id", "timestamp"), debezium.KindMadeUpBefore},
		{"the key holds the time, a row", row("1", "2", `"0.00"`, at), key("id", "timestamp"),
			`-1,2026-01-02T03:04:05Z 2 0.00 ` + kept},
		{"the key holds the amount", row("1", "0", `"1.50"`, epoch), key("id", "amount"), debezium.KindMadeUpBefore},
		{"the key holds user and id", row("1", "0", `"0.00"`, epoch), key("user_id", "id"), "-0,1 0 0.00 ?"},
		{"the key holds user and id, full", row("1", "2", `"1.50"`, at), all(key("user_id", "id"), fullIdentity),
			"-2,1 2 1.50 " + kept},
		{"the key holds user and id, an index is the identity", row("1", "0", `"0.00"`, epoch), all(key("user_id",
			"id"), identity("id")), debezium.KindMadeUpBefore},
		{"the key is the user", row("1", "7", `"0.00"`, epoch), key("user_id"), "-7 7 0.00 ?"},

		// Columns with defaults.
		{"defaults", row("1", "77", `"10.00"`, `"2020-01-01T00:00:00.000000Z"`),
			all(table(), defaults("user_id", "77", "amount", "10.00", "timestamp", "2020-01-01 00:00:00+00")),
			debezium.KindMadeUpBefore},
		{"defaults, precise", row("1", "77", `"A+g="`, `"2020-01-01T00:00:00.000000Z"`),
			all(table(), defaults("user_id", "77", "amount", "10.00", "timestamp", "2020-01-01 00:00:00+00")),
			debezium.KindMadeUpBefore},
		{"defaults, written otherwise", row("1", "77", `10.000`, `1577836800000000`),
			all(table("timestamp", "timestamp"), decimals(debezium.DecimalsNumeric), defaults("user_id", "77",
				"amount", "10", "timestamp", "2020-01-01 00:00:00")), debezium.KindMadeUpBefore},
		{"a default and nothings", row("1", "0", `"10.00"`, epoch), all(table(), defaults("amount", "10")),
			debezium.KindMadeUpBefore},
		{"a text default", row("1", `"none"`, `"0.00"`, epoch), all(table("user_id", "text"), defaults("user_id",
			"none")), debezium.KindMadeUpBefore},
		{"a char default", row("1", `"none  "`, `"0.00"`, epoch), all(table("user_id", "bpchar"), defaults("user_id",
			"none  ")), debezium.KindMadeUpBefore},
		{"defaults, but one", row("1", "78", `"10.00"`, `"2020-01-01T00:00:00.000000Z"`),
			all(table(), defaults("user_id", "77", "amount", "10.00", "timestamp", "2020-01-01 00:00:00+00")),
			"-1 78 10.00 2020-01-01T00:00:00.000000Z"},
		{"minor units", row("1", "0", `1000`, epoch), all(table("amount", "int8"), minorUnits(2), defaults("amount",
			"1000")), debezium.KindMadeUpBefore},

		// A row that could not be taken when it came must be deletable all the same.
		{"NaN", row("1", "2", `"NaN"`, at), nil, "-1 2 0.00 " + kept},
		{"infinity", row("1", "2", `"1.50"`, `"infinity"`), nil, "-1 2 1.50 ?"},
		{"a time whose unit is not known", row("1", "2", `"1.50"`, `1795395723456`), nil, "-1 2 1.50 ?"},
		{"an amount whose scale is not known", row("1", "2", `"BNI="`, at), nil, "-1 2 0.00 " + kept},
		{"no amount", row("1", "2", `null`, at), nil, "-1 2 0.00 " + kept},
		{"no time", row("1", "2", `"1.50"`, `null`), nil, "-1 2 1.50 ?"},
		{"no amount and no time", row("1", "2", `null`, `null`), nil, "-1 2 0.00 ?"},
		{"an amount that is a text", row("1", "2", `"much"`, at), decimals(debezium.DecimalsString), "-1 2 0.00 " + kept},
		{"lacks amount and time", `{"id":1,"user_id":2}`, nil, "-1 2 0.00 ?"},
		{"no user, full", row("1", `null`, `"1.50"`, at), fullIdentity, debezium.KindEmptyUser},
		{"user that is no text", row("1", `{}`, `"1.50"`, at), nil, debezium.KindWrongType},
	} {
		t.Run(test.name, func(t *testing.T) {
			opt := options()
			if test.set != nil {
				test.set(&opt)
			}
			for _, flat := range []bool{false, true} {
				value := event("d", test.before, "null")
				if flat {
					value = strings.TrimSuffix(test.before, "}") + `,"__deleted":"true"}`
				}
				changes, err := decoder(t, opt).Decode([]byte(`{"id":1}`), []byte(value))
				if got := describe(t, changes, err); got != test.want {
					t.Errorf("flat %v: got %s (%v), want %s", flat, got, err, test.want)
				}
			}
		})
	}
}

// An inline schema tells the defaults, too.
func TestDefaultsOfTheSchema(t *testing.T) {
	const schema = `{"schema":{"fields":[{"field":"before","type":"struct","fields":[
		{"field":"user_id","type":"int64","default":77},{"field":"amount","type":"string","default":"10.00"},
		{"field":"timestamp","type":"string","name":"io.debezium.time.ZonedTimestamp",
			"default":"2020-01-01T00:00:00.000000Z"}]},
		{"field":"after","type":"struct","fields":[
		{"field":"user_id","type":"int64","default":77},{"field":"amount","type":"string","default":"10.00"},
		{"field":"timestamp","type":"string","name":"io.debezium.time.ZonedTimestamp",
			"default":"2020-01-01T00:00:00.000000Z"}]}]},"payload":`
	for before, want := range map[string]string{
		`{"id":1,"user_id":77,"amount":"10.00","timestamp":"2020-01-01T00:00:00.000000Z"}`: debezium.KindMadeUpBefore,
		`{"id":1,"user_id":77,"amount":"10.01","timestamp":"2020-01-01T00:00:00.000000Z"}`: "-1 77 10.01 " +
			"2020-01-01T00:00:00.000000Z",
	} {
		changes, err := decoder(t, options()).Decode([]byte("1"), []byte(schema+event("d", before, "null")+"}"))
		if got := describe(t, changes, err); got != want {
			t.Errorf("%s: got %s (%v), want %s", before, got, err, want)
		}
	}
}

// An update that cannot be taken must not leave the row in the window as it was.
func TestUpdatesThatCannotBeTaken(t *testing.T) {
	note := func(o *debezium.Options) { o.Columns = []brimline.Column{{Name: "note", Type: brimline.Text}} }
	const good, kept = `{"id":1,"user_id":2,"amount":"1.50","timestamp":"2026-01-02T03:04:05Z"}`,
		"2026-01-02T03:04:05.000000Z"
	const zero = `{"id":1,"user_id":0,"amount":"0.00","timestamp":"1970-01-01T00:00:00Z"}`
	nan := with("amount", `"NaN"`)
	move := strings.Replace(good, `"user_id":2`, `"user_id":3`, 1)
	for _, test := range []struct {
		name              string
		op, before, after string
		set               func(*debezium.Options)
		want              string
	}{
		{"amount NaN", "u", good, nan, nil, "amount_nan & -1 2 1.50 " + kept},
		{"amount NaN, without before", "u", "null", nan, nil, "amount_nan & -1 2 0.00 " + kept},
		{"amount NaN, before is made up", "u", zero, nan, nil, "amount_nan & -1 2 0.00 " + kept},
		{"amount NaN in an insert", "c", "null", nan, nil, "amount_nan"},
		{"amount NaN in a snapshot", "r", "null", nan, nil, "amount_nan & -1 2 0.00 " + kept},
		{"amount NULL", "u", good, with("amount", "null"), nil, "missing_column & -1 2 1.50 " + kept},
		{"amount beyond the scale", "u", "null", with("amount", `"1.005"`), nil, "amount_scale & -1 2 0.00 " + kept},
		{"time infinite", "u", good, with("timestamp", `"infinity"`), nil, "infinite_time & -1 2 1.50 " + kept},
		{"time infinite, without before", "u", "null", with("timestamp", `"infinity"`), nil,
			"infinite_time & -1 2 1.50 ?"},
		{"time of an unknown unit", "u", "null", with("timestamp", inUs), nil, "time_unit & -1 2 1.50 ?"},
		{"user NULL", "u", good, with("user_id", "null"), nil, "empty_user & -1 2 1.50 " + kept},
		{"user NULL, without before", "u", "null", with("user_id", "null"), nil, "empty_user"},
		{"user empty", "u", good, with("user_id", `""`), nil, "empty_user & -1 2 1.50 " + kept},
		{"user NULL, before was NULL too", "u", with("user_id", "null"), with("user_id", "null"), nil, "empty_user"},
		{"id NULL", "u", good, with("id", "null"), nil, "missing_column & -1 2 1.50 " + kept},
		{"NaN, and another user", "u", good, strings.Replace(nan, `"user_id":2`, `"user_id":3`, 1), nil,
			"amount_nan & -1 2 1.50 " + kept},
		{"NaN again", "u", nan, with("amount", `"-Infinity"`), nil, "amount_nan & -1 2 0.00 " + kept},
		{"a further column is missing", "u", good, good, note, "missing_column & -1 2 1.50 " + kept},
		{"a further column is wrong", "u", good, strings.TrimSuffix(good, "}") + `,"note":1}`, note,
			"wrong_type & -1 2 1.50 " + kept},
		{"a further column is unavailable", "u", "null", strings.TrimSuffix(good, "}") +
			`,"note":"__debezium_unavailable_value"}`, note, "unavailable_value & -1 2 1.50 " + kept},
		{"after is no row", "u", good, "7", nil, "unknown_shape & -1 2 1.50 " + kept},
		{"after is null", "u", good, "null", nil, "unknown_shape & -1 2 1.50 " + kept},

		// The owner that before names is not the one that it was.
		{"moved, before is made up", "u", zero, good, nil, "made_up_before & +1 2 1.50 " + kept},
		{"moved, before holds the key alone", "u", good, move, identity("id"), "made_up_before & +1 3 1.50 " + kept},
		{"moved, before holds user and key", "u", good, move, identity("id", "user_id"), "-1 2 0.00 ? & +1 3 1.50 " +
			kept},
		{"moved, before was NaN", "u", nan, move, nil, "-1 2 0.00 " + kept + " & +1 3 1.50 " + kept},
		{"moved, before shows no user", "u", with("user_id", "null"), good, nil, "made_up_before & +1 2 1.50 " + kept},
		{"moved, full, before had no user", "u", with("user_id", "null"), good, fullIdentity, "+1 2 1.50 " + kept},
		{"not moved, before is made up", "u", strings.Replace(zero, `"user_id":0`, `"user_id":2`, 1), good,
			identity("id"), "+1 2 1.50 " + kept},
		{"moved from a snapshot's before", "r", good, move, nil, "-1 2 1.50 " + kept + " & +1 3 1.50 " + kept},
	} {
		opt := options()
		if test.set != nil {
			test.set(&opt)
		}
		changes, err := decoder(t, opt).Decode([]byte(`{"id":1}`), []byte(event(test.op, test.before, test.after)))
		if got := describe(t, changes, err); got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.name, got, test.want)
		}
	}
	// Flattened rows say no before; some say which operation it was.
	for suffix, want := range map[string]string{
		``:             "amount_nan & -1 2 0.00 " + kept,
		`,"__op":"u"`:  "amount_nan & -1 2 0.00 " + kept,
		`,"__op":"r"`:  "amount_nan & -1 2 0.00 " + kept,
		`,"__op":"c"`:  "amount_nan",
		`,"__op":"zz"`: "unknown_op",
	} {
		changes, err := decoder(t, options()).Decode([]byte(`{"id":1}`), []byte(strings.TrimSuffix(nan,
			"}")+suffix+"}"))
		if got := describe(t, changes, err); got != want {
			t.Errorf("flat %s: got %s, want %s", suffix, got, want)
		}
	}
}

// A record that cannot be taken says whose it is, as far as that can be read.
func TestAccountAndRowOfBadRecords(t *testing.T) {
	const keyed = `{"id":1}`
	for _, test := range []struct{ name, key, value, user, row string }{
		{"after", keyed, inserted("amount", `"NaN"`), "2", "1"},
		{"before", keyed, event("u", goodRow, with("user_id", "null")), "2", "1"},
		{"neither", keyed, event("c", "null", with("user_id", "null")), "", "1"},
		{"a made-up before", keyed, event("d", zeroRow, "null"), "", "1"},
		{"no before", `{"schema":{},"payload":{"id":9}}`, event("d", "null", "null"), "", "9"},
		{"another table", keyed, strings.Replace(event("c", "null", goodRow), `"transactions"`, `"refunds"`, 1), "",
			""},
		{"flat", keyed, with("amount", `"NaN"`), "2", "1"},
		{"a tombstone", keyed, `null`, "", "1"},
		{"no JSON", keyed, `{`, "", "1"},
		{"nothing can be read", `x`, `{`, "", ""},
		{"an endless id", `{"id":"` + strings.Repeat("x", 2000) + `"}`, `{`, "", ""},
	} {
		read, err := decoder(t, options()).Read([]byte(test.key), []byte(test.value))
		if err == nil || read.User != test.user || read.Row != test.row {
			t.Errorf("%s: user %q, row %q of %v", test.name, read.User, read.Row, err)
		}
	}
	read, err := decoder(t, options()).Read([]byte(keyed), []byte(event("c", "null", goodRow)))
	if err != nil || read.User != "" || read.Row != "" {
		t.Errorf("a good record: %+v, %v", read, err)
	}
}

// Where a record is not taken for a reason of its own, what it does away with is still done.
func TestRefused(t *testing.T) {
	const kept = "2026-01-02T03:04:05.000000Z"
	for name, test := range map[string]struct{ value, want string }{
		"insert":        {event("c", "null", goodRow), "nothing"},
		"update":        {event("u", goodRow, with("amount", `"9.00"`)), "-1 2 9.00 " + kept},
		"snapshot":      {event("r", "null", goodRow), "-1 2 1.50 " + kept},
		"move":          {event("u", goodRow, with("user_id", "3")), "-1 2 1.50 " + kept},
		"delete":        {event("d", goodRow, "null"), "-1 2 1.50 " + kept},
		"flat":          {goodRow, "-1 2 1.50 " + kept},
		"flat insert":   {strings.TrimSuffix(goodRow, "}") + `,"__op":"c"}`, "nothing"},
		"truncate":      {event("t", "null", "null"), "truncate"},
		"tombstone":     {``, "nothing"},
		"unknown owner": {event("u", zeroRow, goodRow), "-1 2 1.50 " + kept},
	} {
		read, _ := decoder(t, options()).Read([]byte(`{"id":1}`), []byte(test.value))
		if got := describe(t, read.Refused(), nil); got != test.want {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
		for _, c := range read.Refused() {
			if c.Row.Columns != nil || c.Kind == brimline.Upsert {
				t.Errorf("%s: %+v", name, c)
			}
		}
	}
}
