package e2e

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/testkit"
)

const openRules = "lateness: 1d\nrules:\n" +
	"  - {id: day, window: 1d, limit: 300}\n" +
	"  - {id: count, window: 6h, measure: count, limit: 3}\n"

// write inserts some rows in one transaction, which stays open for a while, and gives up with ctx.
func writeRows(
	ctx context.Context,
	conn *pgx.Conn,
	table pgx.Identifier,
	rows []testkit.Row,
	open time.Duration,
) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	for i := range rows {
		r := &rows[i]
		if _, err := tx.Exec(ctx, "INSERT INTO "+table.Sanitize()+` (id, user_id, amount, "timestamp", description)
			VALUES ($1, $2, $3::text::numeric, $4, $5)`,
			r.ID, r.User, r.Amount.Format(2), r.Time.Std(), r.Description); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, "SELECT pg_sleep($1)", open.Seconds()); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// TestStackOpenTransactions: real Debezium takes its snapshot while transactions are open that commit later, and the
// table is emptied in the middle. The group runs all the while. Each edge of the table at rest is alerted once, and
// every other alert was an edge before.
func TestStackOpenTransactions(t *testing.T) {
	s := realStack(t)
	r := testkit.Rand(testkit.Seed(t))
	h := stackRows
	h.Rows, h.Users, h.Span = 30_000, 300, 7*24*time.Hour
	rows := h.Draw(r)
	first, during, after := rows[:20_000], rows[20_000:24_000], rows[24_000:]

	s.table = testkit.OpenTable(t, s.Env["DATABASE_URL"], "streaming", "transactions")
	s.table.Empty(t)
	conn := testkit.Connect(t, s.Env["DATABASE_URL"])
	written := make(chan error, 1)
	writing, stop := context.WithCancel(t.Context())
	defer stop()
	go func() { // transactions of up to three seconds, one after the other, from before the connector starts over
		var err error
		for len(during) > 0 && err == nil {
			n := min(len(during), 200)
			err = writeRows(writing, conn, s.table.Name, during[:n], time.Duration(r.IntN(3000))*time.Millisecond)
			during = during[n:]
		}
		written <- err
	}()
	// The rows that begin puts in empty the table first: those that were written by then are gone, and are no edges.
	j := s.begin(t, "string,fast-poll", openRules, first)
	p := j.start(t, 1)
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	j.waitHandled(t, 20_000)
	j.table.Exec(t, "TRUNCATE "+j.table.Name.Sanitize())
	for len(after) > 0 {
		n := min(len(after), 500)
		if err := writeRows(t.Context(), conn, j.table.Name, after[:n], 0); err != nil {
			t.Fatal(err)
		}
		after = after[n:]
	}
	last := testkit.Row{ID: 1 << 40, User: 1 << 40, Amount: 1000_00, Time: brimline.TimeOf(time.Now())}
	j.table.Insert(t, []testkit.Row{last})
	j.waitAlert(t, "1099511627776")
	p.Signal(syscall.SIGTERM)
	j.mustEnd(t, p)
	j.finish(t)

	if story := j.allTold(t); len(story.Outdated) == 0 {
		t.Error("no alert is outdated: the TRUNCATE came before or after all of them")
	}
	if dead := j.deadLetters(t); len(dead) != 0 {
		t.Errorf("%d dead letters, the first: %+v", len(dead), dead[0])
	}
}

// TestStackUnrelatedTransaction: a transaction of another table, which has written and stays open from before the rows
// until after the last alert, holds nothing up: PostgreSQL's horizon and the slot's stand still for as long, and rows
// with higher transaction ids are visible beside it.
func TestStackUnrelatedTransaction(t *testing.T) {
	s := realStack(t)
	r := testkit.Rand(testkit.Seed(t))
	h := stackRows
	h.Rows, h.Users, h.Span = 10_000, 300, 7*24*time.Hour
	rows := h.Draw(r)
	j := s.begin(t, "string,fast-poll", openRules, rows[:2000])
	j.waitSource(t, 2000)
	conn := testkit.Connect(t, s.Env["DATABASE_URL"])
	other, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Exec(t.Context(), "CREATE TABLE streaming.elsewhere AS SELECT 1 AS n"); err != nil {
		t.Fatal(err)
	}
	p := j.start(t, 1)
	j.waitHandled(t, 2000)
	j.table.Insert(t, rows[2000:])
	j.table.Delete(t, rows[2500].ID)
	last := testkit.Row{ID: 1 << 40, User: 1 << 40, Amount: 1000_00, Time: brimline.TimeOf(time.Now())}
	j.table.Insert(t, []testkit.Row{last})
	j.waitAlert(t, "1099511627776")
	p.Signal(syscall.SIGTERM)
	j.mustEnd(t, p)
	j.finish(t)
	j.allTold(t)
	if n := j.distrusts(t); n != 0 {
		t.Errorf("%d users are distrusted", n)
	}
	if err := other.Rollback(t.Context()); err != nil {
		t.Error(err)
	}
}

// allTold: every edge of the table at rest was alerted, and no alert tells of another.
func (j *job) allTold(t *testing.T) testkit.Story {
	t.Helper()
	edges := j.edges(t)
	story := testkit.Stories(j.alerts(t), edges, false)
	if t.Log(story); story.Told != len(edges) || len(story.Wrong) > 0 || len(edges) == 0 {
		t.Errorf("%d edges at rest: %v %v", len(edges), story, story.Wrong)
	}
	return story
}
