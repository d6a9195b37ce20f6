package debezium

import (
	"fmt"
	"slices"
	"strings"

	"github.com/brimline/brimline"
)

// Format says how the connector lays out a row.
type Format string

// The formats.
const (
	FormatAuto     Format = "auto"     // by looking at each record
	FormatEnvelope Format = "envelope" // Debezium's own: before, after, source, op
	FormatFlat     Format = "flat"     // the row itself, as ExtractNewRecordState leaves it
)

// Valid reports whether f is one of the formats.
func (f Format) Valid() bool {
	return slices.Contains([]Format{FormatAuto, FormatEnvelope, FormatFlat}, f)
}

// TimeUnit is the unit of a time that comes as a bare number, as columns without time zone do. Debezium's default mode
// (adaptive) writes ms where the column has at most three fraction digits, else µs; other settings of
// time.precision.mode write ms (connect), µs (microseconds) or ns (nanoseconds).
type TimeUnit string

// The units.
const (
	UnitAuto TimeUnit = "auto" // by the inline schema or the catalog; without them a number is refused
	UnitMs   TimeUnit = "ms"
	UnitUs   TimeUnit = "us"
	UnitNs   TimeUnit = "ns"

	// UnitAdaptive is no setting. It is the unit of Debezium's default mode: milliseconds for columns of at most three
	// fraction digits, else microseconds.
	UnitAdaptive TimeUnit = "adaptive"
)

// Valid reports whether u can be set.
func (u TimeUnit) Valid() bool {
	return slices.Contains([]TimeUnit{UnitAuto, UnitMs, UnitUs, UnitNs}, u)
}

// ValidDecided reports whether u can be what the checks at the start found; empty where they found none.
func (u TimeUnit) ValidDecided() bool {
	return slices.Contains([]TimeUnit{"", UnitMs, UnitUs, UnitNs}, u)
}

// Decimals says how to read a decimal that comes as text without inline schema.
type Decimals string

// The encodings. Some texts are valid as both: "1234" is 1234, and the base64 of -2658632. DecimalsAuto refuses those
// unless the column's facts tell them apart.
const (
	DecimalsAuto    Decimals = "auto"
	DecimalsPrecise Decimals = "precise" // base64 of the unscaled integer
	DecimalsString  Decimals = "string"  // decimal digits
	// DecimalsNumeric says that JSON numbers are exact, as Kafka Connect writes precise decimals with
	// decimal.format=NUMERIC. Without it a number with a fraction may have gone through a binary float (double), which
	// looks the same. Texts are read as with DecimalsAuto.
	DecimalsNumeric Decimals = "numeric"
)

// Valid reports whether d can be set.
func (d Decimals) Valid() bool {
	return slices.Contains([]Decimals{DecimalsAuto, DecimalsPrecise, DecimalsString, DecimalsNumeric}, d)
}

// ValidDecided reports whether d can be what the checks at the start found; empty where they found none.
func (d Decimals) ValidDecided() bool {
	return slices.Contains([]Decimals{"", DecimalsPrecise, DecimalsString}, d)
}

// OtherTables says what happens to records of other tables than the watched one.
type OtherTables string

// The ways.
const (
	OtherTablesDeadLetter OtherTables = "deadletter"
	OtherTablesSkip       OtherTables = "skip" // they are passed over
)

