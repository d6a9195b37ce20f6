package preflight

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/brimline/brimline/codecs/debezium"
)

// captured are the row events of a real Debezium in one variant.
func captured(t *testing.T, variant string) (samples []Sample) {
	t.Helper()
	file, err := os.Open("../../testdata/debezium/" + variant + ".jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() && len(samples) < 8 { // the plain inserts: oddities come later
		var r struct {
			Topic      string
			Key, Value *string
		}
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		if r.Topic == "postgres.streaming.transactions" && r.Value != nil && !strings.Contains(*r.Value, "infinity") {
			samples = append(samples, Sample{[]byte(*r.Key), []byte(*r.Value)})
		}
	}
	return samples
}

func options() debezium.Options {
	return debezium.Options{Table: "streaming.transactions", ID: []string{"id"}, User: "user_id", Amount: "amount",
		Time: "timestamp", Scale: 2}
}

// facts are those of the captured table's columns; a scale below 0 is any.
func facts(scale int) map[string]debezium.ColumnFacts {
	amount := debezium.ColumnFacts{Type: "numeric", Scale: &scale, NotNull: true}
	if scale < 0 {
		amount.Scale = nil
	}
	return map[string]debezium.ColumnFacts{
		"id": {Type: "int8", NotNull: true}, "user_id": {Type: "int8", NotNull: true}, "amount": amount,
		"timestamp": {Type: "timestamptz", Precision: 6, NotNull: true},
	}
}

func lookInto(samples []Sample, o debezium.Options, c *Connector) []Finding {
	findings, _ := Records(Look(samples, o.Amount), RecordsOptions{Debezium: o, Connector: c})
	return findings
}

func TestRecordEncodings(t *testing.T) {
	two := 2
	for _, c := range []struct {
		variant  string
		set      *int // --amount-column-scale
		facts    map[string]debezium.ColumnFacts
		encoding string
		level    Level // of the worst finding
	}{
		{"string-full", nil, facts(2), "envelopes, amounts are string", OK},
		{"string-full", nil, nil, "envelopes, amounts are string", OK},
		{"precise-full", &two, nil, "envelopes, amounts are precise (base64)", OK},
		{"precise-full", nil, facts(2), "envelopes, amounts are precise (base64)", OK},
		{"precise-full", nil, nil, "envelopes, amounts are precise (base64)", Error},
		{"schemas-full", nil, nil, "envelopes with inline schema, amounts are precise (base64)", Note},
		{"unwrap-full", nil, facts(2), "flattened rows, amounts are precise (base64)", Note},
		{"unwrap-rewrite-full", nil, facts(2), "flattened rows, amounts are string", Note},
		{"double-full", nil, facts(2), "envelopes, amounts are double", Error},
	} {
		o := options()
		o.AmountColumnScale, o.Facts = c.set, c.facts
		findings := lookInto(captured(t, c.variant), o, nil)
		expectFinding(t, findings, OK, "record_encoding", c.encoding)
		if got := Worst(findings); got != c.level {
			t.Errorf("%s: worst is %s, want %s: %+v", c.variant, got, c.level, findings)
		}
	}
	expectFinding(t, lookInto(captured(t, "unwrap-full"), options(), nil), Note, "record_encoding_flat")
	expectFinding(t, lookInto(captured(t, "schemas-full"), options(), nil), Note, "record_encoding_schemas",
		"schemas.enable=false")
}

