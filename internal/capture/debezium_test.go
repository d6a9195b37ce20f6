package capture

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// recorded is a line of testdata/debezium.
type recorded struct {
	Topic   string
	Key     *string
	Value   *string
	Headers []struct{ Key, Value string }
}

// TestAsDebezium runs the statements that a real Debezium was recorded with, and
// compares every record with the recording, field by field.
func TestAsDebezium(t *testing.T) {
	for file, identity := range map[string]string{"microseconds": "DEFAULT", "microseconds-full": "FULL"} {
		t.Run(file, func(t *testing.T) {
			conn, url := database(t)
			for _, s := range statements(t, "snapshot.sql") {
				exec(t, conn, s)
			}
			exec(t, conn, "ALTER TABLE streaming.transactions REPLICA IDENTITY "+identity)
			sink := newMemory()
			run(t, url, sink, nil)
			sink.until(t, `"snapshot":"last"`)
			for _, s := range statements(t, "stream.sql") {
				if rest, ok := strings.CutPrefix(s, "-- COPY\n"); ok {
					rows, err := os.Open("testdata/copy.txt")
					if err != nil {
						t.Fatal(err)
					}
					_, err = conn.PgConn().CopyFrom(t.Context(), rows,
						"COPY streaming.transactions (id, user_id, amount, timestamp, description) FROM STDIN")
					rows.Close()
					if err != nil {
						t.Fatal(err)
					}
					s = rest
				}
				exec(t, conn, s)
			}
			got := sink.until(t, "end of capture")
			compare(t, got, read(t, "../../testdata/debezium/"+file+".jsonl"), identity)
		})
	}
}

func read(t *testing.T, path string) []recorded {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var all []recorded
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r recorded
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		if r.Topic == "postgres.message" {
			continue // intended: logical messages are not captured
		}
		all = append(all, r)
	}
	return all
}

func compare(t *testing.T, got []Record, want []recorded, identity string) {
	t.Helper()
	// Intended: a TRUNCATE is reported, one record with a null key. Debezium skips it.
	truncates := 0
	got = slices.DeleteFunc(slices.Clone(got), func(r Record) bool {
		if !bytes.Contains(r.Value, []byte(`"op":"t"`)) {
			return false
		}
		truncates++
		v := decode(t, r.Value)
		if r.Key != nil || v["before"] != nil || v["after"] != nil {
			t.Errorf("truncate: key %s, value %s", r.Key, r.Value)
		}
		return true
	})
	if truncates != 1 {
		t.Errorf("%d truncates", truncates)
	}
	if len(got) != len(want) {
		t.Errorf("%d records, recorded %d", len(got), len(want))
	}
	gotShape, wantShape := shape{}, shape{}
	for i := range min(len(got), len(want)) {
		g, w := got[i], want[i]
		if g.Topic != w.Topic || string(g.Key) != *w.Key {
			t.Errorf("%d: %s %s, recorded %s %s", i, g.Topic, g.Key, w.Topic, *w.Key)
		}
		compareHeaders(t, i, g, w)
		if w.Value == nil || g.Value == nil {
			if w.Value != nil || g.Value != nil {
				t.Errorf("%d: a tombstone on one side only: %s", i, g.Value)
			}
			continue
		}
		gv, wv := decode(t, g.Value), decode(t, []byte(*w.Value))
		if wv["op"] == "d" && identity == "DEFAULT" {
			// Intended: of a deleted row only the key is known, the rest is null.
			// Debezium invents values for columns that are NOT NULL.
			before := wv["before"].(map[string]any)
			for name := range before {
				if name != "id" {
					before[name] = nil
				}
			}
		}
		if a, b := gotShape.normalise(t, gv), wantShape.normalise(t, wv); !reflect.DeepEqual(a, b) {
			t.Errorf("%d:\n     got %s\nrecorded %s", i, text(a), text(b))
		}
		checkOrder(t, i, g.Value, []byte(*w.Value))
	}
}

