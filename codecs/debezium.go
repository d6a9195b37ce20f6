package codecs

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

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

// TimeUnit is the unit of a time that comes as a bare number.
type TimeUnit string

// The units. Debezium writes columns without time zone in µs
// (time.precision.mode=adaptive) or in ms (connect).
const (
	UnitAuto TimeUnit = "auto" // of the inline schema; µs without one
	UnitMs   TimeUnit = "ms"
	UnitUs   TimeUnit = "us"
	UnitNs   TimeUnit = "ns"
)

// Decimals says what a decimal that comes as text is, where no inline schema says it.
type Decimals string

// The encodings. Some texts are valid as both: "1234" is 1234, and the base64
// of -2658632. DecimalsAuto refuses those instead of guessing.
const (
	DecimalsAuto    Decimals = "auto"
	DecimalsPrecise Decimals = "precise" // base64 of the unscaled integer
	DecimalsString  Decimals = "string"  // decimal digits
)

// DebeziumOptions say which table's rows are taken and how its columns are called.
type DebeziumOptions struct {
	// Table is the watched table, "schema.table". Records that name another one
	// are bad input; flattened records that name none are taken.
	Table string
	// ID are the columns of the primary key, in the order that brimline.JoinID joins them.
	ID []string
	// User is the column of the account, integer, text or uuid.
	User string
	// Amount is the column of the amount.
	Amount string
	// Time is the column of the row's time: a timestamp, with or without time zone (then UTC).
	Time string
	// Columns are further columns to carry along for rules. A row without one of
	// them is bad input; NULL is fine.
	Columns []brimline.Column

	// Scale is the number of decimals of brimline.Amount.
	Scale int
	// AmountColumnScale is the number of decimals of the amount's column, which
	// `precise` decimals without inline schema do not tell. Nil means Scale.
	AmountColumnScale *int
	// Decimals tells `precise` from `string` decimals where the text does not. Empty means DecimalsAuto.
	Decimals Decimals
	// AllowFloatAmounts takes amounts that the connector sent through a binary
	// float (decimal.handling.mode=double): their decimal text is read exactly,
	// but it need not be what the table holds.
	AllowFloatAmounts bool

	// Format of the records. Empty means FormatAuto, where a record without value
	// is taken for the tombstone after an envelope's delete, unless the row before it
	// was flattened without __deleted. FormatFlat and FormatEnvelope say what the first ones are.
	Format Format
	// TimeUnit of times that are bare numbers without inline schema. Empty means UnitAuto.
	TimeUnit TimeUnit
}

// Debezium decodes change events as Kafka Connect's JsonConverter writes them,
// with and without inline schema, as envelopes or flattened. It is safe for
// concurrent use.
type Debezium struct {
	opt          DebeziumOptions
	schema       string   // the first half of opt.Table
	table        string   // the second
	names        []string // distinct columns to read; the roles below are indices into it
	id           []int
	user         int
	amount       int
	time         int
	vital        []int // all of the above
	further      []int // of opt.Columns
	columnScale  int
	unit         TimeUnit
	schemas      atomic.Pointer[inlineSchema]
	spare        sync.Pool   // of *work
	bareFlatSeen atomic.Bool // the latest row was flattened without __deleted: its deletes are tombstones
}

// NewDebezium checks the options; its error names every problem at once.
func NewDebezium(opt DebeziumOptions) (*Debezium, error) {
	opt.Format = or(opt.Format, FormatAuto)
	opt.TimeUnit = or(opt.TimeUnit, UnitAuto)
	opt.Decimals = or(opt.Decimals, DecimalsAuto)
	if problems := opt.problems(); len(problems) > 0 {
		return nil, &brimline.Error{Class: brimline.ClassInput, Kind: "source_options", Where: "source settings",
			Err: fmt.Errorf("%s", strings.Join(problems, "; "))}
	}
	d := &Debezium{opt: opt, columnScale: opt.Scale, unit: opt.TimeUnit}
	d.schema, d.table, _ = strings.Cut(opt.Table, ".")
	if opt.AmountColumnScale != nil {
		d.columnScale = *opt.AmountColumnScale
	}
	if d.unit == UnitAuto {
		d.unit = UnitUs
	}
	for _, name := range opt.ID {
		d.id = append(d.id, d.slot(name))
	}
	d.user, d.amount, d.time = d.slot(opt.User), d.slot(opt.Amount), d.slot(opt.Time)
	d.bareFlatSeen.Store(opt.Format == FormatFlat)
	d.vital = append([]int{d.user, d.amount, d.time}, d.id...)
	for _, c := range opt.Columns {
		d.further = append(d.further, d.slot(c.Name))
	}
	return d, nil
}

