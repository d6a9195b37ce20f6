package capture

import (
	"encoding/json"
	"fmt"
	"testing"

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
		{pgtype.TimestampOID, 3, "1969-12-31 23:59:59.999", `-1`},
		{pgtype.TimestampOID, 0, "2026-02-03 00:00:03", `1770076803000`},
		{pgtype.TimestampOID, -1, "-infinity", `-9223372036854775808`},
		{pgtype.DateOID, -1, "1969-12-31", `-1`},
		{pgtype.DateOID, -1, "0001-02-29 BC", `-719469`},
		{pgtype.DateOID, -1, "5874897-12-31", `2145042905`},
		{pgtype.TimeOID, -1, "00:00:01.5", `1500000`},
		{pgtype.TimeOID, 0, "24:00:00", `86400000`},
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
		got := string(appendValue(nil, c.oid, c.modifier, c.text))
		if got != c.want {
			t.Errorf("type %d, %q: %s, not %s", c.oid, c.text, got, c.want)
		}
		if !json.Valid([]byte(got)) {
			t.Errorf("type %d, %q: %s is no JSON", c.oid, c.text, got)
		}
	}
}

// FuzzArray: whatever the text, what is written is JSON.
func FuzzArray(f *testing.F) {
	for _, text := range []string{`{a,"b",NULL}`, `{{1},{2}}`, `[0:1]={a,b}`, `{"\`, `}{`, `{a,}`, `{,}`, `{a"b"}`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got := appendValue(nil, pgtype.TextArrayOID, -1, text); !json.Valid(got) {
			t.Errorf("%q: %s", text, got)
		}
	})
}

// FuzzPgoutput: no message, however mutilated, may panic or take memory out of proportion.
func FuzzPgoutput(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x01N\x00\x01t\x00\x00\x00\x01a"))
	f.Add([]byte("\x00\x00\x00\x01s\x00t\x00d\x00\x01\x01id\x00\x00\x00\x00\x14\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := &reader{b: b}
		if _, rel := r.relation(); len(rel.columns) > len(b) {
			t.Errorf("%d columns out of %d bytes", len(rel.columns), len(b))
		}
		for _, kind := range []byte("IUD") {
			r := &reader{b: b}
			r.uint32()
			ch := r.change(kind)
			if r.err == nil && ch.before == nil && ch.after == nil && ch.op != 0 {
				t.Error("no change and no error")
			}
		}
	})
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
