package debezium

import (
	"errors"
	"math"
	"strconv"
	"strings"

	"github.com/brimline/brimline"
)

// unavailableValue stands for a large text that an update left as it was.
const unavailableValue = "__debezium_unavailable_value"

// upserted makes the changes of a row that is there now, by an operation, 0 where that is not known. Before is what it
// was, nil where that is not known.
func (d *Decoder) upserted(before, after []jsonValue, in reading, source brimline.Source, op byte) (Decoded, error) {
	inserted := op == 'c'
	row, err := d.taken(before, after, in)
	if err != nil {
		return d.notTaken(before, after, in, source, inserted, err)
	}
	upsert := brimline.Change{Kind: brimline.Upsert, User: row.User, Row: row, Source: source, Update: op == 'u',
		Inserted: inserted}
	out := Decoded{inserted: inserted}
	if before == nil || d.sameOwner(before, after) {
		out.Changes = []brimline.Change{upsert}
		return out, nil
	}
	old, err := d.earlier(before, in)
	switch {
	case err != nil:
		out.Changes = []brimline.Change{upsert}
		// A row without account was in no window; whose it was else is not known.
		if e, ok := errors.AsType[*brimline.Error](err); ok && e.Kind == KindEmptyUser {
			err = nil
		}
		return out, err
	case old.ID == row.ID && old.User == row.User:
		out.Changes = []brimline.Change{upsert}
	default:
		upsert.Update, upsert.Inserted = false, true // it is new where it has come to
		out.Changes = []brimline.Change{deletion(old, source), upsert}
	}
	return out, nil
}

// taken is the row that after is, whole.
func (d *Decoder) taken(before, after []jsonValue, in reading) (brimline.Transaction, error) {
	if err := d.fillUnavailable(before, after); err != nil {
		return brimline.Transaction{}, err
	}
	row, err := d.transaction(after, in)
	if err == nil && len(d.further) > 0 {
		row.Columns, err = d.columnsOf(after, in)
	}
	return row, err
}

// notTaken gives, beside the error about a row as it is now, the deletion of what it was: it must not stay in the
// window.
func (d *Decoder) notTaken(before, after []jsonValue, in reading, source brimline.Source, inserted bool, why error) (
	Decoded, error,
) {
	if inserted {
		return Decoded{inserted: true}, why
	}
	if before != nil {
		if old, err := d.earlier(before, in); err == nil {
			return Decoded{Changes: []brimline.Change{deletion(old, source)}}, why
		}
	}
	if after != nil {
		if row, err := d.named(after, in); err == nil {
			d.valued(&row, after, in)
			return Decoded{Changes: []brimline.Change{deletion(row, source)}}, why
		}
	}
	return Decoded{}, why
}

func deletion(row brimline.Transaction, source brimline.Source) brimline.Change {
	return brimline.Change{Kind: brimline.Delete, User: row.User, Row: row, Source: source}
}

// deleted makes the change of a row that is gone. Its further columns are left out: no rule asks about them.
func (d *Decoder) deleted(before []jsonValue, in reading, source brimline.Source) (Decoded, error) {
	row, err := d.earlier(before, in)
	if err != nil {
		return Decoded{}, err
	}
	gone := deletion(row, source)
	gone.Whole = true
	return Decoded{Changes: []brimline.Change{gone}}, nil
}

