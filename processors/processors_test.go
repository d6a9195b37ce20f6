package processors

import (
	"hash/fnv"
	"strings"
	"testing"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/storage"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
)

func TestMarkersAreSpreadAndNoUsers(t *testing.T) {
	for _, n := range []int{1, 3, 8, 64} {
		for p := range int32(n) {
			if key := MarkerKey(p, n); Partition(key, n) != p || !IsMarker(key) {
				t.Errorf("partition %d of %d: %q", p, n, key)
			}
		}
	}
	if IsMarker("27956157") || IsMarker("brimline-0") {
		t.Error("a user is taken for a marker")
	}
}

func TestEveryStreamIsInTheTopology(t *testing.T) {
	s := NewStreams("g", "source", "alerts")
	seen := map[string]bool{s.Rules: true, s.Reports: true} // no part of the flow
	for _, st := range Topology(s) {
		for _, e := range append(append([]Stream{}, st.In...), st.Out...) {
			seen[e.Topic] = true
		}
		for _, e := range []*Stream{st.Table, st.Loop} {
			if e != nil {
				seen[e.Topic] = true
			}
		}
		if st.Table != nil && st.Table.Topic != string(goka.GroupTable(goka.Group(st.Group))) {
			t.Errorf("goka calls the table of %s %s", st.Group, goka.GroupTable(goka.Group(st.Group)))
		}
	}
	for _, topic := range append(s.Owned(), s.Source, s.Alerts) {
		if !seen[topic] {
			t.Errorf("%s is in no stage", topic)
		}
	}
}

// update is the context of a record with headers.
type update struct {
	goka.DefaultUpdateContext
	headers goka.Headers
}

func (u update) Headers() goka.Headers { return u.headers }

func TestKeepNewerKeepsWhatFoldedMore(t *testing.T) {
	value := func(last int64, id string) []byte {
		b, err := codecs.AppendWindow(nil, &brimline.Window{Last: last,
			Rows: brimline.RowsOf([]brimline.Transaction{{ID: id}})})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	marker := func(truncatedAt int64, sweeps ...int64) []byte {
		m := &brimline.Marker{TruncatedAt: truncatedAt}
		for _, offset := range sweeps {
			m.Sweeps = append(m.Sweeps, brimline.Swept{Offset: offset})
		}
		b, err := codecs.Marker{}.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, tc := range []struct {
		name      string
		held, new []byte
		want      []byte
		headers   goka.Headers
	}{
		{name: "nothing held", new: value(3, "n"), want: value(3, "n")},
		{name: "newer", held: value(2, "h"), new: value(3, "n"), want: value(3, "n")},
		{name: "the same again", held: value(3, "h"), new: value(3, "n"), want: value(3, "n")},
		{name: "stale", held: value(4, "h"), new: value(3, "n"), want: value(4, "h")},
		{name: "deleted", held: value(4, "h")},
		{name: "deleted by a sweep", held: value(4, "h"), headers: DeletionOf(4)},
		{name: "a stale deletion", held: value(4, "h"), want: value(4, "h"), headers: DeletionOf(3)},
		{name: "a deletion of what is not there", headers: DeletionOf(3)},
		{name: "a marker", held: marker(5, 6), new: marker(5, 6, 9), want: marker(5, 6, 9)},
		{name: "a stale marker", held: marker(5, 6, 9), new: marker(5, 6), want: marker(5, 6, 9)},
		{name: "a marker of the layout before", held: value(5, "h"), new: marker(5, 6), want: marker(5, 6)},
		{name: "a stale one of it", held: marker(5, 6), new: value(5, "n"), want: marker(5, 6)},
		{name: "not ours", held: value(4, "h"), new: []byte("?"), want: []byte("?")},
	} {
		s := storage.NewMemory()
		if tc.held != nil {
			if err := s.Set("u", tc.held); err != nil {
				t.Fatal(err)
			}
		}
		if err := KeepNewer(update{headers: tc.headers}, s, "u", tc.new); err != nil {
			t.Fatal(err)
		}
		if got, _ := s.Get("u"); string(got) != string(tc.want) {
			t.Errorf("%s: %x, want %x", tc.name, got, tc.want)
		}
	}
}

func TestSegmentsStayWithTheirUser(t *testing.T) {
	for _, user := range []string{"27956157", "a", "ü/x"} {
		for n := range uint64(300) {
			key := SegmentKey(user, n)
			if Partition(key, 17) != Partition(user, 17) {
				t.Fatalf("%q is not in the partition of %q", key, user)
			}
			if gotUser, gotN, ok := ParseSegmentKey(key); !ok || gotUser != user || gotN != n {
				t.Fatalf("%q is read as %q, %d, %v", key, gotUser, gotN, ok)
			}
			if IsMarker(key) {
				t.Fatalf("%q is taken for a marker", key)
			}
		}
	}
	for _, key := range []string{"27956157", MarkerKey(3, 17), "a\x00", "a\x00-1", ""} {
		if _, _, ok := ParseSegmentKey(key); ok {
			t.Errorf("%q is taken for a segment", key)
		}
	}
}

// Nothing that was written before segments existed moves.
func TestHasherIsFNVOfUsers(t *testing.T) {
	for _, key := range []string{"27956157", "x", MarkerKey(1, 3)} {
		ours, plain := Hasher(), fnv.New32a()
		ours.Write([]byte(key[:len(key)/2]))
		ours.Write([]byte(key[len(key)/2:]))
		plain.Write([]byte(key))
		if ours.Sum32() != plain.Sum32() {
			t.Errorf("%q", key)
		}
	}
}

// TestUserIDs: what passes can be the user of a row that is taken in.
func TestUserIDs(t *testing.T) {
	for id, want := range map[string]string{
		"7": "", " 7": "", "a/b": "", "a\nb": "", `a"b`: "", "__offset": "", "-1": "", strings.Repeat("ü", MaxID/2): "",
		"": "empty", "a\x00b": "not text", "a\xffb": "not text", strings.Repeat("x", MaxID+1): "1025 bytes",
		SegmentKey("u", 1): "not text", MarkerKey(0, 1): "not text",
	} {
		err := CheckUser(id)
		if want == "" != (err == nil) || want != "" && err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v, want %q", id, err, want)
		}
	}
}
