package codecs_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/codecs/debezium"
)

// codec is goka's Codec.
type codec interface {
	Encode(any) ([]byte, error)
	Decode([]byte) (any, error)
}

func encode(t rapid.TB, c codec, v any) []byte {
	t.Helper()
	b, err := c.Encode(v)
	if err != nil {
		t.Fatalf("encode: %v", err)
	}
	return b
}

func decode(t rapid.TB, c codec, b []byte) any {
	t.Helper()
	v, err := c.Decode(b)
	if err != nil {
		t.Fatalf("decode: %v\n%s", err, b)
	}
	return v
}

func roundTrip[T any](t *testing.T, c codec, any *rapid.Generator[T]) {
	t.Run(reflect.TypeOf(c).Name(), rapid.MakeCheck(func(t *rapid.T) {
		v := any.Draw(t, "value")
		b := encode(t, c, v)
		got := decode(t, c, b)
		if !reflect.DeepEqual(got, v) {
			t.Fatalf("got  %+v\nwant %+v\nfrom %s", got, v, b)
		}
		if again := encode(t, c, got); !bytes.Equal(again, b) {
			t.Fatalf("encoded again: %s\nfirst:         %s", again, b)
		}
	}))
}

func TestRoundTrips(t *testing.T) {
	roundTrip(t, codecs.Change{}, anyChange())
	roundTrip(t, codecs.WindowPart{}, anyWindow())
	roundTrip(t, codecs.Marker{}, anyMarker())
	roundTrip(t, codecs.Candidate{}, anyCandidate())
	roundTrip(t, codecs.Candidates{}, anyCandidates())
	roundTrip(t, codecs.Alert{}, anyAlert())
	roundTrip(t, codecs.Again{}, anyAgain())
	roundTrip(t, codecs.DeadLetter{}, anyDeadLetter())
	roundTrip(t, codecs.RuleSet{}, anyRuleSet())
	roundTrip(t, codecs.Settings{}, anySettings())
	roundTrip(t, codecs.Proof{}, anyProof())
	roundTrip(t, codecs.Audit{}, anyAudit())
	roundTrip(t, codecs.AlertLog{}, rapid.Custom(func(t *rapid.T) []*brimline.Alert {
		return none(rapid.SliceOfN(anyAlert(), 0, 2).Draw(t, "alerts"))
	}))
	roundTrip(t, codecs.Raw{}, rapid.SliceOf(rapid.Byte()))
}

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

