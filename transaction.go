package brimline

import (
	"fmt"
	"strconv"
	"strings"
)

// Transaction is one row of the watched table.
type Transaction struct {
	ID      string  // primary key in canonical text; composite keys as JoinID writes them
	User    string  // account the row belongs to, canonical text; never empty
	Amount  Amount  // at the group's scale
	Time    Time    // the row's own time, not that of its arrival
	Columns []Field // the columns that rules may ask about, in RuleSet.Columns order; nil where there are none
}

// Field is one further column of a row. Value is nil for SQL NULL, else by the
// column's type a string, an int64, a bool, a Decimal or a Time.
type Field struct {
	Name  string
	Value any
}

// Decimal is a numeric column's value of any scale in plain canonical text:
// no exponent, no leading zeros, no trailing zeros after the point.
type Decimal string

// Column returns the value of a column, and false where the row does not carry it.
func (t *Transaction) Column(name string) (any, bool) {
	for i := range t.Columns {
		if t.Columns[i].Name == name {
			return t.Columns[i].Value, true
		}
	}
	return nil, false
}

// SameRow reports whether t and o have equal contents.
func (t *Transaction) SameRow(o *Transaction) bool {
	if t.ID != o.ID || t.User != o.User || t.Amount != o.Amount || t.Time != o.Time || len(t.Columns) != len(o.Columns) {
		return false
	}
	for i := range t.Columns {
		if t.Columns[i] != o.Columns[i] {
			return false
		}
	}
	return true
}

// Compare orders rows by time, then id: the order of a window.
func (t *Transaction) Compare(o *Transaction) int {
	switch {
	case t.Time < o.Time:
		return -1
	case t.Time > o.Time:
		return 1
	case t.ID < o.ID:
		return -1
	case t.ID > o.ID:
		return 1
	}
	return 0
}

// ColumnType decides which operators a rule's expression may use on a column.
type ColumnType string

// The column types; anything else in a rules file is refused.
const (
	Text      ColumnType = "text"
	Integer   ColumnType = "integer"
	Numeric   ColumnType = "numeric"
	Boolean   ColumnType = "boolean"
	Timestamp ColumnType = "timestamp"
)

// Column declares a further column of the watched table.
type Column struct {
	Name string
	Type ColumnType
}

// Source says where a change came from.
type Source struct {
	Topic     string
	Partition int32
	Offset    int64
	LSN       uint64 // write-ahead log position of the row; 0 when the record does not say
	TxID      int64  // PostgreSQL transaction; 0 when the record does not say
	Commit    Time   // commit time as Debezium reports it (source.ts_us); 0 when the record does not say
	// Snapshot: a snapshot has found the row so. LSN and Commit are those of the snapshot.
	Snapshot bool
	// Life numbers the topics that have had the topic's name since the group began, from 0: one that is deleted and made
	// anew begins another life, and its offsets begin again.
	Life uint32
}

// FormatLSN writes an LSN as PostgreSQL does: "0/1A2B3C".
func FormatLSN(lsn uint64) string { return fmt.Sprintf("%X/%X", lsn>>32, uint32(lsn)) }

// ParseLSN reads what FormatLSN writes.
func ParseLSN(s string) (uint64, error) {
	high, low, ok := strings.Cut(s, "/")
	hi, err1 := strconv.ParseUint(high, 16, 32)
	lo, err2 := strconv.ParseUint(low, 16, 32)
	if !ok || err1 != nil || err2 != nil {
		return 0, fmt.Errorf("%q is not a write-ahead log position", s)
	}
	return hi<<32 | lo, nil
}
