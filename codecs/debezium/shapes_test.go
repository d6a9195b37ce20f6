package debezium_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs/debezium"
)

func skipOthers(o *debezium.Options) { o.OtherTables = debezium.OtherTablesSkip }

// What is no row of the watched table never becomes one, and is told apart.
func TestShapes(t *testing.T) {
	const (
		row   = "+1 2 1.50 2026-01-02T03:04:05.000000Z"
		mysql = `"source":{"version":"3.7.0.Final","connector":"mysql","name":"m","db":"streaming",` +
			`"table":"transactions","server_id":1,"file":"binlog.1","pos":4}`
		oracle = `"source":{"version":"3.7.0.Final","connector":"oracle","name":"o","db":"X",` +
			`"schema":"streaming","table":"transactions","scn":"1"}`
	)
	wrap := func(payload string) string {
		return `{"schema":{"type":"struct","fields":[]},"payload":` + payload + `}`
	}
	flat := func(members string) string { return strings.TrimSuffix(goodRow, "}") + `,` + members + `}` }
	sourced := func(source string) string { return `{"before":null,"after":` + goodRow + `,` + source + `,"op":"c"}` }
	for _, test := range []struct {
		name, key, value string
		set              func(*debezium.Options)
		want             string
		says             string // in the error or its remedy
	}{
		{"MySQL", "", sourced(mysql), nil, debezium.KindUnknownShape, "mysql"},
		{"MySQL, other tables skipped", "", sourced(mysql), skipOthers, debezium.KindUnknownShape, "mysql"},
		{"MySQL, with schema", "", wrap(sourced(mysql)), nil, debezium.KindUnknownShape, "mysql"},
		{"MySQL, its name left out", "", sourced(strings.Replace(mysql, `"connector":"mysql",`, "", 1)), nil,
			debezium.KindUnknownShape, "source.schema"},
		{"MySQL, truncation", "", `{"before":null,"after":null,` + mysql + `,"op":"t"}`, nil,
			debezium.KindUnknownShape, "mysql"},
		{"Oracle", "", sourced(oracle), nil, debezium.KindUnknownShape, "oracle"},
		{"a source without schema", "", sourced(`"source":{"table":"transactions"}`), nil, debezium.KindUnknownShape,
			"source.schema"},
		{"a source whose schema is null", "", sourced(`"source":{"schema":null,"table":"transactions"}`), nil,
			debezium.KindUnknownShape, "source.schema"},
		{"a source without table", "", sourced(`"source":{"schema":"streaming","lsn":7}`), nil,
			debezium.KindUnknownShape, "source.table"},
		{"no source at all", "", `{"before":null,"after":` + goodRow + `,"op":"c"}`, nil, row, ""},
		{"PostgreSQL", "", by("3.7.0.Final", event("c", "null", goodRow)), nil, row, ""},
		{"MongoDB", "", `{"before":null,"after":"{\"_id\":1}","updateDescription":null,` +
			`"source":{"connector":"mongodb","db":"d","collection":"c"},` +
			`"op":"c"}`, nil, debezium.KindUnknownShape, "mongodb"},
		{"MongoDB, flattened", "", `{"_id":"1","user_id":2,"amount":1}`, nil, debezium.KindMissingColumn, "id"},

		{"flat, of another table", "", flat(`"__table":"refunds"`), nil, debezium.KindOtherTable, "refunds"},
		{"flat, source.table", "", flat(`"__source_table":"refunds"`), nil, debezium.KindOtherTable, "refunds"},
		{"flat, source.schema", "", flat(`"__source_schema":"public"`), nil, debezium.KindOtherTable, "public"},
		{"flat, source.connector", "", flat(`"__source_connector":"mysql","__source_table":"transactions"`), nil,
			debezium.KindUnknownShape, "mysql"},
		{"flat, connector", "", flat(`"__connector":"mysql"`), nil, debezium.KindUnknownShape, "mysql"},
		{"flat, both spellings", "",
			flat(`"__table":"transactions","__source_table":"transactions","__schema":"streaming"`), nil, row, ""},
		{"flat, both spellings, one of another table", "",
			flat(`"__table":"transactions","__source_table":"refunds"`), nil, debezium.KindOtherTable, "refunds"},
		{"flat, of another table, skipped", "", flat(`"__source_table":"refunds"`), skipOthers,
			"passed: other_table", ""},
		{"flat, of another table with other columns, skipped", "", `{"order_id":1,"__table":"refunds"}`, skipOthers,
			"passed: other_table", ""},
		{"flat, of another table with other columns", "", `{"order_id":1,"__table":"refunds"}`, nil,
			debezium.KindOtherTable, "refunds"},
		{"other table", "", strings.Replace(event("c", "null", goodRow), `"transactions"`, `"refunds"`, 1), nil,
			debezium.KindOtherTable, "--other-tables=skip"},
		{"other table, skipped", "", strings.Replace(event("c", "null", goodRow), `"transactions"`, `"refunds"`, 1),
			skipOthers, "passed: other_table", ""},
		{"other table without key, skipped", "null", strings.Replace(event("c", "null", goodRow), `"transactions"`,
			`"refunds"`, 1), skipOthers, "passed: other_table", ""},
		{"truncation of another table, skipped", "", strings.Replace(event("t", "null", "null"), `"transactions"`,
			`"refunds"`, 1), skipOthers, "passed: other_table", ""},
		{"a row of the table, others skipped", "", event("c", "null", goodRow), skipOthers, row, ""},

		{"CloudEvents", "", `{"id":"name:postgres","source":"/debezium/postgresql/postgres",` +
			`"specversion":"1.0","type":"io.debezium.connector.postgresql.DataChangeEvent",` +
			`"time":"2026-11-26T11:57:48.223Z","datacontenttype":"application/json","iodebeziumop":"r",` +
			`"data":{"before":null,"after":` + goodRow + `}}`,
			nil, debezium.KindUnknownShape, "CloudEvents"},
		{"Maxwell", "", `{"database":"streaming","table":"transactions","type":"insert","ts":1795395723,` +
			`"xid":7,"commit":true,"data":` + goodRow + `}`, nil, debezium.KindUnknownShape, "Maxwell"},
		{"Maxwell, a column of its own name", "",
			`{"database":"streaming","table":"transactions","type":"insert","ts":1795395723,"data":` + goodRow + `}`,
			func(o *debezium.Options) { o.Time = "ts" }, debezium.KindUnknownShape, "Maxwell"},
		{"Canal", "", `{"data":[` + goodRow +
			`],"database":"streaming","table":"transactions","type":"INSERT","isDdl":false,"es":1,"ts":2}`, nil,
			debezium.KindUnknownShape, "Canal"},
		{"wal2json 1", "", `{"change":[{"kind":"insert","schema":"streaming","table":"transactions",` +
			`"columnnames":["id"],"columnvalues":[1]}]}`, nil, debezium.KindUnknownShape, "wal2json"},
		{"wal2json 2", "", `{"action":"I","schema":"streaming","table":"transactions",` +
			`"columns":[{"name":"id","type":"bigint","value":1}]}`, nil, debezium.KindUnknownShape, "wal2json"},
		{"AWS DMS", "", `{"data":` + goodRow + `,"metadata":{"timestamp":"2026-01-02T03:04:05Z",` +
			`"record-type":"data","operation":"insert","schema-name":"streaming","table-name":"transactions"}}`,
			nil, debezium.KindUnknownShape, "DMS"},
		{"CockroachDB", "", `{"after":` + goodRow + `,"key":[1],"updated":"1.0"}`, nil, debezium.KindUnknownShape,
			"updated"},
		{"anything", "", `{"a":1,"b":2}`, nil, debezium.KindUnknownShape, `members a, b`},
		{"JDBC source, with schema", "",
			`{"schema":{"type":"struct","fields":[{"type":"int64","field":"id"},{"type":"int64","field":"user_id"},` +
				`{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","version":1,` +
				`"parameters":{"scale":"2"},"field":"amount"},` +
				`{"type":"int64","name":"org.apache.kafka.connect.data.Timestamp","version":1,` +
				`"field":"timestamp"}],"name":"transactions"},"payload":{"id":1,"user_id":2,"amount":"AJY=",` +
				`"timestamp":1767323045000}}`,
			nil, row, ""},
		{"JDBC source, cut to milliseconds", "", `{"schema":{"type":"struct","fields":[` +
			`{"type":"int64","name":"org.apache.kafka.connect.data.Timestamp","version":1,` +
			`"field":"timestamp"}]},"payload":{"id":1,"user_id":2,"amount":"1.50","timestamp":1767323045000}}`,
			table(), debezium.KindTimeCut + " & -1 2 1.50 ?", "milliseconds"},

		{"a row with columns of an envelope's names", "",
			flat(`"op":"BUY","source":"web","before":null,"after":null`), nil, row, ""},
		{"a row with op c and a source", "",
			flat(`"op":"c","source":{"schema":"x","table":"y"},"before":null,"after":{"id":7}`), nil, row, ""},
		{"a row with op t", "", flat(`"op":"t","before":null`), nil, row, ""},
		{"a row with op m and a message", "", flat(`"op":"m","message":{},"source":null`), nil, row, ""},
		{"a row with columns payload and schema", "", flat(`"payload":{},"schema":"x"`), nil, row, ""},
		{"a row with status and event_count", "", flat(`"status":"BEGIN","event_count":1`), nil, row, ""},
		{"a row with columns of a notification", "", flat(`"aggregate_type":"x","type":"y","additional_data":{}`),
			nil, row, ""},
		{"a row with columns of CloudEvents", "", flat(`"specversion":"1.0","type":"y","source":"z","data":{}`), nil,
			row, ""},
		{"a row with columns of a schema change", "", flat(`"ddl":"x","tableChanges":[],"databaseName":"y"`), nil,
			row, ""},
		{"a row with op, in a wrapped record", "", wrap(flat(`"op":"BUY","before":null`)), nil, row, ""},
		{"a row with op that lacks its time", "", `{"id":1,"user_id":2,"amount":"1.50","op":"BUY"}`, nil,
			debezium.KindMissingColumn + " & -1 2 1.50 ?", "timestamp"},

		{"heartbeat", `{"serverName":"postgres"}`, `{"ts_ms":1795428851563}`, nil, "passed: heartbeat", ""},
		{"truncation without source", "", `{"before":null,"after":null,"op":"t"}`, nil, debezium.KindUnknownShape,
			"source"},
		{"heartbeat, key as Java writes it", `Struct{serverName=postgres}`, `{"ts_ms":1795428851563}`, nil,
			"passed: heartbeat", ""},
		{"heartbeat of three clocks", `{"serverName":"postgres"}`, `{"ts_ms":1,"ts_us":1,"ts_ns":1}`, nil,
			"passed: heartbeat", ""},
		{"heartbeat, a time column of its name", `{"serverName":"postgres"}`, `{"ts_ms":1795428851563}`,
			func(o *debezium.Options) { o.Time = "ts_ms" }, "passed: heartbeat", ""},
		{"heartbeat, whatever the format", `{"serverName":"postgres"}`, `{"ts_ms":1795428851563}`,
			func(o *debezium.Options) { o.Format = debezium.FormatEnvelope }, "passed: heartbeat", ""},
		{"no heartbeat: another key", `{"id":1}`, `{"ts_ms":1795428851563}`, nil, debezium.KindUnknownShape, "ts_ms"},
		{"schema change", `{"databaseName":"app"}`, `{"source":{"connector":"postgresql"},"ts_ms":1,` +
			`"databaseName":"app","schemaName":"streaming","ddl":null,` +
			`"tableChanges":[{"type":"ALTER"}]}`, nil, "passed: metadata", ""},
		{"signal", `"postgres"`, `{"type":"execute-snapshot",` +
			`"data":{"data-collections":["streaming.transactions"],` +
			`"type":"INCREMENTAL"}}`, nil, "passed: metadata", ""},
		{"signal with id", `"postgres"`, `{"id":"s-1","type":"log","data":"{}"}`, nil, "passed: metadata", ""},
		{"no signal: a row of another kind", `"postgres"`, `{"id":"s-1","type":"order","data":"{}"}`, nil,
			debezium.KindMissingColumn, "user_id"},
		{"message", "", `{"op":"m","ts_ms":1,"source":{"connector":"postgresql","schema":"","table":""},` +
			`"message":{"prefix":"x","content":"eA=="}}`, nil, "passed: message", ""},
		{"tombstone", "", ``, nil, "passed: tombstone", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			opt := options()
			if test.set != nil {
				test.set(&opt)
			}
			k := test.key
			if k == "" {
				k = `{"id":1}`
			}
			read, err := decoder(t, opt).Read([]byte(k), []byte(test.value))
			got := describe(t, read.Changes, err)
			if read.Passed != "" {
				got = "passed: " + string(read.Passed)
			}
			if got != test.want {
				t.Fatalf("got %s (%v), want %s", got, err, test.want)
			}
			if err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v does not say %s", err, test.says)
			}
			if err == nil && len(read.Changes) == 0 && read.Passed == "" {
				t.Error("passed over without a reason")
			}
		})
	}
}

