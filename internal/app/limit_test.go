package app

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs/debezium"
)

// A record that is too large to be taken still says which row is no longer what it was.
func TestLargeRecords(t *testing.T) {
	decoder, err := debezium.New(debezium.Options{
		Table: "streaming.transactions", ID: []string{"id"}, User: "user_id", Amount: "amount", Time: "timestamp",
		Scale: 2, OtherTables: debezium.OtherTablesSkip,
	})
	if err != nil {
		t.Fatal(err)
	}
	d := limited{decoder, 4096}
	row := func(user, note string) string {
		return fmt.Sprintf(`{"id":1,"user_id":%q,"amount":"1.50","timestamp":"2026-01-02T03:04:05Z","note":%q}`,
			user, note)
	}
	event := func(op, table, before, after string) string {
		return fmt.Sprintf(`{"before":%s,"after":%s,"source":{"schema":"streaming","table":%q},"op":%q}`, before,
			after, table, op)
	}
	large := strings.Repeat("x", 5000)
	for _, test := range []struct{ name, value, want string }{
		{"small", event("c", "transactions", "null", row("a", "")), "+a"},
		{"insert", event("c", "transactions", "null", row("a", large)), "record_too_large of a 1"},
		{"update", event("u", "transactions", "null", row("a", large)), "-a record_too_large of a 1"},
		{"update, before is the large one", event("u", "transactions", row("a", large), row("a", "")),
			"-a record_too_large of a 1"},
		{"move", event("u", "transactions", row("a", large), row("b", large)), "-a record_too_large of b 1"},
		{"snapshot", event("r", "transactions", "null", row("a", large)), "-a record_too_large of a 1"},
		{"delete", event("d", "transactions", row("a", large), "null"), "-a"},
		{"flat", row("a", large), "-a record_too_large of a 1"},
		{"amount that is no number", strings.Replace(event("u", "transactions", "null", row("a", large)), "1.50",
			"NaN", 1), "-a record_too_large of a 1"},
		{"broken", "{" + large, "record_too_large of  1"},
		{"other table", event("c", "refunds", "null", row("a", large)), "passed other_table"},
		{"beyond all", strings.Repeat(" ", mostRead) + row("a", ""), "record_too_large of  "},
	} {
		read, err := d.Read([]byte(`{"id":1}`), []byte(test.value))
		var got []string
		for _, c := range read.Changes {
			got = append(got, map[brimline.ChangeKind]string{brimline.Upsert: "+", brimline.Delete: "-"}[c.Kind]+c.User)
		}
		if read.Passed != "" {
			got = append(got, "passed "+string(read.Passed))
		}
		if e, ok := errors.AsType[*brimline.Error](err); ok {
			got = append(got, fmt.Sprintf("%s of %s %s", e.Kind, read.User, read.Row))
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: %v, want %s", test.name, got, test.want)
		}
	}
}
