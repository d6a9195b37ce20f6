package debezium

import "bytes"

// The scanner walks JSON text in place: of a change event's forty values five are read, numbers must be taken from
// their text, and a JSON tree would cost more than all the rest. Like encoding/json, against which it is fuzzed, it
// accepts the texts of RFC 8259, up to maxDepth.

// maxDepth is how deeply arrays and objects may nest.
const maxDepth = 128

type jsonKind uint8

const (
	jsonAbsent jsonKind = iota
	jsonNull
	jsonBool
	jsonNumber
	jsonString
	jsonArray
	jsonObject
)

var jsonKindNames = [...]string{"nothing", "null", "a boolean", "a number", "text", "an array", "an object"}

func (k jsonKind) String() string { return jsonKindNames[k] }

// jsonValue is one value of a text that was found to be valid.
type jsonValue struct {
	kind    jsonKind
	escaped bool   // a string with backslashes
	raw     []byte // its text; of a string, what is between the quotes
}

// is reports whether v is the string s.
func (v *jsonValue) is(s string) bool {
	if v.kind != jsonString {
		return false
	}
	if !v.escaped {
		return string(v.raw) == s
	}
	text, ok := v.text()
	return ok && text == s
}

// text is the content of a string, and false if it holds half a surrogate pair.
func (v *jsonValue) text() (string, bool) {
	if !v.escaped {
		return string(v.raw), true
	}
	return unescape(v.raw)
}

// members walks the members of one object:
//
//	for m := v.members(); m.next(); { … m.key, m.value … }
//
// When next gives false, bad says whether the text is invalid JSON. Where a value is to be walked itself, nextKey
// leaves it to the caller, who either reads it or enters it and, when done, calls leave.
type members struct {
	scanner
	depth int
	key   jsonValue
	value jsonValue
	bad   bool
	begun bool
}

// openObject begins at the object that text consists of, not yet known to be valid.
func openObject(text []byte) members {
	m := members{scanner: scanner{b: text}, depth: 1}
	m.space()
	m.bad = !m.take('{')
	return m
}

// members walks an object whose text is known to be valid.
func (v *jsonValue) members() members {
	return members{scanner: scanner{b: v.raw, i: 1}}
}

func (m *members) next() bool { return m.nextKey() && m.read() }

// nextKey reads a key and stops at its value.
func (m *members) nextKey() bool {
	if m.bad {
		return false
	}
	m.space()
	if m.take('}') {
		return false
	}
	m.bad = true
	if m.begun {
		if !m.take(',') {
			return false
		}
		m.space()
	}
	m.begun = true
	if !m.str(&m.key) {
		return false
	}
	m.space()
	if !m.take(':') {
		return false
	}
	m.space()
	m.bad = false
	return true
}

// read reads the value after a key.
func (m *members) read() bool {
	m.bad = !m.any(&m.value, m.depth)
	return !m.bad
}

// enter begins to walk the value after a key, and gives false if it is no object.
func (m *members) enter() (inner members, ok bool) {
	inner = members{scanner: m.scanner, depth: m.depth + 1}
	return inner, inner.take('{')
}

// leave continues behind the object that was entered, which becomes m's value.
func (m *members) leave(inner *members) {
	m.value = jsonValue{kind: jsonObject, raw: m.b[m.i:inner.i]}
	m.i, m.bad = inner.i, inner.bad
}

// skip takes text for the value after a key, if it stands there: an object that is known to be valid.
func (m *members) skip(text []byte) bool {
	if !bytes.HasPrefix(m.b[m.i:], text) {
		return false
	}
	m.value = jsonValue{kind: jsonObject, raw: m.b[m.i : m.i+len(text)]}
	m.i += len(text)
	return true
}

// end reports whether nothing but space follows.
func (m *members) end() bool {
	m.space()
	return m.i == len(m.b)
}

type scanner struct {
	b []byte
	i int // where it stands; after a failure, where the text stops being JSON
}

func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

func (s *scanner) take(c byte) bool {
	if s.i < len(s.b) && s.b[s.i] == c {
		s.i++
		return true
	}
	return false
}

// any reads the value at s.
func (s *scanner) any(v *jsonValue, depth int) bool {
	start := s.i
	if start == len(s.b) {
		return false
	}
	var ok bool
	v.escaped = false
	switch c := s.b[start]; c {
	case '"':
		return s.str(v)
	case '{':
		v.kind, ok = jsonObject, s.object(depth+1)
	case '[':
		v.kind, ok = jsonArray, s.array(depth+1)
	case 't':
		v.kind, ok = jsonBool, s.word("true")
	case 'f':
		v.kind, ok = jsonBool, s.word("false")
	case 'n':
		v.kind, ok = jsonNull, s.word("null")
	default:
		v.kind, ok = jsonNumber, s.number()
	}
	v.raw = s.b[start:s.i]
	return ok
}

func (s *scanner) object(depth int) bool {
	if depth > maxDepth {
		return false
	}
	s.i++
	s.space()
	if s.take('}') {
		return true
	}
	var v jsonValue
	for {
		if !s.str(&v) {
			return false
		}
		s.space()
		if !s.take(':') {
			return false
		}
		s.space()
		if !s.any(&v, depth) {
			return false
		}
		s.space()
		if s.take('}') {
			return true
		}
		if !s.take(',') {
			return false
		}
		s.space()
	}
}

func (s *scanner) array(depth int) bool {
	if depth > maxDepth {
		return false
	}
	s.i++
	s.space()
	if s.take(']') {
		return true
	}
	var v jsonValue
	for {
		if !s.any(&v, depth) {
			return false
		}
		s.space()
		if s.take(']') {
			return true
		}
		if !s.take(',') {
			return false
		}
		s.space()
	}
}

func (s *scanner) word(w string) bool {
	if !bytes.HasPrefix(s.b[s.i:], []byte(w)) {
		return false
	}
	s.i += len(w)
	return true
}

func (s *scanner) number() bool {
	s.take('-')
	switch {
	case s.take('0'):
	case !s.digits():
		return false
	}
	if s.take('.') && !s.digits() {
		return false
	}
	if s.take('e') || s.take('E') {
		if !s.take('+') {
			s.take('-')
		}
		return s.digits()
	}
	return true
}

func (s *scanner) digits() bool {
	start := s.i
	for s.i < len(s.b) && '0' <= s.b[s.i] && s.b[s.i] <= '9' {
		s.i++
	}
	return s.i > start
}

func (s *scanner) str(v *jsonValue) bool {
	if !s.take('"') {
		return false
	}
	b, i := s.b, s.i
	start := i
	v.kind, v.escaped = jsonString, false
	for i < len(b) {
		c := b[i]
		if c > '\\' || c > '"' && c < '\\' {
			i++
			continue
		}
		switch {
		case c == '"':
			v.raw = b[start:i]
			s.i = i + 1
			return true
		case c == '\\':
			v.escaped = true
			n := escapeLen(b[i:])
			if n == 0 {
				s.i = i
				return false
			}
			i += n
		case c < ' ':
			s.i = i
			return false
		default:
			i++
		}
	}
	s.i = i
	return false
}