func or[T ~string](v, fallback T) T {
	if v == "" {
		return fallback
	}
	return v
}

func (d *Debezium) slot(name string) int {
	if i := slices.Index(d.names, name); i >= 0 {
		return i
	}
	d.names = append(d.names, name)
	return len(d.names) - 1
}

func (o *DebeziumOptions) problems() []string {
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
		add(*s < 0 || *s > maxDecimalScale, "the amount column's scale %d is not between 0 and %d", *s, maxDecimalScale)
	}
	add(!slices.Contains([]Format{FormatAuto, FormatEnvelope, FormatFlat}, o.Format), "unknown format %q: one of auto, envelope, flat", o.Format)
	add(!slices.Contains([]TimeUnit{UnitAuto, UnitMs, UnitUs, UnitNs}, o.TimeUnit), "unknown time unit %q: one of auto, ms, us, ns", o.TimeUnit)
	add(!slices.Contains([]Decimals{DecimalsAuto, DecimalsPrecise, DecimalsString}, o.Decimals), "unknown decimals %q: one of auto, precise, string", o.Decimals)
	for i, c := range o.Columns {
		add(c.Name == "", "column %d has no name", i+1)
		switch c.Type {
		case brimline.Text, brimline.Integer, brimline.Numeric, brimline.Boolean, brimline.Timestamp:
		default:
			add(true, "column %q has the unknown type %q", c.Name, c.Type)
		}
		add(slices.ContainsFunc(o.Columns[:i], func(e brimline.Column) bool { return e.Name == c.Name }), "column %q is declared twice", c.Name)
	}
	return all
}

// Decode reads one record of the source topic. A nil or empty key or value
// stands for a record without one.
//
// It gives one Upsert for a row that was inserted, updated or read by a
// snapshot; one Delete; a Delete and an Upsert, in that order, for an update
// that is known to have moved a row to another user or id; one Truncate,
// without a user; and nothing for a tombstone after a delete, for transaction
// metadata and for logical messages. The Source lacks topic, partition and
// offset. Every error is a *brimline.Error of ClassInput with one of the kinds above.
func (d *Debezium) Decode(key, value []byte) ([]brimline.Change, error) {
	if len(value) == 0 {
		return nil, d.tombstone(key, d.bareFlatSeen.Load())
	}
	if string(bytes.TrimSpace(value)) == "null" {
		return nil, d.tombstone(key, true)
	}
	if !utf8.Valid(value) {
		return nil, brokenJSON("the value is not UTF-8")
	}
	w := d.work()
	defer d.done(w)
	r := &w.record
	if err := d.read(value, r); err != nil {
		return nil, err
	}
	var schema *inlineSchema
	if r.wrapped() {
		if r.payload.kind == jsonNull {
			return nil, d.tombstone(key, true)
		}
		if r.payload.kind != jsonObject {
			return nil, unknownShape("the payload is %s", r.payload.kind)
		}
		var err error
		if schema, err = d.inlineSchema(&r.schema); err != nil {
			return nil, err
		}
		payload := r.payload.raw
		w.clear()
		if err := d.read(payload, r); err != nil {
			return nil, err
		}
	}
	if r.isMessage() || r.isTransaction() {
		return nil, nil
	}
	if d.opt.Format == FormatEnvelope || d.opt.Format == FormatAuto && r.isEnvelope() {
		return d.envelope(r, key, schema)
	}
	return d.flat(r, key, schema)
}

// tombstone judges a record without value, or with a JSON null, which only a flattened delete becomes.
func (d *Debezium) tombstone(key []byte, flat bool) error {
	if d.opt.Format == FormatEnvelope || !flat {
		return nil
	}
	return brimline.BadInput(KindFlatTombstone,
		"set delete.tombstone.handling.mode=rewrite in the ExtractNewRecordState transform and REPLICA IDENTITY FULL on the table, or format=envelope where tombstones only follow deletes",
		"a flattened delete carries nothing but its key %s: whose row it was is not known", excerpt(key))
}

func hasKey(key []byte) bool {
	m := openObject(key)
	n, payload := 0, jsonValue{}
	for m.next() {
		n++
		if m.key.is("payload") {
			payload = m.value
		}
	}
	if m.bad { // a bare scalar, or a converter of its own: a key all the same
		return len(key) > 0 && string(key) != "null"
	}
	return n > 0 && !(n == 2 && payload.kind == jsonNull)
}

func emptyKey() error {
	return brimline.BadInput(KindEmptyKey,
		"give the table a primary key, or set message.key.columns in the connector", "the record has no key, so changes to one row are in no order")
}
