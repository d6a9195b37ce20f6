package crash

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/testkit"
	"github.com/brimline/brimline/processors"
)

// shape describes the table's rows: ties, zeros, negative amounts, one heavy user.
func shape(rows int) testkit.Shape {
	return testkit.Shape{
		Rows: rows, Users: max(10, rows/50), Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		Span: 28 * 24 * time.Hour, Grain: time.Minute, MaxAmount: 100_00, Heavy: 0.03,
	}
}

// drawRules draws limits that some users pass now and then, up to ones that most pass all the time.
func drawRules(r *rand.Rand) string {
	return fmt.Sprintf(`lateness: %dh
columns: {description: text}
rules:
  - {id: week, window: 7d, limit: "%d.00"}
  - {id: calm, window: 48h, limit: "%d.00", quiet: %dh}
  - {id: hover, window: 72h, limit: "%d.00", rearm: %d%%}
  - {id: often, window: 30h, limit: %d, measure: count}
  - {id: signed, window: 24h, limit: "%d.00", measure: sum}
  - {id: out, window: 96h, limit: "%d.00", measure: sum_out}
  - {id: peak, window: 72h, limit: "%d.00", measure: max}
  - {id: usual, window: 48h, limit: "%d.00", measure: avg, min_count: %d}
  - {id: kinds, window: 36h, limit: %d, measure: distinct, of: description, where: amount > 20}
`, 6+r.IntN(42), 300+r.IntN(900), 100+r.IntN(300), 1+r.IntN(96), 150+r.IntN(400), 50+r.IntN(51), 3+r.IntN(6),
		80+r.IntN(300), 40+r.IntN(250), 80+r.IntN(20), 30+r.IntN(50), 1+r.IntN(4), 2+r.IntN(5))
}

// drawEvents makes the stream of rows: some late, some twice, some records broken.
func (r *round) drawEvents(rows []testkit.Row, partitions int) {
	var (
		events []testkit.Event
		ids    []int64
	)
	add := func(i int) {
		events, ids = append(events, testkit.Envelope("transactions", "c", nil, &rows[i], int64(1000+i))),
			append(ids, rows[i].ID)
	}
	var late []int
	for i := range rows {
		if r.r.IntN(50) == 0 {
			late = append(late, i)
		} else {
			add(i)
		}
		if len(late) > 0 && r.r.IntN(60) == 0 {
			n := r.r.IntN(len(late))
			add(late[n])
			late = slices.Delete(late, n, n+1)
		}
		if r.r.IntN(20) == 0 { // redelivered, a short while ago or long ago
			back := 1 + r.r.IntN(200)
			if r.r.IntN(4) == 0 {
				back = 1 + r.r.IntN(i+1)
			}
			if n := len(events) - back; n >= 0 {
				events, ids = append(events, events[n]), append(ids, ids[n])
			}
		}
	}
	for _, n := range late {
		add(n)
	}
	r.events = testkit.Spread(r.r, events, ids, partitions, 20)
	for n := range 12 {
		key, _ := json.Marshal(map[string]any{"id": n})
		e := testkit.Event{Partition: int32(r.r.IntN(partitions)), Key: key,
			Value: fmt.Appendf(nil, `{"before":null,"after":{"id":%d,"broken":`, n)}
		r.bad[string(e.Value)] = true
		r.events = slices.Insert(r.events, r.r.IntN(len(r.events)), e)
	}
}

// drawChanges makes a stream in which rows are changed, moved to other users and
// deleted, and gives the table that is left.
func (r *round) drawChanges(rows []testkit.Row, partitions int) (left []testkit.Row) {
	var (
		events []testkit.Event
		ids    []int64
		users  = int64(max(10, len(rows)/50))
	)
	add := func(op string, id int64, before, after *testkit.Row) {
		events, ids = append(events, testkit.Envelope("transactions", op, before, after, int64(1000+len(events)))),
			append(ids, id)
	}
	for i := range rows[:len(rows)/2] {
		now := rows[i]
		add("c", now.ID, nil, &now)
		for range r.r.IntN(4) {
			before := now
			if r.fault.unreadable && r.r.IntN(3) == 0 { // and back: the row is read again as it was
				add("u", now.ID, &before, &now)
				unreadable(&events[len(events)-1], "after", now.Amount)
				r.bad[string(events[len(events)-1].Value)] = true
				add("u", now.ID, &before, &now)
				unreadable(&events[len(events)-1], "before", now.Amount)
			}
			switch r.r.IntN(3) {
			case 0:
				now.User = 1 + r.r.Int64N(users)
			case 1:
				now.Time += brimline.Time(r.r.Int64N(48)-24) * 3600e6
			case 2:
				now.Amount = brimline.Amount(r.r.Int64N(20000) - 5000)
			}
			add("u", now.ID, &before, &now)
		}
		if r.r.IntN(5) == 0 {
			before := now
			add("d", now.ID, &before, nil)
		} else {
			left = append(left, now)
		}
	}
	r.events = testkit.Spread(r.r, events, ids, partitions, len(events)/4)
	return left
}

