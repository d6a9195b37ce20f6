package debezium_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs/debezium"
)

func at(t testing.TB, s string) brimline.Time {
	t.Helper()
	v, err := brimline.ParseTime(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// typedColumn is a column of testdata/debezium/types.sql: what the catalog says of it, what it is declared, and what
// its value in an ordinary row is. A want of nil: such a column is refused.
type typedColumn struct {
	name, facts string
	declared    brimline.ColumnType
	want        any
}

func typedColumns(t *testing.T) []typedColumn {
	numeric, text, timestamp := brimline.Numeric, brimline.Text, brimline.Timestamp
	us, ms := at(t, asUs), at(t, asMs)
	return []typedColumn{
		{"c_ts0", "timestamp(0)", timestamp, at(t, "2026-11-23T01:02:03Z")}, {"c_ts3", "timestamp(3)", timestamp, ms},
		{"c_ts4", "timestamp(4)", timestamp, at(t, "2026-11-23T01:02:03.4567Z")}, {"c_ts6", "timestamp(6)",
			timestamp, us}, {"c_ts", "timestamp", timestamp, us},
		{"c_tz0", "timestamptz(0)", timestamp, at(t, "2026-11-23T01:02:03Z")}, {"c_tz3", "timestamptz(3)", timestamp,
			ms}, {"c_tz", "timestamptz", timestamp, us},
		{"c_date", "date", timestamp, at(t, asDay)}, {"c_d_event_time", "timestamp(3)", timestamp, ms},
		{"c_d_precise_time", "timestamp(3)", timestamp, ms},
		{"c_df_ts", "timestamp", timestamp, at(t, "2026-01-01T00:00:00Z")}, {"c_df_tz", "timestamptz", timestamp,
			at(t, "2026-01-01T00:00:00Z")},
		{"c_nn_ts", "timestamp", timestamp, us}, {"c_nn_date", "date", timestamp, at(t, asDay)},
		{"c_time0", "time(0)", timestamp, nil}, {"c_time", "time", timestamp, nil}, {"c_timetz", "timetz", timestamp,
			nil},

		{"c_numeric", "numeric", numeric, brimline.Decimal("1000")}, {"c_numeric0", "numeric(12,0)", numeric,
			brimline.Decimal("1000")},
		{"c_numeric2", "numeric(12,2)", numeric, brimline.Decimal("1000")}, {"c_numeric_neg", "numeric(5,-2)",
			numeric, brimline.Decimal("12300")},
		{"c_numeric_big", "numeric(30,10)", numeric, brimline.Decimal("12345678901234567890.0123456789")},
		{"c_d_money2", "numeric(12,2)", numeric, brimline.Decimal("12.34")}, {"c_d_whole", "numeric(12,0)", numeric,
			brimline.Decimal("1000")},
		{"c_df_numeric", "numeric(12,2)", numeric, brimline.Decimal("2")}, {"c_nn_free", "numeric", numeric,
			brimline.Decimal("7")},
		{"c_int2", "int2", numeric, brimline.Decimal("-12")}, {"c_float4", "float4", numeric,
			brimline.Decimal("0.1")}, {"c_float8", "float8", numeric, brimline.Decimal("0.1")},
		{"c_numeric0", "numeric(12,0)", brimline.Integer, nil}, {"c_money", "money", numeric, nil}, {"c_oid", "oid",
			brimline.Integer, nil},

		{"c_int2", "int2", brimline.Integer, int64(-12)}, {"c_int4", "int4", brimline.Integer, int64(1234567)},
		{"c_int8", "int8", brimline.Integer, int64(9007199254740993)}, {"c_d_big", "int8", brimline.Integer,
			int64(9007199254740993)},
		{"c_df_int8", "int8", brimline.Integer, int64(1)}, {"c_nn_df", "int8", brimline.Integer, int64(6)},
		{"c_bool", "bool", brimline.Boolean, true}, {"c_d_flag", "bool", brimline.Boolean, true}, {"c_nn_bool",
			"bool", brimline.Boolean, true},
		{"c_bit1", "bit", brimline.Boolean, nil},

		{"c_text", "text", text, "tëxt \"q\""}, {"c_varchar", "varchar", text, "varying"}, {"c_char", "bpchar", text,
			"OK"}, {"c_d_code", "bpchar", text, "OK"},
		{"c_nn_char", "bpchar", text, "ab"}, {"c_d_label", "text", text, "label"}, {"c_nn_text", "text", text, "x"},
		{"c_df_text", "text", text, "SE"},
		{"c_citext", "citext", text, "MiXed"}, {"c_enum", "enum", text, "sad"}, {"c_d_feeling", "enum", text, "sad"},
		{"c_nn_enum", "enum", text, "sad"},
		{"c_uuid", "uuid", text, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}, {"c_nn_uuid", "uuid", text,
			"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
		{"c_inet", "inet", text, "203.0.113.7"}, {"c_inet_net", "inet", text, "203.0.113.7/24"}, {"c_inet6", "inet",
			text, "2001:db8::1"},
		{"c_cidr", "cidr", text, "203.0.113.0/24"}, {"c_macaddr", "macaddr", text, "08:00:2b:01:02:03"},
		{"c_macaddr8", "macaddr8", text, "08:00:2b:01:02:03:04:05"},
		{"c_json", "json", text, `{"b": 1,  "a": [1, null]}`}, {"c_jsonb", "jsonb", text,
			`{"a": [1, null], "b": 1}`}, {"c_nn_jsonb", "jsonb", text, `{}`},
		{"c_xml", "xml", text, `<a  b="1"/>`}, {"c_ltree", "ltree", text, "Top.Science"}, {"c_nn_inet", "inet", text,
			"10.0.0.1"},
		{"c_name", "name", text, nil}, {"c_hstore", "hstore", text, nil}, {"c_tsvector", "tsvector", text, nil},
		{"c_bytea", "bytea", text, nil},
		{"c_interval", "interval", text, nil}, {"c_bit3", "bit", text, nil}, {"c_varbit", "varbit", text, nil},
		{"c_point", "point", text, nil},
		{"c_array", "_text", text, nil}, {"c_range", "int4range", text, nil}, {"c_tstzrange", "tstzrange", text,
			nil}, {"c_money", "money", text, nil},
		{"c_bool", "bool", text, nil}, {"c_int4", "int4", text, nil}, {"c_date", "date", text, nil}, {"c_ts",
			"timestamp", text, nil}, {"c_float8", "float8", text, nil},
	}
}

// columnOf decodes a record with one further column and gives the column's value, or the kind of what was wrong.
func columnOf(t *testing.T, opt debezium.Options, c typedColumn, r captured) any {
	t.Helper()
	opt.Columns = []brimline.Column{{Name: c.name, Type: c.declared}}
	key, value := r.bytes()
	changes, err := decoder(t, opt).Decode(key, value)
	if err != nil {
		return kindOf(t, err)
	}
	for _, change := range changes {
		if change.Kind == brimline.Upsert {
			return change.Row.Columns[0].Value
		}
	}
	return "nothing"
}

// recorded are a file's records of rows, by operation and id: r1, c11, …
func recorded(t *testing.T, file string) map[string]captured {
	t.Helper()
	all := map[string]captured{}
	for _, r := range capture(t, "types/"+file) {
		if r.Value == nil {
			continue
		}
		type image struct{ ID int }
		var v struct {
			Op            string
			FlatOp        string `json:"__op"`
			ID            int
			Before, After *image
			Payload       json.RawMessage
		}
		if err := json.Unmarshal([]byte(*r.Value), &v); err != nil {
			t.Fatal(err)
		}
		if v.Payload != nil {
			if err := json.Unmarshal(v.Payload, &v); err != nil {
				t.Fatal(err)
			}
		}
		op, id := v.Op+v.FlatOp, v.ID
		switch {
		case v.After != nil:
			id = v.After.ID
		case v.Before != nil:
			id = v.Before.ID
		}
		all[fmt.Sprint(op, id)] = r
	}
	return all
}

// Every type that is read is read the same in every mode of a real connector, from the snapshot and from the stream.
func TestEveryColumnType(t *testing.T) {
	cut := map[string]any{"c_ts4": debezium.KindTimeCut, "c_ts6": debezium.KindTimeCut, "c_ts": debezium.KindTimeCut,
		"c_df_ts": debezium.KindTimeCut, "c_nn_ts": debezium.KindTimeCut}
	rounded := map[string]any{"c_numeric_big": brimline.Decimal("12345678901234567000")}
	str := decidedDecimals(debezium.DecimalsString)
	nothing := func(*debezium.Options) {}
	for _, mode := range []struct {
		file string
		set  func(*debezium.Options)
		not  map[string]any // what is otherwise
	}{
		{"adaptive", nothing, nil},
		{"precise-default", nothing, nil},
		{"string-default", str, nil},
		{"time-micros", str, nil},
		{"nonull", str, nil},
		{"unwrap-source", str, nil},
		{"microseconds", all(str, decided(debezium.UnitUs)), nil},
		{"microseconds", all(decimals(debezium.DecimalsString), explicit(debezium.UnitUs)), nil},
		{"isostring", str, nil},
		{"numeric-json", decimals(debezium.DecimalsNumeric), nil},
		{"connect", decided(debezium.UnitMs), cut},
		{"connect", explicit(debezium.UnitMs), cut},
		{"nanoseconds", all(decided(debezium.UnitNs), allowFloats), rounded},
		{"schemas-connect", nothing, cut},
		{"schemas-isostring", allowFloats, rounded},
		{"schemas-nanoseconds", nothing, nil},
	} {
		records := recorded(t, mode.file)
		for _, c := range typedColumns(t) {
			opt := options()
			table(c.name, c.facts)(&opt)
			mode.set(&opt)
			if c.want == nil {
				opt.Columns = []brimline.Column{{Name: c.name, Type: c.declared}}
				if _, err := debezium.New(opt); err == nil || !strings.Contains(err.Error(), "column "+c.name) {
					t.Errorf("%s declared %s: %v", c.name, c.declared, err)
				}
				continue
			}
			want, otherwise := mode.not[c.name]
			if !otherwise {
				want = c.want
			}
			n := 0
			for _, name := range []string{"r1", "c11"} {
				r, there := records[name]
				if !there {
					continue
				}
				n++
				if got := columnOf(t, opt, c, r); got != want {
					t.Errorf("%s, %s: column %s declared %s is %v, want %v", mode.file, name, c.name, c.declared,
						got, want)
				}
			}
			if n == 0 {
				t.Fatalf("%s has no ordinary row", mode.file)
			}
		}
	}
}

// What an inline schema says needs no catalog.
func TestEveryColumnTypeBySchema(t *testing.T) {
	for file, set := range map[string]func(*debezium.Options){"schemas-connect": nil,
		"schemas-nanoseconds": nil, "schemas-isostring": allowFloats} {
		r := recorded(t, file)["r1"]
		for _, c := range typedColumns(t) {
			if c.want == nil || c.facts == "bpchar" || strings.HasPrefix(c.facts, "float") ||
				c.name == "c_numeric_big" && set != nil {
				continue
			}
			opt := options()
			if set != nil {
				set(&opt)
			}
			want := c.want
			if t, isTime := want.(brimline.Time); isTime && file == "schemas-connect" && !strings.HasPrefix(c.facts,
				"timestamptz") {
				want = t / 1000 * 1000 // which the record does not show
			}
			if got := columnOf(t, opt, c, r); got != want {
				t.Errorf("%s: column %s declared %s is %v, want %v", file, c.name, c.declared, got, want)
			}
		}
	}
}

// A mode that is not the one that was decided is told, not misread.
func TestModesAreNotMistakenForEachOther(t *testing.T) {
	units := map[string]debezium.TimeUnit{"adaptive": "", "connect": debezium.UnitMs, "microseconds": debezium.UnitUs,
		"nanoseconds": debezium.UnitNs, "isostring": ""}
	for file := range units {
		r := recorded(t, file)["r1"]
		for _, unit := range units {
			for _, c := range typedColumns(t) {
				want, isTime := c.want.(brimline.Time)
				if !isTime {
					continue
				}
				opt := options()
				table(c.name, c.facts)(&opt)
				opt.DecidedUnit, opt.DecidedDecimals, opt.AllowFloatAmounts = unit, debezium.DecimalsString, true
				got := columnOf(t, opt, c, r)
				if got != want && got != debezium.KindTimeUnit && got != debezium.KindTimeCut {
					t.Errorf("%s read with the unit %q: column %s is %v", file, unit, c.name, got)
				}
			}
		}
	}
	r := recorded(t, "structured")["r1"]
	for _, column := range []string{"timestamp", "c_ts3"} {
		opt := options()
		table(column, "timestamp")(&opt)
		opt.Time = column
		key, value := r.bytes()
		if _, err := decoder(t, opt).Decode(key, value); err == nil || !strings.Contains(err.Error(), "structured") {
			t.Errorf("structured %s: %v", column, err)
		}
	}
}

func TestExtremesOfEveryMode(t *testing.T) {
	for _, mode := range []struct {
		file string
		set  func(*debezium.Options)
		far  any // the year 12026 of a timestamp(3)
	}{
		{"adaptive", func(*debezium.Options) {}, debezium.KindTimeUnit},
		{"time-micros", func(*debezium.Options) {}, debezium.KindTimeUnit},
		{"microseconds", decided(debezium.UnitUs), debezium.KindTimeUnit},
		{"microseconds", explicit(debezium.UnitUs), at(t, "+12026-01-02T03:04:05Z")},
		{"isostring", func(*debezium.Options) {}, at(t, "+12026-01-02T03:04:05Z")},
		{"connect", explicit(debezium.UnitMs), at(t, "+12026-01-02T03:04:05Z")},
	} {
		records := recorded(t, mode.file)
		for _, test := range []struct {
			row, column, facts string
			declared           brimline.ColumnType
			want               any
		}{
			{"c13", "c_ts6", "timestamp", brimline.Timestamp, debezium.KindInfiniteTime},
			{"c13", "c_ts3", "timestamp(3)", brimline.Timestamp, debezium.KindInfiniteTime},
			{"c13", "c_date", "date", brimline.Timestamp, debezium.KindInfiniteTime},
			{"c13", "c_tz", "timestamptz", brimline.Timestamp, debezium.KindInfiniteTime},
			{"c13", "c_float4", "float4", brimline.Numeric, debezium.KindWrongType},
			{"c13", "c_float8", "float8", brimline.Numeric, debezium.KindWrongType},
			{"c14", "c_ts6", "timestamp", brimline.Timestamp, at(t, "-0043-03-15T12:00:00Z")},
			{"c14", "c_ts3", "timestamp(3)", brimline.Timestamp, mode.far},
			{"c14", "c_date", "date", brimline.Timestamp, at(t, "-0043-03-15T00:00:00Z")},
			{"c14", "c_tz", "timestamptz", brimline.Timestamp, at(t, "+12026-01-02T03:04:05Z")},
			{"c14", "c_float4", "float4", brimline.Numeric, brimline.Decimal("16777216")},
			{"c14", "c_float8", "float8", brimline.Numeric, brimline.Decimal("1" + strings.Repeat("0", 22))},
			{"c15", "c_ts6", "timestamp", brimline.Timestamp, at(t, "1969-12-31T23:59:59.999999Z")},
			{"c15", "c_ts3", "timestamp(3)", brimline.Timestamp, at(t, "1969-12-31T23:59:59.999Z")},
			{"c15", "c_date", "date", brimline.Timestamp, at(t, "+12026-01-02T00:00:00Z")},
			{"c15", "c_float4", "float4", brimline.Numeric, brimline.Decimal("0." + strings.Repeat("0", 37) +
				"11754944")}, // as PostgreSQL writes 1.17549435e-38
		} {
			want := test.want
			if mode.file == "connect" && test.column == "c_ts6" && want != debezium.KindInfiniteTime {
				want = debezium.KindTimeCut
			}
			opt := options()
			table(test.column, test.facts)(&opt)
			mode.set(&opt)
			if got := columnOf(t, opt, typedColumn{name: test.column, declared: test.declared},
				records[test.row]); got != want {
				t.Errorf("%s, %s: %s is %v, want %v", mode.file, test.row, test.column, got, want)
			}
		}
	}
	for i, r := range capture(t, "types/infinity") {
		for column, declared := range map[string]string{"c_ts6": "timestamp", "c_ts3": "timestamp(3)",
			"c_date": "date"} {
			opt := options()
			table(column, declared)(&opt)
			if got := columnOf(t, opt, typedColumn{name: column, declared: brimline.Timestamp},
				r); got != debezium.KindInfiniteTime {
				t.Errorf("record %d: %s is %v", i, column, got)
			}
		}
	}
}

// What the table says of types is in the recordings: the snapshot has a name, the stream does not; a NULL in a column
// with a default is that default, unless the converter is told.
func TestWhatDebeziumLeavesOut(t *testing.T) {
	column := func(r captured, name string) string {
		var v struct{ After map[string]json.RawMessage }
		if err := json.Unmarshal([]byte(*r.Value), &v); err != nil {
			t.Fatal(err)
		}
		return string(v.After[name])
	}
	records := recorded(t, "adaptive")
	if snapshot, stream := column(records["r1"], "c_name"), column(records["c11"],
		"c_name"); snapshot != `"a_name"` || stream != "null" {
		t.Errorf("c_name is %s in the snapshot and %s in the stream", snapshot, stream)
	}
	for file, want := range map[string]any{"string-default": int64(77), "unwrap-source": int64(77), "nonull": nil} {
		for _, row := range []string{"r2", "c12"} {
			if got := columnOf(t, options(), typedColumn{name: "c_df_int8", declared: brimline.Integer}, recorded(t,
				file)[row]); got != want {
				t.Errorf("%s, %s: a NULL with the default 77 is %v, want %v", file, row, got, want)
			}
		}
	}
}

// Deletes of a real connector: with the default identity all but the key is made up.
func TestDeletesOfEveryMode(t *testing.T) {
	for file, want := range map[string]string{
		"string-default": debezium.KindMadeUpBefore, "precise-default": debezium.KindMadeUpBefore,
		"numeric-json": debezium.KindMadeUpBefore,
		"nonull":       debezium.KindMadeUpBefore, "unwrap-source": debezium.KindMadeUpBefore,
		"adaptive": "-11 7 12.34 " + asUs, "time-micros": "-11 7 12.34 " + asUs, "isostring": "-11 7 12.34 " + asUs,
		"connect": "-11 7 12.34 " + asUs, "nanoseconds": "-11 7 12.34 " + asUs,
	} {
		for _, known := range []bool{false, true} {
			opt := options()
			columnScale(2)(&opt)
			if known {
				table()(&opt)
				fullIdentity(&opt)
			}
			opt.AllowFloatAmounts = true
			key, value := recorded(t, file)["d11"].bytes()
			changes, err := decoder(t, opt).Decode(key, value)
			if got := describe(t, changes, err); got != want {
				t.Errorf("%s, facts %v: %s (%v), want %s", file, known, got, err, want)
			}
		}
	}
	// Every column of the table can be the account, and every one is made up.
	for column, declared := range map[string]string{"c_text": "text", "c_nn_plain": "text", "c_nn_uuid": "uuid",
		"c_nn_enum": "enum", "c_nn_free": "numeric",
		"c_nn_inet": "inet", "c_nn_char": "bpchar", "c_df_int8": "int8", "c_df_text": "text", "c_nn_df": "int8",
		"c_int4": "int4"} {
		for _, file := range []string{"string-default", "precise-default"} {
			opt := options()
			table(column, declared)(&opt)
			if preset, has := map[string]string{"c_df_int8": "77", "c_df_text": "NO", "c_nn_df": "5"}[column]; has {
				defaults(column, preset)(&opt)
			}
			opt.User = column
			key, value := recorded(t, file)["d11"].bytes()
			changes, err := decoder(t, opt).Decode(key, value)
			if got := describe(t, changes, err); got != debezium.KindMadeUpBefore {
				t.Errorf("%s, user %s: %s", file, column, got)
			}
		}
	}
}

// The recordings' SQL names every column that the table of types is tested with.
func TestTypesOfTheSQL(t *testing.T) {
	sql, err := os.ReadFile("../../testdata/debezium/types/types.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range typedColumns(t) {
		if !strings.Contains(string(sql), c.name+" ") {
			t.Errorf("no column %s", c.name)
		}
	}
}
