package debezium

import "github.com/brimline/brimline"

// Kinds of bad input that Decoder.Decode reports: labels of metrics and fields of dead letters, so they never change.
const (
	KindBrokenJSON          = "broken_json"           // the value is not JSON, not UTF-8, or names a member twice
	KindUnknownShape        = "unknown_shape"         // JSON, but no change event of the configured format
	KindUnknownOp           = "unknown_op"            // an operation other than c u d r t m
	KindOtherTable          = "other_table"           // a row of another table
	KindEmptyKey            = "empty_key"             // no record key: the table has no primary key
	KindMissingColumn       = "missing_column"        // the row lacks a column, or it is NULL and must not be
	KindWrongType           = "wrong_type"            // a value that its column's declared type does not allow
	KindEmptyUser           = "empty_user"            // the row belongs to no account
	KindAmountScale         = "amount_scale"          // more decimals than the configured scale
	KindAmountRange         = "amount_range"          // does not fit 64 bits at the configured scale
	KindAmountNaN           = "amount_nan"            // NaN or an infinity
	KindAmountSyntax        = "amount_syntax"         // text that is no decimal number
	KindAmountAmbiguous     = "amount_ambiguous"      // digits that are both a decimal and the base64 of another one
	KindFloatAmount         = "float_amount"          // went through a binary float
	KindBadTime             = "bad_time"              // no time, or out of range
	KindInfiniteTime        = "infinite_time"         // infinity or -infinity
	KindUnavailable         = "unavailable_value"     // an unchanged large text that Debezium did not send
	KindDeleteWithoutBefore = "delete_without_before" // a delete that does not say which user's row it was
	KindMadeUpBefore        = "made_up_before"        // a before image with placeholders for all but the key
	KindTimeUnit            = "time_unit"             // a number of an unknown unit, or of another than it should be
	KindTimeCut             = "time_cut"              // milliseconds of a column that holds more
	KindAmountScaleUnknown  = "amount_scale_unknown"  // a precise decimal whose scale nothing says
	KindAmountNotWhole      = "amount_not_whole"      // decimals where settings say whole numbers, or the reverse
	KindFloatColumn         = "float_column"          // a numeric column that went through a binary float
	KindFlatTombstone       = "flat_tombstone"        // a flattened delete, which says nothing but the key
)

// Kinds are all of them, so that each can be counted from zero. A test of package app finds a kind in the source that
// is missing here.
func Kinds() []string {
	return []string{
		KindBrokenJSON, KindUnknownShape, KindUnknownOp, KindOtherTable, KindEmptyKey, KindMissingColumn, KindWrongType,
		KindEmptyUser, KindAmountScale, KindAmountRange, KindAmountNaN, KindAmountSyntax, KindAmountAmbiguous,
		KindFloatAmount, KindBadTime, KindInfiniteTime, KindUnavailable, KindDeleteWithoutBefore, KindMadeUpBefore,
		KindFlatTombstone, KindTimeUnit, KindTimeCut, KindAmountScaleUnknown, KindAmountNotWhole, KindFloatColumn,
	}
}

const (
	remedyFullIdentity = "run ALTER TABLE … REPLICA IDENTITY FULL on the watched table, then start a new group, " +
		"because earlier changes stay incomplete"
	remedyPublisher = "find out who writes to the source topic: Debezium's JsonConverter does not write this"
	remedyDecimals  = "set --decimals=string if the connector has decimal.handling.mode=string, and " +
		"--decimals=precise if it has precise, its default"
)

func brokenJSON(format string, args ...any) error {
	return brimline.BadInput(KindBrokenJSON, remedyPublisher, format, args...)
}

func unknownShape(format string, args ...any) error {
	return brimline.BadInput(KindUnknownShape,
		"point the source at the topic of the watched table, and check that format says how the connector writes it",
		format, args...)
}

func wrongType(column, want, got string) error {
	return brimline.BadInput(KindWrongType,
		"check that the column settings name the right columns with the right types",
		"column %s should be %s and is %s", column, want, got)
}

func missingColumn(column string) error {
	return brimline.BadInput(KindMissingColumn,
		"check the column settings against the table; for a column added later, take a new snapshot",
		"the row has no column %s", column)
}

func nullColumn(column string) error {
	return brimline.BadInput(KindMissingColumn,
		"give the row a value and the column a NOT NULL constraint", "column %s is NULL", column)
}

func madeUpBefore() error {
	return brimline.BadInput(KindMadeUpBefore, remedyFullIdentity,
		"the row's earlier contents are placeholders, as PostgreSQL's default replica identity makes them: "+
			"whose row it was is not known")
}