// unreadable makes one of an event's two rows one whose amount is no number.
func unreadable(e *testkit.Event, row string, amount brimline.Amount) {
	at := bytes.Index(e.Value, []byte(`"`+row+`":{`))
	was := fmt.Appendf(nil, `"amount":"%s"`, amount.Format(2))
	e.Value = slices.Concat(e.Value[:at], bytes.Replace(e.Value[at:], was, []byte(`"amount":"NaN"`), 1))
}

// snapshotOf are the rows that some events leave, as a connector's new snapshot has them, and the broken records.
func (r *round) snapshotOf(sent []testkit.Event) (rows []testkit.Event) {
	last := map[string]int{}
	for i, e := range sent {
		if !r.bad[string(e.Value)] {
			last[string(e.Key)] = i
		}
	}
	for i, e := range sent {
		switch {
		case r.bad[string(e.Value)]:
		case last[string(e.Key)] != i || bytes.Contains(e.Value, []byte(`"op":"d"`)):
			continue
		default:
			e.Value = asSnapshot.ReplaceAll(e.Value, []byte(`"op":"r"`))
			e.Value = bytes.Replace(e.Value, []byte(`"snapshot":"false"`), []byte(`"snapshot":"true"`), 1)
			if at := bytes.Index(e.Value, []byte(`,"before":{`)); at >= 0 { // a snapshot's row has none
				end := at + bytes.IndexByte(e.Value[at:], '}')
				e.Value = slices.Concat(e.Value[:at], []byte(`,"before":null`), e.Value[end+1:])
			}
		}
		rows = append(rows, e)
	}
	return rows
}

// inOrder gives the events commit times in the order of their places in the log, as PostgreSQL does.
func inOrder(events []testkit.Event) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	for i := range events {
		if at := place.FindSubmatch(events[i].Value); at != nil {
			lsn, _ := strconv.ParseInt(string(at[1]), 10, 64)
			events[i].Value = committed.ReplaceAll(events[i].Value, fmt.Appendf(nil, `"ts_us":%d`, start+lsn*1000))
		}
	}
}

var (
	place     = regexp.MustCompile(`"lsn":(\d+)`)
	committed = regexp.MustCompile(`"ts_us":\d+`)
)

var asSnapshot = regexp.MustCompile(`"op":"[cu]"`)

// makeAnew deletes the source topic in the middle of the load and makes it anew, as whoever has lost the connector's
// slot does. Its first records are a snapshot of all that was there. What was sent before is handled first, if it
// must be: a deletion that was not read is in no snapshot.
func makeAnew(r *round) {
	r.while(r.between(4*time.Second, 12*time.Second))
	left, goOn := make(chan []testkit.Event), make(chan []testkit.Event)
	r.interrupts <- func(rest []testkit.Event) []testkit.Event {
		left <- rest
		return <-goOn
	}
	rest := <-left
	if r.fault.changes {
		ctx, cancel := r.bounded()
		defer cancel()
		r.must(r.atRest(ctx))
	}
	rows := r.snapshotOf(r.events[:len(r.events)-len(rest)])
	r.g.RecreateTopic(r, r.names.Source, r.partitions)
	r.do("the source topic deleted and made anew, with a snapshot of %d rows", len(rows))
	r.events = slices.Concat(rows, rest)
	goOn <- r.events
	r.while(r.between(time.Second, 4*time.Second))
	r.any().kill()
	r.do("kill -9 of one instance")
	r.while(3 * time.Second)
}

