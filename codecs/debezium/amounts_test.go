package debezium_test

import (
	"encoding/base64"
	"errors"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs/debezium"
)

func decimals(how debezium.Decimals) func(*debezium.Options) {
	return func(o *debezium.Options) { o.Decimals = how }
}

func decidedDecimals(how debezium.Decimals) func(*debezium.Options) {
	return func(o *debezium.Options) { o.DecidedDecimals = how }
}

func columnScale(scale int) func(*debezium.Options) {
	return func(o *debezium.Options) { o.AmountColumnScale = &scale }
}

func minorUnits(n int) func(*debezium.Options) {
	return func(o *debezium.Options) { o.AmountMinorUnits = n }
}

func scale(n int) func(*debezium.Options) {
	return func(o *debezium.Options) { o.Scale = n }
}

func allowFloats(o *debezium.Options) { o.AllowFloatAmounts = true }

// preciseOf is n × 10^exponent as a precise decimal: numeric(p,-2) comes with the exponent 2048.
func preciseOf(n int64, exponent int64) string {
	v := new(big.Int).Mul(big.NewInt(n), new(big.Int).Exp(big.NewInt(10), big.NewInt(exponent), nil))
	return `"` + base64Of(v) + `"`
}

func TestAmountsByWhatIsKnown(t *testing.T) {
	typed := func(field, value string) string {
		return `{"schema":{"type":"struct","fields":[{` + field + `,"field":"amount"}]},"payload":` + value + `}`
	}
	const decimal2 = `"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"}`
	for _, test := range []struct {
		name  string
		value string
		set   func(*debezium.Options)
		want  string
		by    string
		typed string
	}{
		// precise: bytes without their scale.
		{"precise, nothing is known", `"BNI="`, nil, debezium.KindAmountScaleUnknown, "", ""},
		{"precise, nothing is known of this column", `"BNI="`,
			func(o *debezium.Options) { o.Facts = map[string]debezium.ColumnFacts{} },
			debezium.KindAmountScaleUnknown, "", ""},
		{"precise, set by hand", `"BNI="`, columnScale(2), "12.34", "", ""},
		{"precise, numeric(12,2)", `"BNI="`, table(), "12.34", "", ""},
		{"precise, numeric(12,4)", `"AYag"`, table("amount", "numeric(12,4)"), "10.00", "", ""},
		{"precise, numeric(12,4), other digits", `"B6Eg"`, table("amount", "numeric(12,4)"), "50.00", "", ""},
		{"precise, numeric(12,0)", `"BA=="`, table("amount", "numeric(12,0)"), "4.00", "", ""},
		{"precise, numeric(5,-2), as Debezium 3.7 writes it", preciseOf(123, 2048), table("amount", "numeric(5,-2)"),
			"12300.00", "", ""},
		{"precise, numeric(5,-2), negative", preciseOf(-99999, 2048), table("amount", "numeric(5,-2)"),
			"-9999900.00", "", ""},
		{"precise, numeric(5,-2), plain", `"AOI="`, table("amount", "numeric(5,-2)"), "22600.00", "", ""},
		{"precise, numeric(5,-2), 0", `"AA=="`, table("amount", "numeric(5,-2)"), "0.00", "", ""},
		{"precise, numeric: with its scale", `{"scale":1,"value":"fQ=="}`, table("amount", "numeric"), "12.50", "", ""},
		{"precise, numeric: without its scale", `"fQ=="`, all(table("amount", "numeric"),
			decimals(debezium.DecimalsPrecise)), debezium.KindAmountScaleUnknown, "", ""},
		{"schema wins over facts", `"BNI="`, table("amount", "numeric(12,4)"), "12.34", "", decimal2},

		// Texts that could be both.
		{"1000, nothing is known", `"1000"`, nil, debezium.KindAmountAmbiguous, "", ""},
		{"1000 of numeric(12,0)", `"1000"`, table("amount", "numeric(12,0)"), debezium.KindAmountAmbiguous, "", ""},
		{"1000 of numeric(12,0), decided", `"1000"`, all(table("amount", "numeric(12,0)"),
			decidedDecimals(debezium.DecimalsString)), "1000.00", "", ""},
		{"1000 of numeric(12,0), decided precise", `"1000"`, all(table("amount", "numeric(12,0)"),
			decidedDecimals(debezium.DecimalsPrecise)), "-2667212.00", "", ""},
		{"base64 where digits were decided", `"Bdw="`, all(table("amount", "numeric(12,0)"),
			decidedDecimals(debezium.DecimalsString)), debezium.KindAmountAmbiguous, "", ""},
		{"digits where base64 was decided", `"160"`, all(table("amount", "numeric(12,0)"),
			decidedDecimals(debezium.DecimalsPrecise)), debezium.KindAmountAmbiguous, "", ""},
		{"digits with decimals where base64 was decided", `"10.00"`, all(table("amount", "numeric(12,2)"),
			decidedDecimals(debezium.DecimalsPrecise)), "10.00", "", ""},
		{"1000 of numeric(12,0), set", `"1000"`, all(table("amount", "numeric(12,0)"),
			decimals(debezium.DecimalsString)), "1000.00", "", ""},
		{"1000 of numeric(12,0), set and decided", `"1000"`, all(table("amount", "numeric(12,0)"),
			decimals(debezium.DecimalsString), decidedDecimals(debezium.DecimalsPrecise)), "1000.00", "", ""},
		{"100 of numeric(12,0)", `"100"`, table("amount", "numeric(12,0)"), "100.00", "", ""},
		{"-123 of numeric(12,0)", `"-123"`, table("amount", "numeric(12,0)"), "-123.00", "", ""},
		{"1000 of our capture", `"1000"`, nil, "1000.00", "brimline/2", ""},
		{"12345678 of our capture", `"12345678"`, table("amount", "numeric"), "12345678.00", "brimline", ""},
		{"1500 of our capture, numeric(12,0)", `"1500"`, table("amount", "numeric(12,0)"), "1500.00", "brimline", ""},
		{"1000 of numeric: precise ones have their scale", `"1000"`, table("amount", "numeric"), "1000.00", "", ""},
		{"12345678 of numeric", `"12345678"`, table("amount", "numeric"), "12345678.00", "", ""},
		{"1000 of numeric(12,2): strings have a point", `"1000"`, table(), "-26672.12", "", ""},
		{"1000.00 of numeric(12,2)", `"1000.00"`, table(), "1000.00", "", ""},
		{"1E-10 of numeric(30,10), as Java writes it", `"1E-10"`, all(table("amount", "numeric(30,10)"), scale(10)),
			"0.0000000001", "", ""},
		{"0E-10 of numeric(30,10), as Java writes it", `"0E-10"`, table("amount", "numeric(30,10)"), "0.00", "", ""},
		{"1000.000 of numeric(12,3)", `"1000.000"`, table("amount", "numeric(12,3)"), "1000.00", "", ""},
		{"base64 with + of numeric(12,2)", `"+r+q"`, table(), "-3441.50", "", ""},
		{"1000 of int8", `"1000"`, table("amount", "int8"), "1000.00", "", ""},
		{"the text of numeric(5,-2)", `"12300.` + strings.Repeat("0", 2046) + `"`, table("amount", "numeric(5,-2)"),
			"12300.00", "", ""},
		{"the text of numeric(5,-2), plain", `"1200"`, table("amount", "numeric(5,-2)"), debezium.KindAmountAmbiguous,
			"", ""},
		{"NaN of our capture", `"NAN"`, nil, debezium.KindAmountNaN, "brimline/2", ""},

		// JSON numbers.
		{"number with a fraction", `12.34`, table(), debezium.KindFloatAmount, "", ""},
		{"number with a fraction, exact", `12.34`, decimals(debezium.DecimalsNumeric), "12.34", "", ""},
		{"number with zeros, exact", `1000.00`, all(table(), decimals(debezium.DecimalsNumeric)), "1000.00", "", ""},
		{"number with exponent, exact", `1.2E+3`, decimals(debezium.DecimalsNumeric), "1200.00", "", ""},
		{"number of many digits, exact", `90071992547409.93`, decimals(debezium.DecimalsNumeric), "90071992547409.93",
			"", ""},
		{"number beyond the scale, exact", `12.345`, decimals(debezium.DecimalsNumeric), debezium.KindAmountScale, "", ""},
		{"number that its schema calls a double", `12.34`, decimals(debezium.DecimalsNumeric), debezium.KindFloatAmount,
			"", `"type":"double"`},
		{"number that its schema calls a double, allowed", `12.34`, allowFloats, "12.34", "", `"type":"double"`},
		{"number of a Decimal", `12.34`, nil, "12.34", "", decimal2},
		{"whole number", `1000`, decimals(debezium.DecimalsNumeric), "1000.00", "", ""},
		{"text beside numeric", `"1000"`, decimals(debezium.DecimalsNumeric), debezium.KindAmountAmbiguous, "", ""},
		{"text beside numeric, with a point", `"1000.50"`, decimals(debezium.DecimalsNumeric), "1000.50", "", ""},
		{"struct beside numeric", `{"scale":1,"value":"fQ=="}`, decimals(debezium.DecimalsNumeric), "12.50", "", ""},

		// Minor units.
		{"cents", `50000`, minorUnits(2), "500.00", "", ""},
		{"cents of int8", `50050`, all(table("amount", "int8"), minorUnits(2)), "500.50", "", ""},
		{"cents of int4, negative", `-1`, all(table("amount", "int4"), minorUnits(2)), "-0.01", "", ""},
		{"cents of int2", `32767`, all(table("amount", "int2"), minorUnits(2)), "327.67", "", ""},
		{"cents of numeric(12,0), text", `"5005"`, all(table("amount", "numeric(12,0)"), minorUnits(2),
			decimals(debezium.DecimalsString)), "50.05", "", ""},
		{"cents of numeric(12,0), precise", `"E40="`, all(table("amount", "numeric(12,0)"), minorUnits(2)), "50.05",
			"", ""},
		{"cents, precise, without facts", `"E40="`, minorUnits(2), "50.05", "", ""},
		{"largest int8 of cents", `9223372036854775807`, all(table("amount", "int8"), minorUnits(2)),
			"92233720368547758.07", "", ""},
		{"largest int8 of thousandths at scale 2", `9223372036854775807`, minorUnits(3), debezium.KindAmountScale, "",
			""},
		{"thousandths that end in zero", `9223372036854775800`, minorUnits(3), "9223372036854775.80", "", ""},
		{"thousandths that fit scale 2", `50010`, minorUnits(3), "50.01", "", ""},
		{"thousandths that do not", `50011`, minorUnits(3), debezium.KindAmountScale, "", ""},
		{"cents at scale 4", `50011`, all(minorUnits(2), scale(4)), "500.1100", "", ""},
		{"cents at scale 0", `50011`, all(minorUnits(2), scale(0)), debezium.KindAmountScale, "", ""},
		{"cents at scale 0 that fit", `50000`, all(minorUnits(2), scale(0)), "500", "", ""},
		{"cents beyond 64 bits at scale 18", `9223372036854775807`, all(minorUnits(2), scale(18)),
			debezium.KindAmountRange, "", ""},
		{"cents with a fraction", `"500.10"`, minorUnits(2), debezium.KindAmountNotWhole, "", ""},
		{"cents with an empty fraction", `"500.00"`, minorUnits(2), debezium.KindAmountNotWhole, "", ""},
		{"cents with a scale", `{"scale":2,"value":"fQ=="}`, minorUnits(2), debezium.KindAmountNotWhole, "", ""},
		{"cents with a scale of 0", `{"scale":0,"value":"fQ=="}`, minorUnits(2), "1.25", "", ""},
		{"cents, says the schema, with a scale", `"fQ=="`, minorUnits(2), debezium.KindAmountNotWhole, "", decimal2},
		{"cents as a double", `50000.0`, all(minorUnits(2), allowFloats), "500.00", "", ""},
		{"cents as a double with a fraction", `50000.5`, all(minorUnits(2), allowFloats), debezium.KindAmountNotWhole,
			"", ""},
		{"cents that are a negative zero", `-0`, minorUnits(2), "0.00", "", ""},

		// A setting without effect.
		{"a scale set for what comes as whole numbers", `50000`, columnScale(2), debezium.KindAmountNotWhole, "", ""},
		{"a scale of 0 set for what comes as whole numbers", `50000`, columnScale(0), "50000.00", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			opt := options()
			if test.set != nil {
				test.set(&opt)
			}
			value := inserted("amount", test.value)
			if test.by != "" {
				value = by(test.by, value)
			}
			if test.typed != "" {
				value = typed(test.typed, value)
			}
			changes, err := decoder(t, opt).Decode([]byte(`{"id":1}`), []byte(value))
			got := ""
			if err != nil {
				got = kindOf(t, err)
			} else {
				got = changes[0].Row.Amount.Format(opt.Scale)
			}
			if got != test.want {
				t.Errorf("got %s (%v), want %s", got, err, test.want)
			}
		})
	}
}

