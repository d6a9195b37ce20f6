package debezium

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/brimline/brimline"
)

// Decoder decodes change events as Kafka Connect's JsonConverter writes them, with and without inline schema, as
// envelopes or flattened. It is safe for concurrent use.
type Decoder struct {
	opt          Options
	schema       string   // the first half of opt.Table
	table        string   // the second
	names        []string // distinct columns to read; the roles below are indices into it
	columns      []column // in the order of names
	id           []int
	user         int
	amount       int
	time         int
	vital        []int // all of the above
	further      []int // of opt.Columns
	keyed        bool  // an image of a row's earlier contents has at least its id and its user
	schemas      atomic.Pointer[inlineSchema]
	spare        sync.Pool   // of *work
	bareFlatSeen atomic.Bool // the latest row was flattened without __deleted: its deletes are tombstones
	width        atomic.Int32
	surprised    atomic.Int64 // when OnSurprise was called, in ns
}

// New checks the options; its error names every problem at once.
func New(opt Options) (*Decoder, error) {
	opt.Format = or(opt.Format, FormatAuto)
	opt.TimeUnit = or(opt.TimeUnit, UnitAuto)
	opt.Decimals = or(opt.Decimals, DecimalsAuto)
	opt.OtherTables = or(opt.OtherTables, OtherTablesDeadLetter)
	if problems := opt.problems(); len(problems) > 0 {
		return nil, &brimline.Error{Class: brimline.ClassInput, Kind: "source_options", Where: "source settings",
			Err: fmt.Errorf("%s", strings.Join(problems, "; "))}
	}
	d := &Decoder{opt: opt}
	d.schema, d.table, _ = strings.Cut(opt.Table, ".")
	for _, name := range opt.ID {
		d.id = append(d.id, d.slot(name))
	}
	d.user, d.amount, d.time = d.slot(opt.User), d.slot(opt.Amount), d.slot(opt.Time)
	d.bareFlatSeen.Store(opt.Format == FormatFlat)
	d.vital = append([]int{d.user, d.amount, d.time}, d.id...)
	for _, c := range opt.Columns {
		d.further = append(d.further, d.slot(c.Name))
	}
	for _, name := range d.names {
		d.columns = append(d.columns, opt.column(name))
	}
	d.keyed = slices.Contains(opt.ID, opt.User)
	if i := &opt.Identity; i.Known && !i.Full {
		d.keyed = i.holds(opt.ID) && i.holds([]string{opt.User})
	}
	return d, nil
}

// With gives a decoder with other options, say newer facts, that goes on where d stands in the stream.
func (d *Decoder) With(opt Options) (*Decoder, error) {
	next, err := New(opt)
	if err != nil {
		return nil, err
	}
	next.bareFlatSeen.Store(d.bareFlatSeen.Load())
	next.width.Store(d.width.Load())
	next.surprised.Store(d.surprised.Load())
	return next, nil
}

func (d *Decoder) slot(name string) int {
	if i := slices.Index(d.names, name); i >= 0 {
		return i
	}
	d.names = append(d.names, name)
	return len(d.names) - 1
}

// Passed says why a record was passed over: it is right as it is, and says nothing about rows of the watched table.
type Passed string

// The reasons: labels of a metric.
const (
	PassedTombstone  Passed = "tombstone"   // after a delete
	PassedHeartbeat  Passed = "heartbeat"   // of a connector
	PassedMetadata   Passed = "metadata"    // of a connector: transactions, schema changes, notifications, signals
	PassedMessage    Passed = "message"     // of pg_logical_emit_message
	PassedOtherTable Passed = "other_table" // with OtherTablesSkip
)

// PassedReasons are all of them.
func PassedReasons() []Passed {
	return []Passed{PassedTombstone, PassedHeartbeat, PassedMetadata, PassedMessage, PassedOtherTable}
}

// Decoded is a record as it was read.
type Decoded struct {
	// Changes to make: one Upsert for a row that was inserted, updated or read by a snapshot; one Delete; a Delete
	// and an Upsert, in that order, for an update that moved a row to another user or id; one Truncate, without a
	// user. Their Source lacks topic, partition and offset. A Delete's amount and time are what can be read of them:
	// else the amount is 0 and the time brimline.MinTime.
	//
	// Beside an error they are the certain part: a Delete of the row's earlier contents, or an Upsert of the row where
	// only its earlier contents cannot be told.
	Changes []brimline.Change
	// Passed is why there are neither changes nor an error; empty where there are.
	Passed Passed
	// User and Row are those of the row that a record with an error is about, empty where they cannot be read.
	User, Row string

	inserted bool // the row is new: it has no earlier contents
}

// Refused gives the changes to make where the caller does not take the record, because it is too large, say: the row's
// earlier contents, which the record replaces, must not stay.
func (d *Decoded) Refused() []brimline.Change {
	var gone []brimline.Change
	for _, c := range d.Changes {
		switch {
		case c.Kind != brimline.Upsert:
			gone = append(gone, c)
		case !d.inserted && len(d.Changes) == 1:
			c.Kind, c.Row.Columns, c.Update = brimline.Delete, nil, false
			gone = append(gone, c)
		}
	}
	return gone
}

// Whose gives User and Row; where both are empty, those of the last change, if they are fit to be shown.
func (d *Decoded) Whose() (user, row string) {
	if n := len(d.Changes); d.User == "" && d.Row == "" && n > 0 && d.Changes[n-1].Kind != brimline.Truncate {
		return bounded(d.Changes[n-1].User), bounded(d.Changes[n-1].Row.ID)
	}
	return d.User, d.Row
}

