package e2e

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/testkit"
	"github.com/twmb/franz-go/pkg/kgo"
)

// largest is the time from which the tests of large records have their rows.
var largest = brimline.TimeOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))

// comesThrough runs the group until it has caught up, and fails where a stage had to be started again on the way.
func (j *job) comesThrough(t *testing.T) {
	t.Helper()
	if out := j.finish(t).Output(); strings.Contains(out, "started again") {
		t.Errorf("a stage ended:\n%.3000s", out[strings.Index(out, "started again"):])
	}
}

// TestLargeAlertsOfOneUser: a list of alerts that is larger than a record may be stops no partition. The alerts' texts
// are `<`, of which JSON makes six bytes.
func TestLargeAlertsOfOneUser(t *testing.T) {
	j := newJob(t, parts(t), 1, `columns: {description: text}
rules: [{id: r, window: 10m, measure: count, limit: 5, where: 'description != ""'}]`)
	j.where = map[string]string{"r": `description <> ''`}
	const crossings = 40
	var rows []testkit.Row
	for n := range crossings {
		for i := range 6 {
			at := largest.Add(time.Duration(n)*time.Hour + time.Duration(i)*time.Second)
			rows = append(rows, testkit.Row{ID: int64(len(rows) + 1), User: 7, Amount: 100, Time: at,
				Description: strings.Repeat("<", 16<<10)})
		}
	}
	j.table.Insert(t, rows)
	for some := range slices.Chunk(rows, 20) {
		var events []testkit.Event
		for i := range some {
			events = append(events, testkit.Envelope("transactions", "c", nil, &some[i], 0))
		}
		j.Produce(t, j.names.Source, events)
	}
	j.comesThrough(t)
	j.judge(t)
	lists := j.Records(t, j.names.IndexTable)
	list, err := codecs.AlertLog{}.Decode(lists[len(lists)-1].Value)
	if err != nil {
		t.Fatal(err)
	}
	newest := largest.Add((crossings - 1) * time.Hour).Add(5 * time.Second)
	kept := list.([]*brimline.Alert)
	if len(kept) == 0 || len(kept) >= crossings || kept[0].Candidate.Edge != newest {
		t.Errorf("the table has %d alerts of the user, and not the newest of %d first", len(kept), crossings)
	}
}

// TestLargeRecordsAreCut: a record whose dead letter would be larger than a record may be stops no partition, whichever
// of its parts is large. What was cut is said, and such a letter is not sent again.
func TestLargeRecordsAreCut(t *testing.T) {
	j := newJob(t, parts(t), 1, "rules: [{id: r, window: 7d, limit: 100}]")
	rows := []testkit.Row{
		{ID: 1, User: 7, Amount: 9000, Time: largest},
		{ID: 2, User: 7, Amount: 2000, Time: largest.Add(time.Hour)},
	}
	j.table.Insert(t, rows)
	long := func(n int) []byte { return bytes.Repeat([]byte("x"), n) }
	events := []testkit.Event{testkit.Envelope("transactions", "c", nil, &rows[0], 0)}
	events = append(events,
		testkit.Event{Key: long(15 << 19), Value: []byte(`{}`)},
		testkit.Event{Key: []byte(`{"id":9}`), Value: []byte(`{`), Headers: []kgo.RecordHeader{{Key: string(long(15 << 19))}}},
		testkit.Event{Key: []byte(`{"id":9}`), Value: long(15 << 19)},
		testkit.Event{Key: long(5 << 19), Value: long(5 << 19), Headers: []kgo.RecordHeader{{Key: "h", Value: long(5 << 19)}}},
	)
	many := testkit.Event{Key: []byte(`{"id":9}`), Value: []byte(`{`)}
	for i := range 20_000 {
		many.Headers = append(many.Headers, kgo.RecordHeader{Key: fmt.Sprintf("\xff%0100d", i)})
	}
	random := make([]byte, 900_000) // which no compression brings below what a topic takes by default, as base64
	for r, i := rand.New(rand.NewPCG(1, 2)), 0; i < len(random); i++ {
		random[i] = byte(r.Uint32())
	}
	events = append(events, testkit.Event{Key: []byte(`{"id":9}`), Value: random})
	events = append(events, many, testkit.Envelope("transactions", "c", nil, &rows[1], 0))
	j.CreateTopic(t, j.names.DeadLetters, 1) // with the brokers' defaults
	for one := range slices.Chunk(events, 1) {
		j.Produce(t, j.names.Source, one)
	}
	j.comesThrough(t)
	j.judge(t)

	letters := j.deadLetters(t)
	if len(letters) != len(events)-2 {
		t.Fatalf("%d dead letters, want %d", len(letters), len(events)-2)
	}
	for i, d := range letters {
		was := events[1+i]
		if d.Topic != j.names.Source || d.Offset != int64(1+i) || d.Error == "" {
			t.Errorf("dead letter of %s/%d/%d: %q", d.Topic, d.Partition, d.Offset, d.Error)
		}
		if !bytes.HasPrefix(was.Key, d.Key) || !bytes.HasPrefix(was.Value, d.Value) {
			t.Errorf("offset %d: what is kept is not the beginning", d.Offset)
		}
		whole := len(d.Key) == len(was.Key) && len(d.Value) == len(was.Value) && len(d.Headers) == len(was.Headers)
		if whole != (d.Cut == nil) {
			t.Errorf("offset %d: %d, %d, %d of %d bytes of key, %d of value, %d headers, and cut is %+v", d.Offset,
				len(d.Key), len(d.Value), len(d.Headers), len(was.Key), len(was.Value), len(was.Headers), d.Cut)
		}
		if d.Cut == nil {
			t.Errorf("offset %d was not cut: the test does not reach the bound", d.Offset)
		}
	}
	j.does(t, []string{"deadletter", "list", "--offset", "2"}, "too large to be kept whole: 1 header in all")
	j.does(t, []string{"deadletter", "retry", "--offset", "2", "--yes"}, "left alone", "nothing was sent")
}