func at(t testing.TB, s string) brimline.Time {
	t.Helper()
	v, err := brimline.ParseTime(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func total(s string) brimline.Total { v, _ := brimline.ParseTotal(s, 2); return v }

func exampleAlert(t testing.TB) *brimline.Alert {
	edge := at(t, "2026-01-08T12:00:00.123456Z")
	row := func(id string, amount brimline.Amount, time brimline.Time) brimline.Transaction {
		return brimline.Transaction{ID: id, User: "27956157", Amount: amount, Time: time, Columns: []brimline.Field{
			{
				Name:  "currency",
				Value: "EUR",
			}, {Name: "branch", Value: int64(1 << 60)}, {Name: "fee", Value: brimline.Decimal("0.125")},
			{Name: "online", Value: true}, {Name: "booked_at", Value: time}, {Name: "note"}}}
	}
	return &brimline.Alert{
		Candidate: brimline.Candidate{
			Kind: brimline.EdgeCandidate, User: "27956157", Scale: 2,
			Rule: brimline.Rule{
				ID:          "weekly",
				Window:      7 * 24 * time.Hour,
				Limit:       total("3000"),
				Measure:     brimline.SumAbs,
				Where:       `currency == "EUR"`,
				Severity:    "high",
				Description: "More than <3000> in a week",
			},
			Edge: edge, Trigger: row("200", -44150, edge),
			Source: brimline.Source{
				Topic:     "postgres.streaming.transactions",
				Partition: 3,
				Offset:    199,
				LSN:       0x16B374D848,
				TxID:      806,
				Commit:    edge + 1500,
			},
			Stream: brimline.Figures{Before: total("2990"), Total: total("3431.50"), Count: 11},
			Newest: []brimline.Transaction{row("200", -44150, edge), row("199", 99999, edge-1)},
			Cause:  brimline.Cause{Offset: 4711, Index: 1},
		},
		Database: &brimline.Figures{Before: total("3000"), Total: total("3441.50"), Count: 12},
		Verification: brimline.Verification{
			Status:   brimline.Verified,
			At:       edge + 2_000_000,
			Duration: 1234 * time.Microsecond,
			LSN:      0x16B374D900,
		},
		AsOfNow: &brimline.AsOf{At: edge + 2_000_500, Total: total("3441.50"), Count: 12},
	}
}

// exampleSuperseding is of a candidate that came after later ones of its user and rule, one of which is no edge any
// more.
func exampleSuperseding(t testing.TB) *brimline.Alert {
	a := exampleAlert(t)
	a.Candidate.Later = []brimline.Time{a.Candidate.Edge + 1, a.Candidate.Edge + 3_600_000_000}
	a.Supersedes = a.Candidate.Later[:1]
	return a
}

// exampleSuperseded is the alert of it, which does not tell what was asked.
func exampleSuperseded(t testing.TB) *brimline.Alert {
	a := exampleSuperseding(t)
	a.Candidate.Later = nil
	return a
}

func exampleDismissed(t testing.TB) *brimline.Alert {
	a := exampleAlert(t)
	a.Candidate.User, a.Candidate.Trigger.User, a.Candidate.Newest = "Zoë/\u202e1\x1b[31m", "Zoë/\u202e1\x1b[31m", nil
	a.Candidate.Kind, a.Candidate.Until = brimline.LateCandidate, a.Candidate.Edge+1
	a.Candidate.Rule = brimline.Rule{
		ID:      "many",
		Window:  36*time.Hour + 90*time.Second,
		Limit:   brimline.Count(100),
		Measure: brimline.CountAll,
	}
	a.Candidate.Stream = brimline.Figures{Before: brimline.Count(100), Total: brimline.Count(101), Count: 101}
	a.Database = &brimline.Figures{Before: brimline.Count(99), Total: brimline.Count(100), Count: 100}
	a.Reason, a.AsOfNow, a.Verification.Status = brimline.ReasonNotAbove, nil, brimline.Dismissed
	return a
}

// exampleQuiet is an edge of a tier on trial that is silent.
func exampleQuiet(t testing.TB) *brimline.Alert {
	a := exampleAlert(t)
	rule := &a.Candidate.Rule
	rule.ID, rule.Shadow, rule.Quiet = "weekly@3000", true, 36*time.Hour
	a.Reason, a.AsOfNow, a.Verification.Status = brimline.ReasonQuiet, nil, brimline.Dismissed
	return a
}

// exampleUnarmed is an edge of a rule that is not armed.
func exampleUnarmed(t testing.TB) *brimline.Alert {
	a := exampleAlert(t)
	rule := &a.Candidate.Rule
	rule.Rearms, rule.Rearm = true, brimline.Amount(270050).Total()
	a.Reason, a.AsOfNow, a.Verification.Status = brimline.ReasonNotRearmed, nil, brimline.Dismissed
	return a
}

// exampleAverage is an edge of an average.
func exampleAverage(t testing.TB) *brimline.Alert {
	a := exampleAlert(t)
	a.Candidate.Rule.Measure, a.Candidate.Rule.MinCount = brimline.Avg, 3
	a.Candidate.Stream.Earlier, a.Database.Earlier = a.Candidate.Stream.Count-1, a.Database.Count-1
	return a
}

func exampleQuestions(t testing.TB) []brimline.Candidate {
	first := exampleDismissed(t).Candidate
	second := first
	second.Rule, second.Edge, second.Until = exampleAlert(t).Candidate.Rule, first.Edge-5, first.Edge+7
	first.Cause.Index, second.Cause.Index = -9, -3
	return []brimline.Candidate{first, second}
}

func exampleUnverified(t testing.TB) *brimline.Alert {
	a := exampleAlert(t)
	a.Database, a.AsOfNow, a.Verification = nil, nil, brimline.Verification{Status: brimline.Unverified}
	a.Candidate.Source.LSN, a.Candidate.Source.TxID, a.Candidate.Source.Commit = 0, 0, 0
	return a
}

func exampleWindow(t testing.TB) *brimline.Window {
	edge := at(t, "2026-01-08T12:00:00.123456Z")
	return &brimline.Window{
		Last: 4712, Floor: brimline.MinTime, Scale: 2,
		Rows: brimline.RowsOf(
			[]brimline.Transaction{
				{ID: "7", Amount: 1234, Time: edge - 5_000_000},
				{ID: "199", Amount: 99999, Time: edge - 1},
				{ID: "200", Amount: -44150, Time: edge},
			},
		),
		Rules: []brimline.RuleState{{Rule: 0xdeadbeefcafe, Edges: []brimline.Edge{
			{Time: edge - 5_000_000, Cause: brimline.Cause{Offset: 12}, Status: brimline.EdgeDismissed},
			{Time: edge, Cause: brimline.Cause{Offset: 4711, Index: 1}}}}, {Rule: math.MaxUint64}},
	}
}

func exampleMixedWindow(t testing.TB) *brimline.Window {
	w := exampleWindow(t)
	w.Floor = at(t, "2025-12-01T00:00:00Z")
	for i, change := range []func(*brimline.Transaction){
		1: func(row *brimline.Transaction) {
			row.ID, row.Columns = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
				[]brimline.Field{{Name: "currency", Value: "EUR"}, {Name: "online", Value: false}}
		},
		2: func(row *brimline.Transaction) {
			row.Columns = []brimline.Field{{Name: "currency"}, {Name: "online", Value: true}}
		},
	} {
		if change != nil {
			row := w.Rows[i].Transaction("")
			change(&row)
			w.Rows[i] = brimline.RowOf(&row)
		}
	}
	return w
}

// exampleAsked is one with open questions, and spans that were not judged.
func exampleAsked(t testing.TB) *brimline.Window {
	w := exampleMixedWindow(t)
	w.Changed = []brimline.RowVersion{{ID: "9", Partition: 3, Offset: 199, Time: w.Floor + 9, From: w.Floor - 9}}
	w.Asked = brimline.Cause{Offset: 4711, Index: -1 - 0x7eadbeefcafe0001}
	w.Stirred = brimline.Stir{Last: 4712, LSN: 0x16B374D848, TxID: 806}
	w.Reach = w.Floor - 5_000_000
	w.Rules[0].Edges[0].Status, w.Rules[0].Edges[1].Status = brimline.Unjudged, brimline.Touched
	w.Rules[1].Unjudged = []brimline.Span{{From: w.Floor - 7, Until: w.Floor, Asked: 4712, Again: true},
		{From: w.Floor + 9, Until: w.Floor + 9}}
	return w
}

// exampleAbove is one of a user above a limit, about whom PostgreSQL was asked and is to be asked again.
func exampleAbove(t testing.TB) *brimline.Window {
	w := exampleWindow(t)
	w.Above = brimline.Above{Last: 4710, From: w.Floor + 9_000_000, Asked: 4650, At: w.Floor + 7_000_000,
		Since: w.Floor + 1_000_000}
	return w
}

// exampleNewest is one whose newest change was a deletion.
func exampleNewest(t testing.TB) *brimline.Window {
	w := exampleStamps(t)
	last := w.Rows[len(w.Rows)-1].Stamp
	w.Newest = brimline.Seen{LSN: last.LSN + 4096, Ticks: last.Ticks() + 3, TxID: 7_000_001}
	return w
}

// exampleDoubt is one of a user who was distrusted.
func exampleDoubt(t testing.TB) *brimline.Window {
	w := exampleAsked(t)
	w.Doubt = brimline.Doubt{
		Offset: 4700,
		Reason: brimline.ByCommand,
		At:     w.Floor + 7_000_000,
		From:   w.Floor - 9_000_000,
		Floor:  w.Floor,
		Asked:  1,
	}
	return w
}

// exampleApart is one with questions of both ways.
func exampleApart(t testing.TB) *brimline.Window {
	w := exampleAsked(t)
	w.Apart = brimline.Cause{Offset: 4700, Index: -1 - 0x7eadbeefcafe0002}
	w.Rules[1].Unjudged[0].Apart = true
	return w
}

// exampleStamps is one whose rows say where their newest changes stand, in two lives of the source topic.
func exampleStamps(t testing.TB) *brimline.Window {
	w := exampleMixedWindow(t)
	for i := range w.Rows {
		w.Rows[i].Stamp = brimline.StampOf(&brimline.Source{LSN: 0x16B374D848 + uint64(i)*1000, Life: uint32(i / 2),
			Snapshot: i == 1,
			Commit:   w.Rows[i].Time + 1500})
	}
	w.Changed = []brimline.RowVersion{
		{ID: "7", Life: 1, Partition: 3, Offset: 199, LSN: 0x16B374D848, TxID: 806, Former: 0x16B374FFFF,
			Commit: w.Floor + 1_500_000, Time: w.Floor + 9, From: w.Floor - 9},
		{ID: "8", Life: 1, LSN: 0x16B374D848, Snapshot: true, Commit: w.Floor, Time: w.Floor + 9, From: w.Floor - 9},
		{ID: "9", Time: w.Floor + 9, From: w.Floor - 9},
	}
	return w
}

// exampleTail is the newest part of a log that goes on in segments.
func exampleTail(t testing.TB) *brimline.Window {
	w := exampleMixedWindow(t)
	w.Older = brimline.Segments{First: 300, Next: 305, Check: 0xcafe0001}
	w.Gone = []string{"12", "x"}
	w.Rules[0].Forgotten = []brimline.Time{w.Floor, w.Floor + 7}
	return w
}

// exampleWhole is the deletion of a row as it was, by a topic that was made anew.
func exampleMarker(t testing.TB) *brimline.Marker {
	long := at(t, "2026-01-08T12:00:00.123456Z")
	return &brimline.Marker{
		TruncatedAt: 4712,
		Truncation: &brimline.Truncation{Whole: true, Source: brimline.Source{Life: 7, Partition: 3, Offset: 123_456,
			LSN: 0x16B374D848, TxID: 771, Commit: long}},
		Sweeps: []brimline.Swept{
			{Offset: 5000, Before: long.Add(-90 * 24 * time.Hour)}, {Offset: 6000, Before: long.Add(-89 * 24 * time.Hour)},
		},
	}
}

func exampleWhole(t testing.TB) *brimline.Change {
	c := exampleChange(t, brimline.Delete)
	c.Whole, c.Source.Life, c.Source.Snapshot = true, 2, true
	return c
}

func exampleChange(t testing.TB, kind brimline.ChangeKind) *brimline.Change {
	a := exampleAlert(t).Candidate
	c := &brimline.Change{Kind: kind, User: a.User, Row: a.Trigger, Source: a.Source}
	c.Source.Topic = ""
	switch kind {
	case brimline.Delete:
		c.Row.Columns = nil
	case brimline.Truncate:
		c.User, c.Row = "\x00brimline-3", brimline.Transaction{}
	case brimline.EdgesFound:
		c.Rule, c.Edges = 0xdeadbeefcafe, []brimline.Time{a.Edge - 5, a.Edge}
		c.Cause, c.Index = 4711, -1-0x7eadbeefcafe0001
	case brimline.Unjudgeable:
		c.Rule, c.Edges, c.Cause = 0xdeadbeefcafe, []brimline.Time{a.Edge - 5, a.Edge}, 4711
	case brimline.Retry:
		c.Rule, c.Edges, c.Cause = 0xdeadbeefcafe, []brimline.Time{a.Edge}, 4711
		c.Row, c.Source = brimline.Transaction{}, brimline.Source{}
	case brimline.Distrust:
		c.Row = brimline.Transaction{User: a.User, Time: a.Edge + 5}
		c.Source, c.Reason = brimline.Source{}, brimline.ByCommand
	case brimline.Forget:
		c.Row, c.Source = brimline.Transaction{User: a.User, Time: a.Edge + 5}, brimline.Source{}
	case brimline.AskAbove:
		c.Row, c.Source, c.Cause = brimline.Transaction{}, brimline.Source{}, 4711
	case brimline.AskAgain:
		c.Row, c.Source, c.Cause, c.Index = brimline.Transaction{}, brimline.Source{}, 4711, 2
	case brimline.Dismissal:
		c.Rule, c.Edges, c.Cause, c.Row = 0xdeadbeefcafe, []brimline.Time{a.Edge}, 4711, brimline.Transaction{}
	}
	return c
}

func exampleUpdate(t testing.TB) *brimline.Change {
	c := exampleChange(t, brimline.Upsert)
	c.Update = true
	return c
}

func exampleInsert(t testing.TB) *brimline.Change {
	c := exampleChange(t, brimline.Upsert)
	c.Inserted = true
	return c
}

func exampleFoundApart(t testing.TB) *brimline.Change {
	c := exampleChange(t, brimline.EdgesFound)
	c.Apart = true
	return c
}

func exampleFlow(t testing.TB) *codecs.GroupSettings {
	s := exampleSettings(t)
	s.Flow = 2
	return s
}

func exampleSettings(t testing.TB) *codecs.GroupSettings {
	one := 2
	preset := "1970-01-01 00:00:00"
	return &codecs.GroupSettings{
		Source: "postgres.streaming.transactions", Table: "streaming.transactions", ID: []string{"id", "booked"},
		User:   "user_id",
		Amount: "amount", Time: "booked", Scale: 2, Format: debezium.FormatAuto, TimeUnit: debezium.UnitAuto,
		Decimals: debezium.DecimalsPrecise, AmountColumnScale: &one, DecidedUnit: debezium.UnitMs,
		DecidedDecimals: debezium.DecimalsString,
		TableOID:        16384,
		Facts: map[string]debezium.ColumnFacts{
			"id": {
				Type:    "int8",
				NotNull: true,
			}, "booked": {Type: "timestamp", Precision: 3, NotNull: true, Default: &preset},
			"amount": {Type: "numeric", Scale: &one},
		},
		Identity: debezium.Identity{Known: true, Columns: []string{"id", "booked"}}, By: "host-1", Program: "v0.1.0",
		At: at(t, "2026-01-08T12:00:00.123456Z"),
	}
}

func TestGoldenBytes(t *testing.T) {
	alert := exampleAlert(t)
	for _, test := range []struct {
		file  string
		codec codec
		value any
	}{
		{"change-v3/upsert.hex", codecs.Change{}, exampleChange(t, brimline.Upsert)},
		{"change-v3/update.hex", codecs.Change{}, exampleUpdate(t)},
		{"change-v3/delete.hex", codecs.Change{}, exampleChange(t, brimline.Delete)},
		{"change-v3/truncate.hex", codecs.Change{}, exampleChange(t, brimline.Truncate)},
		{"change-v3/edges-found.hex", codecs.Change{}, exampleChange(t, brimline.EdgesFound)},
		{"change-v3/edges-found-apart.hex", codecs.Change{}, exampleFoundApart(t)},
		{"change-v3/refuted.hex", codecs.Change{}, exampleChange(t, brimline.Dismissal)},
		{"change-v3/unjudgeable.hex", codecs.Change{}, exampleChange(t, brimline.Unjudgeable)},
		{"change-v3/retry.hex", codecs.Change{}, exampleChange(t, brimline.Retry)},
		{"change-v3/insert.hex", codecs.Change{}, exampleInsert(t)},
		{"change-v3/distrust.hex", codecs.Change{}, exampleChange(t, brimline.Distrust)},
		{"change-v3/ask-again.hex", codecs.Change{}, exampleChange(t, brimline.AskAgain)},
		{"change-v3/ask-above.hex", codecs.Change{}, exampleChange(t, brimline.AskAbove)},
		{"change-v3/forget.hex", codecs.Change{}, exampleChange(t, brimline.Forget)},
		{"window-v3/doubt.hex", codecs.WindowPart{}, exampleDoubt(t)},
		{"window-v3/above.hex", codecs.WindowPart{}, exampleAbove(t)},
		{"window-v3/integers.hex", codecs.WindowPart{}, exampleWindow(t)},
		{"window-v3/mixed.hex", codecs.WindowPart{}, exampleMixedWindow(t)},
		{"window-v3/tail.hex", codecs.WindowPart{}, exampleTail(t)},
		{"window-v3/asked.hex", codecs.WindowPart{}, exampleAsked(t)},
		{"window-v3/apart.hex", codecs.WindowPart{}, exampleApart(t)},
		{"window-v3/empty.hex", codecs.WindowPart{}, &brimline.Window{Floor: brimline.MinTime}},
		{"change-v3/delete-whole.hex", codecs.Change{}, exampleWhole(t)},
		{"marker-v2/all.hex", codecs.Marker{}, exampleMarker(t)},
		{"marker-v2/truncated.hex", codecs.Marker{}, &brimline.Marker{TruncatedAt: 2000}},
		{"marker-v2/swept.hex", codecs.Marker{}, &brimline.Marker{Sweeps: exampleMarker(t).Sweeps[:1]}},
		{"window-v3/newest.hex", codecs.WindowPart{}, exampleNewest(t)},
		{"window-v3/stamps.hex", codecs.WindowPart{}, exampleStamps(t)},
		{"candidate-v1/edge.json", codecs.Candidate{}, &alert.Candidate},
		{"candidate-v1/later.json", codecs.Candidate{}, &exampleSuperseding(t).Candidate},
		{"alert-v1/superseding.json", codecs.Alert{}, exampleSuperseded(t)},
		{"candidate-v1/late.json", codecs.Candidate{}, &exampleDismissed(t).Candidate},
		{"candidate-v2/several.json", codecs.Candidates{}, exampleQuestions(t)},
		{"alert-v1/verified.json", codecs.Alert{}, alert},
		{"alert-v1/dismissed.json", codecs.Alert{}, exampleDismissed(t)},
		{"alert-v1/quiet.json", codecs.Alert{}, exampleQuiet(t)},
		{"alert-v1/rearm.json", codecs.Alert{}, exampleUnarmed(t)},
		{"alert-v1/average.json", codecs.Alert{}, exampleAverage(t)},
		{"again-v1/again.json", codecs.Again{}, &brimline.Again{Candidate: alert.Candidate,
			Database: brimline.Figures{Before: total("0"), Total: total("441.50"), Count: 1},
			First:    alert.Verification.At, Since: alert.Verification.At + 10_000_000}},
		{"alert-v1/unverified.json", codecs.Alert{}, exampleUnverified(t)},
		{"alertlog-v1/two.json", codecs.AlertLog{}, []*brimline.Alert{alert, exampleUnverified(t)}},
		{"ruleset-v1/two.json", codecs.RuleSet{}, &brimline.RuleSet{Scale: 2, Lateness: 36 * time.Hour, Columns: []brimline.Column{{Name: "currency", Type: brimline.Text}},
			Rules: []brimline.Rule{alert.Candidate.Rule, exampleDismissed(t).Candidate.Rule}}},
		{"settings-v1/known.json", codecs.Settings{}, exampleSettings(t)},
		{"settings-v2/flow.json", codecs.Settings{}, exampleFlow(t)},
		{"proof-v1/found.json", codecs.Proof{}, &codecs.ProofReport{
			From: alert.Candidate.Edge.Add(-24 * time.Hour), To: alert.Candidate.Edge, At: alert.Candidate.Edge + 1,
			LSN:  0x16B374D848,
			Took: 1500 * time.Millisecond, Edges: 1308, Alerts: 1307, Missing: 1, Superseded: 4, Outdated: 3, False: 2, By: "host-1"}},
		{"audit-v1/found.json", codecs.Audit{}, &codecs.AuditReport{
			At: alert.Candidate.Edge + 1, LSN: 0x16B374D848, Took: 1500 * time.Millisecond, Users: 4000, Rows: 1234567,
			Unknown: 1, Missing: 5, Phantom: 4, Different: 3, Unsettled: 2, By: "host-1"}},
		{"settings-v1/unknown.json", codecs.Settings{}, &codecs.GroupSettings{
			Source: "t", Table: "public.t", ID: []string{"id"}, User: "u", Amount: "a", Time: "at", Format: debezium.FormatFlat, TimeUnit: debezium.UnitUs, Decimals: debezium.DecimalsAuto, AmountMinorUnits: 2, AllowFloatAmounts: true}},
		{"deadletter-v1/text.json", codecs.DeadLetter{}, &brimline.DeadLetter{Topic: "postgres.streaming.transactions", Partition: 1, Offset: 2,
			Key: []byte(`{"id":1}`), Value: []byte("{\"user_id\":\"\x1b[31m<b>\"}"), Headers: []brimline.Header{{Key: "h", Value: []byte{0, 255}}, {Key: "\xff"}},
			Kind: "broken_json", Error: "not JSON", Remedy: "find out who writes", At: alert.Candidate.Edge, User: "27956157", Row: "200"}},
		{"deadletter-v1/cut.json", codecs.DeadLetter{}, &brimline.DeadLetter{Topic: "t", Key: []byte("k"), Value: []byte("{"), Kind: "broken_json",
			Error: "not JSON", Cut: &brimline.Cut{Key: 7864320, Value: 2, Headers: 1}}},
		{"deadletter-v1/tombstone.json", codecs.DeadLetter{}, &brimline.DeadLetter{Topic: "t", Key: []byte{}, Kind: "flat_tombstone", Error: "nothing but its key"}},
	} {
		t.Run(test.file, func(t *testing.T) {
			path := filepath.Join("..", "testdata", "wire", test.file)
			got := encode(t, test.codec, test.value)
			if *update {
				text := append(bytes.Clone(got), '\n')
				if strings.HasSuffix(path, ".hex") {
					text = []byte(hex.EncodeToString(got) + "\n")
				}
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, text, 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			golden, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			golden = bytes.TrimSpace(golden)
			if strings.HasSuffix(path, ".hex") {
				if golden, err = hex.DecodeString(string(golden)); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(got, golden) {
				t.Errorf("encoded: %q\ngolden:  %q", got, golden)
			}
			if v := decode(t, test.codec, golden); !reflect.DeepEqual(v, test.value) {
				t.Errorf("decoded: %+v\nwant:    %+v", v, test.value)
			}
		})
	}
}

// Whatever is cut off, added or of a newer version is told apart, and never accepted.
func TestCorruptRecords(t *testing.T) {
	alert := exampleAlert(t)
	for _, test := range []struct {
		codec codec
		value any
	}{
		{codecs.Change{}, exampleChange(t, brimline.Upsert)}, {codecs.Change{}, exampleChange(t, brimline.EdgesFound)},
		{codecs.WindowPart{}, exampleWindow(t)}, {codecs.WindowPart{}, exampleMixedWindow(t)}, {codecs.WindowPart{}, exampleTail(t)}, {codecs.WindowPart{}, exampleAsked(t)},
		{codecs.WindowPart{}, exampleDoubt(t)}, {codecs.Change{}, exampleChange(t, brimline.Distrust)},
		{codecs.WindowPart{}, exampleApart(t)}, {codecs.Settings{}, exampleFlow(t)},
		{codecs.Marker{}, exampleMarker(t)}, {codecs.Marker{}, &brimline.Marker{}}, {codecs.WindowTable{}, exampleMarker(t)},
		{codecs.WindowTable{}, exampleWindow(t)},
		{codecs.Candidate{}, &alert.Candidate}, {codecs.Alert{}, alert}, {codecs.AlertLog{}, []*brimline.Alert{alert}},
		{codecs.RuleSet{}, &brimline.RuleSet{}}, {codecs.DeadLetter{}, &brimline.DeadLetter{}},
		{codecs.Settings{}, exampleSettings(t)},
	} {
		good := encode(t, test.codec, test.value)
		check := func(what string, b []byte, kind string) {
			_, err := test.codec.Decode(b)
			if e, ok := errors.AsType[*brimline.Error](err); !ok || e.Kind != kind || e.Remedy == "" || e.Where == "" {
				t.Errorf("%T, %s: got %v, want %s", test.codec, what, err, kind)
			}
		}
		for n := range good {
			check("cut off", good[:n], codecs.KindCorruptRecord)
		}
		check("with a byte more", append(bytes.Clone(good), 'x'), codecs.KindCorruptRecord)
		newer := bytes.Clone(good)
		if newer[0] == '{' {
			newer = regexp.MustCompile(`"version":\d+`).ReplaceAll(newer, []byte(`"version":99`))
			check("without version", []byte(`{}`), codecs.KindCorruptRecord)
		} else {
			newer[0]++
		}
		check("newer", newer, codecs.KindNewerFormat)
		if _, err := test.codec.Encode("something else"); err == nil {
			t.Errorf("%T encodes a string", test.codec)
		}
	}
}

// What an older brimline stored is refused with the remedy, and never read as something else.
func TestOlderFormatsAreRefused(t *testing.T) {
	v1 := map[string]codec{ // as commit 9fc88b3 wrote them
		"01010f1a97a1d6510a8e0380e0b9ac": codecs.Change{}, "0104d0490200000000": codecs.Window{},
		hex.EncodeToString([]byte(`{"version":1,"scale":2,"lateness":"0s","rules":[]}`)): codecs.RuleSet{},
	}
	for text, c := range v1 {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Decode(b)
		e, ok := errors.AsType[*brimline.Error](err)
		if !ok || e.Kind != codecs.KindOlderFormat || e.Class != brimline.ClassInput ||
			!strings.Contains(e.Remedy, "--group") {
			t.Errorf("%T reads what an older brimline wrote: %v", c, err)
		}
	}
	if last, ok := codecs.WindowLast([]byte{1, 4, 0xd0, 0x49, 2, 0, 0, 0, 0}); ok {
		t.Errorf("an older value has last %d", last)
	}
}

func TestContradictionsAreRefused(t *testing.T) {
	good := string(encode(t, codecs.Alert{}, exampleAlert(t)))
	for _, change := range [][2]string{
		{`"user_id":"27956157"`, `"user_id":"27956158"`},
		{`"status":"verified"`, `"status":"dismissed"`},
		{`"kind":"edge"`, `"kind":"other"`},
		{`"limit":"3000.00"`, `"limit":"3000.001"`},
		{`"limit":"3000.00"`, `"limit":3000.00`},
		{`"window":"7d"`, `"window":"7x"`},
		{`"window":"7d"`, `"window":"1h7d"`},
		{`"window":"7d"`, `"window":"99999999999d"`},
		{`"measure":"sum_abs"`, `"measure":"median"`},
		{`"lsn":"16/B374D848"`, `"lsn":"16-B374D848"`},
		{`"scale":2`, `"scale":19`},
		{`"type":"integer","value":"1152921504606846976"`, `"type":"integer","value":1152921504606846976`},
		{`"type":"boolean","value":true`, `"type":"boolean","value":"true"`},
		{`"type":"numeric"`, `"type":"money"`},
	} {
		bad := strings.Replace(good, change[0], change[1], 1)
		if bad == good {
			t.Fatalf("the example has no %s", change[0])
		}
		if _, err := (codecs.Alert{}).Decode([]byte(bad)); err == nil {
			t.Errorf("%s is accepted", change[1])
		}
	}
}

// TestWindowTable: a record of the window table is what its type says, and neither is taken for the other.
func TestWindowTable(t *testing.T) {
	window, marker := exampleWindow(t), exampleMarker(t)
	for _, v := range []any{window, marker} {
		if got := decode(t, codecs.WindowTable{}, encode(t, codecs.WindowTable{}, v)); !reflect.DeepEqual(got, v) {
			t.Errorf("%+v became %+v", v, got)
		}
	}
	for c, b := range map[codec][]byte{
		codecs.Marker{}: encode(t, codecs.Window{}, window), codecs.Window{}: encode(t, codecs.Marker{}, marker),
		codecs.WindowPart{}: encode(t, codecs.Marker{}, marker),
	} {
		if v, err := c.Decode(b); err == nil {
			t.Errorf("%T takes %x for %+v", c, b, v)
		}
	}
	_, err := codecs.Window{}.Decode(encode(t, codecs.Marker{}, marker))
	if e, ok := errors.AsType[*brimline.Error](err); !ok || e.Kind != codecs.KindMarker || e.Remedy == "" {
		t.Errorf("whoever reads all keys is told: %v", err)
	}
}

func TestWindowLast(t *testing.T) {
	for _, w := range []*brimline.Window{exampleWindow(t), exampleMixedWindow(t),
		{Floor: brimline.MinTime}, {Last: math.MaxInt64}} {
		if last, ok := codecs.WindowLast(encode(t, codecs.WindowPart{}, w)); !ok || last != w.Last {
			t.Errorf("got %d, %v, want %d", last, ok, w.Last)
		}
	}
	for _, m := range []*brimline.Marker{{}, exampleMarker(t), {TruncatedAt: 7001, Sweeps: exampleMarker(t).Sweeps}} {
		b := encode(t, codecs.Marker{}, m)
		if last, ok := codecs.WindowLast(b); !ok || last != max(m.TruncatedAt, m.Last()) || codecs.WindowIsTimed(b) {
			t.Errorf("%+v: %d, %v", m, last, ok)
		}
		if last, ok := codecs.WindowLast(b[:len(b)-1]); ok {
			t.Errorf("%+v, cut off: %d", m, last)
		}
	}
	for _, b := range [][]byte{nil, {2}, {2, 4}, {3}, {1, 4, 2}, {4, 4, 2}, []byte("{}")} {
		if last, ok := codecs.WindowLast(b); ok {
			t.Errorf("%q has last %d", b, last)
		}
	}
}

// Nothing in a JSON record may act on a terminal or a page that shows it.
func TestTextIsHarmless(t *testing.T) {
	const nasty = "\x1b[31m\x7f\u009b\u202e\ufeff\u200b\u2028<script>&\U000E0001"
	d := &brimline.DeadLetter{Error: nasty, Value: []byte(`{"a":"` + nasty + `"}`)}
	b := encode(t, codecs.DeadLetter{}, d)
	for _, c := range string(b) {
		if c < ' ' || c > '~' || strings.ContainsRune("<>&", c) {
			t.Errorf("%q in %s", c, b)
		}
	}
	var r struct{ Error string }
	if err := json.Unmarshal(b, &r); err != nil || r.Error != nasty {
		t.Errorf("read back: %q, %v", r.Error, err)
	}
}
