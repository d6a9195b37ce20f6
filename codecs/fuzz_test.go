package codecs_test

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
)

// fuzzCodec requires of any bytes that they are refused, or decode to a value
// that encodes and decodes to the same again.
func fuzzCodec(f *testing.F, c codec, golden string) {
	files, err := filepath.Glob("../testdata/wire/" + golden + "/*")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds for %s: %v", golden, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err == nil && strings.HasSuffix(file, ".hex") {
			b, err = hex.DecodeString(strings.TrimSpace(string(b)))
		}
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := c.Decode(b)
		if err != nil {
			return
		}
		again := encode(t, c, v)
		if w := decode(t, c, again); !reflect.DeepEqual(v, w) {
			t.Fatalf("first  %+v\nsecond %+v", v, w)
		}
	})
}

func FuzzChange(f *testing.F)     { fuzzCodec(f, codecs.Change{}, "change-v3") }
func FuzzWindow(f *testing.F)     { fuzzCodec(f, codecs.WindowPart{}, "window-v3") }
func FuzzAgain(f *testing.F)      { fuzzCodec(f, codecs.Again{}, "again-v1") }
func FuzzCandidate(f *testing.F)  { fuzzCodec(f, codecs.Candidate{}, "candidate-v1") }
func FuzzCandidates(f *testing.F) { fuzzCodec(f, codecs.Candidates{}, "candidate-v2") }
func FuzzAlert(f *testing.F)      { fuzzCodec(f, codecs.Alert{}, "alert-v1") }
func FuzzAlertLog(f *testing.F)   { fuzzCodec(f, codecs.AlertLog{}, "alertlog-v1") }
func FuzzRuleSet(f *testing.F)    { fuzzCodec(f, codecs.RuleSet{}, "ruleset-v1") }
func FuzzDeadLetter(f *testing.F) { fuzzCodec(f, codecs.DeadLetter{}, "deadletter-v1") }

// FuzzDebezium requires changes or a complete error of any record, and changes that can be keyed and written. Beside an
// error, and where a record is refused, no row's contents are taken that were not read whole.
func FuzzDebezium(f *testing.F) {
	for _, file := range []string{"string-full", "precise", "schemas", "unwrap", "unwrap-rewrite-full",
		"transactions", "connect-time", "double", "nan-string",
		"types/adaptive", "types/connect", "types/isostring", "types/nanoseconds", "types/numeric-json",
		"types/string-default", "types/schemas-connect",
		"types/unwrap-source", "types/metadata-schemas", "types/cloudevents", "types/infinity"} {
		for i, r := range capture(f, file) {
			if key, value := r.bytes(); (i%5 == 0 || strings.HasPrefix(file, "types/")) && len(value) < 6000 {
				f.Add(key, value)
			}
		}
	}
	column := func(name string, declared brimline.ColumnType) func(*codecs.DebeziumOptions) {
		return func(o *codecs.DebeziumOptions) {
			o.Columns = append(o.Columns, brimline.Column{Name: name, Type: declared})
		}
	}
	decoders := []*codecs.Debezium{}
	for _, set := range []func(*codecs.DebeziumOptions){
		func(*codecs.DebeziumOptions) {},
		all(allowFloats, column("description", brimline.Text)),
		all(table("c_ts3", "timestamp(3)", "c_numeric_neg", "numeric(5,-2)", "c_char", "bpchar", "c_float4",
			"float4"), fullIdentity, skipOthers,
			column("c_ts3", brimline.Timestamp), column("c_numeric_neg", brimline.Numeric), column("c_char",
				brimline.Text), column("c_float4", brimline.Numeric)),
		all(table("amount", "int8", "timestamp", "timestamp"), minorUnits(2), identity("id"), decided(codecs.UnitNs)),
		all(table("user_id", "numeric(12,2)", "amount", "numeric(12,0)", "timestamp", "timestamp(0)"), key("user_id",
			"timestamp"), decidedDecimals(codecs.DecimalsPrecise)),
		all(table(), defaults("user_id", "77", "amount", "10", "timestamp", "2020-01-01 00:00:00+00"),
			decimals(codecs.DecimalsNumeric), explicit(codecs.UnitMs)),
		all(columnScale(2), func(o *codecs.DebeziumOptions) { o.Format = codecs.FormatFlat }),
	} {
		opt := options()
		set(&opt)
		decoders = append(decoders, decoder(f, opt))
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		for _, d := range decoders {
			read, err := d.Read(key, value)
			describe(t, read.Changes, err)
			if err != nil && read.Passed != "" || err == nil && (len(read.Changes) == 0) != (read.Passed != "") {
				t.Fatalf("%+v, %v", read, err)
			}
			for _, c := range read.Refused() {
				if c.Kind == brimline.Upsert || c.Row.Columns != nil {
					t.Fatalf("refused, and still %+v", c)
				}
			}
			for i := range read.Changes {
				c := &read.Changes[i]
				if c.Kind != brimline.Truncate && (c.User == "" || c.Row.User != c.User || c.Row.Amount.Abs() < 0) {
					t.Fatalf("%+v", c)
				}
				if c.Kind == brimline.Upsert && err != nil && kindOf(t, err) != codecs.KindMadeUpBefore && kindOf(t,
					err) != codecs.KindMissingColumn {
					t.Fatalf("%+v beside %v", c, err)
				}
				if got := decode(t, codecs.Change{}, encode(t, codecs.Change{}, c)); !reflect.DeepEqual(got, c) {
					t.Fatalf("on the wire: %+v, decoded from the event: %+v", got, c)
				}
			}
		}
	})
}