// Records of a real Debezium that are about no row.
func TestMetadataOfDebezium(t *testing.T) {
	for _, file := range []string{"types/metadata", "types/metadata-schemas"} {
		seen := map[debezium.Passed]int{}
		for _, r := range capture(t, file) {
			key, value := r.bytes()
			read, err := decoder(t, options()).Read(key, value)
			if err != nil || len(read.Changes) > 0 {
				t.Errorf("%s: %+v, %v", value, read, err)
			}
			seen[read.Passed]++
		}
		if seen[debezium.PassedHeartbeat] != 1 || seen[debezium.PassedMetadata] != 3 {
			t.Errorf("%s: %v", file, seen)
		}
	}
	for _, r := range capture(t, "types/cloudevents") {
		key, value := r.bytes()
		if _, err := decoder(t, options()).Decode(key, value); err == nil || kindOf(t,
			err) != debezium.KindUnknownShape || !strings.Contains(err.Error(), "CloudEvents") {
			t.Error(err)
		}
	}
}

// Coordinates that cannot be read are not known, which is no reason to lose the row.
func TestSourceCoordinates(t *testing.T) {
	for _, test := range []struct {
		op, source string
		want       brimline.Source
	}{
		{"c", `"lsn":7,"txId":8,"ts_ms":9,"ts_us":9001`, brimline.Source{LSN: 7, TxID: 8, Commit: 9001}},
		{"u", `"lsn":7,"txId":8,"ts_ms":9`, brimline.Source{LSN: 7, TxID: 8, Commit: 9000}},
		{"c", `"lsn":-9223372036854775808,"txId":null,"ts_ms":9`, brimline.Source{Commit: 9000}},
		{"c", `"lsn":"0/7","txId":"8","ts_ms":"9"`, brimline.Source{}},
		{"c", `"lsn":99999999999999999999,"txId":1e3,"ts_us":-5,"ts_ms":9223372036854775807`, brimline.Source{}},
		{"c", `"lsn":{},"txId":[],"ts_us":true`, brimline.Source{}},
		{"r", `"lsn":7,"txId":8,"ts_us":9001`, brimline.Source{LSN: 7, Commit: 9001, Snapshot: true}},
		// the connector's own transaction, which is still open
	} {
		value := `{"before":null,"after":` + goodRow + `,"source":{"schema":"streaming","table":"transactions",` +
			test.source + `},"op":"` + test.op + `"}`
		changes, err := decoder(t, options()).Decode([]byte("1"), []byte(value))
		if err != nil || changes[0].Source != test.want {
			t.Errorf("%s: %+v, %v", test.source, changes, err)
		}
	}
	for flat, want := range map[string]brimline.Source{
		`"__lsn":7,"__txId":8,"__source_ts_ms":9`: {LSN: 7, TxID: 8,
			Commit: 9000},
		`"__source_lsn":7,"__source_txId":8,"__source_ts_us":9001,"__source_ts_ms":9`: {LSN: 7, TxID: 8,
			Commit: 9001},
		`"__lsn":7,"__source_lsn":7,"__txId":"x"`:                                        {LSN: 7},
		`"__op":"r","__source_lsn":7,"__source_txId":8`:                                  {LSN: 7, Snapshot: true},
		`"__source_snapshot":"first","__source_txId":8`:                                  {Snapshot: true},
		`"__source_snapshot":"false","__source_txId":8`:                                  {TxID: 8},
		`"__op":"c","__lsn":-1,"__txId":-1,"__source_ts_ms":-1,"__source_snapshot":true`: {Snapshot: true},
	} {
		changes, err := decoder(t, options()).Decode([]byte("1"), []byte(strings.TrimSuffix(goodRow, "}")+","+flat+"}"))
		if err != nil || changes[0].Source != want {
			t.Errorf("%s: %+v, %v", flat, changes, err)
		}
	}
}