// Options say which table's rows are taken and how its columns are called.
type Options struct {
	// Table is the watched table, "schema.table". Records that name another one are bad input; flattened records that
	// name none are taken.
	Table string
	// ID are the columns of the primary key, in the order that brimline.JoinID joins them.
	ID []string
	// User is the column of the account, integer, text or uuid.
	User string
	// Amount is the column of the amount.
	Amount string
	// Time is the column of the row's time: a timestamp, with or without time zone (then UTC).
	Time string
	// Columns are further columns, for rules. A row without one of them is bad input; NULL is fine.
	Columns []brimline.Column

	// Scale is the number of decimals of brimline.Amount.
	Scale int
	// AmountColumnScale is the number of decimals of the amount's column, which `precise` decimals without inline
	// schema do not tell. Nil: not known, unless Facts say it.
	AmountColumnScale *int
	// AmountMinorUnits is n where the amount's column counts units of 10^-n in whole numbers: 2 for cents. 0: it does
	// not.
	AmountMinorUnits int
	// Decimals tells `precise` from `string` decimals where the text does not. Empty means DecimalsAuto.
	Decimals Decimals
	// DecidedDecimals is the same as the start checks found it, empty where they did not: it decides texts that could
	// be both.
	DecidedDecimals Decimals
	// AllowFloatAmounts takes amounts that the connector sent through a binary float (decimal.handling.mode=double).
	// Their decimal text is read exactly, but the table may hold another number.
	AllowFloatAmounts bool

	// Format of the records. Empty means FormatAuto, which takes a record without value for the tombstone after an
	// envelope's delete, unless the row before it was flattened without __deleted. FormatFlat and FormatEnvelope decide
	// it for the first records as well.
	Format Format
	// TimeUnit of times that are bare numbers without inline schema, which is then believed whatever they look like.
	// Empty means UnitAuto.
	TimeUnit TimeUnit
	// DecidedUnit is the unit that the start checks found, empty where they did not or where it is that of Debezium's
	// default mode. A number that looks like a time in another unit is refused.
	DecidedUnit TimeUnit

	// Facts are PostgreSQL's catalog's, by column. Of a column that is not there nothing is known.
	Facts map[string]ColumnFacts
	// Identity is the table's replica identity by the catalog.
	Identity Identity

	// OtherTables says what happens to records of other tables. Empty means OtherTablesDeadLetter.
	OtherTables OtherTables
	// OnSurprise is called when a record looks as if the table had changed (more or fewer columns, another type), at
	// most every ten seconds. It is called while the record is decoded and must not take long. Nil: not called.
	OnSurprise func()
}

func (o *Options) problems() []string {
	var all []string
	add := func(bad bool, format string, args ...any) {
		if bad {
			all = append(all, fmt.Sprintf(format, args...))
		}
	}
	schema, table, _ := strings.Cut(o.Table, ".")
	add(schema == "" || table == "", "table %q is not of the form schema.table", o.Table)
	add(len(o.ID) == 0 || slices.Contains(o.ID, ""), "the primary key has no column name")
	add(o.User == "", "the user column has no name")
	add(o.Amount == "", "the amount column has no name")
	add(o.Time == "", "the time column has no name")
	add(o.Scale < 0 || o.Scale > brimline.MaxScale, "scale %d is not between 0 and %d", o.Scale, brimline.MaxScale)
	if s := o.AmountColumnScale; s != nil {
		add(*s < 0 || *s > MaxColumnScale, "the amount column's scale %d is not between 0 and %d", *s, MaxColumnScale)
	}
	add(o.AmountMinorUnits < 0 || o.AmountMinorUnits > brimline.MaxScale,
		"amount_minor_units %d is not between 0 and %d", o.AmountMinorUnits, brimline.MaxScale)
	add(o.AmountMinorUnits > 0 && deref(o.AmountColumnScale) != 0,
		"amount_minor_units is for columns of whole numbers, and amount_column_scale says that the column has "+
			"decimals")
	add(!o.Format.Valid(), "unknown format %q: one of auto, envelope, flat", o.Format)
	add(!o.TimeUnit.Valid(), "unknown time unit %q: one of auto, ms, us, ns", o.TimeUnit)
	add(!o.DecidedUnit.ValidDecided(), "unknown decided time unit %q", o.DecidedUnit)
	add(!o.Decimals.Valid(), "unknown decimals %q: one of auto, precise, string, numeric", o.Decimals)
	add(!o.DecidedDecimals.ValidDecided(), "unknown decided decimals %q", o.DecidedDecimals)
	add(!slices.Contains([]OtherTables{OtherTablesDeadLetter, OtherTablesSkip}, o.OtherTables),
		"unknown other tables %q: one of deadletter, skip", o.OtherTables)
	for i, c := range o.Columns {
		add(c.Name == "", "column %d has no name", i+1)
		switch c.Type {
		case brimline.Text, brimline.Integer, brimline.Numeric, brimline.Boolean, brimline.Timestamp:
		default:
			add(true, "column %q has the unknown type %q", c.Name, c.Type)
		}
		twice := slices.ContainsFunc(o.Columns[:i], func(e brimline.Column) bool { return e.Name == c.Name })
		add(twice, "column %q is declared twice", c.Name)
	}
	o.againstFacts(add)
	return all
}

func or[T ~string](v, fallback T) T {
	if v == "" {
		return fallback
	}
	return v
}
