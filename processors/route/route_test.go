package route

import (
	"errors"
	"strings"
	"testing"

	"github.com/lovoo/goka"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs/debezium"
	"github.com/brimline/brimline/processors"
)

type decoded struct {
	changes []brimline.Change
	err     error
}

func (d decoded) Read([]byte, []byte) (debezium.Decoded, error) {
	return debezium.Decoded{Changes: d.changes}, d.err
}

var source = brimline.Source{Topic: "src", Partition: 3, Offset: 42}

func TestChangesCarryTheirCoordinates(t *testing.T) {
	in := []brimline.Change{
		{Kind: brimline.Delete, User: "old", Source: brimline.Source{LSN: 9}},
		{Kind: brimline.Upsert, User: "new", Source: brimline.Source{LSN: 9}},
	}
	out := route(decoded{changes: in}, 4, record{source: source})
	if out.dead != nil || len(out.changes) != 2 {
		t.Fatalf("%+v", out)
	}
	for _, c := range out.changes {
		if c.Source != (brimline.Source{Topic: "src", Partition: 3, Offset: 42, LSN: 9}) {
			t.Errorf("source %+v", c.Source)
		}
	}
}

func TestTruncationReachesEveryPartition(t *testing.T) {
	out := route(decoded{changes: []brimline.Change{{Kind: brimline.Truncate}}}, 5, record{source: source})
	for p, c := range out.changes {
		if !processors.IsMarker(c.User) || processors.Partition(c.User, 5) != int32(p) || c.Kind != brimline.Truncate {
			t.Errorf("partition %d: %+v", p, c)
		}
	}
	if len(out.changes) != 5 {
		t.Errorf("%d changes", len(out.changes))
	}
}

func TestBadInputBecomesADeadLetter(t *testing.T) {
	for _, tc := range []struct {
		name string
		d    decoded
		kind string
		gone int // deletions: what the row was is not known to be nothing
	}{
		{"the decoder refuses", decoded{err: brimline.BadInput("amount_nan", "set it right", "NaN")}, "amount_nan", 0},
		{"an error of no class", decoded{err: errors.New("odd")}, "unknown", 0},
		{"a user that is no text", decoded{changes: []brimline.Change{{Kind: brimline.Upsert, User: "a\x00b"}}},
			"bad_user", 0},
		{"a marker in place of a user", decoded{changes: []brimline.Change{{Kind: brimline.Upsert,
			User: processors.MarkerKey(0, 1)}}}, "bad_user", 0},
		{"endless columns", decoded{changes: []brimline.Change{{Kind: brimline.Upsert, User: "u", Row: brimline.Transaction{
			Columns: []brimline.Field{{Name: "note", Value: strings.Repeat("x", processors.MaxColumns+1)}},
		}}}}, "columns_too_long", 1},
		{"an endless id", decoded{changes: []brimline.Change{{Kind: brimline.Upsert, User: strings.Repeat("x",
			processors.MaxID+1)}}}, "id_too_long", 0},
	} {
		r := record{source: source, key: []byte("k"), value: []byte("v"), at: 7,
			headers: func() goka.Headers { return goka.Headers{"b": nil, "a": []byte("1")} }}
		out := route(tc.d, 2, r)
		d := out.dead
		if len(out.changes) != tc.gone || d == nil || d.Kind != tc.kind {
			t.Errorf("%s: %+v", tc.name, out)
			continue
		}
		if string(d.Key) != "k" || string(d.Value) != "v" || d.Topic != "src" ||
			d.Partition != 3 || d.Offset != 42 || d.At != 7 ||
			len(d.Headers) != 2 || d.Headers[0].Key != "a" {
			t.Errorf("%s: the record was not kept whole: %+v", tc.name, d)
		}
	}
}