// Signs that the table is no longer what it was are passed on, now and then.
func TestSurprises(t *testing.T) {
	for _, test := range []struct {
		name   string
		values []string
		want   int64
	}{
		{"nothing", []string{event("c", "null", goodRow), event("u", "null", goodRow), event("d", goodRow, "null"),
			""}, 0},
		{"another column", []string{event("c", "null", goodRow), event("c", "null", strings.TrimSuffix(goodRow,
			"}")+`,"more":1}`)}, 1},
		{"another column, flat", []string{goodRow, strings.TrimSuffix(goodRow, "}") + `,"more":1}`}, 1},
		{"a column less", []string{event("c", "null", strings.TrimSuffix(goodRow, "}")+`,"more":1}`), event("c",
			"null", goodRow)}, 1},
		{"a column that is missing", []string{event("c", "null", `{"id":1,"user_id":2,"amount":"1.50"}`)}, 1},
		{"a wrong type", []string{inserted("amount", "true")}, 1},
		{"a unit that is not known", []string{inserted("timestamp", inUs)}, 1},
		{"a scale that is not known", []string{inserted("amount", `"BNI="`)}, 1},
		{"bad data is none", []string{inserted("amount", `"NaN"`), inserted("user_id", "null"), inserted("amount",
			"null"), `{`}, 0},
		{"another table is none", []string{strings.Replace(inserted("more", "1"), `"transactions"`, `"refunds"`, 1)},
			0},
		{"many at once", []string{inserted("amount", "true"), inserted("amount", "true"), inserted("amount",
			"true")}, 1},
	} {
		var times atomic.Int64
		opt := options()
		opt.OnSurprise = func() { times.Add(1) }
		d := decoder(t, opt)
		for _, value := range test.values {
			_, _ = d.Decode([]byte("1"), []byte(value))
		}
		if got := times.Load(); got != test.want {
			t.Errorf("%s: %d surprises, want %d", test.name, got, test.want)
		}
	}
}

// A decoder with new facts goes on where the old one stood.
func TestWith(t *testing.T) {
	d := decoder(t, options())
	if _, err := d.Decode([]byte("1"), []byte(goodRow)); err != nil { // flattened: the next tombstone is a delete
		t.Fatal(err)
	}
	opt := options()
	table("timestamp", "timestamp(3)")(&opt)
	again, err := d.With(opt)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Decode([]byte("1"), nil); err == nil || kindOf(t, err) != debezium.KindFlatTombstone {
		t.Errorf("a tombstone after a flat row: %v", err)
	}
	changes, err := again.Decode([]byte("1"), []byte(inserted("timestamp", inMs)))
	if got := describe(t, changes, err); got != "+1 2 1.50 "+asMs {
		t.Error(got)
	}
	opt.Facts["timestamp"] = facts("bool")
	if _, err := d.With(opt); err == nil || !errors.As(err, new(*brimline.Error)) {
		t.Errorf("bad options: %v", err)
	}
}
