package capture

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// typeRows are the rows of testdata/types-rows.sql, with ids from first.
func typeRows(t *testing.T, first int) string {
	t.Helper()
	text, err := os.ReadFile("testdata/types-rows.sql")
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`:id(\d)`).ReplaceAllStringFunc(string(text), func(s string) string {
		return fmt.Sprint(first + int(s[3]-'0'))
	})
}

// byID are the after images of records, columns as they are written.
func byID(t *testing.T, values [][]byte) map[int]map[string]json.RawMessage {
	t.Helper()
	rows := map[int]map[string]json.RawMessage{}
	for _, value := range values {
		var v struct{ After map[string]json.RawMessage }
		if err := json.Unmarshal(value, &v); err != nil {
			t.Fatalf("%v: %s", err, value)
		}
		var id int
		if err := json.Unmarshal(v.After["id"], &id); err != nil {
			t.Fatal(err)
		}
		delete(v.After, "id")
		rows[id] = v.After
	}
	return rows
}

// TestEveryType writes the same rows before the snapshot and after it: of each
// type, snapshot and stream must write the same, and what a real Debezium was
// recorded to write with decimal.handling.mode=string and time.precision.mode=microseconds.
func TestEveryType(t *testing.T) {
	conn, url := database(t)
	for _, s := range statements(t, "types-table.sql") {
		exec(t, conn, s)
	}
	exec(t, conn, "ALTER TABLE streaming.transactions REPLICA IDENTITY FULL")
	exec(t, conn, typeRows(t, 0))
	sink := newMemory()
	run(t, url, sink, nil)
	sink.until(t, `"snapshot":"last"`)
	exec(t, conn, typeRows(t, 100))
	exec(t, conn, "INSERT INTO streaming.transactions (id, end_mark) VALUES (999, 'end of capture')")
	var values [][]byte
	for _, r := range sink.until(t, "end of capture") {
		values = append(values, r.Value)
	}
	got := byID(t, values)
	for id := 1; id <= 6; id++ {
		for _, column := range slices.Sorted(maps.Keys(got[id])) {
			if a, b := got[id][column], got[100+id][column]; string(a) != string(b) {
				t.Errorf("row %d, %s: %s in the snapshot, %s in the stream", id, column, a, b)
			}
		}
		if len(got[id]) != len(got[100+id]) {
			t.Errorf("row %d: %d columns in the snapshot, %d in the stream", id, len(got[id]), len(got[100+id]))
		}
	}

	values = nil
	for _, r := range read(t, "../../testdata/debezium/microseconds-types.jsonl") {
		values = append(values, []byte(*r.Value))
	}
	want := byID(t, values)
	for id := 101; id <= 106; id++ {
		for _, column := range slices.Sorted(maps.Keys(got[id])) {
			have, recorded := got[id][column], want[id][column]
			if _, intended := notAsDebezium[column]; intended {
				continue
			}
			if in, ok := notAsDebeziumIn[fmt.Sprint(id, " ", column)]; ok {
				if string(have) != in {
					t.Errorf("row %d, %s: %s, not %s", id, column, have, in)
				}
				continue
			}
			if !sameJSON(t, have, recorded) {
				t.Errorf("row %d, %s: %s, recorded %s", id, column, have, recorded)
			}
		}
	}
	for column, ours := range notAsDebezium {
		if have := string(got[101][column]); have != ours {
			t.Errorf("%s: %s, not %s", column, have, ours)
		}
		if sameJSON(t, got[101][column], want[101][column]) {
			t.Errorf("%s: %s is as Debezium has it, so it is no difference", column, got[101][column])
		}
	}
}

// notAsDebezium are the columns that brimline writes otherwise, and how, in the
// row that has them all; docs/capture.md has the reasons.
var notAsDebezium = map[string]string{
	"c_interval":       `"1 mon 2 days 03:04:05.5"`,
	"c_numeric_neg":    `"12300"`, // Debezium reads the scale -2 as 2046
	"c_name":           `"n"`,     // null in Debezium's stream, "n" in its snapshot
	"c_point":          `"(1,2.5)"`,
	"c_box":            `"(3,4),(1,2)"`,
	"c_line":           `"{1,2,3}"`,
	"c_circle":         `"<(1,2),3>"`,
	"c_int4multirange": `"{[1,3),[5,9)}"`, // left out by Debezium, like all down to a_flag where the comment says so
	"c_pg_lsn":         `"16/B374D848"`,
	"c_composite":      `"(1,\"a,b\")"`,
	"c_hstore":         `"\"a\"=>\"1\", \"b\"=>NULL"`,
	"a_numeric":        `["1.50",null,"NAN"]`,
	"a_bit":            `["BQ=="]`,
	"a_interval":       `["1 day"]`,
	"a_money":          `["12.50"]`,
	"a_composite":      `["(1,a)"]`,
	"a_fee":            `["1.50"]`,
	"a_event_time":     `["2026-01-02T03:04:05.000000Z"]`,
	"a_flag":           `[true]`,
	"a_two_dimensions": `[[1,2],[3,null]]`,
	"a_date":           `[20455,2146033979]`, // as Debezium writes the date infinity outside of arrays
}

// notAsDebeziumIn are single values.
var notAsDebeziumIn = map[string]string{
	"104 c_timetz": `"18:59:45Z"`, // an offset with seconds, which Debezium does not read
}

// sameJSON compares floats as such: Java and PostgreSQL write 16777216.0 and 1.6777216e+07.
func sameJSON(t *testing.T, a, b json.RawMessage) bool {
	t.Helper()
	var x, y any
	for into, text := range map[*any]json.RawMessage{&x: a, &y: b} {
		if len(text) == 0 { // a column that is not there
			return len(a) == len(b)
		}
		if !strings.ContainsAny(string(a)+string(b), ".eE") || text[0] == '"' {
			*into = string(text)
			if text[0] == '"' || text[0] == '[' || text[0] == '{' {
				if err := json.Unmarshal(text, into); err != nil {
					t.Fatal(err)
				}
			}
			continue
		}
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
	}
	return reflect.DeepEqual(x, y)
}