// withoutUnseen are the rows that are left when one in sixty was deleted, of which the stream brings nothing: no slot
// held the changes, replication was off, or a partition of the table was dropped.
func (r *round) withoutUnseen(rows []testkit.Row) (left []testkit.Row) {
	r.unseen = map[int64]bool{}
	for _, row := range rows {
		if r.r.IntN(60) == 0 {
			r.unseen[row.User] = true
			continue
		}
		left = append(left, row)
	}
	return left
}

// distrustUnseen does what operators do who know of whom rows were lost. Those whose edge PostgreSQL has dismissed were
// distrusted without that; rows that hide an edge and make none show no sign.
func distrustUnseen(r *round) {
	args := []string{
		"distrust", "--brokers", strings.Join(r.g.Brokers, ","), "--group", r.names.Group,
		"--state-dir", filepath.Join(r.dir, "view"),
	}
	for user := range r.unseen {
		args = append(args, strconv.FormatInt(user, 10))
	}
	out, err := exec.CommandContext(r.Context(), binary, args...).CombinedOutput()
	if err != nil {
		r.Fatalf("distrust: %v\n%s", err, out)
	}
	r.do("distrusted %d users of whom rows were deleted without a word", len(r.unseen))
}

// openTable makes a database with all rows, and a source topic that gets them by and by.
func (r *round) openTable(rows []testkit.Row, partitions int) {
	conn := testkit.Connect(r, r.g.Database(r, r.database))
	table := testkit.CreateTable(r, conn, "streaming", "transactions")
	for _, sql := range []string{`GRANT USAGE ON SCHEMA streaming TO brimline`,
		`GRANT SELECT ON streaming.transactions TO brimline`} {
		if _, err := conn.Exec(r.Context(), sql); err != nil {
			r.Fatal(err)
		}
	}
	r.bad, r.partitions = map[string]bool{}, partitions
	if r.fault.changes {
		rows = r.drawChanges(rows, partitions)
		inOrder(r.events)
	} else {
		r.drawEvents(rows, partitions)
	}
	if r.fault.unseen {
		rows = r.withoutUnseen(rows)
	}
	table.Insert(r, rows)
	_ = conn.Close(r.Context())
	r.g.CreateTopic(r, r.names.Source, partitions)
}

// openConnector fills the stack's own table: half of the rows come by Debezium's snapshot, half from the log.
func (r *round) openConnector(rows []testkit.Row, partitions int) {
	r.database, r.names = "app", processors.NewStreams(r.names.Group, "postgres.streaming.transactions", r.names.Alerts)
	table := testkit.OpenTable(r, r.adminURL(), "streaming", "transactions")
	table.Empty(r)
	half := len(rows) / 2
	table.Insert(r, rows[:half])
	r.script("switch.sh", []string{fmt.Sprint("KAFKA_PARTITIONS=", partitions)}, "string,fast-poll")
	r.script("down.sh", nil, "connect")
	if r.fault.later {
		r.rowsLater = rows[half:]
		return
	}
	table.Insert(r, rows[half:])
}

// produce writes the events, over about the given time, or at once when the round hurries.
func (r *round) produce(ctx context.Context, over time.Duration) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(r.g.Brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return err
	}
	defer client.Close()
	const beat = 50 * time.Millisecond
	var (
		tick   = time.NewTicker(beat)
		perTic = max(1, len(r.events)*int(beat)/int(over))
		failed = make(chan error, 1)
	)
	defer tick.Stop()
	for rest := r.events; len(rest) > 0; {
		select {
		case <-tick.C:
		case interrupt := <-r.interrupts:
			if err := client.Flush(ctx); err != nil {
				return err
			}
			rest = interrupt(rest)
			client.PurgeTopicsFromProducing(r.names.Source) // it may be another topic by now
			continue
		case <-r.hurry:
			perTic = len(rest)
		case <-ctx.Done():
			return ctx.Err()
		}
		n := min(perTic, len(rest))
		for _, e := range rest[:n] {
			client.Produce(ctx, &kgo.Record{Topic: r.names.Source, Partition: e.Partition, Key: e.Key, Value: e.Value},
				func(_ *kgo.Record, err error) {
					if err != nil {
						select {
						case failed <- err:
						default:
						}
					}
				})
		}
		rest = rest[n:]
		r.left.Store(int64(len(rest)))
	}
	if err := client.Flush(ctx); err != nil {
		return err
	}
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}
