package preflight

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
)

// Sample is one record of the source topic.
type Sample struct{ Key, Value []byte }

// ConnectorOptions say how records are read.
type ConnectorOptions struct {
	Debezium codecs.DebeziumOptions
	// TableScale is the number of decimals of the amount column in PostgreSQL
	// (see AmountScale), nil where not known.
	TableScale *int
}

// Connector looks at the newest records of the source topic: how they are
// written, and whether brimline reads them as it is configured.
func Connector(samples []Sample, o ConnectorOptions) []Finding {
	var r report
	samples = slices.DeleteFunc(slices.Clone(samples), func(s Sample) bool { return len(s.Value) == 0 })
	if len(samples) == 0 {
		r.add(Note, "connector_records", "write a row to the table and look again", "the source topic has no records to look at yet")
		return r.findings
	}
	if registry := count(samples, func(s Sample) bool { return s.Value[0] == 0 }); registry > 0 {
		r.add(Error, "connector_format", "set value.converter and key.converter to org.apache.kafka.connect.json.JsonConverter in the connector, and start a new topic",
			"%d of %d newest records are of a schema registry's format (Avro, Protobuf), not JSON", registry, len(samples))
		return r.findings
	}
	r.decode(samples, o)
	r.encoding(samples, o)
	return r.findings
}

func count(samples []Sample, is func(Sample) bool) (n int) {
	for _, s := range samples {
		if is(s) {
			n++
		}
	}
	return n
}

// decode reads each sample as the route stage would.
func (r *report) decode(samples []Sample, o ConnectorOptions) {
	const check = "connector_records"
	d, err := codecs.NewDebezium(o.Debezium)
	if err != nil {
		r.failed(check, err)
		return
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
		r.ok(check, "all of the %s can be read", counted(len(samples), "newest record", "newest records"))
		return
	}
	for _, kind := range slices.Sorted(maps.Keys(failures)) {
		f := failures[kind]
		level := Warning
		// What is wrong with every record is a setting; what is wrong with some may be the data.
		if f.times == len(samples) || kind == codecs.KindFloatAmount || kind == codecs.KindAmountAmbiguous ||
			kind == codecs.KindTimeUnit {
			level = Error
		}
		what, remedy := f.first.Error(), ""
		if e, ok := errors.AsType[*brimline.Error](f.first); ok {
			what, remedy = e.Err.Error(), e.Remedy
		}
		r.add(level, check, remedy, "%d of %d newest records would become dead letters (%s), one because %s", f.times, len(samples), kind, what)
	}
}

// style is how a record is written.
type style struct {
	schema   bool
	envelope bool
	amount   string // base64, text, number, struct, "" when not seen
	float    bool   // a number with a fraction or an exponent
}

func (r *report) encoding(samples []Sample, o ConnectorOptions) {
	const check = "connector_encoding"
	var seen []style
	for _, s := range samples {
		if st, ok := styleOf(s.Value, o.Debezium.Amount); ok {
			seen = append(seen, st)
		}
	}
	if len(seen) == 0 {
		return
	}
	last := seen[len(seen)-1]
	has := func(is func(style) bool) bool { return slices.ContainsFunc(seen, is) }
	shape := "flattened rows"
	if last.envelope {
		shape = "envelopes"
	}
	if last.schema {
		shape += " with inline schema"
		r.add(Note, check, "set key.converter.schemas.enable=false and value.converter.schemas.enable=false",
			"every record carries its schema, which makes it about six times as large")
	}
	precise := has(func(s style) bool { return s.amount == "base64" })
	decimals := "not seen"
	switch {
	case precise:
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
	r.ok(check, "records are %s, amounts are %s", shape, decimals)
	if precise && !last.schema {
		r.preciseScale(o)
	}
}

// preciseScale guards against the one mistake that nothing downstream can see:
// the bytes of precise decimals do not say where the point is.
func (r *report) preciseScale(o ConnectorOptions) {
	const check = "connector_scale"
	read := o.Debezium.AmountColumnScale
	if read == nil {
		read = o.Debezium.Facts[o.Debezium.Amount].Scale
	}
	switch {
	case read == nil && o.TableScale != nil:
		r.add(Error, check, fmt.Sprintf("set --amount-column-scale=%d", *o.TableScale),
			"amounts are bytes without their scale, and no setting says it")
	case read == nil: // connector_records says it
	case o.TableScale == nil:
		r.add(Warning, check, "check that column "+o.Debezium.Amount+" has that many decimals",
			"amounts are bytes without their scale: they are read with %d decimals, and PostgreSQL was not asked",
			*read)
	case *o.TableScale != *read:
		r.add(Error, check, fmt.Sprintf("set --amount-column-scale=%d", *o.TableScale),
			"amounts are read with %d decimals, and column %s has %d: every total would be wrong", *read,
			o.Debezium.Amount, *o.TableScale)
	default:
		r.ok(check, "amounts are read with the column's %d decimals", *read)
	}
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
	row := record
	if _, isEnvelope := record["op"]; isEnvelope {
		s.envelope = true
		for _, side := range []string{"after", "before"} {
			if row, ok = object(record[side]); ok {
				break
			}
		}
	}
	raw := bytes.TrimSpace(row[amount])
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
