package debezium

import (
	"bytes"
	"cmp"
	"math"

	"github.com/brimline/brimline"
)

// eventRecord is the outermost object of an event, read in one pass as every shape that it may turn out to have.
type eventRecord struct {
	images
	seen  int // configured columns that are members
	count int // members

	schema, payload           jsonValue // as a value with inline schema
	before, after, source, op jsonValue // as an envelope
	afterCount                int       // members of after
	origin                    origin    // what source says
	deleted, operation        jsonValue // as a flattened row
	extra                     *extra
}

// extra are the fields of a flattened row that say where it is from, which few records have.
type extra struct {
	used   bool
	plain  origin // add.fields=table, …
	source origin // add.fields=source.table, …
}

// images are places for the configured columns of the rows in a record.
type images struct {
	row    []jsonValue // the record as a flattened row
	before []jsonValue // of an envelope
	after  []jsonValue
}

// work is the space in which one record is decoded. It is used again, to save an allocation for each record.
type work struct {
	values []jsonValue // of the three images
	record eventRecord
	extra  extra
	in     reading
}

func (d *Decoder) work() *work {
	if w, ok := d.spare.Get().(*work); ok {
		return w
	}
	w := &work{values: make([]jsonValue, 3*len(d.names))}
	w.clear()
	return w
}

// done keeps w for the next record, without a trace of this one's bytes.
func (d *Decoder) done(w *work) {
	w.clear()
	d.spare.Put(w)
}

func (w *work) clear() {
	w.in = reading{}
	if w.extra.used {
		w.extra = extra{}
	}
	clear(w.values)
	n := len(w.values) / 3
	w.record = eventRecord{images: images{row: w.values[:n], before: w.values[n : 2*n], after: w.values[2*n:]},
		extra: &w.extra}
}

// origin is a record's own account of its source.
type origin struct {
	connector, version, snapshot, schema, table, lsn, txID, tsMs, tsUs jsonValue
}

func (r *eventRecord) wrapped() bool {
	return r.count == 2 && r.schema.kind != jsonAbsent && r.payload.kind != jsonAbsent
}

func (r *eventRecord) isEnvelope() bool {
	return r.op.kind == jsonString && (r.before.isRow() || r.after.isRow() || r.source.kind == jsonObject)
}

// saysTable reports whether a flattened row names its table.
func (r *eventRecord) saysTable() bool {
	return r.extra.plain.table.kind == jsonString || r.extra.source.table.kind == jsonString
}

func (v *jsonValue) isRow() bool { return v.kind == jsonObject || v.kind == jsonNull }

