package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs/debezium"
	"github.com/brimline/brimline/internal/capture"
)

// typesSQL are the types of the tests below that PostgreSQL does not have by itself.
const typesSQL = `CREATE EXTENSION citext; CREATE EXTENSION ltree; CREATE EXTENSION hstore;
	CREATE TYPE mood AS ENUM ('ok', 'sad'); CREATE TYPE pair AS (a int, b int);
	CREATE DOMAIN code AS char(10); CREATE DOMAIN shortcode AS code CHECK (VALUE <> 'x'); CREATE DOMAIN feeling AS mood;
	CREATE DOMAIN label AS text;
	CREATE DOMAIN place AS inet; CREATE DOMAIN home AS place; CREATE DOMAIN spelled AS citext;
	CREATE DOMAIN money2 AS numeric(12,2); CREATE DOMAIN euro AS money2; CREATE DOMAIN whole AS numeric(12,0);
	CREATE DOMAIN big AS bigint; CREATE DOMAIN ratio AS real;
	CREATE DOMAIN flag AS boolean; CREATE DOMAIN event_time AS timestamp(3); CREATE DOMAIN precise_time AS event_time;
	CREATE DOMAIN moment AS timestamptz; CREATE DOMAIN birthday AS date;
	CREATE DOMAIN labels AS text[];
	CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`

