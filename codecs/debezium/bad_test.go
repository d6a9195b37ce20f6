package debezium_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs/debezium"
)

const (
	origin  = `"source":{"schema":"streaming","table":"transactions","lsn":7,"txId":8,"ts_ms":9,"ts_us":9001}`
	goodRow = `{"id":1,"user_id":2,"amount":"1.50","timestamp":"2026-01-02T03:04:05Z"}`
	zeroRow = `{"id":1,"user_id":0,"amount":"0.00","timestamp":"1970-01-01T00:00:00.000000Z"}`
)

func event(op, before, after string) string {
	return fmt.Sprintf(`{"before":%s,"after":%s,%s,"op":%q}`, before, after, origin, op)
}

// with is goodRow with one column as given.
func with(column, value string) string {
	row := map[string]string{"id": "1", "user_id": "2", "amount": `"1.50"`, "timestamp": `"2026-01-02T03:04:05Z"`}
	row[column] = value
	return fmt.Sprintf(`{"id":%s,"user_id":%s,"amount":%s,"timestamp":%s}`,
		row["id"], row["user_id"], row["amount"], row["timestamp"])
}

func inserted(column, value string) string { return event("c", "null", with(column, value)) }

func TestBadInput(t *testing.T) {
	float := func(o *debezium.Options) { o.AllowFloatAmounts = true }
	columns := func(o *debezium.Options) {
		o.Columns = []brimline.Column{{Name: "note", Type: brimline.Text}, {Name: "n", Type: brimline.Integer},
			{Name: "x", Type: brimline.Numeric}, {Name: "ok", Type: brimline.Boolean}, {Name: "at", Type: brimline.Timestamp}}
	}
	further := func(s string) string {
		return event("c", "null", strings.TrimSuffix(goodRow, "}")+`,`+s+`}`)
	}
	for _, test := range []struct {
		name   string
		value  string
		kind   string
		remedy string // part of it
		set    func(*debezium.Options)
	}{
		{"empty object of braces", `{`, debezium.KindBrokenJSON, "source topic", nil},
		{"cut off", event("c", "null", goodRow)[:80], debezium.KindBrokenJSON, "source topic", nil},
		{"trailing garbage", event("c", "null", goodRow) + "}", debezium.KindBrokenJSON, "source topic", nil},
		{"invalid UTF-8", inserted("user_id", "\"\xff\""), debezium.KindBrokenJSON, "source topic", nil},
		{"amount twice", inserted("amount", `"1.00","amount":"2.00"`), debezium.KindBrokenJSON, "source topic", nil},
		{"op twice", `{"op":"c","op":"d","after":` + goodRow + `}`, debezium.KindBrokenJSON, "source topic", nil},
		{"nested too deeply", event("c", "null", with("amount", strings.Repeat("[", 100_000))), debezium.KindBrokenJSON, "source topic", nil},
		{"leading zero", inserted("id", "007"), debezium.KindBrokenJSON, "source topic", nil},
		{"NaN literal", inserted("amount", "NaN"), debezium.KindBrokenJSON, "source topic", nil},
		{"no object", `"hello"`, debezium.KindUnknownShape, "topic of the watched table", nil},
		{"no JSON at all", "\x00\x00\x00\x00\x01avro", debezium.KindUnknownShape, "topic of the watched table", nil},
		{"heartbeat", `{"ts_ms":1795428851563}`, debezium.KindUnknownShape, "topic of the watched table", nil},
		{"schema change event", `{"source":{},"ddl":"…","tableChanges":[]}`, debezium.KindUnknownShape, "topic of the watched table", nil},
		{"flat row, envelopes configured", goodRow, debezium.KindUnknownShape, "format", func(o *debezium.Options) { o.Format = debezium.FormatEnvelope }},
		{"envelope, flat rows configured", event("c", "null", goodRow), debezium.KindUnknownShape, "format", func(o *debezium.Options) { o.Format = debezium.FormatFlat }},
		{"insert without after", event("c", "null", "null"), debezium.KindUnknownShape, "format", nil},
		{"payload is a list", `{"schema":null,"payload":[]}`, debezium.KindUnknownShape, "format", nil},
		{"broken inline schema", `{"schema":{"fields":7},"payload":` + event("c", "null", goodRow) + `}`, debezium.KindUnknownShape, "format", nil},
		{"inline schema with a wild scale", `{"schema":{"fields":[{"field":"amount","type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"99999"}}]},"payload":` + goodRow + `}`, debezium.KindUnknownShape, "format", nil},
		{"unknown op", event("x", "null", goodRow), debezium.KindUnknownOp, "connector's version", nil},
		{"unknown op of a flat row", strings.TrimSuffix(goodRow, "}") + `,"__op":"z"}`, debezium.KindUnknownOp, "connector's version", nil},
		{"other table", strings.Replace(event("c", "null", goodRow), `"transactions"`, `"refunds"`, 1), debezium.KindOtherTable, "table.include.list", nil},
		{"other schema", strings.Replace(event("c", "null", goodRow), `"streaming"`, `"public"`, 1), debezium.KindOtherTable, "table.include.list", nil},
		{"truncation of another table", strings.Replace(event("t", "null", "null"), `"transactions"`, `"refunds"`, 1), debezium.KindOtherTable, "table.include.list", nil},
		{"other table, flat", strings.TrimSuffix(goodRow, "}") + `,"__table":"refunds"}`, debezium.KindOtherTable, "table.include.list", nil},

		{"id missing", event("c", "null", `{"user_id":2,"amount":"1.50","timestamp":"2026-01-02T03:04:05Z"}`), debezium.KindMissingColumn, "column settings", nil},
		{"user missing", event("c", "null", `{"id":2,"amount":"1.50","timestamp":"2026-01-02T03:04:05Z"}`), debezium.KindMissingColumn, "column settings", nil},
		{"amount missing", event("c", "null", `{"id":2,"user_id":2,"timestamp":"2026-01-02T03:04:05Z"}`), debezium.KindMissingColumn, "column settings", nil},
		{"time missing", event("c", "null", `{"id":2,"user_id":2,"amount":"1.50"}`), debezium.KindMissingColumn, "column settings", nil},
		{"further column missing", event("c", "null", goodRow), debezium.KindMissingColumn, "new snapshot", columns},
		{"id null", inserted("id", "null"), debezium.KindMissingColumn, "NOT NULL", nil},
		{"amount null", inserted("amount", "null"), debezium.KindMissingColumn, "NOT NULL", nil},
		{"time null", inserted("timestamp", "null"), debezium.KindMissingColumn, "NOT NULL", nil},
		{"user null", inserted("user_id", "null"), debezium.KindEmptyUser, "row filter", nil},
		{"user empty", inserted("user_id", `""`), debezium.KindEmptyUser, "row filter", nil},
		{"user is an object", inserted("user_id", `{}`), debezium.KindWrongType, "column settings", nil},
		{"user with a NUL", inserted("user_id", `"a\u0000b"`), debezium.KindWrongType, "column settings", nil},
		{"user with half a surrogate pair", inserted("user_id", `"a\ud800b"`), debezium.KindWrongType, "column settings", nil},
		{"id is a fraction", inserted("id", `1.5`), debezium.KindWrongType, "column settings", nil},
		{"id is a boolean", inserted("id", `true`), debezium.KindWrongType, "column settings", nil},

		{"amount beyond scale", inserted("amount", `"1.005"`), debezium.KindAmountScale, "raise scale", nil},
		{"amount beyond scale, struct", inserted("amount", `{"scale":3,"value":"fQ=="}`), debezium.KindAmountScale, "raise scale", nil},
		{"amount beyond scale, float", inserted("amount", `1.005`), debezium.KindAmountScale, "raise scale", float},
		{"amount beyond range", inserted("amount", `"92233720368547758.08"`), debezium.KindAmountRange, "lower scale", nil},
		{"amount beyond range, base64", inserted("amount", `"AIAAAAAAAAAA"`), debezium.KindAmountRange, "lower scale",
			columnScale(2)},
		{"amount beyond range, integer", inserted("amount", `92233720368547759`), debezium.KindAmountRange, "lower scale", nil},
		{"amount beyond range, exponent", inserted("amount", `1e300`), debezium.KindAmountRange, "lower scale", float},
		{"amount beyond range, smallest", inserted("amount", `"gAAAAAAAAAA="`), debezium.KindAmountRange,
			"lower scale", columnScale(2)},
		{"amount with a bomb for exponent", inserted("amount", `1e999999999`), debezium.KindAmountSyntax, "numeric column", float},
		{"amount NaN", inserted("amount", `"NaN"`), debezium.KindAmountNaN, "CHECK", nil},
		{"amount infinite", inserted("amount", `"-Infinity"`), debezium.KindAmountNaN, "CHECK", nil},
		{"amount infinite, as Debezium says it", inserted("amount", `"POSITIVE_INFINITY"`), debezium.KindAmountNaN, "CHECK", nil},
		{"amount is a float", inserted("amount", `1.5`), debezium.KindFloatAmount, "decimal.handling.mode=string", nil},
		{"amount is a float with exponent", inserted("amount", `1e2`), debezium.KindFloatAmount, "allow_float_amounts", nil},
		{"amount is a word, which could be base64", inserted("amount", `"much"`), debezium.KindAmountSyntax, "numeric column", func(o *debezium.Options) { o.Decimals = debezium.DecimalsString }},
		{"amount is words", inserted("amount", `"too much"`), debezium.KindAmountSyntax, "numeric column", nil},
		{"amount is the empty text", inserted("amount", `""`), debezium.KindAmountSyntax, "numeric column", nil},
		{"amount is both decimal and base64", inserted("amount", `"1234"`), debezium.KindAmountAmbiguous, "decimal.handling.mode=string", nil},
		{"amount is a boolean", inserted("amount", `true`), debezium.KindWrongType, "column settings", nil},
		{"amount is an array", inserted("amount", `[1]`), debezium.KindWrongType, "column settings", nil},
		{"amount is another object", inserted("amount", `{"scale":"2","value":"fQ=="}`), debezium.KindAmountSyntax, "numeric column", nil},
		{"amount of 1 MB", inserted("amount", `"`+strings.Repeat("A", 1<<20)+`"`), debezium.KindAmountSyntax, "numeric column", nil},
		{"amount of 1 MB of digits", inserted("amount", `"`+strings.Repeat("9", 1<<20)+`.00"`), debezium.KindAmountRange, "lower scale", nil},

		{"time infinite", inserted("timestamp", `"infinity"`), debezium.KindInfiniteTime, "infinity", nil},
		{"time -infinite", inserted("timestamp", `"-infinity"`), debezium.KindInfiniteTime, "infinity", nil},
		{"time infinite in µs", inserted("timestamp", `9223372036854775807`), debezium.KindInfiniteTime, "infinity", nil},
		{"time -infinite in ms", inserted("timestamp", `-9223372036832400000`), debezium.KindInfiniteTime, "infinity", nil},
		{"time is a word", inserted("timestamp", `"yesterday"`), debezium.KindBadTime, "timestamp column", nil},
		{"time without offset", inserted("timestamp", `"2026-01-02T03:04:05"`), debezium.KindBadTime, "timestamp column", nil},
		{"time finer than µs", inserted("timestamp", `"2026-01-02T03:04:05.1234567Z"`), debezium.KindBadTime, "timestamp column", nil},
		{"time on 30 February", inserted("timestamp", `"2026-02-30T03:04:05Z"`), debezium.KindBadTime, "timestamp column", nil},
		{"time beyond 64 bits", inserted("timestamp", `"+294276-12-31T00:00:00Z"`), debezium.KindBadTime, "timestamp column", nil},
		{"time is a fraction", inserted("timestamp", `1.5`), debezium.KindBadTime, "timestamp column", nil},
		{"time in ms beyond 64 bits of µs", inserted("timestamp", `9223372036854776`), debezium.KindBadTime, "time_unit", func(o *debezium.Options) { o.TimeUnit = debezium.UnitMs }},
		{"time in ns, finer than µs", inserted("timestamp", `1770076803123456789`), debezium.KindBadTime, "time_unit", func(o *debezium.Options) { o.TimeUnit = debezium.UnitNs }},
		{"time is a boolean", inserted("timestamp", `true`), debezium.KindWrongType, "column settings", nil},

		{"delete without before", event("d", "null", "null"), debezium.KindDeleteWithoutBefore, "REPLICA IDENTITY FULL", nil},
		{"delete with made-up before", event("d", zeroRow, "null"), debezium.KindMadeUpBefore, "REPLICA IDENTITY FULL", nil},
		{"delete with made-up before, text user", event("d", strings.Replace(zeroRow, `"user_id":0`, `"user_id":""`, 1), "null"), debezium.KindMadeUpBefore, "REPLICA IDENTITY FULL", nil},
		{"delete with made-up before, nullable columns", event("d", with("user_id", "null"), "null"), debezium.KindMadeUpBefore, "REPLICA IDENTITY FULL", nil},
		{"delete with made-up before, precise, bare times", event("d", `{"id":1,"user_id":0,"amount":"AA==","timestamp":0}`, "null"), debezium.KindMadeUpBefore, "REPLICA IDENTITY FULL", nil},
		{"update that moves from a made-up before", event("u", zeroRow, goodRow), debezium.KindMadeUpBefore +
			" & +1 2 1.50 2026-01-02T03:04:05.000000Z", "REPLICA IDENTITY FULL", nil},
		{"flat delete with made-up row", strings.TrimSuffix(zeroRow, "}") + `,"__deleted":"true"}`, debezium.KindMadeUpBefore, "REPLICA IDENTITY FULL", nil},
		{"delete whose before lacks the user", event("d", `{"id":1}`, "null"), debezium.KindMissingColumn, "column settings", nil},
		{"flat tombstone", `null`, debezium.KindFlatTombstone, "rewrite", nil},
		{"flat tombstone with schema", `{"schema":{},"payload":null}`, debezium.KindFlatTombstone, "rewrite", nil},
		{"no value, flat rows configured", ``, debezium.KindFlatTombstone, "rewrite", func(o *debezium.Options) { o.Format = debezium.FormatFlat }},
		{"unavailable id", inserted("id", `"__debezium_unavailable_value"`), debezium.KindUnavailable, "REPLICA IDENTITY FULL", nil},
		{"unavailable further column", further(`"note":"__debezium_unavailable_value","n":1,"x":1,"ok":true,"at":1`), debezium.KindUnavailable, "REPLICA IDENTITY FULL", columns},

		{"text column is a number", further(`"note":1,"n":1,"x":1,"ok":true,"at":1`), debezium.KindWrongType, "right types", columns},
		{"integer column is text", further(`"note":"","n":"1","x":1,"ok":true,"at":1`), debezium.KindWrongType, "right types", columns},
		{"integer column beyond 64 bits", further(`"note":"","n":9223372036854775808,"x":1,"ok":true,"at":1`), debezium.KindWrongType, "right types", columns},
		{"numeric column is NaN", further(`"note":"","n":1,"x":"NaN","ok":true,"at":1`), debezium.KindWrongType, "right types", columns},
		{"numeric column of unknown scale", further(`"note":"","n":1,"x":"fQ==","ok":true,"at":1`), debezium.KindWrongType, "decimal.handling.mode=string", columns},
		{"boolean column is text", further(`"note":"","n":1,"x":1,"ok":"true","at":1`), debezium.KindWrongType, "right types", columns},
		{"timestamp column is infinite", further(`"note":"","n":1,"x":1,"ok":true,"at":"infinity"`), debezium.KindInfiniteTime, "infinity", columns},
	} {
		t.Run(test.name, func(t *testing.T) {
			opt := options()
			if test.set != nil {
				test.set(&opt)
			}
			changes, err := decoder(t, opt).Decode([]byte(`{"id":1}`), []byte(test.value))
			if got := describe(t, changes, err); got != test.kind {
				t.Fatalf("got %s (%v), want %s", got, err, test.kind)
			}
			if e, _ := errors.AsType[*brimline.Error](err); !strings.Contains(e.Remedy, test.remedy) {
				t.Errorf("remedy %q does not say %q", e.Remedy, test.remedy)
			}
		})
	}
}