// read takes the outermost object apart; r's images are cleared space.
func (d *Decoder) read(text []byte, r *eventRecord) error {
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
		if seen {
			r.seen++
		}
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
func (d *Decoder) member(m *members, r *eventRecord, place *jsonValue) error {
	switch place {
	case &r.before, &r.after, &r.source:
		inner, ok := m.enter()
		if !ok {
			break
		}
		var err error
		switch place {
		case &r.before:
			_, err = d.image(&inner, r.images.before)
		case &r.after:
			r.afterCount, err = d.image(&inner, r.images.after)
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
	case "__deleted":
		return &r.deleted
	case "__op":
		return &r.operation
	}
	if len(key) < 3 || key[0] != '_' || key[1] != '_' {
		return nil
	}
	r.extra.used = true
	if source, ok := bytes.CutPrefix(key[2:], []byte("source_")); ok {
		return r.extra.source.member(source)
	}
	return r.extra.plain.member(key[2:])
}

// member is the place of a member of source.
func (o *origin) member(key []byte) *jsonValue {
	switch string(key) {
	case "connector":
		return &o.connector
	case "version":
		return &o.version
	case "snapshot":
		return &o.snapshot
	case "schema":
		return &o.schema
	case "table":
		return &o.table
	case "lsn":
		return &o.lsn
	case "txId":
		return &o.txID
	case "ts_ms":
		return &o.tsMs
	case "ts_us":
		return &o.tsUs
	}
	return nil
}

// fill keeps the member at which m stands if it is one of the configured columns.
func (d *Decoder) fill(row []jsonValue, m *members) (bool, error) {
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

// image reads the object of before or after, and counts its members.
func (d *Decoder) image(m *members, row []jsonValue) (n int, err error) {
	for m.next() {
		n++
		if _, err := d.fill(row, m); err != nil {
			return n, err
		}
	}
	return n, nil
}

// whole reports whether a row has all the columns that a row must have.
func (d *Decoder) whole(row []jsonValue) bool {
	for _, i := range d.vital {
		if row[i].kind == jsonAbsent {
			return false
		}
	}
	return true
}

// lacks reports whether a row lacks one of the columns that are read.
func (d *Decoder) lacks(row []jsonValue) bool {
	for i := range row {
		if row[i].kind == jsonAbsent {
			return true
		}
	}
	return false
}

// envelope reads Debezium's own format.
func (d *Decoder) envelope(w *work, key []byte) (Decoded, error) {
	r := &w.record
	d.bareFlatSeen.Store(false)
	op := r.op.raw
	if string(op) == "m" {
		return Decoded{Passed: PassedMessage}, nil
	}
	if r.source.kind == jsonObject {
		if err := r.origin.postgres(); err != nil {
			return Decoded{}, err
		}
	}
	if err := d.ofTable(&r.origin); err != nil {
		return Decoded{}, err
	}
	w.in.by(&r.origin.version)
	snapshot := string(op) == "r"
	source := r.origin.coordinates(snapshot)
	if string(op) == "t" {
		if r.source.kind != jsonObject {
			return Decoded{}, unknownShape("a truncation whose source is %s: of which table is not known",
				r.source.kind)
		}
		return Decoded{Changes: []brimline.Change{{Kind: brimline.Truncate, Source: source}}}, nil
	}
	if len(op) != 1 || op[0] != 'c' && op[0] != 'r' && op[0] != 'u' && op[0] != 'd' {
		return Decoded{}, unknownOp(&r.op)
	}
	if !hasKey(key) {
		return Decoded{}, emptyKey()
	}
	before := r.images.before
	if r.before.kind != jsonObject {
		before = nil
	}
	if op[0] == 'd' {
		if before == nil {
			return Decoded{}, brimline.BadInput(KindDeleteWithoutBefore, remedyFullIdentity,
				"a delete without the row's earlier contents: whose row it was is not known")
		}
		return d.deleted(before, w.in, source)
	}
	if r.after.kind != jsonObject {
		why := unknownShape("op %s, and after is %s", op, r.after.kind)
		return d.notTaken(before, nil, w.in, source, op[0] == 'c', why)
	}
	d.members(r.afterCount)
	return d.upserted(before, r.images.after, w.in, source, op[0])
}

func unknownOp(op *jsonValue) error {
	return brimline.BadInput(KindUnknownOp,
		"check the connector's version and transforms: c, r, u, d, t and m are known",
		"unknown operation %s", excerpt(op.raw))
}

func (o *origin) read(m *members) {
	for m.next() {
		if place := o.member(m.key.raw); place != nil {
			*place = m.value
		}
	}
}

// postgres refuses events of other connectors: those of PostgreSQL's name a schema and a table.
func (o *origin) postgres() error {
	const remedy = "point the source at a topic of Debezium's PostgreSQL connector, or of brimline capture"
	if err := o.ofPostgres(); err != nil {
		return err
	}
	for _, part := range []struct {
		name  string
		value *jsonValue
	}{{"schema", &o.schema}, {"table", &o.table}} {
		if part.value.kind <= jsonNull {
			return brimline.BadInput(KindUnknownShape, remedy,
				"source.%s is not there: this is no event of a PostgreSQL connector", part.name)
		}
	}
	return nil
}

// ofPostgres refuses records that name another connector.
func (o *origin) ofPostgres() error {
	if o.connector.kind <= jsonNull || o.connector.is("postgresql") {
		return nil
	}
	return brimline.BadInput(KindUnknownShape, "point the source at a topic of Debezium's PostgreSQL connector, or "+
		"of brimline capture",
		"an event of the connector %s, not of PostgreSQL's", excerpt(o.connector.raw))
}

// ofTable refuses records of other tables. It takes one that names none.
func (d *Decoder) ofTable(o *origin) error {
	if o.table.kind > jsonNull && !o.table.is(d.table) || o.schema.kind > jsonNull && !o.schema.is(d.schema) {
		return d.otherTable(&o.schema, &o.table)
	}
	return nil
}

// coordinates say where a change stands in PostgreSQL. A coordinate that the record lacks, or that cannot be read, is
// 0. So is a snapshot row's transaction: it would be the connector's own, which is open as long as the snapshot lasts.
func (o *origin) coordinates(snapshot bool) brimline.Source {
	out := brimline.Source{LSN: uint64(coordinate(&o.lsn)), Commit: brimline.Time(coordinate(&o.tsUs))}
	if out.Snapshot = snapshot; !snapshot {
		out.TxID = coordinate(&o.txID)
	}
	if ms := coordinate(&o.tsMs); out.Commit == 0 && ms <= math.MaxInt64/1000 {
		out.Commit = brimline.Time(ms * 1000)
	}
	return out
}

// coordinate is a whole number above 0, else 0.
func coordinate(v *jsonValue) int64 {
	n, ok := integer(v)
	if !ok || n < 0 {
		return 0
	}
	return n
}

func (d *Decoder) otherTable(schema, table *jsonValue) error {
	name := string(table.raw)
	if len(schema.raw) > 0 {
		name = string(schema.raw) + "." + name
	}
	return brimline.BadInput(KindOtherTable,
		"set table.include.list in the connector to the watched table, or table in brimline to this one; "+
			"--other-tables=skip passes over records of other tables",
		"a record of table %s, not of %s", excerpt([]byte(name)), d.opt.Table)
}

// flat reads a row as ExtractNewRecordState leaves it.
func (d *Decoder) flat(w *work, key []byte) (Decoded, error) {
	r := &w.record
	if r.extra.used {
		for _, o := range [...]*origin{&r.extra.plain, &r.extra.source} {
			if err := o.ofPostgres(); err != nil {
				return Decoded{}, err
			}
			if err := d.ofTable(o); err != nil {
				return Decoded{}, err
			}
			w.in.by(&o.version)
		}
	}
	d.bareFlatSeen.Store(r.deleted.kind == jsonAbsent)
	if !hasKey(key) {
		return Decoded{}, emptyKey()
	}
	snapshot, gone, op := false, r.deleted.isTrue(), byte(0)
	if r.operation.kind == jsonString {
		switch string(r.operation.raw) {
		case "c", "u":
			op = r.operation.raw[0]
		case "r":
			snapshot = true
		case "d":
			gone = true
		default:
			return Decoded{}, unknownOp(&r.operation)
		}
	}
	source := brimline.Source{}
	if r.extra.used {
		source = r.extra.coordinates(snapshot)
	}
	d.members(r.count)
	if gone {
		return d.deleted(r.row, w.in, source)
	}
	return d.upserted(nil, r.row, w.in, source, op)
}

// coordinates put together the fields of both spellings.
func (e *extra) coordinates(snapshot bool) brimline.Source {
	for _, o := range [...]*origin{&e.plain, &e.source} {
		snapshot = snapshot || o.snapshot.kind > jsonNull && !o.snapshot.is("false") &&
			string(o.snapshot.raw) != "false"
	}
	plain, out := e.plain.coordinates(snapshot), e.source.coordinates(snapshot)
	out.LSN, out.TxID = cmp.Or(plain.LSN, out.LSN), cmp.Or(plain.TxID, out.TxID)
	return out // with the commit's time; __ts_ms is when the connector saw the change
}

func (v *jsonValue) isTrue() bool {
	return v.is("true") || v.kind == jsonBool && string(v.raw) == "true"
}