func TestRecords(t *testing.T) {
	o := options()
	o.Facts = facts(2)
	expectFinding(t, lookInto(captured(t, "double-full"), o, nil), Error, "records_unreadable", "float_amount",
		"decimal.handling.mode=string")

	good := captured(t, "string-full")
	expectFinding(t, lookInto(good, o, nil), OK, "records", "all of the 8 newest records can be read")
	broken := append(captured(t, "string-full"), Sample{[]byte(`{"id":1}`), []byte(`{"before"`)})
	expectFinding(t, lookInto(broken, o, nil), Warning, "records_some_unreadable", "1 of 9 newest records", "broken_json")

	other := o
	other.Table = "streaming.payments"
	expectFinding(t, lookInto(good, other, nil), Warning, "records_some_unreadable", "8 of 8 newest records",
		"other_table")

	avro := Sample{[]byte("k"), []byte("\x00\x00\x00\x00\x07abc")}
	expectFinding(t, lookInto([]Sample{avro}, o, nil), Error, "records_registry", "JsonConverter")
	mixed := lookInto(append(good, avro), o, nil)
	expectFinding(t, mixed, Warning, "records_some_registry", "1 of 9", "JsonConverter")
	expectFinding(t, mixed, OK, "records", "all of the 8 newest records can be read")
	for _, none := range [][]Sample{nil, {{[]byte("k"), nil}}} {
		expectFinding(t, lookInto(none, o, nil), Note, "records_none", "no records")
	}
}

// row is an envelope as Debezium writes it, with an amount and a time as JSON.
func row(amount, at string) Sample {
	return Sample{[]byte(`{"id":1}`), []byte(`{"before":null,"after":{"id":1,"user_id":5,"amount":` + amount +
		`,"timestamp":` + at +
		`},"source":{"version":"3.7.0.Final","schema":"streaming","table":"transactions","txId":1,"lsn":1},"op":"c"}`)}
}

func ours(s Sample) Sample {
	return Sample{s.Key, []byte(strings.Replace(string(s.Value), "3.7.0.Final", "brimline/2", 1))}
}

const (
	ms = "1795424400000" // 2026-11-23T09:00:00Z
	us = ms + "000"
	ns = us + "000"
	// text of a column with time zone
	iso = `"2026-11-23T09:00:00Z"`
)