func TestEmptyKey(t *testing.T) {
	for _, test := range []struct {
		key   string
		value string
		want  string
	}{
		{``, event("c", "null", goodRow), debezium.KindEmptyKey},
		{`null`, event("c", "null", goodRow), debezium.KindEmptyKey},
		{`{}`, event("c", "null", goodRow), debezium.KindEmptyKey},
		{`{"schema":null,"payload":null}`, event("c", "null", goodRow), debezium.KindEmptyKey},
		{``, goodRow, debezium.KindEmptyKey},
		{``, event("t", "null", "null"), "truncate"}, // truncations have no key
		{``, `{"op":"m","source":{"schema":"","table":""},"message":{"prefix":"x"}}`, "nothing"},
		{`{"schema":{},"payload":{"id":1}}`, event("c", "null", goodRow), "+1 2 1.50 2026-01-02T03:04:05.000000Z"},
		{`7`, event("c", "null", goodRow), "+1 2 1.50 2026-01-02T03:04:05.000000Z"},
		{`not JSON`, event("c", "null", goodRow), "+1 2 1.50 2026-01-02T03:04:05.000000Z"},
	} {
		changes, err := decoder(t, options()).Decode([]byte(test.key), []byte(test.value))
		if got := describe(t, changes, err); got != test.want {
			t.Errorf("key %s of %s: got %s, want %s", test.key, test.value, got, test.want)
		}
	}
}
