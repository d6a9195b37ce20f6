package e2e

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/brimline/brimline/internal/testkit"
)

// mendable is a table with a row that is in the way of an edge, and what mends it.
type mendable struct {
	*job
	t    *testing.T
	bad  string // the row's contents, as JSON
	sent int64
}

// event is a record of the source topic; before and after are JSON.
func (m *mendable) event(id int, op, before, after string) testkit.Event {
	m.sent++
	return testkit.Event{Key: fmt.Appendf(nil, `{"id":%d}`, id), Value: fmt.Appendf(nil,
		`{"before":%s,"after":%s,"source":{"schema":"streaming","table":"transactions","txId":null,"lsn":%d},"op":%q}`,
		before, after, 100+m.sent, op)}
}

func contents(id int, amount, at, description string) string {
	return fmt.Sprintf(`{"id":%d,"user_id":5,"amount":%q,"timestamp":%q,"description":%q}`, id, amount, at, description)
}

// insert puts a row into the table and the topic.
func (m *mendable) insert(id int, amount, at, description string) string {
	row := contents(id, amount, at, description)
	m.table.Exec(m.t, `INSERT INTO streaming.transactions VALUES ($1, 5, $2::text::numeric, $3::text::timestamptz, $4)`,
		id, amount, at, description)
	m.Produce(m.t, m.names.Source, []testkit.Event{m.event(id, "c", "null", row)})
	return row
}

// mend does to the bad row what makes it good, or takes it away.
func (m *mendable) mend(how, at string) {
	const update = `UPDATE streaming.transactions SET amount = 10, description = '' WHERE id = 1`
	good := contents(1, "10.00", at, "")
	var events []testkit.Event
	switch how {
	case "update":
		m.table.Exec(m.t, update)
		events = append(events, m.event(1, "u", m.bad, good))
	case "delete":
		m.table.Delete(m.t, 1)
		events = append(events, m.event(1, "d", m.bad, "null"))
	case "insert after delete":
		m.table.Delete(m.t, 1)
		m.table.Exec(m.t, `INSERT INTO streaming.transactions VALUES (1, 5, 10, $1::text::timestamptz, '')`, at)
		events = append(events, m.event(1, "d", m.bad, "null"), m.event(1, "c", "null", good))
	}
	m.Produce(m.t, m.names.Source, events)
}

// TestAMendedRowBringsItsEdge: a row that PostgreSQL cannot add up (NaN), or that it can and the stream cannot take
// in, is in the way of an edge until it is updated, deleted, or deleted and inserted again: before the edge is found,
// after it was dismissed, or at once, while the program runs. Then the edge is alerted by itself, once for each rule,
// whatever the window.
func TestAMendedRowBringsItsEdge(t *testing.T) {
	t.Parallel()
	const (
		at    = "2026-11-23T00:00:00.000000Z"
		rules = `
lateness: 2d
columns: {description: text}
rules:
  - {id: week, window: 7d, limit: 3000}
  - {id: month, window: 30d, limit: 3000, where: 'description != "none"'}
  - {id: in, window: 3d, limit: 3400, measure: sum_in}
  - {id: high, window: 7d, limit: 9000}
`
	)
	for _, bad := range []string{"NaN", "not taken in"} {
		for _, how := range []string{"update", "delete", "insert after delete"} {
			for _, when := range []string{"before", "after", "at once", "below the history"} {
				if when == "before" && how != "update" {
					continue
				}
				t.Run(strings.ReplaceAll(bad+", "+how+" "+when, " ", "_"), func(t *testing.T) {
					t.Parallel()
					m := &mendable{job: newJob(t, parts(t), 1, rules), t: t}
					m.where = map[string]string{"month": `description <> 'none'`}
					m.table.Exec(t, `ALTER TABLE streaming.transactions ALTER amount TYPE numeric`)
					if bad == "NaN" {
						m.bad = m.insert(1, "NaN", at, "")
					} else {
						m.bad = m.insert(1, "20000.00", at, strings.Repeat("long ", 5000))
					}
					m.insert(2, "2000.00", "2026-11-23T01:00:00.000000Z", "")
					m.insert(3, "1500.00", "2026-11-24T01:00:00.000000Z", "")
					switch when {
					case "before":
						m.mend(how, at)
					case "at once":
						p := m.start(t, 0)
						waitOutput(t, p, "verify: partition 0 starts at offset")
						m.dismissedAll(3)
						m.mend(how, at)
						m.waitAlerts(3)
						p.Signal(syscall.SIGTERM)
						m.mustEnd(t, p)
					case "below the history":
						if bad != "NaN" && how == "delete" {
							t.Skip("an edge that only a change to a row below the retained history makes possible is not looked for")
						}
						m.finish(t)
						m.insert(4, "1.00", "2027-02-01T02:00:00.000000Z", "")
						m.finish(t)
						m.mend(how, at)
					case "after":
						m.finish(t)
						if n := len(m.alerts(t)); n != 0 {
							t.Fatalf("%d alerts while the row is as it was", n)
						}
						m.mend(how, at)
					}
					m.finish(t)
					m.judge(t)
					if n := len(m.alerts(t)); n != 3 {
						t.Errorf("%d alerts, want one of each rule but high", n)
					}
					m.insert(9, "0.01", "2026-11-24T02:00:00.000000Z", "") // and never again
					m.finish(t)
					m.judge(t)
				})
			}
		}
	}
}

// dismissedAll waits until n candidates were dismissed, or became dead letters.
func (m *mendable) dismissedAll(n int) {
	m.t.Helper()
	m.wait(func() (bool, error) {
		return len(m.Records(m.t, m.names.Dismissed))+len(m.deadLetters(m.t)) >= n+1, nil // the row itself is one, too
	})
}

func (m *mendable) waitAlerts(n int) {
	m.t.Helper()
	m.wait(func() (bool, error) { return len(m.alerts(m.t)) >= n, nil })
}

func (m *mendable) wait(done func() (bool, error)) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), patience)
	defer cancel()
	if err := testkit.EventuallyEvery(ctx, 100*time.Millisecond, done); err != nil {
		m.t.Fatal(err)
	}
}