// TestUnits: what a number means is known, or nothing starts.
func TestUnits(t *testing.T) {
	stamp := func(precision int) debezium.ColumnFacts {
		return debezium.ColumnFacts{Type: "timestamp", Precision: precision}
	}
	zoned := debezium.ColumnFacts{Type: "timestamptz", Precision: 6}
	mode := func(m string) *Connector { return &Connector{Name: "tx", TimeMode: m, DecimalMode: "string"} }
	for _, c := range []struct {
		name      string
		at        []string
		column    *debezium.ColumnFacts
		set       debezium.TimeUnit
		connector *Connector
		level     Level
		check     string
		words     []string
		decided   debezium.TimeUnit
	}{
		{"default mode, coarse", []string{ms}, new(stamp(3)), "", nil, OK, "units", []string{"default mode", "2026-11-23"}, ""},
		{"default mode, fine", []string{us, us}, new(stamp(6)), "", nil, OK, "units", []string{"default mode"}, ""},
		{"default mode, whole seconds", []string{ms}, new(stamp(0)), "", nil, OK, "units", nil, ""},
		{"microseconds", []string{us, us}, new(stamp(3)), "", nil, OK, "units", []string{"numbers of us"}, debezium.UnitUs},
		{"nanoseconds", []string{ns}, new(stamp(6)), "", nil, OK, "units", []string{"numbers of ns"}, debezium.UnitNs},
		{"cut", []string{ms}, new(stamp(6)), "", nil, Error, "records_unreadable", []string{"time_cut", "time.precision.mode"}, debezium.UnitMs},
		{"mode changed", []string{us, ms}, new(stamp(6)), "", nil, Error, "units_contradict", []string{"different units", ms + " as ms is 2026-11-23"}, ""},
		{"nothing known", []string{us}, nil, "", nil, Error, "units_unknown", []string{"--time-unit", "--connect-url"}, ""},
		{"the end of time, coarse", []string{ms, "253402300799000"}, new(stamp(3)), "", nil, OK, "units",
			[]string{"default mode"}, ""},
		{"the end of time, fine", []string{us, "253402214400000000"}, new(stamp(6)), "", nil, OK, "units",
			[]string{"default mode"}, ""},
		{"the end of time, said", []string{"253402300799999999", us}, new(stamp(3)), debezium.UnitUs, nil, OK, "records", nil, ""},
		{"the end of time, the connector says it", []string{us, "253402300799999999"}, new(stamp(6)), "",
			mode("microseconds"), OK, "units", nil, debezium.UnitUs},
		{"said", []string{us}, nil, debezium.UnitUs, nil, OK, "records", nil, ""},
		{"said wrongly", []string{ms}, new(stamp(3)), debezium.UnitUs, nil, Error, "units_contradict", []string{"--time-unit is us", ms + " as ms is 2026-11-23", "1970-01-21"}, ""},
		{"said of a column with zone", []string{iso}, &zoned, debezium.UnitMs, nil, Error, "settings_without_effect", []string{"--time-unit"}, ""},
		{"the connector's unit, of which there is none", []string{iso}, &zoned, "", mode("microseconds"), OK, "records", nil, ""},
		{"a transform made numbers", []string{us}, &zoned, debezium.UnitUs, nil, OK, "records", nil, ""},
		{"a transform, nothing said", []string{ms}, &zoned, "", nil, Error, "records_unreadable", []string{"transforms", "--time-unit"}, ""},
		{"connector and records", []string{ns}, new(stamp(6)), "", mode("nanoseconds"), OK, "units", []string{"nanoseconds"}, debezium.UnitNs},
		{"connector against records", []string{ms}, new(stamp(3)), "", mode("microseconds"), Error, "units_contradict", []string{`"tx"`, "microseconds", ms + " as ms"}, debezium.UnitUs},
		{"default mode against records", []string{ns}, new(stamp(6)), "", mode("adaptive"), Error, "units_contradict", []string{"adaptive", ns + " as ns"}, ""},
		{"connector cuts", nil, new(stamp(6)), "", mode("connect"), Error, "connect_settings_cut", []string{"time.precision.mode", "6 digits"}, debezium.UnitMs},
		{"connector, no records", nil, new(stamp(6)), "", mode("microseconds"), OK, "units", nil, debezium.UnitUs},
		{"connector against the setting", nil, new(stamp(3)), debezium.UnitNs, mode("microseconds"), Error, "units_contradict", []string{"--time-unit is ns", "microseconds"}, ""},
		{"the end of all time, coarse", []string{ms, "253402214400000"}, new(stamp(3)), "", nil, OK, "units", nil, ""},
		{"the end of all time, fine", []string{"253402300799999999", us}, new(stamp(6)), "", nil, OK, "units", nil, ""},
		{"the end of all time, said", []string{ms, "253402214400000"}, new(stamp(3)), debezium.UnitMs, nil, OK, "records", nil, ""},
		{"the end of all time, told", []string{"253370764800000000"}, new(stamp(6)), "", mode("adaptive"), OK, "records", nil, ""},
		{"text", []string{iso}, new(stamp(6)), "", mode("isostring"), OK, "records", nil, ""},
		{"objects", nil, new(stamp(6)), "", mode("structured"), Error, "connect_settings_structured", nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := options()
			o.TimeUnit = c.set
			if c.column != nil {
				o.Facts = facts(2)
				o.Facts["timestamp"] = *c.column
			}
			var samples []Sample
			for _, at := range c.at {
				samples = append(samples, row(`"10.00"`, at))
			}
			findings, decided := Records(Look(samples, "amount"), RecordsOptions{Debezium: o, Connector: c.connector})
			expectFinding(t, findings, c.level, c.check, c.words...)
			if c.level == OK && Worst(findings) > Note {
				t.Errorf("%+v", findings)
			}
			if decided.Unit != c.decided {
				t.Errorf("decided %q, want %q", decided.Unit, c.decided)
			}
			own := make([]Sample, len(samples))
			for i, s := range samples {
				own[i] = ours(s)
			}
			if c.set == "" && c.connector == nil && len(own) > 0 { // our own capture says its unit
				if findings := lookInto(own, o, nil); slices.ContainsFunc(findings,
					func(f Finding) bool { return f.Check == "units_unknown" }) {
					t.Errorf("of our own capture: %+v", findings)
				}
			}
		})
	}
}