func at(t testing.TB, s string) brimline.Time {
	t.Helper()
	v, err := brimline.ParseTime(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// columnValues: what PostgreSQL answers about a column is what the stream
// said. What the stream says was recorded from Debezium 3.7.0; where stream is
// set, our own capture and decoder are asked here as well.
func columnValues(t *testing.T, s *server) {
	cases := []struct {
		kind, literal string
		declared      brimline.ColumnType
		want          any
		stream        bool
	}{
		{"text", `tëxt "q" '日本'`, brimline.Text, `tëxt "q" '日本'`, true},
		{"text", "trailing  ", brimline.Text, "trailing  ", true},
		{"varchar(20)", "varying  ", brimline.Text, "varying  ", true},
		{"char(10)", "OK", brimline.Text, "OK", false}, // padded in the stream, where the decoder trims
		{"char(10)", " O K", brimline.Text, " O K", false},
		{"char(3)", "", brimline.Text, "", false},
		{"bpchar", "OK  ", brimline.Text, "OK", false},
		{`"char"`, "x", "", nil, false},
		{"code", "OK", brimline.Text, "OK", false},
		{"shortcode", "OK", brimline.Text, "OK", false},
		{"citext", "MiXed", brimline.Text, "MiXed", true},
		{"spelled", "MiXed", brimline.Text, "MiXed", true},
		{"mood", "sad", brimline.Text, "sad", true},
		{"feeling", "sad", brimline.Text, "sad", true},
		{"label", "label", brimline.Text, "label", true},
		{"uuid", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", brimline.Text, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", true},
		{"inet", "203.0.113.7", brimline.Text, "203.0.113.7", true},
		{"inet", "203.0.113.7/24", brimline.Text, "203.0.113.7/24", true},
		{"inet", "2001:DB8::1", brimline.Text, "2001:db8::1", true},
		{"cidr", "203.0.113.0/24", brimline.Text, "203.0.113.0/24", true},
		{"cidr", "203.0.113.7", brimline.Text, "203.0.113.7/32", true},
		{"place", "203.0.113.7", brimline.Text, "203.0.113.7", true},
		{"home", "203.0.113.7", brimline.Text, "203.0.113.7", true},
		{"macaddr", "08-00-2B-01-02-03", brimline.Text, "08:00:2b:01:02:03", true},
		{"macaddr8", "08:00:2b:01:02:03:04:05", brimline.Text, "08:00:2b:01:02:03:04:05", true},
		{"json", `{"b": 1,  "a": [1, null]}`, brimline.Text, `{"b": 1,  "a": [1, null]}`, true},
		{"jsonb", `{"b": 1,  "a": [1, null]}`, brimline.Text, `{"a": [1, null], "b": 1}`, true},
		{"xml", `<a  b="1"/>`, brimline.Text, `<a  b="1"/>`, true},
		{"ltree", "Top.Science", brimline.Text, "Top.Science", true},

		{"smallint", "-32768", brimline.Integer, int64(-32768), true},
		{"int", "2147483647", brimline.Integer, int64(2147483647), true},
		{"bigint", "-9223372036854775808", brimline.Integer, int64(-9223372036854775808), true},
		{"big", "9007199254740993", brimline.Integer, int64(9007199254740993), true},

		{"numeric", "1000", brimline.Numeric, brimline.Decimal("1000"), true},
		{"numeric", "0.00000000000000000000000000000000001", brimline.Numeric,
			brimline.Decimal("0.00000000000000000000000000000000001"), true},
		{"numeric(12,2)", "1000", brimline.Numeric, brimline.Decimal("1000"), true},
		{"numeric(12,2)", "-0.50", brimline.Numeric, brimline.Decimal("-0.5"), true},
		{"numeric(12,0)", "1000", brimline.Numeric, brimline.Decimal("1000"), true},
		{"numeric(5,-2)", "12345", brimline.Numeric, brimline.Decimal("12300"), true},
		{"numeric(30,10)", "12345678901234567890.0123456789", brimline.Numeric,
			brimline.Decimal("12345678901234567890.0123456789"), true},
		{"money2", "12.34", brimline.Numeric, brimline.Decimal("12.34"), true},
		{"euro", "12.34", brimline.Numeric, brimline.Decimal("12.34"), true},
		{"whole", "12", brimline.Numeric, brimline.Decimal("12"), true},
		{"smallint", "-12", brimline.Numeric, brimline.Decimal("-12"), true},
		{"bigint", "9007199254740993", brimline.Numeric, brimline.Decimal("9007199254740993"), true},
		{"real", "0.1", brimline.Numeric, brimline.Decimal("0.1"), true},
		{"real", "16777216", brimline.Numeric, brimline.Decimal("16777216"), true},
		{"real", "1e-7", brimline.Numeric, brimline.Decimal("0.0000001"), true},
		{"real", "3.4028235e38", brimline.Numeric, brimline.Decimal("340282350000000000000000000000000000000"), true},
		{"ratio", "0.1", brimline.Numeric, brimline.Decimal("0.1"), true},
		{"float8", "0.1", brimline.Numeric, brimline.Decimal("0.1"), true},
		{"float8", "-1e22", brimline.Numeric, brimline.Decimal("-10000000000000000000000"), true},
		{"float8", "1.7976931348623157e308", brimline.Numeric, brimline.Decimal("17976931348623157" + strings.Repeat("0",
			292)), true},
		{"float8", "-0", brimline.Numeric, brimline.Decimal("0"), true},

		{"boolean", "t", brimline.Boolean, true, true},
		{"boolean", "no", brimline.Boolean, false, true},
		{"flag", "yes", brimline.Boolean, true, true},

		{"timestamptz", "2026-11-23 02:02:03.456789+01", brimline.Timestamp, at(t, "2026-11-23T01:02:03.456789Z"), true},
		{"timestamptz(0)", "2026-11-23 01:02:03.456789+00", brimline.Timestamp, at(t, "2026-11-23T01:02:03Z"), true},
		{"timestamptz(3)", "2026-11-23 01:02:03.456+00", brimline.Timestamp, at(t, "2026-11-23T01:02:03.456Z"), true},
		{"moment", "2026-11-23 01:02:03.456789+00", brimline.Timestamp, at(t, "2026-11-23T01:02:03.456789Z"), true},
		{"timestamptz", "0044-03-15 12:00:00+00 BC", brimline.Timestamp, at(t, "-0043-03-15T12:00:00Z"), true},
		{"timestamptz", "12026-01-02 03:04:05+00", brimline.Timestamp, at(t, "+12026-01-02T03:04:05Z"), true},
		{"timestamp", "2026-11-23 01:02:03.456789", brimline.Timestamp, at(t, "2026-11-23T01:02:03.456789Z"), true},
		{"timestamp(3)", "2026-11-23 01:02:03.456", brimline.Timestamp, at(t, "2026-11-23T01:02:03.456Z"), true},
		{"timestamp(0)", "2026-11-23 01:02:03", brimline.Timestamp, at(t, "2026-11-23T01:02:03Z"), true},
		{"precise_time", "2026-11-23 01:02:03.456", brimline.Timestamp, at(t, "2026-11-23T01:02:03.456Z"), true},
		{"date", "2026-11-23", brimline.Timestamp, at(t, "2026-11-23T00:00:00Z"), false},
		{"date", "0044-03-15 BC", brimline.Timestamp, at(t, "-0043-03-15T00:00:00Z"), false},
		{"birthday", "1969-12-31", brimline.Timestamp, at(t, "1969-12-31T00:00:00Z"), false},
	}
	var columns, places, nulls []string
	var literals []any
	var extra []brimline.Column
	for i, c := range cases {
		columns = append(columns, fmt.Sprintf("c%d %s", i, c.kind))
		places = append(places, fmt.Sprintf("$%d::text::%s", i+1, c.kind))
		nulls = append(nulls, "NULL")
		literals = append(literals, c.literal)
		if c.declared != "" {
			extra = append(extra, brimline.Column{Name: fmt.Sprintf("c%d", i), Type: c.declared})
		}
	}
	s.exec(t, "CREATE TABLE streaming.kinds (id bigint PRIMARY KEY, u text NOT NULL, a numeric(12,2) NOT NULL, t "+
		"timestamptz NOT NULL, "+strings.Join(columns, ", ")+")")
	s.exec(t, "ALTER TABLE streaming.kinds REPLICA IDENTITY FULL")
	s.exec(t, "INSERT INTO streaming.kinds VALUES (1, 'u', 1.50, 'epoch', "+strings.Join(places, ", ")+")", literals...)
	s.exec(t, "INSERT INTO streaming.kinds VALUES (2, 'u', 1.50, 'epoch', "+strings.Join(nulls, ", ")+")")
	o := Options{Table: "streaming.kinds", Scale: 2, Columns: Columns{ID: []string{"id"}, User: "u", Amount: "a",
		Time: "t"}, Extra: extra}

	// The role's own settings must not matter.
	s.exec(t, "CREATE ROLE odd LOGIN SUPERUSER PASSWORD 'odd'")
	s.exec(t, "ALTER ROLE odd SET extra_float_digits = -5; ALTER ROLE odd SET datestyle = 'German, DMY'; ALTER ROLE "+
		"odd SET timezone = 'Asia/Tokyo'; ALTER ROLE odd SET bytea_output = 'escape'")
	for _, url := range []string{s.url(), s.url() + "&default_query_exec_mode=cache_describe", login(s, "odd", "odd",
		testDB)} {
		o.URL = url
		rows, _, err := s.open(t, o).Rows(t.Context(), "u", 0, 0)
		if err != nil || len(rows) != 2 {
			t.Fatal(rows, err)
		}
		alike(t, s.open(t, o), rows)
		next := 0
		for _, c := range cases {
			if c.declared == "" {
				continue
			}
			if got := rows[0].Columns[next].Value; got != c.want {
				t.Errorf("%s %q declared %s: %#v, want %#v", c.kind, c.literal, c.declared, got, c.want)
			}
			if got := rows[1].Columns[next].Value; got != nil {
				t.Errorf("%s NULL declared %s: %#v", c.kind, c.declared, got)
			}
			next++
		}
	}
	for i, c := range cases {
		if !c.stream {
			continue
		}
		streamed := streamedRow(t, s, debezium.Options{
			Table: o.Table, ID: o.Columns.ID, User: "u", Amount: "a", Time: "t", Scale: 2,
			TimeUnit: debezium.UnitUs, Decimals: debezium.DecimalsString,
			Columns: []brimline.Column{{Name: fmt.Sprintf("c%d", i), Type: c.declared}},
		})
		if got := streamed.Columns[0].Value; got != c.want {
			t.Errorf("%s %q declared %s: the stream has %#v, want %#v", c.kind, c.literal, c.declared, got, c.want)
		}
	}
}

// memory takes the records of a capture.
type memory struct {
	mu      sync.Mutex
	records []capture.Record
	more    chan struct{}
}

func (m *memory) Produce(_ context.Context, r capture.Record, acked func(error)) error {
	m.mu.Lock()
	m.records = append(m.records, r)
	m.mu.Unlock()
	acked(nil)
	m.more <- struct{}{}
	return nil
}

func (m *memory) Flush(context.Context) error { return nil }

var (
	recordsOnce sync.Once
	recorded    []capture.Record
)

// streamedRow is row 1 of streaming.kinds as the decoder reads it from our capture's record.
func streamedRow(t *testing.T, s *server, o debezium.Options) brimline.Transaction {
	t.Helper()
	recordsOnce.Do(func() {
		sink := &memory{more: make(chan struct{}, 16)}
		c, err := capture.New(capture.Options{DatabaseURL: s.url(), Table: o.Table, Slot: "kinds", Publication: "kinds"})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx, sink) }()
		for range 2 { // the snapshot's rows
			select {
			case <-sink.more:
			case err := <-done:
				t.Fatal("the capture ended:", err)
			}
		}
		cancel()
		<-done
		recorded = sink.records
	})
	d, err := debezium.New(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range recorded {
		changes, err := d.Decode(r.Key, r.Value)
		if err != nil {
			t.Fatalf("%s: %v", o.Columns[0].Name, err)
		}
		if len(changes) == 1 && changes[0].Row.ID == "1" {
			return changes[0].Row
		}
	}
	t.Fatalf("no record of row 1 among %d", len(recorded))
	return brimline.Transaction{}
}

// refusedColumns: a column whose text cannot be made to agree is refused, with a remedy.
func refusedColumns(t *testing.T, s *server) {
	s.exec(t, `CREATE TABLE refused (id bigint PRIMARY KEY, u text, a numeric(12,2), t timestamptz, "name" name,
		"char" "char", "oid" oid, "int4" int4, "numeric" numeric,
		"whole" whole, "float8" float8, "bool" bool, "date" date, "timestamp" timestamp, "timestamptz" timestamptz,
		"time" time, "timetz" timetz, "interval" interval, "bytea" bytea,
		"array" text[], "labels" labels, "money" money, "bit" bit(3), "point" point, "range" int4range,
		"tstzrange" tstzrange, "hstore" hstore, "tsvector" tsvector, "pair" pair, "text" text,
		"lquery" lquery, "regclass" regclass, "citext" citext, "float4" float4, "jsonb" jsonb, "json" json, "xml" xml)`)
	refused := map[brimline.ColumnType]string{
		brimline.Text: "name char oid int4 numeric whole float8 bool date timestamp timestamptz time timetz interval " +
			"bytea array labels money bit point range tstzrange hstore tsvector pair lquery regclass",
		brimline.Integer:   "numeric whole float8 float4 oid text bool money bit date interval",
		brimline.Numeric:   "money text bool oid interval date bit",
		brimline.Boolean:   "int4 bit text numeric",
		brimline.Timestamp: "time timetz text int4 interval tstzrange",
	}
	base := Options{Table: "refused", Scale: 2, URL: s.url(), Columns: Columns{ID: []string{"id"}, User: "u",
		Amount: "a", Time: "t"}}
	expect := func(o Options, what string, words ...string) {
		t.Helper()
		l, err := Open(t.Context(), o)
		if err == nil {
			l.Close()
		}
		e, ok := errors.AsType[*brimline.Error](err)
		if !ok || e.Kind != "postgres_missing" || e.Remedy == "" {
			t.Errorf("%s: %v", what, err)
			return
		}
		for _, w := range words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v lacks %q", what, err, w)
			}
		}
	}
	for declared, columns := range refused {
		for _, name := range strings.Fields(columns) {
			o := base
			o.Extra = []brimline.Column{{Name: name, Type: declared}}
			expect(o, fmt.Sprintf("%s declared %s", name, declared), `"`+name+`"`)
		}
	}
	for _, name := range strings.Fields("bool date timestamp timestamptz float8 interval bytea array labels point " +
		"money jsonb json hstore pair name tsvector citext") {
		o := base
		o.Columns.User = name
		expect(o, name+" as user", `"`+name+`"`)
	}
	for _, name := range strings.Fields("bool float8 interval bytea array labels point money hstore pair name time") {
		o := base
		o.Columns.ID = []string{"id", name}
		expect(o, name+" as key", `"`+name+`"`)
	}
	for _, name := range strings.Fields("money float8 text oid") {
		o := base
		o.Columns.Amount = name
		expect(o, name+" as amount", `"`+name+`"`)
	}
	for _, name := range strings.Fields("date time text int4 interval") {
		o := base
		o.Columns.Time = name
		expect(o, name+" as time", `"`+name+`"`)
	}
	o := base
	o.Extra = []brimline.Column{{Name: "numeric", Type: brimline.Integer}}
	expect(o, "integer on numeric", "declare it numeric")
}