func compareHeaders(t *testing.T, i int, g Record, w recorded) {
	t.Helper()
	var a, b []string
	for _, h := range g.Headers {
		a = append(a, h.Key+"="+string(h.Value))
	}
	for _, h := range w.Headers {
		// Intended: there is no connector, task or run to name.
		if !strings.HasPrefix(h.Key, "__debezium.context.") {
			b = append(b, h.Key+"="+h.Value)
		}
	}
	if !slices.Equal(a, b) {
		t.Errorf("%d: headers %v, recorded %v", i, a, b)
	}
}

// shape replaces what differs from run to run (positions, transactions, clocks)
// by what must be the same: which of them are equal, and that they do not go back.
type shape map[string][]string

func (s shape) normalise(t *testing.T, v map[string]any) map[string]any {
	t.Helper()
	source := v["source"].(map[string]any)
	number := func(m map[string]any, name string) int64 {
		n, err := m[name].(json.Number).Int64()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, m := range []map[string]any{v, source} {
		ms, us, ns := number(m, "ts_ms"), number(m, "ts_us"), number(m, "ts_ns")
		if us/1000 != ms || ns/1000 != us || time.Since(time.UnixMilli(ms)) < -24*time.Hour {
			t.Errorf("times %d %d %d", ms, us, ns)
		}
		delete(m, "ts_ms")
		delete(m, "ts_us")
		delete(m, "ts_ns")
	}
	var sequence []*string
	if err := json.Unmarshal([]byte(source["sequence"].(string)), &sequence); err != nil || len(sequence) != 2 {
		t.Fatalf("sequence %v", source["sequence"])
	}
	if *sequence[1] != fmt.Sprint(source["lsn"]) {
		t.Errorf("sequence %v, lsn %v", source["sequence"], source["lsn"])
	}
	if sequence[0] == nil {
		source["sequence"] = "unknown"
	} else {
		// The end of the commit before. It is often the very position of the change,
		// but not when the server has written something of its own in between.
		previous, err := strconv.ParseInt(*sequence[0], 10, 64)
		if err != nil || previous > number(source, "lsn") {
			t.Errorf("sequence %v", source["sequence"])
		}
		source["sequence"] = s.place("previous", *sequence[0])
	}
	// On a quiet server the first change stands at the very position of the
	// snapshot; on a busy one there is something in between, as in the recording.
	source["lsn"] = s.place(fmt.Sprint("lsn, snapshot ", source["snapshot"] != "false"), fmt.Sprint(source["lsn"]))
	// Intended: no transaction for rows of a snapshot. Debezium names that of its own reading.
	if source["snapshot"] != "false" {
		source["txId"] = nil
	} else {
		source["txId"] = s.place("txId", fmt.Sprint(source["txId"]))
	}
	source["version"] = "" // intended: ours is Version
	source["db"] = ""      // each test has a database of its own
	return v
}

// place numbers the values of a kind in the order of their first appearance.
func (s shape) place(kind, v string) int {
	i := slices.Index(s[kind], v)
	if i < 0 {
		i = len(s[kind])
		s[kind] = append(s[kind], v)
	}
	return i
}

// checkOrder compares the order of the fields, which JSON leaves open and people like to read.
func checkOrder(t *testing.T, i int, got, want []byte) {
	t.Helper()
	if a, b := fields(got), fields(want); !slices.Equal(a, b) {
		t.Errorf("%d: fields in the order %v, recorded %v", i, a, b)
	}
}

func fields(value []byte) (names []string) {
	d := json.NewDecoder(bytes.NewReader(value))
	type level struct{ object, key bool }
	var stack []level
	for {
		token, err := d.Token()
		if err != nil {
			return names
		}
		top := len(stack) - 1
		if delim, ok := token.(json.Delim); ok && (delim == '}' || delim == ']') {
			stack = stack[:top]
			continue
		}
		if top >= 0 && stack[top].object {
			if stack[top].key = !stack[top].key; stack[top].key {
				names = append(names, token.(string))
				continue
			}
		}
		if delim, ok := token.(json.Delim); ok {
			stack = append(stack, level{object: delim == '{'})
		}
	}
}

// decode keeps numbers as they are written: ts_ns does not fit a float.
func decode(t *testing.T, value []byte) map[string]any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(value))
	d.UseNumber()
	var v map[string]any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v: %s", err, value)
	}
	return v
}

func text(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}
