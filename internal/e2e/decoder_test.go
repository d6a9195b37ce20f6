package e2e

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs/debezium"
	"github.com/brimline/brimline/internal/testkit"
)

// TestUpdateThatCannotBeTaken: the row is no longer what it was, and so must not hide the edge that a later row makes.
func TestUpdateThatCannotBeTaken(t *testing.T) {
	t.Parallel()
	day := func(n int) brimline.Time { return brimline.TimeOf(time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC)) }
	first, second := testkit.Row{ID: 1, User: 7, Amount: 15000, Time: day(1)}, testkit.Row{ID: 2, User: 7,
		Amount: 12000, Time: day(2)}
	update := string(testkit.Envelope("transactions", "u", &first, &first, 2).Value)
	for name, after := range map[string][2]string{ // what is changed in after, which comes first
		debezium.KindEmptyUser:    {`"user_id":7`, `"user_id":null`},
		debezium.KindAmountNaN:    {`"amount":"150.00"`, `"amount":"NAN"`},
		debezium.KindInfiniteTime: {`"timestamp":"2026-01-01T00:00:00.000000Z"`, `"timestamp":"infinity"`},
	} {
		t.Run(name, func(t *testing.T) {
			j := newJob(t, parts(t), 1, "rules: [{id: r, window: 7d, limit: 100}]")
			j.table.Insert(t, []testkit.Row{second}) // PostgreSQL has no row of user 7 on the first day any more
			at := strings.Index(update, after[0])
			if at < 0 {
				t.Fatalf("%s is not in %s", after[0], update)
			}
			broken := testkit.Event{Key: []byte(`{"id":1}`), Value: []byte(update[:at] + after[1] +
				update[at+len(after[0]):])}
			j.Produce(t, j.names.Source, []testkit.Event{
				testkit.Envelope("transactions", "c", nil, &first, 1), broken, testkit.Envelope("transactions", "c",
					nil, &second, 3),
			})
			j.finish(t)
			j.judge(t)
			letters := j.deadLetters(t)
			if len(letters) != 1 || letters[0].Kind != name || letters[0].User != "7" || letters[0].Row != "1" {
				t.Errorf("dead letters %+v", letters)
			}
		})
	}
}

// TestPassedOver: with --other-tables=skip a topic of several tables and of a connector's own records has no dead
// letters.
func TestPassedOver(t *testing.T) {
	t.Parallel()
	row := testkit.Row{ID: 1, User: 7, Amount: 15000, Time: brimline.TimeOf(time.Date(2026, 1, 1, 0, 0, 0, 0,
		time.UTC))}
	j := newJob(t, parts(t), 1, "rules: [{id: r, window: 7d, limit: 100}]")
	j.options = []string{"--other-tables", "skip"}
	j.table.Insert(t, []testkit.Row{row})
	j.Produce(t, j.names.Source, []testkit.Event{
		testkit.Envelope("refunds", "c", nil, &row, 1),
		{Key: []byte(`{"serverName":"postgres"}`), Value: []byte(`{"ts_ms":1795428851563}`)},
		{Key: []byte(`{"id":"7:1"}`),
			Value: []byte(`{"status":"BEGIN","id":"7:1","event_count":null,"data_collections":null,"ts_ms":1}`)},
		testkit.Envelope("transactions", "c", nil, &row, 2),
		testkit.Envelope("refunds", "d", &row, nil, 3),
		{Key: []byte(`{"id":1}`)},
	})
	j.finish(t)
	j.judge(t)
	if letters := j.deadLetters(t); len(letters) > 0 {
		t.Errorf("dead letters %+v", letters)
	}
}

// TestAmountsInCents: a bigint of cents is read as such by the stream and by PostgreSQL, with limits in whole units.
func TestAmountsInCents(t *testing.T) {
	t.Parallel()
	at := brimline.TimeOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	first := testkit.Row{ID: 1, User: 7, Amount: 30000, Time: at}
	second := testkit.Row{ID: 2, User: 7, Amount: 20050, Time: at.Add(24 * time.Hour)}
	j := newJob(t, parts(t), 1, "rules: [{id: r, window: 7d, limit: 500}]")
	j.table.Insert(t, []testkit.Row{first, second})
	const inCents = `ALTER TABLE streaming.transactions ALTER amount TYPE bigint USING (amount * 100)::bigint`
	if _, err := j.table.Conn.Exec(t.Context(), inCents); err != nil {
		t.Fatal(err)
	}
	var events []testkit.Event
	for i, row := range []testkit.Row{first, second} {
		e := testkit.Envelope("transactions", "c", nil, &row, int64(i+1))
		amount := `"amount":"` + row.Amount.Format(2) + `"`
		cents := strings.Replace(string(e.Value), amount, `"amount":`+strconv.FormatInt(int64(row.Amount), 10), 1)
		events = append(events, testkit.Event{Key: e.Key, Value: []byte(cents)})
	}
	j.Produce(t, j.names.Source, events)
	j.options = []string{"--amount-minor-units", "2"}
	j.finish(t)
	alerts := j.alerts(t)
	if len(alerts) != 1 || alerts[0].Database == nil || alerts[0].Database.Total.Format(2) != "500.50" ||
		alerts[0].Candidate.Stream.Total.Format(2) != "500.50" {
		t.Errorf("alerts %+v", alerts)
	}
	if letters := j.deadLetters(t); len(letters) > 0 {
		t.Errorf("dead letters %+v", letters)
	}
}
