package debezium

import (
	"errors"
	"fmt"
	"strings"

	"github.com/brimline/brimline"
)

// Use is the role of a column: one of the four below, or, for a further column, its brimline.ColumnType.
type Use string

// The uses that every watched table has.
const (
	UseID     Use = "id" // part of the primary key
	UseUser   Use = "user"
	UseAmount Use = "amount"
	UseTime   Use = "time"
)

// uses are sets of Use.
type uses uint16

const (
	asID uses = 1 << iota
	asUser
	asAmount
	asTime
	asText
	asInteger
	asNumeric
	asBoolean
	asTimestamp
)

var useBits = map[Use]uses{
	UseID: asID, UseUser: asUser, UseAmount: asAmount, UseTime: asTime,
	Use(brimline.Text): asText, Use(brimline.Integer): asInteger, Use(brimline.Numeric): asNumeric,
	Use(brimline.Boolean): asBoolean, Use(brimline.Timestamp): asTimestamp,
}

// typeUses says for which uses columns of a PostgreSQL type can be read: where stream and PostgreSQL agree about the
// value in every mode of a connector, as testdata/debezium/types shows. All others are refused.
var typeUses = map[string]uses{
	"int2": asInteger | asNumeric | asID | asUser | asAmount,
	"int4": asInteger | asNumeric | asID | asUser | asAmount,
	"int8": asInteger | asNumeric | asID | asUser | asAmount,
	"oid":  asID | asUser,
	// Text in the stream, or bytes, whatever its scale.
	"numeric": asNumeric | asID | asUser | asAmount,
	// Read with the digits that PostgreSQL and Go write, which are not Java's.
	"float4": asNumeric,
	"float8": asNumeric,
	"bool":   asBoolean,

	"timestamp":   asTimestamp | asTime | asID,
	"timestamptz": asTimestamp | asTime | asID,
	"date":        asTimestamp | asID, // midnight UTC

	"text":     asText | asID | asUser,
	"varchar":  asText | asID | asUser,
	"bpchar":   asText | asID | asUser, // without trailing blanks, which mean nothing
	"enum":     asText | asID | asUser,
	"uuid":     asText | asID | asUser,
	"inet":     asText | asID | asUser,
	"cidr":     asText | asID | asUser,
	"macaddr":  asText | asID | asUser,
	"macaddr8": asText | asID | asUser,
	"citext":   asText | asID,
	"json":     asText,
	"jsonb":    asText,
	"xml":      asText,
	"ltree":    asText,
}

// typeTroubles say why a type is not listed, or not for a use.
var typeTroubles = map[string]string{
	"citext":   "two spellings are one account in PostgreSQL and two in the stream",
	"name":     "Debezium leaves its values out of the stream",
	"hstore":   "Debezium writes it as JSON, and PostgreSQL does not",
	"money":    "its text depends on PostgreSQL's lc_monetary",
	"bytea":    "the stream has it as base64, and PostgreSQL does not",
	"interval": "the stream has it as a number of microseconds, in which a month has no fixed length",
	"bit":      "the stream has it as a boolean or as bytes",
	"varbit":   "the stream has it as bytes",
	"time":     "a time of day is no point in time",
	"timetz":   "a time of day is no point in time",
	"float4":   "a binary float does not hold every decimal",
	"float8":   "a binary float does not hold every decimal",
}

// Reads reports whether the stream and PostgreSQL say the same of a column with these facts, taken for a use. Its error
// is a *brimline.Error of ClassInput that names the column, with a remedy. Amounts that are floats are refused here;
// AllowFloatAmounts is for who asks.
func Reads(use Use, name string, facts ColumnFacts) error {
	can := typeUses[facts.Type]
	if can&useBits[use] != 0 {
		return nil
	}
	verdict, declared := "be the "+string(use), false
	switch use {
	case UseID:
		verdict = "be part of the id"
	case UseUser, UseAmount, UseTime:
	default:
		verdict, declared = "be read as "+string(use), true
	}
	what := fmt.Sprintf("is of PostgreSQL's type %s, which cannot %s", facts.Type, verdict)
	why := typeTroubles[facts.Type]
	if strings.HasPrefix(facts.Type, "_") {
		why = "the stream has it as a list"
	}
	if why != "" && !(declared && can != 0) { // else the remedy says enough
		what += ": " + why
	}
	return &brimline.Error{Class: brimline.ClassInput, Kind: "column_type", Where: "column " + name,
		Remedy: otherUse(use, can), Err: errors.New(what)}
}

// otherUse is the remedy for a column that cannot be taken for a use.
func otherUse(use Use, can uses) string {
	switch use {
	case UseID:
		return "name the primary key with --id-column; if this is it, watch a table with another key"
	case UseUser:
		return "name another column with --user-column, or change the column's type to text, uuid or an integer type"
	case UseAmount:
		return "name another column with --amount-column, or change the column's type to numeric; " +
			"allow_float_amounts takes floats that may not be exact"
	case UseTime:
		return "name another column with --time-column, a timestamptz or timestamp"
	}
	for _, t := range []brimline.ColumnType{brimline.Integer, brimline.Numeric, brimline.Boolean, brimline.Timestamp,
		brimline.Text} {
		if can&useBits[Use(t)] != 0 {
			return "declare it " + string(t) + " in the rules file"
		}
	}
	return "take it out of the rules, or give the table a column of a type that can be read, with the same meaning"
}
