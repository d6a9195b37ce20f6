package debezium

import (
	"bytes"
	"strconv"
	"strings"
)

// shape tells a record that is neither an envelope nor a whole row.
type shape struct {
	passed  Passed // a record of a connector that is about no row
	foreign string // the format of another program
	names   []string
	count   int
}

// shapeOf looks at the members of a JSON object that is known to be valid. It is slow; few records need it.
func shapeOf(text, key []byte) shape {
	s, all := shape{}, map[string]jsonValue{}
	object := openObject(text)
	for object.next() {
		s.count++
		name, _ := object.key.text()
		if len(s.names) < mostNames {
			s.names = append(s.names, name)
		}
		all[name] = object.value
	}
	has := func(names ...string) bool {
		for _, name := range names {
			if all[name].kind == jsonAbsent {
				return false
			}
		}
		return true
	}
	only := func(names ...string) bool {
		n := 0
		for _, name := range names {
			if has(name) {
				n++
			}
		}
		return n == len(all)
	}
	kind := func(name string) jsonKind { return all[name].kind }
	status, op := all["status"], all["op"]
	switch {
	case has("ts_ms") && only("ts_ms", "ts_us", "ts_ns") && keyNames(key, "serverName"):
		s.passed = PassedHeartbeat
	case has("op", "message", "source") && op.is("m"):
		s.passed = PassedMessage
	case has("event_count", "id") && (status.is("BEGIN") || status.is("END")),
		has("id", "type", "aggregate_type", "additional_data"),
		has("databaseName", "tableChanges"),
		has("type", "data") && only("id", "type", "data") && isSignal(all["type"]):
		s.passed = PassedMetadata
	case has("specversion", "type", "source"):
		s.foreign = "a record of CloudEvents"
	case has("data", "isDdl", "type"):
		s.foreign = "a record of Canal"
	case has("database", "table", "type") && kind("data") == jsonObject:
		s.foreign = "a record of Maxwell"
	case kind("change") == jsonArray, has("action") && (has("columns") || has("identity")):
		s.foreign = "a record of wal2json"
	case kind("data") == jsonObject && kind("metadata") == jsonObject:
		s.foreign = "a record of AWS DMS"
	}
	return s
}

// isSignal reports whether a type is one of Debezium's signals.
func isSignal(kind jsonValue) bool {
	for _, name := range []string{"execute-snapshot", "stop-snapshot", "pause-snapshot", "resume-snapshot", "log",
		"schema-changes"} {
		if kind.is(name) {
			return true
		}
	}
	return false
}

// mostNames is how many members an error names.
const mostNames = 6

// members names them for an error.
func (s *shape) members() string {
	quoted := make([]string, len(s.names))
	for i, name := range s.names {
		quoted[i] = strings.Trim(excerpt([]byte(name)), `"`)
	}
	text := strconv.Itoa(s.count) + " members " + strings.Join(quoted, ", ")
	if s.count > len(s.names) {
		text += ", …"
	}
	return text
}

// keyNames reports whether a record's key, with or without inline schema, has a member.
func keyNames(key []byte, name string) bool {
	if len(key) > 0 && key[0] != '{' { // of another converter
		return bytes.Contains(key, []byte(name))
	}
	found := false
	eachOfKey(key, func(k, _ *jsonValue) { found = found || k.is(name) })
	return found
}

// eachOfKey walks the members of a record's key, which may have an inline schema.
func eachOfKey(key []byte, see func(name, value *jsonValue)) {
	var schema, payload jsonValue
	n := 0
	object := openObject(key)
	for object.next() {
		n++
		switch {
		case object.key.is("schema"):
			schema = object.value
		case object.key.is("payload"):
			payload = object.value
		}
		see(&object.key, &object.value)
	}
	if object.bad || n != 2 || schema.kind == jsonAbsent || payload.kind != jsonObject {
		return
	}
	for inner := payload.members(); inner.next(); {
		see(&inner.key, &inner.value)
	}
}
