package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/testkit"
	"github.com/brimline/brimline/processors"
	"github.com/twmb/franz-go/pkg/kgo"
)

// largest is the time from which the tests of large records have their rows.
var largest = brimline.TimeOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))

// comesThrough runs the group until it has caught up, and fails where a stage had to be started again on the way.
func (j *job) comesThrough(t *testing.T) (out string) {
	t.Helper()
	out = j.finish(t).Output()
	if strings.Contains(out, "started again") {
		t.Errorf("a stage ended:\n%.3000s", out[strings.Index(out, "started again"):])
	}
	return out
}

// TestLargeAlertsOfOneUser: a list of alerts that is larger than a record may be stops no partition. The alerts' texts
// are `<`, of which JSON makes six bytes.
func TestLargeAlertsOfOneUser(t *testing.T) { largeAlertsOfOneUser(t, parts(t)) }

func largeAlertsOfOneUser(t *testing.T, p *testkit.Parts) {
	j := newJob(t, p, 1, `columns: {description: text}
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
func TestLargeRecordsAreCut(t *testing.T) { largeRecordsAreCut(t, parts(t)) }

func largeRecordsAreCut(t *testing.T, p *testkit.Parts) {
	j := newJob(t, p, 1, "rules: [{id: r, window: 7d, limit: 100}]")
	rows := []testkit.Row{
		{ID: 1, User: 7, Amount: 9000, Time: largest},
		{ID: 2, User: 7, Amount: 2000, Time: largest.Add(time.Hour)},
	}
	j.table.Insert(t, rows)
	long := func(n int) []byte { return bytes.Repeat([]byte("x"), n) }
	events := []testkit.Event{testkit.Envelope("transactions", "c", nil, &rows[0], 0)}
	events = append(
		events,
		testkit.Event{Key: long(15 << 19), Value: []byte(`{}`)},
		testkit.Event{
			Key:     []byte(`{"id":9}`),
			Value:   []byte(`{`),
			Headers: []kgo.RecordHeader{{Key: string(long(15 << 19))}},
		},
		testkit.Event{Key: []byte(`{"id":9}`), Value: long(15 << 19)},
		testkit.Event{
			Key:     long(5 << 19),
			Value:   long(5 << 19),
			Headers: []kgo.RecordHeader{{Key: "h", Value: long(5 << 19)}},
		},
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

// TestStackHostile is the largest of everything through real brokers with their default limits.
func TestStackHostile(t *testing.T) {
	// The stack's own login may not make databases, which has nothing to do with brokers.
	p, err := testkit.Connected(realStack(t).Brokers, parts(t).DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("alerts", func(t *testing.T) { largeAlertsOfOneUser(t, p) })
	t.Run("records", func(t *testing.T) { largeRecordsAreCut(t, p) })
	t.Run("everything", func(t *testing.T) { everythingLarge(t, p) })
}

// TestEverythingLarge is a part of TestStackHostile.
func TestEverythingLarge(t *testing.T) { everythingLarge(t, parts(t)) }

// withBrokersLimits makes the group's topics before its first start, with what the brokers allow a record by default,
// which is far less than brimline would set.
func (j *job) withBrokersLimits(t *testing.T, partitions int) {
	t.Helper()
	s := j.names
	for _, topic := range []string{
		s.Changes, s.Candidates, s.Questions, s.Alerts, s.IndexLoop, s.DeadLetters, s.Dismissed,
	} {
		j.CreateTopic(t, topic, partitions)
	}
	for _, topic := range []string{s.WindowTable, s.IndexTable} {
		j.CreateTable(t, topic, partitions)
	}
	j.CreateTable(t, s.Rules, 1)
}

// everythingLarge: ids, users, columns and headers as long as they may be and longer, of texts that grow in JSON; users
// with one row, and one with everything: rows by the thousand that are changed and deleted again. No topic takes more
// than brokers do by default. What is too long is a dead letter, everything else is folded, and the last row of each
// partition is alerted. The user with everything can be forgotten.
func everythingLarge(t *testing.T, p *testkit.Parts) {
	const partitions, users, changed = 2, 100_000, 4_000
	j := newJob(t, p, partitions, `columns: {description: text}
rules:
  - {id: many, window: 7d, limit: 1000000, where: 'description != "x"'}
  - {id: last, window: 1m, limit: 5000, description: "`+strings.Repeat("<", 999)+`"}`)
	j.options = []string{"--verify", "off"}
	j.withBrokersLimits(t, partitions)
	var events []testkit.Event
	size := 0
	flush := func() {
		j.Produce(t, j.names.Source, events)
		events, size = nil, 0
	}
	row := func(id, user, amount, note string, at brimline.Time) string {
		text := func(s string) string {
			b, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
		return fmt.Sprintf(
			`{"id":%s,"user_id":%s,"amount":%q,"timestamp":%q,"description":%s}`,
			text(id),
			text(user),
			amount,
			at,
			text(note),
		)
	}
	add := func(op, id, before, after string, headers ...kgo.RecordHeader) {
		key, err := json.Marshal(map[string]string{"id": id})
		if err != nil {
			t.Fatal(err)
		}
		e := testkit.Event{Partition: int32(len(id)) % partitions, Key: key, Headers: headers, Value: fmt.Appendf(nil,
			`{"before":%s,"after":%s,"op":%q,"source":{"schema":"streaming","table":"transactions"}}`, before, after, op)}
		events = append(events, e)
		if size += len(e.Key) + len(e.Value); size > 512<<10 {
			flush()
		}
	}
	for i := range users {
		id := fmt.Sprint("one-", i)
		add("c", id, "null", row(id, "user-"+id, "1.00", "", largest.Add(time.Duration(i)*time.Second)))
	}
	whole := "<" + strings.Repeat("&", 1023) // a user as long as can be
	dead := 0
	for i := range 40 {
		at := largest.Add(time.Duration(i) * time.Hour)
		id := fmt.Sprintf("%04d", i) + strings.Repeat("<", 1020)
		add("c", id, "null", row(id, whole, "6000.00", strings.Repeat("<", 16<<10), at))
		for n, long := range []string{
			row(id+"<", whole, "1.00", "", at), row("u"+id[1:], whole+"<", "1.00", "", at),
			row("n"+id[1:], whole, "1.00", strings.Repeat("<", 16<<10+1), at),
		} {
			add("c", id[:4]+fmt.Sprint("long", n), "null", long, kgo.RecordHeader{
				Key: strings.Repeat("<", 1<<10), Value: bytes.Repeat([]byte("<"), 300<<10), // in base64, more than a record
			}, kgo.RecordHeader{Key: "<", Value: bytes.Repeat([]byte("<"), 500<<10)})
			dead++
		}
	}
	for i := range changed {
		id := fmt.Sprintf("%07d", i) + strings.Repeat("x", 990)
		at := largest.Add(time.Duration(i) * time.Second)
		first, second := row(id, whole, "1.00", "", at), row(id, whole, "2.00", "x", at)
		add("c", id, "null", first)
		add("u", id, first, second)
		add("d", id, second, "null")
	}
	last := map[string]bool{}
	for n := range partitions {
		id := fmt.Sprint("last", strings.Repeat("-", n))
		last[id] = true
		add("c", id, "null", row(id, id, "9000.00", "", largest.Add(24*365*time.Hour)))
	}
	flush()
	if out := j.comesThrough(t); strings.Count(out, "max.message.bytes is 1048588, less than") != 10 {
		t.Errorf("not every topic has the brokers' limit:\n%.3000s", out)
	}

	edges := 0
	for _, a := range j.alerts(t) {
		switch c := &a.Candidate; {
		case c.Rule.ID == "last" && last[c.User]:
			delete(last, c.User)
		case c.User == whole:
			edges++
		default:
			t.Errorf("an alert of user %.20q", c.User)
		}
	}
	if len(last) > 0 || edges < 40 {
		t.Errorf("no alert of %v, and %d of the user with everything", last, edges)
	}
	kinds := map[string]int{}
	for _, d := range j.deadLetters(t) {
		kinds[d.Kind]++
		if d.Cut == nil || d.Cut.Headers != 2 {
			t.Errorf("a dead letter of kind %s was not cut: %+v", d.Kind, d.Cut)
		}
	}
	if kinds["id_too_long"] != dead*2/3 || kinds["columns_too_long"] != dead/3 || len(kinds) != 2 {
		t.Errorf("dead letters %v, want %d", kinds, dead)
	}

	segments := func() (live int) {
		of := map[string]bool{}
		for _, r := range j.Records(t, j.names.WindowTable) {
			if user, _, ok := processors.ParseSegmentKey(string(r.Key)); ok && user == whole {
				of[string(r.Key)] = len(r.Value) > 0
			}
		}
		for _, there := range of {
			if there {
				live++
			}
		}
		return live
	}
	if segments() == 0 {
		t.Error("the user with everything has no segments")
	}
	j.does(t, []string{"forget", whole, "--yes"}, "1 user of group "+j.names.Group+" forgotten")
	j.comesThrough(t)
	value, _ := j.newestOf(t, j.names.WindowTable, whole)
	list, there := j.newestOf(t, j.names.IndexTable, whole)
	if n := segments(); n > 0 || len(value) == 0 || len(value) > 1<<10 || !there || len(list) > 0 {
		t.Errorf("left are %d segments, a value of %d bytes and a list of %d", n, len(value), len(list))
	}
}