// TestDecimals: what a text means is known, or nothing starts.
func TestDecimals(t *testing.T) {
	mode := func(m string) *Connector { return &Connector{Name: "tx", TimeMode: "adaptive", DecimalMode: m} }
	whole := debezium.ColumnFacts{Type: "int8"}
	for _, c := range []struct {
		name      string
		amounts   []string
		facts     map[string]debezium.ColumnFacts
		set       debezium.Decimals
		connector *Connector
		level     Level
		check     string
		words     []string
		decided   debezium.Decimals
	}{
		{"digits", []string{`"10.00"`}, facts(2), "", nil, OK, "records", nil, debezium.DecimalsString},
		{"base64", []string{`"A+g="`}, facts(2), "", nil, OK, "records", nil, debezium.DecimalsPrecise},
		{"whole, digits", []string{`"1500"`, `"160"`}, facts(0), "", nil, OK, "records", nil, debezium.DecimalsString},
		{"whole, base64", []string{`"1500"`, `"Bdw="`}, facts(0), "", nil, OK, "records", nil, debezium.DecimalsPrecise},
		{"whole, either", []string{`"1500"`}, facts(0), "", nil, Error, "units_unknown", []string{"--decimals", "1500"}, ""},
		{"whole, both", []string{`"160"`, `"Bdw="`}, facts(0), "", nil, Error, "units_contradict", []string{"160", "Bdw="}, ""},
		{"both, told by their look", []string{`"10.00"`, `"A+g="`}, facts(2), "", nil, OK, "records", nil, ""},
		{"whole, the connector says it", []string{`"1500"`}, facts(0), "", mode("string"), OK, "records", nil, debezium.DecimalsString},
		{"the connector against records", []string{`"160"`}, facts(0), "", mode("precise"), Error, "units_contradict", []string{`"tx"`, "precise", "160"}, debezium.DecimalsPrecise},
		{"said wrongly", []string{`"10.00"`}, facts(2), debezium.DecimalsPrecise, nil, Error, "units_contradict", []string{"--decimals is precise", "10.00"}, ""},
		{"no decimals", []string{`10`}, map[string]debezium.ColumnFacts{"amount": whole}, debezium.DecimalsString, nil, Error, "settings_without_effect", []string{"--decimals"}, ""},
		{"floats", []string{`10.5`}, facts(2), "", mode("double"), Error, "connect_settings_floats", []string{"decimal.handling.mode=string"}, ""},
		{"whole amounts as floats are numbers", []string{`10`}, map[string]debezium.ColumnFacts{"amount": whole}, "", mode("double"), OK, "records", nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := options()
			o.Decimals, o.Facts = c.set, c.facts
			var samples []Sample
			for _, amount := range c.amounts {
				samples = append(samples, row(amount, iso))
			}
			findings, decided := Records(Look(samples, "amount"), RecordsOptions{Debezium: o, Connector: c.connector})
			expectFinding(t, findings, c.level, c.check, c.words...)
			if c.level == OK && Worst(findings) > Note {
				t.Errorf("%+v", findings)
			}
			if decided.Decimals != c.decided {
				t.Errorf("decided %q, want %q", decided.Decimals, c.decided)
			}
		})
	}
}

const running = `"status":{"connector":{"state":"RUNNING"},"tasks":[{"state":"RUNNING"}]}`

const include = `"table.include.list":"streaming.other, streaming\\.transactions"`

func connector(config string) string {
	if config != "" {
		config = "," + config
	}
	return `{"tx":{"info":{"config":{"connector.class":"io.debezium.connector.postgresql.PostgresConnector",
		` + include + config + `}},` + running + `}}`
}

// filtered is an answer with another filter of tables.
func filtered(answer, filter string) string { return strings.Replace(answer, include, filter, 1) }

// twice is an answer with a second connector, two, that is like the first.
func twice(answer string) string {
	return answer[:len(answer)-1] + "," + strings.Replace(answer[1:], `"tx"`, `"two"`, 1)
}

const suits = `"decimal.handling.mode":"string","poll.interval.ms":"10","skipped.operations":"none",` +
	`"value.converter":"org.apache.kafka.connect.json.JsonConverter"`

