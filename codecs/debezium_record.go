package codecs

import (
	"math"
	"strconv"

	"github.com/brimline/brimline"
)

// eventRecord is the outermost object of an event, read in one pass as all that it could be.
type eventRecord struct {
	images
	rowSeen bool // at least one of the configured columns is a member
	count   int  // members

	schema, payload           jsonValue // as a value with inline schema
	before, after, source, op jsonValue // as an envelope
	origin                    origin    // what source says
	status, events, message   jsonValue // as transaction metadata, as a logical message
	flatOrigin                origin    // as a flattened row with the rewrite fields
	deleted, operation        jsonValue
}

// images are places for the configured columns of the rows in a record.
type images struct {
	row    []jsonValue // the record as a flattened row
	before []jsonValue // of an envelope
	after  []jsonValue
}

// work is the space that decoding one record takes: small, but not worth an allocation for each.
type work struct {
	values []jsonValue // of the three images
	record eventRecord
}

func (d *Debezium) work() *work {
	if w, ok := d.spare.Get().(*work); ok {
		return w
	}
	w := &work{values: make([]jsonValue, 3*len(d.names))}
	w.clear()
	return w
}

// done keeps w for the next record, without a trace of this one's bytes.
func (d *Debezium) done(w *work) {
	w.clear()
	d.spare.Put(w)
}

func (w *work) clear() {
	clear(w.values)
	n := len(w.values) / 3
	w.record = eventRecord{images: images{row: w.values[:n], before: w.values[n : 2*n], after: w.values[2*n:]}}
}

// origin is what a record says about where it is from.
type origin struct {
	schema, table, lsn, txID, tsMs, tsUs jsonValue
}

func (r *eventRecord) wrapped() bool {
	return r.count == 2 && r.schema.kind != jsonAbsent && r.payload.kind != jsonAbsent
}

func (r *eventRecord) isEnvelope() bool {
	return r.op.kind == jsonString && (r.before.isRow() || r.after.isRow() || r.source.kind == jsonObject)
}

func (r *eventRecord) isMessage() bool { return r.op.is("m") && r.message.kind == jsonObject }

func (r *eventRecord) isTransaction() bool {
	return r.events.kind != jsonAbsent && (r.status.is("BEGIN") || r.status.is("END"))
}

func (v *jsonValue) isRow() bool { return v.kind == jsonObject || v.kind == jsonNull }

// read takes the outermost object apart; r's images are cleared space.
func (d *Debezium) read(text []byte, r *eventRecord) error {
	m := openObject(text)
	for m.nextKey() {
		r.count++
		place := (*jsonValue)(nil)
		if !m.key.escaped {
			place = r.member(m.key.raw)
		}
		if err := d.member(&m, r, place); err != nil {
			return err
		}
		if m.bad {
			break
		}
		seen, err := d.fill(r.row, &m)
		if err != nil {
			return err
		}
		r.rowSeen = r.rowSeen || seen
		if place == nil {
			continue
		}
		if place.kind != jsonAbsent {
			return twice(&m)
		}
		*place = m.value
	}
	if m.bad && r.count == 0 && m.i == 0 {
		return unknownShape("the value %s is no JSON object", excerpt(text))
	}
	if m.bad || !m.end() {
		return brokenJSON("not JSON at byte %d of %d: %s", m.i, len(text), excerpt(text[m.i:]))
	}
	return nil
}

// member reads the value at which m stands, and walks it where it is one of an envelope's objects.
func (d *Debezium) member(m *members, r *eventRecord, place *jsonValue) error {
	switch place {
	case &r.before, &r.after, &r.source:
		inner, ok := m.enter()
		if !ok {
			break
		}
		var err error
		switch place {
		case &r.before:
			err = d.image(&inner, r.images.before)
		case &r.after:
			err = d.image(&inner, r.images.after)
		default:
			r.origin.read(&inner)
		}
		m.leave(&inner)
		return err
	case &r.schema:
		if s := d.schemas.Load(); s != nil && m.skip(s.raw) {
			return nil
		}
	}
	m.read()
	return nil
}

func twice(m *members) error { return brokenJSON("member %s is there twice", excerpt(m.key.raw)) }

func (r *eventRecord) member(key []byte) *jsonValue {
	switch string(key) {
	case "schema":
		return &r.schema
	case "payload":
		return &r.payload
	case "before":
		return &r.before
	case "after":
		return &r.after
	case "source":
		return &r.source
	case "op":
		return &r.op
	case "status":
		return &r.status
	case "event_count":
		return &r.events
	case "message":
		return &r.message
	case "__deleted":
		return &r.deleted
	case "__op":
		return &r.operation
	case "__table":
		return &r.flatOrigin.table
	case "__schema":
		return &r.flatOrigin.schema
	case "__lsn":
		return &r.flatOrigin.lsn
	case "__txId":
		return &r.flatOrigin.txID
	case "__source_ts_ms":
		return &r.flatOrigin.tsMs
	case "__source_ts_us":
		return &r.flatOrigin.tsUs
	}
	return nil
}

