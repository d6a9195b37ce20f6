package brimline

import (
	"bytes"
	"cmp"
	"math"
	"strconv"
)

// Row is a Transaction as windows keep it: without its user, who is the same in all of them, and with an
// integer id, as most ids are, kept as a number.
type Row struct {
	Time   Time
	Amount Amount
	Stamp  Stamp // of the newest change to the row; no part of its contents
	number int64 // the id, if it is an integer
	more   *moreOfRow
}

// moreOfRow has the members that most rows do not need.
type moreOfRow struct {
	id      string
	integer bool
	columns []Field
}

// RowOf gives t as a Row. Columns are shared.
func RowOf(t *Transaction) Row {
	number, integer := IntegerID(t.ID)
	r := Row{Time: t.Time, Amount: t.Amount, number: number}
	if !integer || t.Columns != nil {
		r.more = &moreOfRow{t.ID, integer, t.Columns}
	}
	return r
}

// RowsOf gives all of t as Rows.
func RowsOf(t []Transaction) []Row {
	if t == nil {
		return nil
	}
	rows := make([]Row, len(t))
	for i := range t {
		rows[i] = RowOf(&t[i])
	}
	return rows
}

// RowMaker makes rows of which several share an allocation.
type RowMaker struct {
	Expected int // how many more rows with a text as id, or columns, there may be
	slab     []moreOfRow
}

// Integer makes a row with an integer id.
func (m *RowMaker) Integer(time Time, amount Amount, id int64, columns []Field) Row {
	r := Row{Time: time, Amount: amount, number: id}
	if columns != nil {
		r.more = m.more(moreOfRow{strconv.FormatInt(id, 10), true, columns})
	}
	return r
}

// Text makes a row with an id of which IntegerID says false.
func (m *RowMaker) Text(time Time, amount Amount, id string, columns []Field) Row {
	return Row{Time: time, Amount: amount, more: m.more(moreOfRow{id, false, columns})}
}

func (m *RowMaker) more(of moreOfRow) *moreOfRow {
	if len(m.slab) == 0 {
		m.slab = make([]moreOfRow, max(1, min(m.Expected, 256)))
	}
	at := &m.slab[0]
	m.slab = m.slab[1:]
	m.Expected--
	*at = of
	return at
}

// Transaction gives the row as one of user's.
func (r *Row) Transaction(user string) Transaction {
	return Transaction{ID: r.ID(), User: user, Amount: r.Amount, Time: r.Time, Columns: r.Columns()}
}

// ID is the row's id in canonical text.
func (r *Row) ID() string {
	if r.more != nil {
		return r.more.id
	}
	return strconv.FormatInt(r.number, 10)
}

// IntegerID is the row's id, and false where it is not an integer.
func (r *Row) IntegerID() (int64, bool) { return r.number, r.more == nil || r.more.integer }

// IsPlain reports that the row has an integer id and no columns: what rows takes, it takes in itself.
func (r *Row) IsPlain() bool { return r.more == nil }

// Columns are Transaction.Columns, which must not be changed.
func (r *Row) Columns() []Field {
	if r.more == nil {
		return nil
	}
	return r.more.columns
}

// SameID reports whether r and o have the same id.
func (r *Row) SameID(o *Row) bool {
	a, integer := r.IntegerID()
	b, both := o.IntegerID()
	return integer == both && a == b && (integer || r.more.id == o.more.id)
}

// SameRow reports whether r and o have equal contents.
func (r *Row) SameRow(o *Row) bool {
	if r.Time != o.Time || r.Amount != o.Amount || !r.SameID(o) {
		return false
	}
	a, b := r.Columns(), o.Columns()
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// Compare is Transaction.Compare: by time, then by the id's text.
func (r *Row) Compare(o *Row) int {
	if r.Time != o.Time {
		return cmp.Compare(r.Time, o.Time)
	}
	if r.more == nil && o.more == nil {
		if r.number == o.number {
			return 0
		}
		var a, b [20]byte
		return bytes.Compare(strconv.AppendInt(a[:0], r.number, 10), strconv.AppendInt(b[:0], o.number, 10))
	}
	return cmp.Compare(r.ID(), o.ID())
}

// IntegerID is the value of an id that strconv.FormatInt would write the same.
func IntegerID(id string) (int64, bool) {
	digits := id
	if len(digits) > 1 && digits[0] == '-' {
		digits = digits[1:]
	}
	if len(digits) == 0 || len(digits) > 19 || digits[0] == '0' && id != "0" {
		return 0, false
	}
	var n uint64
	for i := range len(digits) {
		c := digits[i] - '0'
		if c > 9 {
			return 0, false
		}
		n = n*10 + uint64(c) // 19 digits fit
	}
	switch negative := len(digits) < len(id); {
	case !negative && n <= math.MaxInt64:
		return int64(n), true
	case negative && n <= math.MaxInt64+1:
		return -int64(n), true
	}
	return 0, false
}