// Minor units are a matter of whole numbers: what comes out is n × 10^-minor, or nothing.
func TestMinorUnitsAreExact(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n, minor, at := rapid.Int64().Draw(rt, "n"), rapid.IntRange(1, 18).Draw(rt, "minor"), rapid.IntRange(0,
			18).Draw(rt, "scale")
		opt := options()
		opt.AmountMinorUnits, opt.Scale = minor, at
		changes, err := decoder(rt, opt).Decode([]byte("1"), []byte(inserted("amount", big.NewInt(n).String())))
		want := new(big.Rat).SetFrac(big.NewInt(n), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(minor)), nil))
		unit := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(at)), nil))
		units := new(big.Rat).Mul(want, unit)
		fits := units.IsInt() && new(big.Int).Abs(units.Num()).IsInt64()
		switch {
		case err != nil && fits:
			rt.Fatalf("%d at %d in scale %d: %v", n, minor, at, err)
		case err == nil && !fits:
			rt.Fatalf("%d at %d in scale %d was taken as %s", n, minor, at, changes[0].Row.Amount.Format(at))
		case err == nil && int64(changes[0].Row.Amount) != units.Num().Int64():
			rt.Fatalf("%d at %d in scale %d: got %s", n, minor, at, changes[0].Row.Amount.Format(at))
		}
	})
}

