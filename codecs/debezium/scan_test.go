package debezium

import (
	"encoding/json"
	"strings"
	"testing"
)

// checkScan compares the scanner with encoding/json on one text.
func checkScan(t *testing.T, text []byte) {
	t.Helper()
	var want map[string]json.RawMessage
	err := json.Unmarshal(text, &want)
	if err == nil && want == nil {
		return // the text null
	}
	got := map[string]jsonValue{}
	m := openObject(text)
	for m.next() {
		key, ok := m.key.text()
		if !ok {
			// encoding/json puts U+FFFD for half a surrogate pair.
			return
		}
		got[key] = m.value
	}
	ok := !m.bad && m.end()
	if ok != (err == nil) {
		if !ok && nesting(text) >= maxDepth {
			return
		}
		t.Fatalf("%q: accepted %v, encoding/json says %v", text, ok, err)
	}
	if !ok {
		return
	}
	for key, v := range got {
		raw := string(v.raw)
		if v.kind == jsonString {
			raw = `"` + raw + `"`
			var s string
			if text, ok := v.text(); ok && (json.Unmarshal([]byte(raw), &s) != nil ||
				s != strings.ToValidUTF8(text, "\uFFFD") && !strings.Contains(s, "\uFFFD")) {
				t.Fatalf("%q: text %q, encoding/json says %q", raw, text, s)
			}
		}
		if w, ok := want[key]; ok && raw != string(w) {
			t.Fatalf("%q: member %q is %s, encoding/json says %s", text, key, raw, w)
		}
	}
}

func nesting(text []byte) int {
	return strings.Count(string(text), "{") + strings.Count(string(text), "[")
}

var scanned = []string{
	`{}`, ` { } `, `{"a":1}`, `{"a":[1,2,{"b":null}],"c":true,"d":false}`, `{"a":"\u00e9\n\\\"\/ \ud83d\ude00"}`,
	`{"\u0061":-0.5e+10}`, `{"a":1,}`, `{,}`, `{"a"}`, `{"a":}`, `{"a":01}`, `{"a":-}`, `{"a":1.}`, `{"a":.5}`, `{"a":1e}`, `{"a":+1}`,
	`{"a":"\x"}`, `{"a":"\u12g4"}`, `{"a":"\ud800"}`, `{"a":"\ud800\u0041"}`, `{"a":"\ud800x\u1234"}`, "{\"a\":\"\t\"}", "{\"a\":\"\xff\"}",
	`{"a":nul}`, `{"a":NaN}`, `{"a":[1 2]}`, `{"a":[}`, `{"a":{]}`, `{"a":1} x`, `{"a":"`, `[`, `"a"`, ``, `{"a":[],"a":{}}`,
	`{"a":` + strings.Repeat("[", 126) + strings.Repeat("]", 126) + `}`,
	`{"a":` + strings.Repeat("[", 127) + strings.Repeat("]", 127) + `}`,
	`{"a":` + strings.Repeat("[", 100_000),
}

func TestScannerAgreesWithEncodingJSON(t *testing.T) {
	for _, text := range scanned {
		checkScan(t, []byte(text))
	}
}

func TestScannerDepth(t *testing.T) {
	for _, pair := range [][2]string{{"[", "]"}, {`{"b":`, "}"}} {
		accepts := func(n int) bool {
			inner := strings.Repeat(pair[0], n) + "1" + strings.Repeat(pair[1], n)
			m := openObject([]byte(`{"a":` + inner + `}`))
			for m.next() {
			}
			return !m.bad && m.end()
		}
		if !accepts(maxDepth-1) || accepts(maxDepth) {
			t.Errorf("the limit of %s is not at %d levels", pair[0], maxDepth)
		}
	}
}

func FuzzScan(f *testing.F) {
	for _, text := range scanned[:len(scanned)-1] {
		f.Add([]byte(text))
	}
	f.Fuzz(checkScan)
}
