package codecs

import (
	"math"
	"strconv"
	"strings"

	"github.com/brimline/brimline"
)

// unavailableValue stands for a large text that an update left as it was.
const unavailableValue = "__debezium_unavailable_value"

// upserted makes the changes of a row that is there now. Before is what it was, nil where that is not known.
func (d *Debezium) upserted(before, after []jsonValue, schema *inlineSchema, source brimline.Source) ([]brimline.Change, error) {
	if err := d.fillUnavailable(before, after); err != nil {
		return nil, err
	}
	row, err := d.transaction(after, schema)
	if err != nil {
		return nil, err
	}
	if len(d.further) > 0 {
		if row.Columns, err = d.columns(after, schema); err != nil {
			return nil, err
		}
	}
	upsert := brimline.Change{Kind: brimline.Upsert, User: row.User, Row: row, Source: source}
	if before == nil || d.sameOwner(before, after) {
		return []brimline.Change{upsert}, nil
	}
	if err := d.incomplete(before); err != nil {
		return nil, err
	}
	old, err := d.transaction(before, schema)
	if err != nil || madeUp(&old) {
		if err == nil {
			return nil, madeUpBefore()
		}
		// The old row met the same error when it came, so no window holds it.
		return []brimline.Change{upsert}, nil
	}
	if old.ID == row.ID && old.User == row.User {
		return []brimline.Change{upsert}, nil
	}
	return []brimline.Change{{Kind: brimline.Delete, User: old.User, Row: old, Source: source}, upsert}, nil
}

// deleted makes the change of a row that is gone. Its further columns are left
// out: nobody asks about them.
func (d *Debezium) deleted(before []jsonValue, schema *inlineSchema, source brimline.Source) ([]brimline.Change, error) {
	if err := d.incomplete(before); err != nil {
		return nil, err
	}
	row, err := d.transaction(before, schema)
	if err != nil {
		// Text users are made up as "", which is refused before the row is complete enough to tell.
		if d.emptyTextUser(before) {
			return nil, madeUpBefore()
		}
		return nil, err
	}
	if madeUp(&row) {
		return nil, madeUpBefore()
	}
	return []brimline.Change{{Kind: brimline.Delete, User: row.User, Row: row, Source: source}}, nil
}

// madeUp reports whether a before image holds what Debezium puts where
// PostgreSQL sent nothing: 0 and the epoch.
func madeUp(row *brimline.Transaction) bool { return row.Amount == 0 && row.Time == 0 }

// emptyTextUser reports whether the user is the empty text.
func (d *Debezium) emptyTextUser(row []jsonValue) bool { return row[d.user].is("") }

// incomplete refuses a before image without the columns that a window needs:
// nullable columns are NULL where PostgreSQL sent nothing.
func (d *Debezium) incomplete(before []jsonValue) error {
	for _, i := range d.vital {
		switch before[i].kind {
		case jsonAbsent:
			return missingColumn(d.names[i])
		case jsonNull:
			return madeUpBefore()
		}
	}
	return nil
}

// sameOwner reports whether user and id are the same text in both images, which
// is so for nearly all updates.
func (d *Debezium) sameOwner(before, after []jsonValue) bool {
	if string(before[d.user].raw) != string(after[d.user].raw) {
		return false
	}
	for _, i := range d.id {
		if string(before[i].raw) != string(after[i].raw) {
			return false
		}
	}
	return true
}

// fillUnavailable takes from before what Debezium left out of after.
func (d *Debezium) fillUnavailable(before, after []jsonValue) error {
	for i := range after {
		if !after[i].is(unavailableValue) {
			continue
		}
		if before == nil || before[i].kind == jsonAbsent || before[i].is(unavailableValue) {
			return brimline.BadInput(KindUnavailable, remedyFullIdentity,
				"column %s holds a large value that the update did not change, and the record does not carry it", d.names[i])
		}
		after[i] = before[i]
	}
	return nil
}

// transaction makes a row without its further columns.
func (d *Debezium) transaction(row []jsonValue, schema *inlineSchema) (t brimline.Transaction, err error) {
	if t.ID, err = d.primaryKey(row, schema); err != nil {
		return t, err
	}
	switch row[d.user].kind {
	case jsonAbsent:
		return t, missingColumn(d.names[d.user])
	case jsonNull:
		return t, emptyUser()
	}
	if t.User, err = d.identifier(row, d.user, schema); err != nil {
		return t, err
	}
	if t.User == "" {
		return t, emptyUser()
	}
	if err := d.needed(row, d.amount); err != nil {
		return t, err
	}
	if t.Amount, err = d.amountOf(&row[d.amount], schema.of(d.amount)); err != nil {
		return t, err
	}
	if err := d.needed(row, d.time); err != nil {
		return t, err
	}
	t.Time, err = d.timeOf(&row[d.time], d.names[d.time], schema.of(d.time))
	return t, err
}

func emptyUser() error {
	return brimline.BadInput(KindEmptyUser,
		"give every row an account, or leave such rows out with a row filter on the publication", "the row belongs to no account")
}

