package debezium

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/brimline/brimline"
)

// earlier makes a row of an image of its earlier contents, if that image is to be believed. Only id and user must be
// readable; amount and time are what can be read, else 0 and brimline.MinTime.
//
// PostgreSQL sends of a row that is gone what its replica identity covers; for the rest Debezium makes values up.
func (d *Decoder) earlier(image []jsonValue, in reading) (brimline.Transaction, error) {
	none := brimline.Transaction{}
	for _, slot := range d.id {
		if image[slot].kind == jsonAbsent {
			return none, missingColumn(d.names[slot])
		}
	}
	if image[d.user].kind == jsonAbsent {
		return none, missingColumn(d.names[d.user])
	}
	identity := &d.opt.Identity
	narrow := identity.Known && !identity.Full
	if !d.keyed && (narrow || d.madeUp(image, in, d.user, d.amount, d.time)) {
		return none, madeUpBefore()
	}
	for _, slot := range d.id {
		if image[slot].kind == jsonNull {
			return none, madeUpBefore()
		}
	}
	if image[d.user].kind == jsonNull && !identity.Full {
		return none, madeUpBefore() // a nullable column is NULL where PostgreSQL sent nothing
	}
	row, err := d.named(image, in)
	if err != nil {
		return none, err
	}
	unknown := func(slot int) bool { return narrow && !identity.holds([]string{d.names[slot]}) }
	values := image
	if d.keyed && (unknown(d.amount) || unknown(d.time) || d.madeUp(image, in, d.amount, d.time)) {
		values = slices.Clone(image)
		for _, slot := range []int{d.amount, d.time} {
			if unknown(slot) || !narrow && !slices.Contains(d.id, slot) {
				values[slot] = jsonValue{}
			}
		}
	}
	d.valued(&row, values, in)
	return row, nil
}

// madeUp reports whether all of the columns that are not part of the key hold what Debezium puts where PostgreSQL sent
// nothing: NULL, zero, the epoch, the empty text, or the column's default.
func (d *Decoder) madeUp(image []jsonValue, in reading, slots ...int) bool {
	some := false
	for _, slot := range slots {
		if slices.Contains(d.id, slot) {
			continue
		}
		if !d.isPlaceholder(&image[slot], slot, in) {
			return false
		}
		some = true
	}
	return some
}

func (d *Decoder) isPlaceholder(v *jsonValue, slot int, in reading) bool {
	switch v.kind {
	case jsonAbsent, jsonNull:
		return true
	case jsonNumber:
		if n, err := parseDecimal(v.raw); err == nil && n.isZero() {
			return true
		}
	case jsonString:
		if len(v.raw) == 0 || zeroText(v.raw) {
			return true
		}
	case jsonObject:
		if slot == d.time { // of time.precision.mode=structured, which is not read
			return true
		}
		if n, err := variableScale(v); err == nil && n.isZero() {
			return true
		}
	}
	if schema := in.schema.of(slot); schema != nil && schema.presets(v) {
		return true
	}
	return d.isDefault(v, slot, in)
}

// zeroText reports whether a text is a zero or the epoch in one of the forms in which Debezium writes them.
func zeroText(text []byte) bool {
	if n, err := parseDecimal(text); err == nil && n.isZero() {
		return true
	}
	if n, err := unscaled(text, 0); err == nil && n.isZero() {
		return true
	}
	if string(text) == "1970-01-01Z" {
		return true
	}
	t, ok := isoTime(text)
	return ok && t == 0
}

// isDefault reports whether a value is the constant default that the catalog gives its column.
func (d *Decoder) isDefault(v *jsonValue, slot int, in reading) bool {
	c := &d.columns[slot]
	if c.facts == nil || c.facts.Default == nil {
		return false
	}
	preset := *c.facts.Default
	switch c.facts.Type {
	case "timestamp", "timestamptz", "date":
		t, err := d.timeOf(v, slot, in)
		want, err2 := postgresTime(preset)
		return err == nil && err2 == nil && t == want
	case "numeric", "int2", "int4", "int8", "float4", "float8":
		n, err := d.plainDecimal(v, slot, in)
		want, err2 := parseDecimal([]byte(preset))
		return err == nil && err2 == nil && n.text() == want.text()
	}
	text, ok := v.text()
	if c.padded {
		text, preset = strings.TrimRight(text, " "), strings.TrimRight(preset, " ")
	}
	return ok && v.kind == jsonString && text == preset
}

// plainDecimal reads a value for a comparison: where it came from does not matter.
func (d *Decoder) plainDecimal(v *jsonValue, slot int, in reading) (decimal, error) {
	if v.kind == jsonNumber {
		return parseDecimal(v.raw)
	}
	return d.decimalOf(v, slot, in)
}

// postgresTime reads PostgreSQL's text of a timestamp, timestamptz or date in UTC, as catalogs have it.
func postgresTime(text string) (brimline.Time, error) {
	day, clock, timed := strings.Cut(text, " ")
	if !timed {
		clock = "00:00:00"
	}
	return brimline.ParseTime(day + "T" + strings.TrimSuffix(clock, "+00") + "Z")
}

// maxNamed bounds the id and the user that an error names.
const maxNamed = 1024

// whose names the row that a record with an error is about, from its changes, its images or its key.
func (d *Decoder) whose(w *work, key []byte, changes []brimline.Change, kind string) (user, row string) {
	if n := len(changes); n > 0 && changes[n-1].Kind != brimline.Truncate {
		user, row = changes[n-1].User, changes[n-1].Row.ID
		return bounded(user), bounded(row)
	}
	if kind == KindUnknownShape {
		return "", ""
	}
	r := &w.record
	images := [][]jsonValue{r.images.after}
	if d.whole(r.row) || !r.isEnvelope() {
		images[0] = r.row
	}
	if r.deleted.isTrue() || r.operation.is("d") {
		images = nil
	}
	if r.before.kind == jsonObject {
		if old, err := d.earlier(r.images.before, w.in); err == nil {
			user, row = old.User, old.ID
		}
	}
	for _, image := range images {
		if u, err := d.userOf(image, w.in); err == nil {
			user = u
		}
		if id, err := d.primaryKey(image, w.in); err == nil {
			row = id
		}
	}
	if row == "" {
		row = d.idOfKey(key)
	}
	return bounded(user), bounded(row)
}

func bounded(s string) string {
	if len(s) > maxNamed || strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s) {
		return ""
	}
	return s
}

// idOfKey reads the row's id from a record's key.
func (d *Decoder) idOfKey(key []byte) string {
	row := make([]jsonValue, len(d.names))
	eachOfKey(key, func(name, value *jsonValue) {
		for _, slot := range d.id {
			if name.is(d.names[slot]) {
				row[slot] = *value
			}
		}
	})
	id, err := d.primaryKey(row, reading{})
	if err != nil {
		return ""
	}
	return id
}
