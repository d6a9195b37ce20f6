package debezium

import (
	"slices"
	"strconv"
	"strings"
)

// ColumnFacts is a column by PostgreSQL's catalog; a domain is resolved to its base type.
type ColumnFacts struct {
	// Type is pg_type.typname of the base type: int8, numeric, timestamp, timestamptz, date, bpchar, float8, …
	// It is "enum" for every enum, and begins with an underscore for arrays, as in the catalog.
	Type string
	// Precision is the number of fraction digits of a timestamp or time, 6 where the column declares none.
	Precision int
	// Scale is the number of decimals of a numeric; nil where it is unconstrained. It may be negative.
	Scale *int
	// Default is the text of a constant default in PostgreSQL's output form (DateStyle ISO, time zone UTC); nil where
	// there is none, or one that is not constant.
	Default *string
	NotNull bool
}

// Identity is the table's replica identity by the catalog: the columns whose earlier contents the stream holds. The
// zero Identity says nothing.
type Identity struct {
	Known   bool
	Full    bool     // all columns
	Columns []string // else these: of the primary key or of an index; none with NOTHING
}

// column is how the values of one column are read.
type column struct {
	name  string
	facts *ColumnFacts // nil where nothing is known

	// unit of a bare number without inline schema, empty where nothing says it. A unit that is set is believed; one
	// that follows from anything else only if the number does not look like a time in another.
	unit TimeUnit
	set  bool
	// adaptive is the unit of Debezium's default mode, which our own capture wrote in its first version.
	adaptive TimeUnit

	scale      int // of precise decimals that come without schema
	scaleKnown bool

	key    keyKind
	padded bool // trailing blanks mean nothing
	bits   int  // of a float
}

// keyKind says how a column becomes part of an id.
type keyKind uint8

const (
	keyPlain   keyKind = iota // an integer's digits or a text, as they are
	keyTime                   // as brimline.Time writes it
	keyNumeric                // as PostgreSQL writes it
)

func (o *Options) column(name string) column {
	c := column{name: name}
	if f, ok := o.Facts[name]; ok {
		c.facts = &f
	}
	c.unit, c.set = o.unit(c.facts)
	if c.facts == nil {
		if name == o.Amount {
			c.presetScale(o)
		}
		return c
	}
	switch c.facts.Type {
	case "timestamp":
		c.key, c.adaptive = keyTime, c.facts.AdaptiveUnit()
	case "date":
		c.key, c.adaptive = keyTime, unitDays
	case "timestamptz":
		c.key = keyTime
	case "numeric":
		c.key = keyNumeric
		if s := c.facts.Scale; s != nil {
			c.scale, c.scaleKnown = *s, true
		}
	case "bpchar":
		c.padded = true
	case "float4":
		c.bits = 32
	case "float8":
		c.bits = 64
	}
	return c
}

// presetScale is the scale of an amount of which the catalog says nothing.
func (c *column) presetScale(o *Options) {
	switch {
	case o.AmountColumnScale != nil:
		c.scale, c.scaleKnown = *o.AmountColumnScale, true
	case o.AmountMinorUnits > 0: // of whole numbers
		c.scaleKnown = true
	}
}

// unit is that of a bare number in a column.
func (o *Options) unit(f *ColumnFacts) (unit TimeUnit, set bool) {
	switch {
	case f != nil && f.Type == "date":
		return unitDays, false // in every mode that writes numbers
	case o.TimeUnit != UnitAuto:
		return o.TimeUnit, true
	case f != nil && f.Type != "timestamp":
		return "", false
	case o.DecidedUnit != "":
		return o.DecidedUnit, false
	case f != nil:
		return f.AdaptiveUnit(), false
	}
	return "", false
}

// AdaptiveUnit is the unit of a timestamp that Debezium writes with time.precision.mode=adaptive.
func (f *ColumnFacts) AdaptiveUnit() TimeUnit {
	if f.Precision <= msDigits {
		return UnitMs
	}
	return UnitUs
}

// whole reports whether the column holds whole numbers only.
func (f *ColumnFacts) whole() bool {
	return f.integer() || f.Type == "numeric" && f.Scale != nil && *f.Scale == 0
}

func (f *ColumnFacts) integer() bool { return f.Type == "int2" || f.Type == "int4" || f.Type == "int8" }

// againstFacts adds the settings and columns that contradict the catalog.
func (o *Options) againstFacts(add func(bad bool, format string, args ...any)) {
	reads := func(use Use, name string) {
		f, known := o.Facts[name]
		if known && use == UseAmount && o.AllowFloatAmounts && (f.Type == "float4" || f.Type == "float8") {
			return
		}
		if err := Reads(use, name, f); known && err != nil {
			add(true, "%s", err)
		}
	}
	for _, name := range o.ID {
		reads(UseID, name)
	}
	reads(UseUser, o.User)
	reads(UseAmount, o.Amount)
	reads(UseTime, o.Time)
	for _, c := range o.Columns {
		reads(Use(c.Type), c.Name)
	}
	f, known := o.Facts[o.Amount]
	if !known {
		return
	}
	if s := o.AmountColumnScale; s != nil {
		add(f.integer(), "amount_column_scale has no effect: column %s is %s, and so its values are whole numbers; "+
			"take the setting out, or set amount_minor_units where they count cents",
			o.Amount, f.Type)
		add(f.Type == "numeric" && f.Scale == nil, "amount_column_scale has no effect: column %s is a numeric "+
			"without scale, and its values say theirs; take the setting out", o.Amount)
		add(f.Type == "numeric" && f.Scale != nil && *f.Scale != *s,
			"amount_column_scale is %d, and column %s has %d decimals; take the setting out", *s, o.Amount,
			deref(f.Scale))
	}
	if o.AmountMinorUnits > 0 && !f.whole() {
		declared := f.Type
		if f.Scale != nil {
			declared += "(…," + strconv.Itoa(*f.Scale) + ")"
		}
		add(true, "amount_minor_units is for columns of whole numbers (smallint, integer, bigint, numeric(p,0)), "+
			"and column %s is %s; take the setting out", o.Amount, declared)
	}
}

func deref(n *int) int {
	if n == nil {
		return 0
	}
	return *n
}

// holds reports whether the identity is known to be a list that has all of these columns.
func (i *Identity) holds(names []string) bool {
	lacking := func(name string) bool { return !slices.Contains(i.Columns, name) }
	return i.Known && !i.Full && !slices.ContainsFunc(names, lacking)
}

// ownVersion is how source.version of our own capture begins.
const ownVersion = "brimline"

// reading says how a record's values are written, by the record itself.
type reading struct {
	schema *inlineSchema
	own    bool // by our own capture: decimals are digits
	micros bool // and times of columns without zone are µs, whatever their precision
}

// by takes up who wrote the record.
func (in *reading) by(version *jsonValue) {
	if version.kind != jsonString || !strings.HasPrefix(string(version.raw), ownVersion) {
		return
	}
	rest := version.raw[len(ownVersion):]
	in.micros = len(rest) > 0 && rest[0] == '/'
	in.own = in.micros || len(rest) == 0
}

// String is the type as PostgreSQL would declare it, with default and NOT NULL.
func (f ColumnFacts) String() string {
	text := f.Type
	switch {
	case f.Scale != nil:
		text += "(…," + strconv.Itoa(*f.Scale) + ")"
	case f.Type == "timestamp" || f.Type == "timestamptz":
		text += "(" + strconv.Itoa(f.Precision) + ")"
	}
	if f.Default != nil {
		text += " DEFAULT '" + *f.Default + "'"
	}
	if f.NotNull {
		text += " NOT NULL"
	}
	return text
}
