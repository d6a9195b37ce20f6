package preflight

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs/debezium"
)

// Sample is one record of the source topic.
type Sample struct{ Key, Value []byte }

// RecordsOptions say how records are read.
type RecordsOptions struct {
	// Debezium are the settings, with the catalog's facts where it was asked.
	Debezium debezium.Options
	// Connector is Kafka Connect's answer about the connector that writes them; nil where it was not asked.
	Connector *Connector
}

// Decided is how records are to be read where they do not say it themselves; empty where nothing had to be decided.
type Decided struct {
	Unit debezium.TimeUnit
	// Adaptive says that records or the connector show the unit of Debezium's default mode, where Unit is empty.
	Adaptive bool
	Decimals debezium.Decimals
}

// Newest are the newest records of the source topic, as the checks look at them.
type Newest struct {
	rows     []style // those that can be looked into
	samples  []Sample
	registry int
}

// Look takes samples apart.
func Look(samples []Sample, amount string) *Newest {
	n := &Newest{}
	for _, s := range samples {
		switch {
		case len(s.Value) == 0: // a tombstone
			continue
		case s.Value[0] == 0:
			n.registry++
			continue
		}
		n.samples = append(n.samples, s)
		if row, ok := styleOf(s.Value, amount); ok {
			n.rows = append(n.rows, row)
		}
	}
	return n
}

// Any reports whether there are any.
func (n *Newest) Any() bool { return len(n.samples)+n.registry > 0 }

// Own reports whether our own capture has written all of them.
func (n *Newest) Own() bool {
	return len(n.rows) > 0 && !slices.ContainsFunc(n.rows, func(s style) bool { return !s.own })
}

// Records looks at the newest records of the source topic: how they are written, in which units, and whether brimline
// reads them as it is configured.
func Records(n *Newest, o RecordsOptions) ([]Finding, Decided) {
	r := &records{RecordsOptions: o, rows: n.rows}
	const remedyRegistry = "set value.converter and key.converter to org.apache.kafka.connect.json.JsonConverter in the " +
		"connector, and start a new topic"
	switch {
	case n.registry > 0 && len(n.samples) == 0:
		r.add("records_registry", remedyRegistry,
			"the %d newest records are of a schema registry's format (Avro, Protobuf), not JSON", n.registry)
	case n.registry > 0:
		r.add("records_some_registry", remedyRegistry,
			"%d of %d newest records are of a schema registry's format (Avro, Protobuf), not JSON: they become dead letters",
			n.registry, n.registry+len(n.samples))
	case len(n.samples) == 0:
		r.add("records_none", "write a row to the table and look again", "the source topic has no records to look at yet")
	}
	var decided Decided
	decided.Unit, decided.Adaptive = r.unit()
	decided.Decimals = r.decimals()
	if len(n.samples) > 0 {
		if Worst(r.findings) < Error { // else most of what is found follows from that
			r.decode(n.samples, decided)
		}
		r.encoding()
	}
	return r.findings, decided
}

type records struct {
	RecordsOptions
	report
	rows []style
}

// settingKinds are the kinds of errors that come from a setting, not from the record.
var settingKinds = []string{debezium.KindFloatAmount, debezium.KindFloatColumn, debezium.KindAmountAmbiguous,
	debezium.KindTimeUnit, debezium.KindTimeCut, debezium.KindAmountScaleUnknown}

