package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/testkit"
)

// TestTopicMadeAnew: the source topic is deleted and made anew, while the group is stopped or while it runs. It is read
// from its beginning, and what it says counts although its offsets, and here its LSNs, are no higher.
func TestTopicMadeAnew(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		running bool
		more    int // rows in the topic made anew beyond where the old one was left
	}{{"stopped", false, 0}, {"stopped, and longer than before", false, 20}, {"running", true, 0},
		{"running, and longer than before", true, 20}} {
		t.Run(test.name, func(t *testing.T) {
			j := newJob(t, parts(t), 1, "rules: [{id: r, window: 7d, limit: 3000}]")
			at := brimline.TimeOf(time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC))
			row := func(id, user int64, amount brimline.Amount) *testkit.Row {
				return &testkit.Row{ID: id, User: user, Amount: amount, Time: at}
			}
			event := func(op string, before, after *testkit.Row) testkit.Event {
				return testkit.Envelope("transactions", op, before, after, 100)
			}
			first := []testkit.Event{event("c", nil, row(1, 5, 1000))}
			for id := range int64(8) {
				first = append(first, event("c", nil, row(10+id, 6, 100)))
			}
			first = append(first, event("u", row(1, 5, 1000), row(1, 5, 2000)))
			j.Produce(t, j.names.Source, first)
			var p *testkit.Process
			if test.running {
				p = j.start(t, 0)
				j.waitHandled(t, int64(len(first)))
			} else {
				j.finish(t)
			}
			if test.running {
				j.RecreateTopic(t, j.names.Source, 1)
			} else { // brokers forget offsets with their topic, but not those of a member that commits after that
				commit := j.Offsets(t, j.names.RouteGroup, j.names.Source)
				j.RecreateTopic(t, j.names.Source, 1)
				commit()
			}
			second := []testkit.Event{event("r", nil, row(1, 5, 2000)), event("c", nil, row(20, 6, 100)),
				event("u", row(1, 5, 2000), row(1, 5, 500000))}
			j.table.Insert(t, []testkit.Row{*row(1, 5, 500000), *row(20, 6, 100)})
			for id := range int64(test.more) {
				second = append(second, event("c", nil, row(30+id, 6, 100)))
				j.table.Insert(t, []testkit.Row{*row(30+id, 6, 100)})
			}
			j.Produce(t, j.names.Source, second)
			if test.running {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				if err := j.WaitRecords(ctx, j.names.Alerts, 1); err != nil {
					t.Fatalf("waiting for the alert: %v", err)
				}
				p.Signal(syscall.SIGTERM)
				j.mustEnd(t, p)
			}
			j.finish(t)
			if alerts := j.alerts(t); len(alerts) != 1 || alerts[0].Database.Total.Format(2) != "5000.00" {
				t.Errorf("%d alerts, want one of 5000.00: %+v", len(alerts), alerts)
			}
			if dead := j.deadLetters(t); len(dead) != 0 {
				t.Errorf("%d dead letters, the first: %+v", len(dead), dead[0])
			}
		})
	}
}

// TestRowsInSeveralPartitions: the changes of one row lie in any partition, and some of them come a second time, as
// after a restart of the connector. In the end every user's totals are those of SQL over the table.
func TestRowsInSeveralPartitions(t *testing.T) {
	t.Parallel()
	r := testkit.Rand(testkit.Seed(t))
	const partitions = 3
	j := newJob(t, parts(t), partitions, "lateness: 60d\nrules: [{id: r, window: 7d, limit: 300}]")
	shape := testkit.Shape{
		Rows: 300, Users: 10, Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		Span: 21 * 24 * time.Hour, Grain: time.Hour, MaxAmount: 10000,
	}
	events, _ := j.liveThrough(t, r, shape.Draw(r), shape.Users)
	begin := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	var written []testkit.Event
	for i := range events {
		events[i].Value = committedAt(t, events[i].Value, begin.Add(time.Duration(i)*time.Second))
		written = append(written, scattered(r, events[i:i+1], partitions)...)
		if r.IntN(20) == 0 {
			written = append(written, scattered(r, events[max(0, i-r.IntN(10)):i+1], partitions)...)
		}
	}
	j.Produce(t, j.names.Source, written)
	j.finish(t)
	j.compareTotals(t)
}

func scattered(r *rand.Rand, events []testkit.Event, partitions int) []testkit.Event {
	out := make([]testkit.Event, len(events))
	for i, e := range events {
		e.Partition = int32(r.IntN(partitions))
		out[i] = e
	}
	return out
}

// committedAt gives an envelope another commit time.
func committedAt(t *testing.T, value []byte, at time.Time) []byte {
	t.Helper()
	var envelope map[string]json.RawMessage
	var source map[string]any
	if err := json.Unmarshal(value, &envelope); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(envelope["source"], &source); err != nil {
		t.Fatal(err)
	}
	source["ts_ms"], source["ts_us"] = json.Number(fmt.Sprint(at.UnixMilli())), json.Number(fmt.Sprint(at.UnixMicro()))
	var err error
	if envelope["source"], err = json.Marshal(source); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(envelope)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