func TestConnect(t *testing.T) {
	with := func(config string) string { return connector(suits + "," + config) }
	for _, c := range []struct {
		name   string
		answer string
		level  Level
		check  string
		words  []string
	}{
		{"fine", connector(suits), OK, "connect_settings", []string{"suit"}},
		{"fine", connector(suits), OK, "connect_state", []string{`"tx" is running`}},
		{"slow", connector(""), Note, "connect_settings_poll", []string{"every 500 ms", "poll.interval.ms=10"}},
		{"no truncate", connector(""), Note, "connect_settings_truncate", []string{"leaves out TRUNCATE"}},
		{"no deletes", connector(`"skipped.operations":"t,d"`), Error, "connect_settings_operations", []string{`operation "d"`}},
		{"avro", connector(`"value.converter":"io.confluent.connect.avro.AvroConverter"`), Error, "connect_settings_converter", []string{"value.converter=org.apache.kafka.connect.json.JsonConverter"}},
		{"keys as text", with(`"key.converter":"org.apache.kafka.connect.storage.StringConverter"`), Note,
			"connect_settings_key", []string{"StringConverter"}},
		{"no snapshot", connector(`"snapshot.mode":"never"`), Note, "connect_settings_snapshot", []string{"snapshot.mode=initial"}},
		{"placeholder", with(`"unavailable.value.placeholder":"-"`), Error, "connect_settings_placeholder", []string{"taken for the value"}},
		{"column left out", with(`"column.exclude.list":"streaming.transactions.(amount|note)"`), Error, "connect_settings_columns", []string{"column amount", "column.exclude.list"}},
		{"column not kept", with(`"column.include.list":".*[.](id|user_id|timestamp)"`), Error, "connect_settings_columns", []string{"column amount"}},
		{"another table's column", with(`"column.exclude.list":"streaming.other.amount"`), OK, "connect_settings", nil},
		{"masked", with(`"column.mask.hash.SHA-256.with.salt.x":".*user_id"`), Error, "connect_settings_columns", []string{"column user_id"}},
		{"cut", with(`"column.truncate.to.3.chars":"streaming.transactions.country"`), OK, "connect_settings", nil},
		{"filter", with(`"transforms":"unwrap, f","transforms.f.type":"io.debezium.transforms.Filter","transforms.unwrap.type":"io.debezium.transforms.ExtractNewRecordState"`), Warning, "connect_settings_transform", []string{`"f"`, "leaves records out"}},
		{"converter", with(`"transforms":"t","transforms.t.type":"org.apache.kafka.connect.transforms.TimestampConverter$Value"`), Warning, "connect_settings_transform", []string{"TimestampConverter"}},
		{"deletes left out", with(`"transforms":"unwrap","transforms.unwrap.type":"io.debezium.transforms.ExtractNewRecordState","transforms.unwrap.delete.tombstone.handling.mode":"DROP"`), Error, "connect_settings_operations", []string{`delete.tombstone.handling.mode`, "rewrite"}},
		{"deletes left out, as before", with(`"transforms":"unwrap","transforms.unwrap.type":"io.debezium.transforms.ExtractNewRecordState","transforms.unwrap.delete.handling.mode":"drop"`), Error, "connect_settings_operations", []string{`delete.handling.mode`}},
		{"errors passed over", with(`"errors.tolerance":"all"`), Warning, "connect_settings_errors", []string{"errors.tolerance=none"}},
		{"failures passed over", with(`"event.processing.failure.handling.mode":"WARN"`), Warning, "connect_settings_errors", []string{"event.processing.failure.handling.mode=fail"}},
		{"not passed over", with(`"errors.tolerance":"none","event.processing.failure.handling.mode":"fail"`), OK, "connect_settings", nil},
		{"snapshot of a part", with(`"snapshot.select.statement.overrides":"streaming.other, streaming\\.transactions"`), Warning, "connect_settings_part", []string{"snapshot.select.statement.overrides"}},
		{"snapshot of a part of another table", with(`"snapshot.select.statement.overrides":"streaming.other"`), OK, "connect_settings", nil},
		{"no snapshot, in capitals", with(`"snapshot.mode":"NEVER"`), Note, "connect_settings_snapshot", nil},
		{"times in another zone", with(`"transforms":"t","transforms.t.type":"io.debezium.transforms.TimezoneConverter"`), Warning, "connect_settings_transform", []string{"TimezoneConverter", "moves times"}},
		{"fields of another name", with(`"transforms":"unwrap","transforms.unwrap.type":"io.debezium.transforms.ExtractNewRecordState","transforms.unwrap.add.fields":"op,table","transforms.unwrap.add.fields.prefix":""`), Warning, "connect_settings_transform", []string{"add.fields.prefix", "another table"}},
		{"fields of the usual name", with(`"transforms":"unwrap","transforms.unwrap.type":"io.debezium.transforms.ExtractNewRecordState","transforms.unwrap.add.fields":"op,table","transforms.unwrap.add.fields.prefix":"__"`), OK, "connect_settings", nil},
		{"fields of another name each", with(`"transforms":"unwrap","transforms.unwrap.type":"io.debezium.transforms.ExtractNewRecordState","transforms.unwrap.add.fields":"op,table:from_table"`), Warning, "connect_settings_transform", []string{"add.fields", "another table"}},
		{"custom converters", with(`"converters":"c","c.type":"com.example.Dates"`), Warning, "connect_settings_custom", []string{"com.example.Dates"}},
		{"the table left out", with(`"table.include.list":"","table.exclude.list":"streaming.transactions"`), Warning, "connect_none", nil},
		{"another schema", with(`"table.include.list":"","schema.include.list":"public"`), Warning, "connect_none", nil},
		{"the schema left out", with(`"table.include.list":"","schema.exclude.list":"public, streaming"`), Warning, "connect_none", nil},
		{"the schema", with(`"table.include.list":"","schema.include.list":"public, streaming"`), OK, "connect_settings", nil},
		{"route", with(`"transforms":"t","transforms.t.type":"org.apache.kafka.connect.transforms.RegexRouter"`), OK, "connect_settings", nil},
		{"other table", strings.ReplaceAll(connector(""), "transactions", "x"), Warning, "connect_none", []string{"none of the 1 connector watches streaming.transactions"}},
		{"other topic", with(`"topic.prefix":"staging"`), Note, "connect_other", []string{"staging.streaming.transactions"}},
		{"other topic", with(`"topic.prefix":"staging"`), Warning, "connect_none", []string{"postgres.streaming.transactions"}},
		{"none", `{}`, Warning, "connect_none", []string{"none of the 0 connectors"}},
		{"failed", strings.Replace(connector(""), `[{"state":"RUNNING"}]`,
			`[{"state":"FAILED","trace":"slot is active\n\tat x"}]`, 1), Warning, "connect_state_down",
			[]string{`"tx" is failed: slot is active`, "/connectors/tx/restart"}},
		{"no task", strings.Replace(connector(""), `[{"state":"RUNNING"}]`, `[]`, 1), Warning, "connect_state_down",
			[]string{"no task"}},
		{"not Connect", `<html>`, Warning, "connect_unreachable", []string{"does not answer"}},
		{"text that is cut", with(`"column.truncate.to.4096.chars":".*"`), Warning, "connect_settings_shortened",
			[]string{"column.truncate.to.4096.chars"}},
		{"another table by a pattern", filtered(with(`"transforms":"t","value.converter":"io.x.AvroConverter",
			"transforms.t.type":"org.apache.kafka.connect.transforms.RegexRouter"`), `"table.include.list":"billing\\..*"`),
			Warning, "connect_none", nil},
		{"this table by a pattern", filtered(connector(suits), `"table.include.list":"stream.*\\.(transactions|x)"`), OK,
			"connect_settings", nil},
		{"a pattern of Java's", filtered(connector(suits), `"table.include.list":"(?!billing)\\w++\\.transactions"`), OK,
			"connect_settings", nil},
		{"this table left out", filtered(connector(suits), `"table.exclude.list":"streaming.trans.*"`), Warning,
			"connect_none", nil},
		{"this schema left out", with(`"schema.exclude.list":"streaming"`), Warning, "connect_none", nil},
		{"another schema", with(`"schema.include.list":"public,billing"`), Warning, "connect_none", nil},
		{"two that may be it", twice(with(`"skipped.operations":"d","transforms":"t",
			"transforms.t.type":"org.apache.kafka.connect.transforms.RegexRouter"`)), Warning, "connect_several",
			[]string{"two", "tx", "postgres.streaming.transactions"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.String() != "/connectors?expand=info&expand=status" {
					t.Errorf("asked for %s", r.URL)
				}
				_, _ = io.WriteString(w, c.answer)
			}))
			defer s.Close()
			findings, found := Connect(t.Context(), askedOf(s.URL))
			expectFinding(t, findings, c.level, c.check, c.words...)
			if known := strings.HasPrefix(c.check, "connect_s") && c.check != "connect_several"; known != (found != nil) {
				t.Errorf("connector %+v", found)
			}
		})
	}
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	refuses := httptest.NewServer(http.NotFoundHandler())
	defer refuses.Close()
	for _, url := range []string{"http://u:secret@", "http://secret@"} {
		findings, _ := Connect(t.Context(), askedOf(strings.Replace(refuses.URL, "http://", url, 1)))
		expectFinding(t, findings, Warning, "connect_unreachable", "answered 404")
		if strings.Contains(findings[0].What, "secret") {
			t.Error(findings)
		}
	}
	findings, _ := Connect(t.Context(), askedOf(refuses.URL+"?token=secret"))
	expectFinding(t, findings, Error, "connect_url", "not a URL such as http://connect:8083")
	findings, _ = Connect(t.Context(), askedOf(strings.Replace(s.URL, "http://", "http://u:secret@", 1)))
	expectFinding(t, findings, Warning, "connect_unreachable", "refused")
	if strings.Contains(findings[0].What, "secret") {
		t.Error(findings)
	}
	for _, url := range []string{"http://u:hun@ter2@h:1/", "http://u:hun/ter2@h:1/", "http://u:12#ter2@h:1/",
		"http://u:1?hun=ter2@h:1/", "http://u@hun/ter2@h:1/", "hunter2", "ftp://hunter2", "http://", "http://hun,ter2",
		"http://h:ter2"} {
		findings, _ := Connect(t.Context(), askedOf(url))
		expectFinding(t, findings, Error, "connect_url", "not a URL such as http://connect:8083")
		if said := fmt.Sprint(findings); strings.Contains(said, "hun") || strings.Contains(said, "ter2") {
			t.Errorf("%s: %s", url, said)
		}
	}
}

