package codecs

// Kinds are all kinds of bad input that Debezium.Decode reports, so that each can be counted from zero. A test of
// package app finds a kind in the source that is missing here.
func Kinds() []string {
	return []string{
		KindBrokenJSON, KindUnknownShape, KindUnknownOp, KindOtherTable, KindEmptyKey, KindMissingColumn, KindWrongType,
		KindEmptyUser, KindAmountScale, KindAmountRange, KindAmountNaN, KindAmountSyntax, KindAmountAmbiguous,
		KindFloatAmount, KindBadTime, KindInfiniteTime, KindUnavailable, KindDeleteWithoutBefore, KindMadeUpBefore,
		KindFlatTombstone, KindTimeUnit, KindTimeCut, KindAmountScaleUnknown, KindAmountNotWhole, KindFloatColumn,
	}
}