// decode reads each sample as the route stage would.
func (r *records) decode(samples []Sample, decided Decided) {
	o := r.Debezium
	o.DecidedUnit, o.DecidedDecimals = decided.Unit, decided.Decimals
	d, err := debezium.New(o)
	if err != nil {
		return // settings_wrong says it
	}
	type failure struct {
		first error
		times int
	}
	failures := map[string]*failure{}
	for _, s := range samples {
		_, err := d.Decode(s.Key, s.Value)
		if err == nil {
			continue
		}
		kind := "other"
		if e, ok := errors.AsType[*brimline.Error](err); ok {
			kind = e.Kind
		}
		if failures[kind] == nil {
			failures[kind] = &failure{first: err}
		}
		failures[kind].times++
	}
	if len(failures) == 0 {
		r.ok("records", "all of the %s can be read", counted(len(samples), "newest record", "newest records"))
		return
	}
	for _, kind := range slices.Sorted(maps.Keys(failures)) {
		f := failures[kind]
		// A stray record is a dead letter, and no reason to hold up the others.
		id := "records_some_unreadable"
		if 2*f.times >= len(samples) && slices.Contains(settingKinds, kind) {
			id = "records_unreadable"
		}
		what, remedy := f.first.Error(), ""
		if e, ok := errors.AsType[*brimline.Error](f.first); ok {
			what, remedy = e.Err.Error(), e.Remedy
		}
		r.add(id, remedy, "%d of %d newest records would become dead letters (%s), one because %s", f.times, len(samples),
			kind, what)
	}
}

// style is how a record is written.
type style struct {
	schema   bool
	envelope bool
	own      bool   // by our capture
	amount   string // base64, text, number, struct, "" when not seen
	float    bool   // a number with a fraction or an exponent
	row      map[string]json.RawMessage
}

// encoding tells how records are written.
func (r *records) encoding() {
	if len(r.rows) == 0 {
		return
	}
	last := r.rows[len(r.rows)-1]
	has := func(is func(style) bool) bool { return slices.ContainsFunc(r.rows, is) }
	shape := "flattened rows"
	if last.envelope {
		shape = "envelopes"
	} else {
		r.add("record_encoding_flat", "write envelopes (without the transform ExtractNewRecordState) where rows move "+
			"between "+
			"users or are corrected", "records are flattened: they do not say what a row was before, and a row that moves to "+
			"another user stays with the first as well")
	}
	if last.schema {
		shape += " with inline schema"
		r.add("record_encoding_schemas", "set key.converter.schemas.enable=false and value.converter.schemas.enable=false",
			"every record carries its schema, which makes it about six times as large")
	}
	decimals := "not seen"
	switch {
	case has(func(s style) bool { return s.amount == "base64" }):
		decimals = "precise (base64)"
	case has(func(s style) bool { return s.amount == "struct" }):
		decimals = "precise (with their scale)"
	case has(func(s style) bool { return s.float }):
		decimals = "double"
	case has(func(s style) bool { return s.amount == "text" }):
		decimals = "string"
	case has(func(s style) bool { return s.amount == "number" }):
		decimals = "whole numbers"
	}
	r.ok("record_encoding", "records are %s, amounts are %s", shape, decimals)
}

// styleOf looks at a record's outer shape only; reading it is decode's task.
func styleOf(value []byte, amount string) (s style, ok bool) {
	record, ok := object(value)
	if !ok {
		return s, false
	}
	if payload, wrapped := record["payload"]; wrapped && record["schema"] != nil {
		s.schema = true
		if record, ok = object(payload); !ok {
			return s, false
		}
	}
	s.row = record
	if _, isEnvelope := record["op"]; isEnvelope {
		s.envelope = true
		for _, side := range []string{"after", "before"} {
			if s.row, ok = object(record[side]); ok {
				break
			}
		}
		if source, ok := object(record["source"]); ok {
			s.own = bytes.HasPrefix(source["version"], []byte(`"brimline`))
		}
	}
	raw := bytes.TrimSpace(s.row[amount])
	switch {
	case len(raw) == 0 || raw[0] == 'n':
	case raw[0] == '{':
		s.amount = "struct"
	case raw[0] == '"':
		s.amount = "base64"
		if _, err := brimline.ParseTotal(strings.Trim(string(raw), `"`), brimline.MaxScale); err == nil || isSpecial(raw) {
			s.amount = "text"
		}
	default:
		s.amount, s.float = "number", bytes.ContainsAny(raw, ".eE")
	}
	return s, true
}

func isSpecial(raw []byte) bool { return strings.EqualFold(string(raw), `"NaN"`) }

func object(raw []byte) (map[string]json.RawMessage, bool) {
	var m map[string]json.RawMessage
	err := json.Unmarshal(raw, &m)
	return m, err == nil && m != nil
}
