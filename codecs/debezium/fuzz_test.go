package debezium_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/codecs/debezium"
)

// FuzzDecoder requires changes or a complete error of any record, and changes that can be keyed and written. Beside an
// error, and where a record is refused, no row's contents are taken that were not read whole.
func FuzzDecoder(f *testing.F) {
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
	column := func(name string, declared brimline.ColumnType) func(*debezium.Options) {
		return func(o *debezium.Options) {
			o.Columns = append(o.Columns, brimline.Column{Name: name, Type: declared})
		}
	}
	decoders := []*debezium.Decoder{}
	for _, set := range []func(*debezium.Options){
		func(*debezium.Options) {},
		all(allowFloats, column("description", brimline.Text)),
		all(table("c_ts3", "timestamp(3)", "c_numeric_neg", "numeric(5,-2)", "c_char", "bpchar", "c_float4",
			"float4"), fullIdentity, skipOthers,
			column("c_ts3", brimline.Timestamp), column("c_numeric_neg", brimline.Numeric), column("c_char",
				brimline.Text), column("c_float4", brimline.Numeric)),
		all(table("amount", "int8", "timestamp", "timestamp"), minorUnits(2), identity("id"), decided(debezium.UnitNs)),
		all(table("user_id", "numeric(12,2)", "amount", "numeric(12,0)", "timestamp", "timestamp(0)"), key("user_id",
			"timestamp"), decidedDecimals(debezium.DecimalsPrecise)),
		all(table(), defaults("user_id", "77", "amount", "10", "timestamp", "2020-01-01 00:00:00+00"),
			decimals(debezium.DecimalsNumeric), explicit(debezium.UnitMs)),
		all(columnScale(2), func(o *debezium.Options) { o.Format = debezium.FormatFlat }),
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
				if c.Kind == brimline.Upsert && err != nil && kindOf(t, err) != debezium.KindMadeUpBefore && kindOf(t,
					err) != debezium.KindMissingColumn {
					t.Fatalf("%+v beside %v", c, err)
				}
				written, err := codecs.Change{}.Encode(c)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := (codecs.Change{}).Decode(written); err != nil || !reflect.DeepEqual(got, c) {
					t.Fatalf("on the wire: %+v, %v; decoded from the event: %+v", got, err, c)
				}
			}
		}
	})
}