// A further column of type numeric is one text, however the connector writes it.
func TestNumericColumns(t *testing.T) {
	for _, test := range []struct {
		name, value string
		set         func(*debezium.Options)
		want        string
	}{
		{"precise, numeric(12,4)", `"AYag"`, table("x", "numeric(12,4)"), "10"},
		{"string, numeric(12,4)", `"10.0000"`, table("x", "numeric(12,4)"), "10"},
		{"precise, numeric", `{"scale":1,"value":"fQ=="}`, table("x", "numeric"), "12.5"},
		{"string, numeric", `"1000"`, table("x", "numeric"), "1000"},
		{"precise, numeric(5,-2)", preciseOf(123, 2048), table("x", "numeric(5,-2)"), "12300"},
		{"numeric(12,0), ambiguous", `"1000"`, table("x", "numeric(12,0)"), debezium.KindAmountAmbiguous},
		{"numeric(12,0), decided", `"1000"`, all(table("x", "numeric(12,0)"),
			decidedDecimals(debezium.DecimalsString)), "1000"},
		{"precise, nothing is known", `"BNI="`, nil, debezium.KindWrongType},
		{"number, numeric: it went through a float", `0.1`, table("x", "numeric(12,2)"), debezium.KindFloatColumn},
		{"number, numeric, exact", `12345678901234567890.0123456789`, all(table("x", "numeric(30,10)"),
			decimals(debezium.DecimalsNumeric)), "12345678901234567890.0123456789"},
		{"number, numeric, floats allowed", `0.1`, all(table("x", "numeric(12,2)"), allowFloats), "0.1"},
		{"number, nothing is known", `0.1`, nil, "0.1"},
		{"int8", `9007199254740993`, table("x", "int8"), "9007199254740993"},
		{"float8", `0.1`, table("x", "float8"), "0.1"},
		{"float8, Java's digits", `2.0E-3`, table("x", "float8"), "0.002"},
		{"float8, more digits than Go and PostgreSQL write", `2.2250738585072014E-308`, table("x", "float8"), "0." +
			strings.Repeat("0", 307) + "22250738585072014"},
		{"float8, not the shortest digits", `2.0000000000000001`, table("x", "float8"), "2"},
		{"float8, beyond a float's exact digits", `1.0E23`, table("x", "float8"), "1" + strings.Repeat("0", 23)},
		{"float4", `0.1`, table("x", "float4"), "0.1"},
		{"float4, widened to a double", `0.10000000149011612`, table("x", "float4"), "0.1"},
		{"float4, large", `16777216.0`, table("x", "float4"), "16777216"},
		{"float8 in text", `"0.1"`, table("x", "float8"), "0.1"},
		{"float8 NaN", `"NaN"`, table("x", "float8"), debezium.KindWrongType},
		{"float4 beyond its range", `1e300`, table("x", "float4"), debezium.KindWrongType},
	} {
		opt := options()
		opt.Columns = []brimline.Column{{Name: "x", Type: brimline.Numeric}}
		if test.set != nil {
			test.set(&opt)
		}
		value := event("c", "null", strings.TrimSuffix(goodRow, "}")+`,"x":`+test.value+`}`)
		changes, err := decoder(t, opt).Decode([]byte(`{"id":1}`), []byte(value))
		got := ""
		if err != nil {
			got = kindOf(t, err)
		} else if d, ok := changes[0].Row.Columns[0].Value.(brimline.Decimal); ok {
			got = string(d)
		}
		if got != test.want {
			t.Errorf("%s: got %s (%v), want %s", test.name, got, err, test.want)
		}
	}
}

