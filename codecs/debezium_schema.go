package codecs

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// inlineSchema is what the schema of a JsonConverter message says about the
// configured columns, by slot.
type inlineSchema struct {
	raw     []byte
	columns []columnSchema
}

// columnSchema is the part of a Connect schema that decides how a value is read.
type columnSchema struct {
	connect string // Connect's type: int64, bytes, string, struct, …
	name    string // the logical type, empty for a plain one
	scale   int    // of connectDecimal
}

// Logical types of Kafka Connect and Debezium.
const (
	connectDecimal  = "org.apache.kafka.connect.data.Decimal"
	variableDecimal = "io.debezium.data.VariableScaleDecimal"
)

var schemaUnits = map[string]TimeUnit{
	"io.debezium.time.Timestamp":              UnitMs,
	"io.debezium.time.MicroTimestamp":         UnitUs,
	"io.debezium.time.NanoTimestamp":          UnitNs,
	"org.apache.kafka.connect.data.Timestamp": UnitMs,
	"io.debezium.time.Date":                   unitDays,
	"org.apache.kafka.connect.data.Date":      unitDays,
	"io.debezium.time.MicroTime":              unitNone,
	"io.debezium.time.NanoTime":               unitNone,
	"io.debezium.time.Time":                   unitNone,
	"org.apache.kafka.connect.data.Time":      unitNone,
	"io.debezium.time.MicroDuration":          unitNone,
	"io.debezium.time.NanoDuration":           unitNone,
	"io.debezium.time.Year":                   unitNone,
	"org.apache.kafka.connect.data.Decimal":   unitNone,
	"io.debezium.data.VariableScaleDecimal":   unitNone,
}

const (
	unitDays TimeUnit = "days"
	unitNone TimeUnit = "none" // a number, but not of a point in time
)

// of gives the schema of a slot; nil where the message came without one.
func (s *inlineSchema) of(slot int) *columnSchema {
	if s == nil || s.columns[slot].connect == "" {
		return nil
	}
	return &s.columns[slot]
}

type connectField struct {
	Field      string         `json:"field"`
	Type       string         `json:"type"`
	Name       string         `json:"name"`
	Fields     []connectField `json:"fields"`
	Parameters struct {
		Scale string `json:"scale"`
	} `json:"parameters"`
}

// inlineSchema interprets a schema. All messages between two changes of the
// table carry the same one, so the latest is remembered.
func (d *Debezium) inlineSchema(v *jsonValue) (*inlineSchema, error) {
	if v.kind == jsonNull {
		return nil, nil
	}
	if s := d.schemas.Load(); s != nil && bytes.Equal(s.raw, v.raw) {
		return s, nil
	}
	var root connectField
	if v.kind != jsonObject || json.Unmarshal(v.raw, &root) != nil {
		return nil, unknownShape("the inline schema is not one of Kafka Connect: %s", excerpt(v.raw))
	}
	s := &inlineSchema{raw: bytes.Clone(v.raw), columns: make([]columnSchema, len(d.names))}
	fields := root.Fields
	for _, f := range root.Fields {
		if f.Field == "after" && f.Type == "struct" && d.opt.Format != FormatFlat {
			fields = f.Fields
		}
	}
	for i, name := range d.names {
		for _, f := range fields {
			if f.Field != name {
				continue
			}
			c := columnSchema{connect: f.Type, name: f.Name}
			if f.Name == connectDecimal {
				scale, err := strconv.Atoi(f.Parameters.Scale)
				if err != nil || scale < -maxDecimalScale || scale > maxDecimalScale {
					return nil, unknownShape("the inline schema gives column %s the scale %q", name, excerpt([]byte(f.Parameters.Scale)))
				}
				c.scale = scale
			}
			s.columns[i] = c
		}
	}
	d.schemas.Store(s)
	return s, nil
}
