package testkit

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/brimline/brimline"
)

// Row is one row of the test table.
type Row struct {
	ID, User    int64
	Amount      brimline.Amount // cents
	Time        brimline.Time
	Description string
}

// Seed gives the seed of a test's randomness, from BRIMLINE_SEED or the clock, and prints it when the test fails.
func Seed(t testing.TB) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("BRIMLINE_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("BRIMLINE_SEED: %v", err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("to repeat: BRIMLINE_SEED=%d", seed)
		}
	})
	return seed
}

// Rand is a source of chance for a seed.
func Rand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// Shape describes random rows.
type Shape struct {
	Rows, Users int
	Start       time.Time
	Span        time.Duration // of row times
	Grain       time.Duration // row times are multiples of it: the coarser, the more ties
	MaxAmount   int64         // cents; about a fifth are negative, a few are zero
	Heavy       float64       // share of rows that one user gets
}

// Draw makes the rows, in the order of their times.
func (s Shape) Draw(r *rand.Rand) []Row {
	rows := make([]Row, s.Rows)
	steps := int64(s.Span / s.Grain)
	for i := range rows {
		user := 1 + r.Int64N(int64(s.Users))
		if r.Float64() < s.Heavy {
			user = 1
		}
		amount := 1 + r.Int64N(s.MaxAmount)
		switch p := r.IntN(100); {
		case p < 20:
			amount = -amount
		case p < 23:
			amount = 0
		}
		// Evenly over the span, with jitter, so that insertion order follows time loosely.
		at := int64(i)*steps/int64(s.Rows) + r.Int64N(max(1, steps/50))
		rows[i] = Row{
			ID: int64(i + 1), User: user, Amount: brimline.Amount(amount),
			Time: brimline.TimeOf(s.Start).Add(time.Duration(at) * s.Grain), Description: "row " + strconv.Itoa(i+1),
		}
	}
	return rows
}

// Event is one record of a source topic.
type Event struct {
	Partition  int32
	Key, Value []byte
	Headers    []kgo.RecordHeader
}

// Envelope is the record Debezium writes for a change with
// decimal.handling.mode=string and without inline schemas.
func Envelope(table, op string, before, after *Row, lsn int64) Event {
	body := func(r *Row) any {
		if r == nil {
			return nil
		}
		return map[string]any{
			"id": r.ID, "user_id": r.User, "amount": r.Amount.Format(2),
			"timestamp": r.Time.String(), "description": r.Description,
		}
	}
	of := after
	if of == nil {
		of = before
	}
	value, _ := json.Marshal(map[string]any{
		"before": body(before), "after": body(after), "op": op, "transaction": nil,
		"source": map[string]any{
			"version": "3.7.0.Final", "connector": "postgresql", "name": "postgres", "db": "monitor", "snapshot": "false",
			"schema": "streaming", "table": table, "txId": 700 + lsn, "lsn": lsn,
			"ts_ms": int64(of.Time) / 1000, "ts_us": int64(of.Time),
		},
		"ts_ms": int64(of.Time) / 1000,
	})
	key, _ := json.Marshal(map[string]any{"id": of.ID})
	return Event{Key: key, Value: value}
}

// Truncation is the record of a TRUNCATE, which has no key.
func Truncation(table string) Event { return TruncationAt(table, "1") }

// TruncationAt is one that stands at an LSN, or at null.
func TruncationAt(table, lsn string) Event {
	return Event{Value: []byte(`{"before":null,"after":null,"op":"t","source":{"schema":"streaming","table":"` + table +
		`","txId":1,"lsn":` + lsn + `}}`)}
}

// Spread deals events to partitions by row id, as keys would, and mixes the
// order within each by up to jitter places; 0 keeps it, a negative jitter shuffles fully.
// Events of one row keep their order.
func Spread(r *rand.Rand, events []Event, ids []int64, partitions, jitter int) []Event {
	type placed struct {
		Event
		rank int
	}
	out := make([]placed, len(events))
	last := map[int64]int{}
	for i, e := range events {
		rank := i
		switch {
		case jitter < 0:
			rank = r.IntN(len(events))
		case jitter > 0:
			rank = i + r.IntN(jitter)
		}
		if before, ok := last[ids[i]]; ok {
			rank = max(rank, before)
		}
		last[ids[i]] = rank
		e.Partition = int32(ids[i] % int64(partitions))
		out[i] = placed{e, rank}
	}
	slices.SortStableFunc(out, func(a, b placed) int { return a.rank - b.rank })
	events = make([]Event, len(out))
	for i := range out {
		events[i] = out[i].Event
	}
	return events
}