// sameOwner reports whether user and id are the same text in both images, which
// is so for nearly all updates.
func (d *Decoder) sameOwner(before, after []jsonValue) bool {
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
func (d *Decoder) fillUnavailable(before, after []jsonValue) error {
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
func (d *Decoder) transaction(row []jsonValue, in reading) (t brimline.Transaction, err error) {
	if t, err = d.named(row, in); err != nil {
		return t, err
	}
	if err := d.needed(row, d.amount); err != nil {
		return t, err
	}
	if t.Amount, err = d.amountOf(&row[d.amount], in); err != nil {
		return t, err
	}
	if err := d.needed(row, d.time); err != nil {
		return t, err
	}
	t.Time, err = d.timeOf(&row[d.time], d.time, in)
	return t, err
}

// named makes a row of its id and its user alone.
func (d *Decoder) named(row []jsonValue, in reading) (t brimline.Transaction, err error) {
	if t.ID, err = d.primaryKey(row, in); err != nil {
		return t, err
	}
	t.User, err = d.userOf(row, in)
	return t, err
}

func (d *Decoder) userOf(row []jsonValue, in reading) (string, error) {
	switch row[d.user].kind {
	case jsonAbsent:
		return "", missingColumn(d.names[d.user])
	case jsonNull:
		return "", emptyUser()
	}
	user, err := d.identifier(row, d.user, in)
	if err == nil && user == "" {
		err = emptyUser()
	}
	return user, err
}

// valued adds amount and time to a row that is gone, as far as they can be read.
func (d *Decoder) valued(t *brimline.Transaction, row []jsonValue, in reading) {
	t.Amount, t.Time = 0, brimline.MinTime
	if a, err := d.amountOf(&row[d.amount], in); err == nil {
		t.Amount = a
	}
	if at, err := d.timeOf(&row[d.time], d.time, in); err == nil {
		t.Time = at
	}
}

func emptyUser() error {
	return brimline.BadInput(KindEmptyUser,
		"give every row an account, or leave such rows out with a row filter on the publication",
		"the row belongs to no account")
}

func (d *Decoder) needed(row []jsonValue, slot int) error {
	switch row[slot].kind {
	case jsonAbsent:
		return missingColumn(d.names[slot])
	case jsonNull:
		return nullColumn(d.names[slot])
	}
	return nil
}

func (d *Decoder) primaryKey(row []jsonValue, in reading) (string, error) {
	if len(d.id) == 1 {
		if err := d.needed(row, d.id[0]); err != nil {
			return "", err
		}
		return d.identifier(row, d.id[0], in)
	}
	parts := make([]string, len(d.id))
	for i, slot := range d.id {
		if err := d.needed(row, slot); err != nil {
			return "", err
		}
		var err error
		if parts[i], err = d.identifier(row, slot, in); err != nil {
			return "", err
		}
	}
	return brimline.JoinID(parts...), nil
}

// identifier is the text of a value by which a row or an account is known: the same however a connector writes it. Of
// columns of which nothing is known, numbers and texts are taken as they are.
func (d *Decoder) identifier(row []jsonValue, slot int, in reading) (string, error) {
	v, c := &row[slot], &d.columns[slot]
	kind := c.key
	if schema := in.schema.of(slot); schema != nil {
		switch {
		case schema.name == connectDecimal:
			kind = keyNumeric
		case schema.isTime():
			kind = keyTime
		}
	}
	switch {
	case kind == keyTime:
		t, err := d.timeOf(v, slot, in)
		return t.String(), err
	case v.kind == jsonNumber && isInteger(v.raw):
		if s := string(v.raw); s != "-0" {
			return s, nil
		}
		return "0", nil
	case kind == keyNumeric:
		if v.kind == jsonNumber && !d.exactNumber(in.schema.of(slot)) {
			break
		}
		n, err := d.decimalOf(v, slot, in)
		return n.plain(), err
	case v.kind == jsonString:
		text, err := d.textOf(v, c.name)
		if c.padded {
			text = strings.TrimRight(text, " ")
		}
		return text, err
	}
	if v.kind == jsonNumber {
		return "", wrongType(c.name, "an integer, text or uuid", "the fraction "+excerpt(v.raw))
	}
	return "", wrongType(c.name, "an integer, text or uuid", v.kind.String())
}

// textOf is a text that PostgreSQL can hold.
func (d *Decoder) textOf(v *jsonValue, column string) (string, error) {
	s, ok := v.text()
	switch {
	case v.kind != jsonString:
		return "", wrongType(column, "text", v.kind.String())
	case !ok || strings.IndexByte(s, 0) >= 0:
		return "", wrongType(column, "text", "text with a NUL or half a surrogate pair, which PostgreSQL cannot hold")
	}
	return s, nil
}

// columnsOf are the further columns, in the order they were declared.
func (d *Decoder) columnsOf(row []jsonValue, in reading) ([]brimline.Field, error) {
	fields := make([]brimline.Field, len(d.further))
	for i, slot := range d.further {
		c := &d.opt.Columns[i]
		v, err := d.furtherOf(&row[slot], c, slot, in)
		if err != nil {
			return nil, err
		}
		fields[i] = brimline.Field{Name: c.Name, Value: v}
	}
	return fields, nil
}

func (d *Decoder) furtherOf(v *jsonValue, c *brimline.Column, slot int, in reading) (any, error) {
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
		if v.kind == jsonString {
			return nil, brimline.BadInput(KindWrongType,
				"check that the column settings name the right columns with the right types: a numeric comes as "+
					"text and is declared numeric",
				"column %s should be a 64-bit integer and is the text %s", c.Name, excerpt(v.raw))
		}
		return nil, wrongType(c.Name, "a 64-bit integer", v.kind.String()+" "+excerpt(v.raw))
	case brimline.Numeric:
		n, err := d.decimalOf(v, slot, in)
		if err != nil {
			return nil, err
		}
		return brimline.Decimal(n.text()), nil
	case brimline.Boolean:
		if v.kind != jsonBool {
			return nil, wrongType(c.Name, "a boolean", v.kind.String())
		}
		return v.raw[0] == 't', nil
	case brimline.Timestamp:
		return d.timeOf(v, slot, in)
	default:
		text, err := d.textOf(v, c.Name)
		if d.columns[slot].padded {
			text = strings.TrimRight(text, " ")
		}
		return text, err
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

// Epoch is the time that n counts from 1970; not where microseconds cannot hold it.
func Epoch(n int64, unit TimeUnit) (brimline.Time, bool) {
	switch unit {
	case UnitMs:
		return brimline.Time(n * 1000), n <= math.MaxInt64/1000 && n >= math.MinInt64/1000
	case UnitNs:
		return brimline.Time(n / 1000), n%1000 == 0
	case unitSeconds:
		const second = 1_000_000
		return brimline.Time(n * second), n <= math.MaxInt64/second && n >= math.MinInt64/second
	case unitDays:
		const day = daySeconds * 1_000_000
		return brimline.Time(n * day), n <= math.MaxInt64/day && n >= math.MinInt64/day
	case UnitUs:
		return brimline.Time(n), true
	}
	return 0, false
}
