package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/brimline/brimline/internal/testkit"
)

// TestDatabaseIsAskedExactly: what PostgreSQL's answer depends on beside the
// rows (the transaction that an event names, the way to the server, the text of
// a column) neither loses an alert nor kills its candidate.
func TestDatabaseIsAskedExactly(t *testing.T) {
	t.Parallel()
	const plain = "rules: [{id: r, window: 7d, limit: 3000}]"
	for name, c := range map[string]struct {
		rules   string
		sql     string // makes the table what it is
		columns string // and values of both rows, in SQL and in the stream
		literal string
		json    string
		txID    string
		url     func(t *testing.T, url string) string
		alerts  int
	}{
		"a transaction to come":       {rules: plain, txID: "3000000000", alerts: 1},
		"a transaction of no cluster": {rules: plain, txID: "1099511627776", alerts: 1},
		"a transaction before all":    {rules: plain, txID: "1", alerts: 1},
		"a server to write to": {rules: plain, txID: "700", alerts: 1, url: func(_ *testing.T, url string) string {
			return url + "&target_session_attrs=read-write"
		}},
		"a pooler": {rules: plain, txID: "700", alerts: 1, url: func(t *testing.T, url string) string {
			return testkit.Pooler(t, url) + "&default_query_exec_mode=cache_describe"
		}},
		"a network address": {
			rules: `{columns: {ip: text}, rules: [{id: r, window: 7d, limit: 3000, where: 'ip == "203.0.113.7"'}]}`,
			sql:   "ALTER TABLE streaming.transactions ADD ip inet", txID: "700", alerts: 1,
			columns: "ip", literal: "203.0.113.7", json: `"203.0.113.7"`,
		},
		"another network address": {
			rules: `{columns: {ip: text}, rules: [{id: r, window: 7d, limit: 3000, where: 'ip == "203.0.113.7"'}]}`,
			sql:   "ALTER TABLE streaming.transactions ADD ip inet", txID: "700", alerts: 0,
			columns: "ip", literal: "203.0.113.7/24", json: `"203.0.113.7/24"`,
		},
		"a short float": {
			rules: `{columns: {risk: numeric}, rules: [{id: r, window: 7d, limit: 3000, where: "risk == 0.1"}]}`,
			sql:   "ALTER TABLE streaming.transactions ADD risk real", txID: "700", alerts: 1,
			columns: "risk", literal: "0.1", json: "0.1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := newJob(t, parts(t), 1, c.rules)
			conn := testkit.Connect(t, j.url)
			exec := func(sql string, args ...any) {
				t.Helper()
				if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
					t.Fatal(err)
				}
			}
			more, values, member := "", "", ""
			if c.sql != "" {
				exec(c.sql)
				more, values, member = ", "+c.columns, ", '"+c.literal+"'", fmt.Sprintf(`,%q:%s`, c.columns, c.json)
			}
			var events []testkit.Event
			for id, amount := range []string{"2000.00", "2000.50"} {
				day := 23 + id
				exec(fmt.Sprintf(`INSERT INTO streaming.transactions (id, user_id, amount, "timestamp"%s)
					VALUES (%d, 5, %s, '2026-11-%d 00:00:00+00'%s)`, more, id+1, amount, day, values))
				events = append(events, testkit.Event{Key: fmt.Appendf(nil, `{"id":%d}`, id+1), Value: fmt.Appendf(nil,
					`{"before":null,"after":{"id":%d,"user_id":5,"amount":%q,"timestamp":"2026-11-%dT00:00:00.000000Z"%s},`+
						`"source":{"schema":"streaming","table":"transactions","txId":%s,"lsn":100},"op":"c"}`,
					id+1, amount, day, member, c.txID)})
			}
			j.Produce(t, j.names.Source, events)
			if c.url != nil {
				j.url = c.url(t, j.url)
			}
			j.finish(t)
			alerts := j.alerts(t)
			if len(alerts) != c.alerts {
				t.Fatalf("%d alerts, want %d", len(alerts), c.alerts)
			}
			if len(alerts) > 0 && alerts[0].Database.Total.Format(2) != "4000.50" {
				t.Errorf("the alert has %s", alerts[0].Database.Total.Format(2))
			}
			for _, d := range j.deadLetters(t) {
				t.Errorf("a dead letter: %+v", d)
			}
		})
	}
}

// TestUserThatCannotBe: a user id that the user column cannot hold has no rows
// in PostgreSQL; its candidate is dismissed, and nothing dies or waits.
func TestUserThatCannotBe(t *testing.T) {
	t.Parallel()
	j := newJob(t, parts(t), 1, "rules: [{id: r, window: 7d, limit: 3000}]")
	j.Produce(t, j.names.Source, []testkit.Event{{Key: []byte(`{"id":1}`), Value: []byte(
		`{"before":null,"after":{"id":1,"user_id":"abc","amount":"4000.00","timestamp":"2026-11-23T00:00:00.000000Z"},` +
			`"source":{"schema":"streaming","table":"transactions","txId":700,"lsn":100},"op":"c"}`)}})
	p := j.finish(t)
	if alerts, letters := j.alerts(t), j.deadLetters(t); len(alerts) != 0 || len(letters) != 0 {
		t.Errorf("%d alerts, dead letters %+v", len(alerts), letters)
	}
	if n := len(j.Records(t, j.names.Dismissed)); n != 1 {
		t.Errorf("%d dismissed", n)
	}
	if strings.Contains(p.Output(), "report this as a bug") {
		t.Error(p.Output())
	}
}
