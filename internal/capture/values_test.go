package capture

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

func TestValues(t *testing.T) {
	for _, c := range []struct {
		oid        uint32
		modifier   int32
		text, want string
	}{
		{pgtype.BoolOID, -1, "t", `true`},
		{pgtype.Int8OID, -1, "-9223372036854775808", `-9223372036854775808`},
		{pgtype.Float8OID, -1, "1e+20", `1e+20`},
		{pgtype.Float8OID, -1, "NaN", `"NaN"`},
		{pgtype.Float8OID, -1, "-Infinity", `"-Infinity"`},
		{pgtype.NumericOID, -1, "NaN", `"NAN"`},
		{pgtype.NumericOID, -1, "-Infinity", `"NEGATIVE_INFINITY"`},
		{pgtype.NumericOID, -1, "0.10", `"0.10"`},
		{pgtype.TimestamptzOID, -1, "0001-01-01 00:00:00+00 BC", `"0000-01-01T00:00:00.000000Z"`},
		{pgtype.TimestamptzOID, -1, "4714-11-24 00:00:00+00 BC", `"-4713-11-24T00:00:00.000000Z"`},
		{pgtype.TimestamptzOID, -1, "294276-12-31 23:59:59.999999+00", `"+294276-12-31T23:59:59.999999Z"`},
		{pgtype.TimestamptzOID, -1, "0099-01-01 00:00:00.5+00", `"0099-01-01T00:00:00.500000Z"`},
		{pgtype.TimestamptzOID, -1, "2026-01-01 00:00:00+05:30", `"2026-01-01 00:00:00+05:30"`}, // cannot be: the session is in UTC
		{pgtype.TimestampOID, -1, "1969-12-31 23:59:59.999999", `-1`},
		{pgtype.TimestampOID, 3, "1969-12-31 23:59:59.999", `-1000`},
		{pgtype.TimestampOID, 0, "2026-02-03 00:00:03", `1770076803000000`},
		{pgtype.TimestampOID, -1, "294246-12-31 23:59:59.999999", `9223371244799999999`},
		// 64 bits of µs since 1970 end before it.
		{pgtype.TimestampOID, -1, "294276-12-31 23:59:59.999999", `"294276-12-31 23:59:59.999999"`},
		{pgtype.TimestamptzOID, 0, "2026-01-01 00:00:00+00", `"2026-01-01T00:00:00Z"`},
		{pgtype.TimestamptzOID, 2, "2026-01-01 00:00:00.1+00", `"2026-01-01T00:00:00.10Z"`},
		// Older than the column's precision.
		{pgtype.TimestamptzOID, 2, "2026-01-01 00:00:00.1234+00", `"2026-01-01T00:00:00.1234Z"`},
		{pgtype.TimestampOID, -1, "-infinity", `-9223372036854775808`},
		{pgtype.DateOID, -1, "1969-12-31", `-1`},
		{pgtype.DateOID, -1, "0001-02-29 BC", `-719469`},
		{pgtype.DateOID, -1, "5874897-12-31", `2145042905`},
		{pgtype.DateOID, -1, "-infinity", `-2147472691`},
		{pgtype.TimeOID, -1, "00:00:01.5", `1500000`},
		{pgtype.TimeOID, 0, "24:00:00", `86400000000`},
		{pgtype.TimeOID, -1, "24:00:01+1", `"24:00:01+1"`},
		{pgtype.TimetzOID, -1, "23:59:59.5-00:30", `"00:29:59.5Z"`},
		{pgtype.TimetzOID, -1, "00:00:00+15:59:59", `"08:00:01Z"`},
		{pgtype.TimetzOID, -1, "noon", `"noon"`},
		{moneyOID, -1, "-$1,234.50", `"-1234.50"`},
		{pgtype.BitOID, 1, "1", `true`},
		{pgtype.BitOID, 9, "100000001", `"AQE="`},
		{pgtype.VarbitOID, -1, "1", `"AQ=="`},
		{pgtype.VarbitOID, -1, "2", `"2"`},
		{pgtype.ByteaOID, -1, `\x00ff`, `"AP8="`},
		{pgtype.UUIDOID, -1, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", `"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"`},
		{pgtype.JSONBOID, -1, `{"a": "\n"}`, `"{\"a\": \"\\n\"}"`},
		{pgtype.TextArrayOID, -1, `{a,"b,\"c\\",NULL,"NULL",""}`, `["a","b,\"c\\",null,"NULL",""]`},
		{pgtype.TextArrayOID, -1, `{}`, `[]`},
		{pgtype.Int4ArrayOID, -1, `[0:1]={1,2}`, `[1,2]`},
		{pgtype.Int4ArrayOID, -1, `{{1,2},{3,NULL}}`, `[[1,2],[3,null]]`},
		{pgtype.Int4ArrayOID, -1, `{1,2`, `"{1,2"`},
		{pgtype.TextOID, -1, "\x01\u2028\xff", `"\u0001\u2028\ufffd"`},
	} {
		f := form{oid: c.oid, modifier: c.modifier}
		if element, ok := arrays[c.oid]; ok {
			f.element, f.delimiter = &form{oid: element, modifier: -1}, ','
		}
		got := string(appendValue(nil, &f, c.text))
		if got != c.want {
			t.Errorf("type %d, %q: %s, not %s", c.oid, c.text, got, c.want)
		}
		if !json.Valid([]byte(got)) {
			t.Errorf("type %d, %q: %s is no JSON", c.oid, c.text, got)
		}
	}
}

// arrays are those that TestValues writes, by element; types.read takes them from the catalog.
var arrays = map[uint32]uint32{pgtype.TextArrayOID: pgtype.TextOID, pgtype.Int4ArrayOID: pgtype.Int4OID}

// FuzzArray: whatever the text, what is written is JSON.
func FuzzArray(f *testing.F) {
	for _, text := range []string{`{a,"b",NULL}`, `{{1},{2}}`, `[0:1]={a,b}`, `{"\`, `}{`, `{a,}`, `{,}`, `{a"b"}`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, delimiter := range []byte{',', ';'} {
			f := form{oid: pgtype.TextArrayOID, element: &form{oid: pgtype.TextOID}, delimiter: delimiter}
			if got := appendValue(nil, &f, text); !json.Valid(got) {
				t.Errorf("%q: %s", text, got)
			}
		}
	})
}

// FuzzValue: whatever a type's text is, what is written is JSON, unless the type's own text is taken as it is.
func FuzzValue(f *testing.F) {
	for _, text := range []string{"2026-01-02 03:04:05.12+00", "0044-03-15 BC", "24:00:00-15:59", "-$1,234.50", "101",
		`\x00ff`, "infinity", `2-0 0"0+00`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, oid := range []uint32{
			pgtype.BoolOID, pgtype.NumericOID, moneyOID, pgtype.TimestamptzOID, pgtype.TimestampOID, pgtype.DateOID,
			pgtype.TimeOID, pgtype.TimetzOID,
			pgtype.ByteaOID, pgtype.BitOID, pgtype.VarbitOID, pgtype.TextOID,
		} {
			for _, modifier := range []int32{-1, 0, 3} {
				if got := appendValue(nil, &form{oid: oid, modifier: modifier}, text); !json.Valid(got) {
					t.Errorf("type %d, %q: %s", oid, text, got)
				}
			}
		}
	})
}