// fill keeps the member at which m stands if it is one of the configured columns.
func (d *Debezium) fill(row []jsonValue, m *members) (bool, error) {
	for i, name := range d.names {
		if len(name) == len(m.key.raw) && string(m.key.raw) == name || m.key.escaped && m.key.is(name) {
			if row[i].kind != jsonAbsent {
				return true, twice(m)
			}
			row[i] = m.value
			return true, nil
		}
	}
	return false, nil
}

// image reads the object of before or after.
func (d *Debezium) image(m *members, row []jsonValue) error {
	for m.next() {
		if _, err := d.fill(row, m); err != nil {
			return err
		}
	}
	return nil
}

// envelope reads Debezium's own format.
func (d *Debezium) envelope(r *eventRecord, key []byte, schema *inlineSchema) ([]brimline.Change, error) {
	if !r.isEnvelope() {
		return nil, unknownShape("no change event: op is %s", r.op.kind)
	}
	d.bareFlatSeen.Store(false)
	source, err := d.source(&r.origin)
	if err != nil {
		return nil, err
	}
	op := r.op.raw
	if string(op) == "t" {
		return []brimline.Change{{Kind: brimline.Truncate, Source: source}}, nil
	}
	if string(op) == "m" {
		return nil, nil
	}
	if len(op) != 1 || op[0] != 'c' && op[0] != 'r' && op[0] != 'u' && op[0] != 'd' {
		return nil, unknownOp(&r.op)
	}
	if !hasKey(key) {
		return nil, emptyKey()
	}
	before := r.images.before
	if r.before.kind != jsonObject {
		before = nil
	}
	if op[0] == 'd' {
		if before == nil {
			return nil, brimline.BadInput(KindDeleteWithoutBefore, remedyFullIdentity,
				"a delete without the row's earlier contents: whose row it was is not known")
		}
		return d.deleted(before, schema, source)
	}
	if r.after.kind != jsonObject {
		return nil, unknownShape("op %s, and after is %s", op, r.after.kind)
	}
	return d.upserted(before, r.images.after, schema, source)
}

func unknownOp(op *jsonValue) error {
	return brimline.BadInput(KindUnknownOp,
		"check the connector's version and transforms: c, r, u, d, t and m are known", "unknown operation %s", excerpt(op.raw))
}

func (o *origin) read(m *members) {
	for m.next() {
		switch string(m.key.raw) {
		case "schema":
			o.schema = m.value
		case "table":
			o.table = m.value
		case "lsn":
			o.lsn = m.value
		case "txId":
			o.txID = m.value
		case "ts_ms":
			o.tsMs = m.value
		case "ts_us":
			o.tsUs = m.value
		}
	}
}

// source gives the coordinates, and refuses other tables. What the record does not say is 0.
func (d *Debezium) source(o *origin) (brimline.Source, error) {
	var out brimline.Source
	if o.table.kind > jsonNull && !o.table.is(d.table) || o.schema.kind > jsonNull && !o.schema.is(d.schema) {
		return out, d.otherTable(&o.schema, &o.table)
	}
	lsn, ok1 := optionalNumber(&o.lsn)
	txID, ok2 := optionalNumber(&o.txID)
	us, ok3 := optionalNumber(&o.tsUs)
	ms, ok4 := optionalNumber(&o.tsMs)
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return out, wrongType("source", "numbers for lsn, txId, ts_us and ts_ms", "something else")
	}
	if us == 0 && ms <= math.MaxInt64/1000 {
		us = ms * 1000
	}
	return brimline.Source{LSN: uint64(lsn), TxID: txID, Commit: brimline.Time(us)}, nil
}

// optionalNumber reads a whole number from 0; an absent one and null are 0.
func optionalNumber(v *jsonValue) (int64, bool) {
	if v.kind <= jsonNull {
		return 0, true
	}
	n, ok := integer(v)
	return n, ok && n >= 0
}

func (d *Debezium) otherTable(schema, table *jsonValue) error {
	name := string(table.raw)
	if len(schema.raw) > 0 {
		name = string(schema.raw) + "." + name
	}
	return brimline.BadInput(KindOtherTable,
		"set table.include.list in the connector to the watched table, or table in brimline to this one",
		"a record of table %s, not of %s", excerpt([]byte(name)), d.opt.Table)
}

// flat reads a row as ExtractNewRecordState leaves it.
func (d *Debezium) flat(r *eventRecord, key []byte, schema *inlineSchema) ([]brimline.Change, error) {
	if !r.rowSeen {
		return nil, unknownShape("neither a change event nor a row: none of its %s members is a configured column", strconv.Itoa(r.count))
	}
	d.bareFlatSeen.Store(r.deleted.kind == jsonAbsent)
	source, err := d.source(&r.flatOrigin)
	if err != nil {
		return nil, err
	}
	if !hasKey(key) {
		return nil, emptyKey()
	}
	gone := r.deleted.is("true") || r.deleted.kind == jsonBool && string(r.deleted.raw) == "true"
	if r.operation.kind == jsonString {
		switch string(r.operation.raw) {
		case "c", "r", "u":
		case "d":
			gone = true
		default:
			return nil, unknownOp(&r.operation)
		}
	}
	if gone {
		return d.deleted(r.row, schema, source)
	}
	return d.upserted(nil, r.row, schema, source)
}
