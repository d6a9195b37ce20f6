package debezium

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// inlineSchema is the schema of a JsonConverter message, as far as it is about the configured columns, by slot.
type inlineSchema struct {
	raw     []byte
	columns []columnSchema
}

// columnSchema is the part of a Connect schema that decides how a value is read.
type columnSchema struct {
	connect string // Connect's type: int64, bytes, string, struct, …
	name    string // the logical type, empty for a plain one
	scale   int    // of connectDecimal
	preset  []byte // the column's default, as a value has it; nil for none
}

// Logical types of Kafka Connect and Debezium.
const (
	connectDecimal   = "org.apache.kafka.connect.data.Decimal"
	connectTimestamp = "org.apache.kafka.connect.data.Timestamp"
)

var schemaUnits = map[string]TimeUnit{
	"io.debezium.time.Timestamp":            UnitMs,
	"io.debezium.time.MicroTimestamp":       UnitUs,
	"io.debezium.time.NanoTimestamp":        UnitNs,
	connectTimestamp:                        UnitMs,
	"io.debezium.time.Date":                 unitDays,
	"org.apache.kafka.connect.data.Date":    unitDays,
	"io.debezium.time.MicroTime":            unitNone,
	"io.debezium.time.NanoTime":             unitNone,
	"io.debezium.time.Time":                 unitNone,
	"org.apache.kafka.connect.data.Time":    unitNone,
	"io.debezium.time.MicroDuration":        unitNone,
	"io.debezium.time.NanoDuration":         unitNone,
	"io.debezium.time.Year":                 unitNone,
	"org.apache.kafka.connect.data.Decimal": unitNone,
	"io.debezium.data.VariableScaleDecimal": unitNone,
}

// textTimes are logical types of times that come as text.
var textTimes = map[string]bool{
	"io.debezium.time.ZonedTimestamp": true, "io.debezium.time.IsoTimestamp": true, "io.debezium.time.IsoDate": true,
}

const (
	unitDays    TimeUnit = "days"
	unitSeconds TimeUnit = "seconds" // which no connector writes
	unitNone    TimeUnit = "none"    // a number, but not of a point in time
)

// isTime reports whether the schema is that of a point in time.
func (c *columnSchema) isTime() bool {
	u, number := schemaUnits[c.name]
	return number && u != unitNone || textTimes[c.name]
}

// presets reports whether a value is the column's default.
func (c *columnSchema) presets(v *jsonValue) bool {
	preset := c.preset
	if v.kind == jsonString && len(preset) > 1 {
		preset = preset[1 : len(preset)-1]
	}
	return len(preset) > 0 && string(preset) == string(v.raw)
}

// isFloat reports whether the schema is that of a binary float.
func (c *columnSchema) isFloat() bool {
	return c != nil && c.name == "" && (c.connect == "double" || c.connect == "float")
}

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
	Default json.RawMessage `json:"default"`
}

// inlineSchema interprets a schema. All messages between two changes of the table carry the same one, so it remembers
// the latest.
func (d *Decoder) inlineSchema(v *jsonValue) (*inlineSchema, error) {
	if v.kind == jsonNull {
		return nil, nil
	}
	if s := d.schemas.Load(); s != nil && bytes.Equal(s.raw, v.raw) {
		return s, nil
	}
	if len(v.raw) > maxSchema {
		return nil, unknownShape("the inline schema has %d bytes; at most %d are looked into", len(v.raw), maxSchema)
	}
	var root connectField
	if v.kind != jsonObject || json.Unmarshal(v.raw, &root) != nil {
		return nil, unknownShape("the inline schema is not one of Kafka Connect: %s", excerpt(v.raw))
	}
	s := &inlineSchema{raw: bytes.Clone(v.raw), columns: make([]columnSchema, len(d.names))}
	fields, found := root.Fields, false
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
			c := columnSchema{connect: f.Type, name: f.Name, preset: bytes.TrimSpace(f.Default)}
			if f.Name == connectDecimal {
				scale, err := strconv.Atoi(f.Parameters.Scale)
				if err != nil || scale < -MaxColumnScale || scale > MaxColumnScale {
					return nil, unknownShape("the inline schema gives column %s the scale %q", name,
						excerpt([]byte(f.Parameters.Scale)))
				}
				c.scale = scale
			}
			s.columns[i] = c
			found = true
		}
	}
	if found { // else it is that of a heartbeat or the like
		d.schemas.Store(s)
	}
	return s, nil
}