func (d *Debezium) needed(row []jsonValue, slot int) error {
	switch row[slot].kind {
	case jsonAbsent:
		return missingColumn(d.names[slot])
	case jsonNull:
		return nullColumn(d.names[slot])
	}
	return nil
}

func (d *Debezium) primaryKey(row []jsonValue, schema *inlineSchema) (string, error) {
	if len(d.id) == 1 {
		if err := d.needed(row, d.id[0]); err != nil {
			return "", err
		}
		return d.identifier(row, d.id[0], schema)
	}
	parts := make([]string, len(d.id))
	for i, slot := range d.id {
		if err := d.needed(row, slot); err != nil {
			return "", err
		}
		var err error
		if parts[i], err = d.identifier(row, slot, schema); err != nil {
			return "", err
		}
	}
	return brimline.JoinID(parts...), nil
}

// identifier is the canonical text of an integer, text or uuid.
func (d *Debezium) identifier(row []jsonValue, slot int, schema *inlineSchema) (string, error) {
	v := &row[slot]
	switch v.kind {
	case jsonNumber:
		if s := string(v.raw); isInteger(v.raw) {
			if s == "-0" {
				s = "0"
			}
			return s, nil
		}
		return "", wrongType(d.names[slot], "an integer, text or uuid", "the fraction "+excerpt(v.raw))
	case jsonString:
		if c := schema.of(slot); c != nil && c.name == connectDecimal {
			n, err := unscaled(v.raw, c.scale)
			if err != nil {
				return "", wrongType(d.names[slot], "a decimal", excerpt(v.raw))
			}
			return n.text(), nil
		}
		return d.textOf(v, d.names[slot])
	}
	return "", wrongType(d.names[slot], "an integer, text or uuid", v.kind.String())
}

// textOf is a text that PostgreSQL can hold.
func (d *Debezium) textOf(v *jsonValue, column string) (string, error) {
	s, ok := v.text()
	switch {
	case v.kind != jsonString:
		return "", wrongType(column, "text", v.kind.String())
	case !ok || strings.IndexByte(s, 0) >= 0:
		return "", wrongType(column, "text", "text with a NUL or half a surrogate pair, which PostgreSQL cannot hold")
	}
	return s, nil
}

// columns are the further columns, in the order they were declared.
func (d *Debezium) columns(row []jsonValue, schema *inlineSchema) ([]brimline.Field, error) {
	fields := make([]brimline.Field, len(d.further))
	for i, slot := range d.further {
		c := &d.opt.Columns[i]
		v, err := d.column(&row[slot], c, schema.of(slot))
		if err != nil {
			return nil, err
		}
		fields[i] = brimline.Field{Name: c.Name, Value: v}
	}
	return fields, nil
}

func (d *Debezium) column(v *jsonValue, c *brimline.Column, schema *columnSchema) (any, error) {
	switch v.kind {
	case jsonAbsent:
		return nil, missingColumn(c.Name)
	case jsonNull:
		return nil, nil
	}
	switch c.Type {
	case brimline.Integer:
		if n, ok := integer(v); ok {
			return n, nil
		}
		return nil, wrongType(c.Name, "a 64-bit integer", v.kind.String()+" "+excerpt(v.raw))
	case brimline.Numeric:
		return d.decimalColumn(v, c.Name, schema)
	case brimline.Boolean:
		if v.kind != jsonBool {
			return nil, wrongType(c.Name, "a boolean", v.kind.String())
		}
		return v.raw[0] == 't', nil
	case brimline.Timestamp:
		return d.timeOf(v, c.Name, schema)
	default:
		return d.textOf(v, c.Name)
	}
}

// integer reads a JSON number without fraction and exponent.
func integer(v *jsonValue) (int64, bool) {
	if v.kind != jsonNumber || !isInteger(v.raw) {
		return 0, false
	}
	var n int64
	digits, neg := v.raw, false
	if digits[0] == '-' {
		digits, neg = digits[1:], true
	}
	if len(digits) > 18 { // may not fit; rare
		n, err := strconv.ParseInt(string(v.raw), 10, 64)
		return n, err == nil
	}
	for _, c := range digits {
		n = n*10 + int64(c-'0')
	}
	if neg {
		n = -n
	}
	return n, true
}

func isInteger(number []byte) bool {
	for _, c := range number {
		if c == '.' || c == 'e' || c == 'E' {
			return false
		}
	}
	return true
}

// epoch converts a bare number; what it cannot hold in µs is bad input.
func epoch(n int64, unit TimeUnit) (brimline.Time, bool) {
	switch unit {
	case UnitMs:
		return brimline.Time(n * 1000), n <= math.MaxInt64/1000 && n >= math.MinInt64/1000
	case UnitNs:
		return brimline.Time(n / 1000), n%1000 == 0
	case unitDays:
		const day = 24 * 3600 * 1_000_000
		return brimline.Time(n * day), n <= math.MaxInt64/day && n >= math.MinInt64/day
	case UnitUs:
		return brimline.Time(n), true
	}
	return 0, false
}