// Decode is Read without all but the changes.
func (d *Decoder) Decode(key, value []byte) ([]brimline.Change, error) {
	out, err := d.Read(key, value)
	return out.Changes, err
}

// Read reads one record of the source topic. A nil or empty key or value stands for a record without one. Every error
// is a *brimline.Error of ClassInput with one of Kinds.
func (d *Decoder) Read(key, value []byte) (Decoded, error) {
	w := d.work()
	out, err := d.record(w, key, value)
	if err != nil {
		out, err = d.failed(w, key, out, err)
	}
	d.done(w)
	return out, err
}

// maxSchema bounds an inline schema in bytes: to parse one takes many times its size.
const maxSchema = 1 << 20

func (d *Decoder) record(w *work, key, value []byte) (Decoded, error) {
	if len(value) == 0 {
		return d.tombstone(key, d.bareFlatSeen.Load())
	}
	if string(bytes.TrimSpace(value)) == "null" {
		return d.tombstone(key, true)
	}
	if !utf8.Valid(value) {
		return Decoded{}, brokenJSON("the value is not UTF-8")
	}
	r, text := &w.record, value
	if err := d.read(text, r); err != nil {
		return Decoded{}, err
	}
	if r.wrapped() {
		if r.payload.kind == jsonNull {
			return d.tombstone(key, true)
		}
		if r.payload.kind != jsonObject {
			return Decoded{}, unknownShape("the payload is %s", r.payload.kind)
		}
		schema, err := d.inlineSchema(&r.schema)
		if err != nil {
			return Decoded{}, err
		}
		text = r.payload.raw
		w.clear()
		w.in.schema = schema
		if err := d.read(text, r); err != nil {
			return Decoded{}, err
		}
	}
	row := r.seen > 0 && d.whole(r.row)
	switch {
	case d.opt.Format != FormatFlat && r.isEnvelope() && !(row && d.opt.Format == FormatAuto):
		return d.envelope(w, key)
	case row && d.opt.Format != FormatEnvelope:
		return d.flat(w, key)
	}
	shape := shapeOf(text, key)
	switch {
	case shape.passed != "":
		return Decoded{Passed: shape.passed}, nil
	case shape.foreign != "":
		return Decoded{}, brimline.BadInput(KindUnknownShape,
			"write the topic with Debezium's PostgreSQL connector and Kafka Connect's JsonConverter, or with "+
				"brimline capture", "not Debezium's JSON: %s", shape.foreign)
	case d.opt.Format == FormatEnvelope:
		return Decoded{}, unknownShape("no change event: op is %s; there are %s", r.op.kind, shape.members())
	case r.seen == 0 && !r.saysTable():
		return Decoded{}, unknownShape("neither a change event nor a row: none of its %s is a configured column",
			shape.members())
	}
	return d.flat(w, key)
}

// tombstone reads a record without value, or with a JSON null, which only a flattened delete becomes.
func (d *Decoder) tombstone(key []byte, flat bool) (Decoded, error) {
	if d.opt.Format == FormatEnvelope || !flat {
		return Decoded{Passed: PassedTombstone}, nil
	}
	return Decoded{}, brimline.BadInput(KindFlatTombstone,
		"set delete.tombstone.handling.mode=rewrite in the ExtractNewRecordState transform and REPLICA IDENTITY FULL "+
			"on the table, or format=envelope where tombstones only follow deletes",
		"a flattened delete carries nothing but its key %s: whose row it was is not known", excerpt(key))
}

// failed completes what is known of a record with an error.
func (d *Decoder) failed(w *work, key []byte, out Decoded, err error) (Decoded, error) {
	kind := ""
	if e, ok := errors.AsType[*brimline.Error](err); ok {
		kind = e.Kind
	}
	switch kind {
	case KindOtherTable:
		if d.opt.OtherTables == OtherTablesSkip {
			return Decoded{Passed: PassedOtherTable}, nil
		}
		return out, err
	case KindWrongType, KindTimeUnit, KindTimeCut, KindAmountScaleUnknown, KindAmountAmbiguous, KindAmountNotWhole,
		KindFloatColumn:
		d.surprise()
	case KindMissingColumn:
		if w.record.seen > 0 && !d.whole(w.record.row) || w.record.after.kind == jsonObject &&
			d.lacks(w.record.images.after) {
			d.surprise()
		}
	}
	out.User, out.Row = d.whose(w, key, out.Changes, kind)
	return out, err
}

// surpriseEvery is how often OnSurprise is called at most.
const surpriseEvery = 10 * time.Second

// surprise calls OnSurprise, if it is time to.
func (d *Decoder) surprise() {
	if d.opt.OnSurprise == nil {
		return
	}
	last, now := d.surprised.Load(), time.Now().UnixNano()
	if last != 0 && now-last < int64(surpriseEvery) || !d.surprised.CompareAndSwap(last, now) {
		return
	}
	d.opt.OnSurprise()
}

// members notes how many columns a row has: another number is a surprise.
func (d *Decoder) members(n int) {
	if last := d.width.Load(); int(last) != n {
		d.width.Store(int32(n))
		if last != 0 {
			d.surprise()
		}
	}
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
	if m.bad { // a bare scalar, or written by another converter: a key as well
		return len(key) > 0 && string(key) != "null"
	}
	return n > 0 && !(n == 2 && payload.kind == jsonNull)
}

func emptyKey() error {
	return brimline.BadInput(KindEmptyKey,
		"give the table a primary key, or set message.key.columns in the connector",
		"the record has no key, so changes to one row are in no order")
}