func askedOf(url string) ConnectOptions {
	return ConnectOptions{URL: url, Table: "streaming.transactions", Source: "postgres.streaming.transactions",
		Columns: []string{"id", "user_id", "amount", "timestamp"}}
}

// TestConnectorTells: what the checks of PostgreSQL and of records take from the connector.
func TestConnectorTells(t *testing.T) {
	for config, want := range map[string]Connector{
		`"a":"b"`: {Slot: "debezium", Publication: "dbz_publication", TimeMode: "adaptive", DecimalMode: "precise"},
		`"slot.name":"s","publication.name":"p","time.precision.mode":"connect","decimal.handling.mode":"string",
			"value.converter":"org.apache.kafka.connect.json.JsonConverter"`: {
			Slot: "s", Publication: "p", TimeMode: "connect", DecimalMode: "string", Nulls: NullsReplaced},
		`"time.precision.mode":" Connect","decimal.handling.mode":"STRING "`: {Slot: "debezium", Publication: "dbz_publication",
			TimeMode: "connect", DecimalMode: "string"},
		`"value.converter":"org.apache.kafka.connect.json.JsonConverter","value.converter.replace.null.with.default":"false"`: {
			Slot: "debezium", Publication: "dbz_publication", TimeMode: "adaptive", DecimalMode: "precise", Nulls: NullsKept},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_,
				_ = io.WriteString(w, connector(config))
		}))
		_, found := Connect(t.Context(), askedOf(s.URL))
		s.Close()
		want.Name = "tx"
		if found == nil || *found != want {
			t.Errorf("%s: %+v, want %+v", config, found, want)
		}
	}
}
