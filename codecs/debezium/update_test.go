package debezium_test

import (
	"fmt"
	"testing"

	"github.com/brimline/brimline"
)

// TestUpdatesAreMarked: the window stage is told which rows were there before, so that one that could not be taken in
// as it was does not go on hiding an edge.
func TestUpdatesAreMarked(t *testing.T) {
	row := func(user int) string {
		return fmt.Sprintf(`{"id":1,"user_id":%d,"amount":"1.00","timestamp":"2026-02-03T00:00:00Z"}`, user)
	}
	envelope := func(op, before string) string {
		return `{"before":` + before + `,"after":` + row(5) +
			`,"source":{"schema":"streaming","table":"transactions"},"op":"` +
			op + `"}`
	}
	flat := func(more string) string { return row(5)[:len(row(5))-1] + more + "}" }
	for name, test := range map[string]struct {
		value   string
		updates []bool
	}{
		"an insert":                    {envelope("c", "null"), []bool{false}},
		"a snapshot's":                 {envelope("r", "null"), []bool{false}},
		"an update":                    {envelope("u", row(5)), []bool{true}},
		"an update without before":     {envelope("u", "null"), []bool{true}},
		"a move: new where it comes":   {envelope("u", row(6)), []bool{false, false}},
		"flattened":                    {flat(""), []bool{false}},
		"flattened, an insert":         {flat(`,"__op":"c"`), []bool{false}},
		"flattened, a snapshot's":      {flat(`,"__op":"r"`), []bool{false}},
		"flattened, an update":         {flat(`,"__op":"u"`), []bool{true}},
		"flattened, deleted and named": {flat(`,"__deleted":"true","__op":"u"`), []bool{false}},
	} {
		changes, err := decoder(t, options()).Decode([]byte(`{"id":1}`), []byte(test.value))
		if err != nil || len(changes) != len(test.updates) {
			t.Errorf("%s: %+v, %v", name, changes, err)
			continue
		}
		for i, c := range changes {
			if c.Update != test.updates[i] || c.Update && c.Kind != brimline.Upsert {
				t.Errorf("%s: change %d of kind %d is an update: %v", name, i, c.Kind, c.Update)
			}
		}
	}
}