// keys: the parts of a composite key have the text that the stream gives them.
func keys(t *testing.T, s *server) {
	s.exec(t, `CREATE TABLE keyed (i bigint, c char(6), n inet, q numeric(8,2), z timestamptz, w timestamp, d date,
		e mood, v varchar(9), h home, k uuid, u text, a int, t timestamptz,
		PRIMARY KEY (i, c, n, q, z, w, d, e, v, h, k))`)
	s.exec(t, `INSERT INTO keyed VALUES (-7, 'ab', '10.0.0.1', 1.5, '2026-01-01 00:00:00+00',
		'2026-01-01 00:00:00.25', '2026-01-02', 'ok', 'a,b\', '::1',
		'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', 'u', 1, 'epoch')`)
	l := s.open(t, Options{Table: "keyed", Columns: Columns{ID: []string{"i", "c", "n", "q", "z", "w", "d",
		"e", "v", "h", "k"}, User: "u", Amount: "a", Time: "t"}})
	rows, _, err := l.Rows(t.Context(), "u", 0, 0)
	want := brimline.JoinID("-7", "ab", "10.0.0.1", "1.50", "2026-01-01T00:00:00.000000Z",
		"2026-01-01T00:00:00.250000Z", "2026-01-02T00:00:00.000000Z", "ok", `a,b\`, "::1",
		"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")
	if err != nil || len(rows) != 1 || rows[0].ID != want {
		t.Errorf("%+v %v\nwant %s", rows, err, want)
	}
	alike(t, l, rows)
}
