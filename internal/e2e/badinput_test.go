package e2e

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs/debezium"
	"github.com/brimline/brimline/internal/testkit"
)

// TestBadInputIsKeptAndNamed: every kind of bad record lands in the dead letter
// topic, whole, with its kind and a remedy, and the good ones around it are judged as ever.
func TestBadInputIsKeptAndNamed(t *testing.T) {
	t.Parallel()
	j := newJob(t, parts(t), 1, "rules: [{id: r, window: 7d, limit: 100}]")
	good := []testkit.Row{
		{ID: 1, User: 7, Amount: 9000, Time: brimline.TimeOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)), Description: strings.Repeat("long ", 1<<16)},
		{ID: 2, User: 7, Amount: 2000, Time: brimline.TimeOf(time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC))},
	}
	j.table.Insert(t, good)
	row := func(fields string) string {
		return `{"before":null,"after":{` + fields + `},"op":"c","source":{"schema":"streaming","table":"transactions"}}`
	}
	const rest = `"user_id":7,"timestamp":"2026-01-01T00:00:00.000000Z"`
	bad := []struct{ kind, key, value string }{
		{debezium.KindBrokenJSON, `{"id":9}`, `{"before":null,"after":{"id":9,`},
		{debezium.KindWrongType, `{"id":9}`, row(`"id":9,"user_id":[7],"amount":"1.00","timestamp":"2026-01-01T00:00:00.000000Z"`)},
		{debezium.KindWrongType, `{"id":9}`, row(`"id":9,"amount":true,` + rest)},
		{debezium.KindMissingColumn, `{"id":9}`, row(`"id":9,` + rest)},
		{debezium.KindUnknownOp, `{"id":9}`, strings.Replace(row(`"id":9,"amount":"1.00",`+rest), `"op":"c"`, `"op":"x"`, 1)},
		{debezium.KindAmountScale, `{"id":9}`, row(`"id":9,"amount":"1.005",` + rest)},
		{debezium.KindAmountRange, `{"id":9}`, row(`"id":9,"amount":"123456789012345678901.00",` + rest)},
		{debezium.KindAmountNaN, `{"id":9}`, row(`"id":9,"amount":"NAN",` + rest)},
		{debezium.KindFloatAmount, `{"id":9}`, row(`"id":9,"amount":1.5,` + rest)},
		{debezium.KindInfiniteTime, `{"id":9}`, row(`"id":9,"user_id":7,"amount":"1.00","timestamp":"infinity"`)},
		{debezium.KindEmptyKey, ``, row(`"id":9,"amount":"1.00",` + rest)},
		{debezium.KindEmptyUser, `{"id":9}`, row(`"id":9,"user_id":"","amount":"1.00","timestamp":"2026-01-01T00:00:00.000000Z"`)},
		{debezium.KindDeleteWithoutBefore, `{"id":2}`, `{"before":null,"after":null,"op":"d","source":{"schema":"streaming","table":"transactions"}}`},
		{debezium.KindMadeUpBefore, `{"id":2}`, `{"before":{"id":2,"user_id":0,"amount":"0.00","timestamp":"1970-01-01T00:00:00.000000Z"},"after":null,"op":"d","source":{"schema":"streaming","table":"transactions"}}`},
		{debezium.KindOtherTable, `{"id":9}`, strings.Replace(row(`"id":9,"amount":"1.00",`+rest), `"table":"transactions"`, `"table":"refunds"`, 1)},
		{"record_too_large", `{"id":9}`, row(`"id":9,"amount":"1.00",` + rest + `,"description":"` + strings.Repeat("x", 1<<20) + `"`)},
	}
	events := []testkit.Event{testkit.Envelope("transactions", "c", nil, &good[0], 1)}
	for _, b := range bad {
		e := testkit.Event{Value: []byte(b.value)}
		if b.key != "" {
			e.Key = []byte(b.key)
		}
		events = append(events, e)
	}
	events = append(events, testkit.Envelope("transactions", "c", nil, &good[1], 2))
	j.Produce(t, j.names.Source, events)
	j.finish(t)
	j.judge(t)

	byOffset := map[int64]*brimline.DeadLetter{}
	for _, d := range j.deadLetters(t) {
		if byOffset[d.Offset] != nil {
			t.Errorf("offset %d is there twice", d.Offset)
		}
		byOffset[d.Offset] = d
	}
	if len(byOffset) != len(bad) {
		t.Errorf("%d dead letters, want %d", len(byOffset), len(bad))
	}
	for i, b := range bad {
		d := byOffset[int64(i+1)]
		switch {
		case d == nil:
			t.Errorf("%s: no dead letter", b.kind)
		case d.Kind != b.kind || d.Remedy == "" || d.Error == "":
			t.Errorf("%s: dead letter of kind %q, error %q, remedy %q", b.kind, d.Kind, d.Error, d.Remedy)
		case d.Topic != j.names.Source || !bytes.Equal(d.Value, []byte(b.value)) || string(d.Key) != b.key:
			t.Errorf("%s: the record was not kept whole: %s", b.kind, fmt.Sprintf("%.80s", d.Value))
		}
	}
}