// FuzzPgoutput: no message, however mutilated, may panic or take memory out of proportion.
func FuzzPgoutput(f *testing.F) {
	row := string(wireTuple("1", "x"))
	f.Add(wireChange('I', "N", row))
	f.Add(wireChange('U', "K", row, "N", row))
	f.Add(wireChange('U', "O", row))
	f.Add(wireChange('D', "O", row))
	f.Add(wireChange('D', "O", "\x00\x01t\xff\xff\xff\xff"))
	f.Add([]byte("R\x00\x00\x00\x01s\x00t\x00d\x00\x01\x01id\x00\x00\x00\x00\x14\xff\xff\xff\xff"))
	f.Add([]byte("T\xff\xff\xff\xff\x00\x00\x00\x00\x01"))
	f.Add([]byte("B\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parse(b)
		if m == nil || err != nil {
			return
		}
		id, ch := newChange(m)
		if ch.op == 0 {
			return
		}
		if size := len(b) + 1; len(ch.before) > size || len(ch.after) > size {
			t.Errorf("%d and %d columns out of %d bytes", len(ch.before), len(ch.after), len(b))
		}
		rel := &relation{schema: "s", name: "t", key: []int{0}}
		for i := range max(len(ch.before), len(ch.after)) {
			rel.columns = append(rel.columns, column{name: fmt.Sprint(i), form: form{oid: pgtype.TextOID}})
		}
		if len(rel.columns) == 0 {
			return
		}
		c := &Capture{config: &pgx.ConnConfig{}}
		for _, r := range c.records(nil, rel, ch, origin{}) {
			if r.Value != nil && !json.Valid(r.Value) || !json.Valid(r.Key) {
				t.Errorf("relation %d: %s, %s", id, r.Key, r.Value)
			}
		}
	})
}

// TestShortMessages: every beginning of a message is an error, and none is half a change.
func TestShortMessages(t *testing.T) {
	row := string(wireTuple("1", "x"))
	for _, whole := range [][]byte{
		wireChange('I', "N", row), wireChange('U', "O", row, "N", row), wireChange('U', "N", row), wireChange('D', "K", row),
		[]byte("R\x00\x00\x00\x01s\x00t\x00d\x00\x01\x01id\x00\x00\x00\x00\x14\xff\xff\xff\xff"),
		[]byte("T\x00\x00\x00\x02\x00\x00\x00\x00\x01\x00\x00\x00\x02"),
		append([]byte("B"), make([]byte, 20)...), append([]byte("C"), make([]byte, 25)...),
	} {
		if m, err := parse(whole); m == nil || err != nil {
			t.Errorf("%q: %v, %v", whole, m, err)
		}
		for n := range whole {
			if m, err := parse(whole[:n]); err == nil {
				t.Errorf("%q: %+v", whole[:n], m)
			}
		}
	}
	if _, err := parse(wireChange('I', "N", "\x00\x01b\x00\x00\x00\x01x")); err == nil {
		t.Error("a binary value was taken for text")
	}
}

func TestTracker(t *testing.T) {
	tr := newTracker()
	a, b := tr.begin(), tr.begin()
	a.add()
	b.add()
	b.commit(20)
	b.ack(nil)
	if tr.position() != 0 {
		t.Error("passed an open transaction")
	}
	tr.idle(100)
	if tr.position() != 0 {
		t.Error("idle while transactions are open")
	}
	a.ack(nil)
	if tr.position() != 0 {
		t.Error("passed a transaction whose commit has not been seen")
	}
	a.commit(10)
	if tr.position() != 20 {
		t.Errorf("position %d", tr.position())
	}
	c, d := tr.begin(), tr.begin()
	c.commit(30)
	d.add()
	d.commit(40)
	d.ack(fmt.Errorf("refused"))
	if tr.position() != 30 || tr.failure() == nil {
		t.Errorf("position %d, failure %v", tr.position(), tr.failure())
	}
}

// TestFileMap: the package's text names every file.
func TestFileMap(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, file := range files {
		if !strings.HasSuffix(file, "_test.go") && file != "doc.go" && !strings.Contains(string(text), file) {
			t.Errorf("doc.go does not name %s", file)
		}
	}
}