// A remedy is one that is not in force already.
func TestAmountRemedies(t *testing.T) {
	for _, test := range []struct {
		name, value string
		set         func(*debezium.Options)
		want        []string
		not         string
	}{
		{"ambiguous", `"1000"`, table("amount", "numeric(12,0)"), []string{"--decimals=string",
			"--decimals=precise"}, "set decimal.handling.mode=string"},
		{"no scale", `"BNI="`, nil, []string{"--amount-column-scale"}, ""},
		{"a float, or not", `1.5`, table(), []string{"decimal.handling.mode=string", "--decimals=numeric",
			"decimal.format=NUMERIC"}, ""},
		{"not whole", `"1.50"`, minorUnits(2), []string{"--amount-minor-units"}, ""},
		{"a scale without effect", `50000`, columnScale(2), []string{"--amount-column-scale",
			"--amount-minor-units"}, ""},
	} {
		opt := options()
		if test.set != nil {
			test.set(&opt)
		}
		_, err := decoder(t, opt).Decode([]byte(`{"id":1}`), []byte(inserted("amount", test.value)))
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
		if test.not != "" && strings.Contains(e.Remedy, test.not) {
			t.Errorf("%s: remedy %q says %s", test.name, e.Remedy, test.not)
		}
	}
}

// Settings that contradict the table, or have no effect on it, are refused by name.
func TestOptionsAgainstFacts(t *testing.T) {
	column := func(name string, declared brimline.ColumnType) func(*debezium.Options) {
		return func(o *debezium.Options) {
			o.Columns = append(o.Columns, brimline.Column{Name: name, Type: declared})
		}
	}
	for _, test := range []struct {
		name string
		set  func(*debezium.Options)
		want []string // none: they are fine
	}{
		{"all fits", table(), nil},
		{"a scale for an integer column", all(table("amount", "int8"), columnScale(2)),
			[]string{"amount_column_scale", "no effect", "amount_minor_units"}},
		{"a scale for an unconstrained column", all(table("amount", "numeric"), columnScale(2)),
			[]string{"amount_column_scale", "no effect"}},
		{"another scale than the column's", all(table("amount", "numeric(12,4)"), columnScale(2)),
			[]string{"amount_column_scale is 2", "has 4"}},
		{"the column's scale", all(table("amount", "numeric(12,4)"), columnScale(4)), nil},
		{"minor units of numeric(12,2)", all(table(), minorUnits(2)), []string{"amount_minor_units", "numeric(…,2)"}},
		{"minor units of numeric", all(table("amount", "numeric"), minorUnits(2)), []string{"amount_minor_units",
			"numeric"}},
		{"minor units of numeric(12,0)", all(table("amount", "numeric(12,0)"), minorUnits(2)), nil},
		{"minor units and a scale", all(minorUnits(2), columnScale(2)), []string{"amount_minor_units",
			"amount_column_scale"}},
		{"minor units beyond all", minorUnits(19), []string{"amount_minor_units 19"}},
		{"minor units below 0", minorUnits(-1), []string{"amount_minor_units -1"}},
		{"money", table("amount", "money"), []string{"amount", "money"}},
		{"float amount", table("amount", "float8"), []string{"amount", "float8", "allow_float_amounts"}},
		{"float amount, allowed", all(table("amount", "float8"), allowFloats), nil},
		{"the time is a number", table("timestamp", "int8"), []string{"timestamp", "int8"}},
		{"the time is a date", table("timestamp", "date"), []string{"timestamp", "date"}},
		{"the time is a time of day", table("timestamp", "time"), []string{"timestamp", "time"}},
		{"the user is citext", table("user_id", "citext"), []string{"user_id", "citext"}},
		{"the user is a float", table("user_id", "float8"), []string{"user_id", "float8"}},
		{"the key is bytea", table("id", "bytea"), []string{"id", "bytea"}},
		{"the key is of type name", table("id", "name"), []string{"id", "name"}},
		{"integer declared on numeric", all(table("n", "numeric(12,0)"), column("n", brimline.Integer)),
			[]string{"n", "declare it numeric"}},
		{"text declared on bool", all(table("n", "bool"), column("n", brimline.Text)), []string{"n",
			"declare it boolean"}},
		{"text declared on a date", all(table("n", "date"), column("n", brimline.Text)), []string{"n",
			"declare it timestamp"}},
		{"text declared on int4", all(table("n", "int4"), column("n", brimline.Text)), []string{"n",
			"declare it integer"}},
		{"text declared on an array", all(table("n", "_text"), column("n", brimline.Text)), []string{"n", "_text"}},
		{"text declared on hstore", all(table("n", "hstore"), column("n", brimline.Text)), []string{"n", "hstore"}},
		{"two at once", all(table("n", "bool", "m", "money"), column("n", brimline.Text), column("m",
			brimline.Numeric)), []string{"column n", "column m"}},
		{"a column that the catalog does not have", all(table(), column("n", brimline.Text)), nil},
		{"an unknown decided unit", decided("h"), []string{`"h"`}},
		{"unknown decided decimals", decidedDecimals("roman"), []string{`"roman"`}},
		{"unknown other tables", func(o *debezium.Options) { o.OtherTables = "drop" }, []string{`"drop"`}},
	} {
		opt := options()
		test.set(&opt)
		_, err := debezium.New(opt)
		if (err == nil) != (len(test.want) == 0) {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v does not say %s", test.name, err, want)
			}
		}
	}
}

// base64Of is how Kafka Connect's JsonConverter writes an unscaled integer.
func base64Of(n *big.Int) string {
	size := n.BitLen()/8 + 1
	b := make([]byte, size)
	if n.Sign() < 0 {
		n = new(big.Int).Add(n, new(big.Int).Lsh(big.NewInt(1), uint(8*size)))
	}
	return base64.StdEncoding.EncodeToString(n.FillBytes(b))
}
