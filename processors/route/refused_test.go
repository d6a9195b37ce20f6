package route

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lovoo/goka"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs/debezium"
	"github.com/brimline/brimline/processors"
)

func decoder(t *testing.T) Decoder {
	t.Helper()
	d, err := debezium.New(debezium.Options{
		Table: "streaming.transactions", ID: []string{"id"}, User: "user_id", Amount: "amount", Time: "timestamp",
		Scale:   2,
		Columns: []brimline.Column{{Name: "note", Type: brimline.Text}}, OtherTables: debezium.OtherTablesSkip,
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func row(user, amount, note string) string {
	return fmt.Sprintf(`{"id":1,"user_id":%q,"amount":%q,"timestamp":"2026-01-02T03:04:05Z","note":%q}`, user,
		amount, note)
}

func event(op, before, after string) []byte {
	return fmt.Appendf(nil,
		`{"before":%s,"after":%s,"source":{"schema":"streaming","table":"transactions","lsn":9},"op":%q}`, before,
		after, op)
}

// What is refused here, by the decoder or by the stage itself, must not leave the row in the window as it was.
func TestRefusedRecordsTakeTheirRowAway(t *testing.T) {
	endless, tooLong := strings.Repeat("x", processors.MaxColumns+1), strings.Repeat("x", processors.MaxID+1)
	for _, test := range []struct {
		name        string
		op          string
		before      string
		after       string
		kind        string
		want        string // changes
		user, rowID string // of the dead letter
	}{
		{"update with endless columns", "u", row("a", "1.00", ""), row("a", "2.00", endless), "columns_too_long",
			"-1 a", "a", "1"},
		{"update with endless columns, without before", "u", "null", row("a", "2.00", endless), "columns_too_long",
			"-1 a", "a", "1"},
		{"insert with endless columns", "c", "null", row("a", "2.00", endless), "columns_too_long", "", "a", "1"},
		{"snapshot with endless columns", "r", "null", row("a", "2.00", endless), "columns_too_long", "-1 a", "a", "1"},
		{"move with endless columns", "u", row("a", "1.00", ""), row("b", "2.00", endless), "columns_too_long",
			"-1 a", "b", "1"},
		{"move to an endless user", "u", row("a", "1.00", ""), row(tooLong, "2.00", ""), "id_too_long", "-1 a", "",
			"1"},
		{"move from an endless user", "u", row(tooLong, "1.00", ""), row("b", "2.00", ""), "", "+1 b", "", ""},
		{"update of an endless user", "u", "null", row(tooLong, "1.00", ""), "id_too_long", "", "", "1"},
		{"delete of an endless user", "d", row(tooLong, "1.00", ""), "null", "id_too_long", "", "", "1"},
		{"update to NaN", "u", row("a", "1.00", ""), row("a", "NaN", ""), "amount_nan", "-1 a", "a", "1"},
		{"update of an endless user to NaN", "u", "null", row(tooLong, "NaN", ""), "amount_nan", "", "", "1"},
		{"update", "u", row("a", "1.00", ""), row("b", "2.00", ""), "", "-1 a +1 b", "", ""},
	} {
		out := route(decoder(t), 4, record{source: source, key: []byte(`{"id":1}`), value: event(test.op,
			test.before, test.after),
			headers: func() goka.Headers { return nil }})
		got := ""
		for _, c := range out.changes {
			if c.Source.Offset != source.Offset || c.Source.LSN != 9 {
				t.Errorf("%s: source %+v", test.name, c.Source)
			}
			got += map[brimline.ChangeKind]string{brimline.Upsert: " +", brimline.Delete: " -"}[c.Kind] + c.Row.ID +
				" " + c.User
		}
		kind, user, id := "", "", ""
		if out.dead != nil {
			kind, user, id = out.dead.Kind, out.dead.User, out.dead.Row
		}
		if strings.TrimSpace(got) != test.want || kind != test.kind || user != test.user || id != test.rowID {
			t.Errorf("%s: %q, dead letter %s of user %.20q, row %q; want %q, %s of %q, %q", test.name,
				strings.TrimSpace(got), kind, user, id,
				test.want, test.kind, test.user, test.rowID)
		}
	}
}

// Records that are passed over are counted by why; all reasons are there from the start.
func TestPassedOverIsCounted(t *testing.T) {
	r := prometheus.NewRegistry()
	m := NewMetrics(r)
	counted := func(metric string) map[string]float64 { // by label
		families, err := r.Gather()
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]float64{}
		for _, family := range families {
			for _, one := range family.GetMetric() {
				if family.GetName() == metric {
					all[one.GetLabel()[0].GetValue()] = one.GetCounter().GetValue()
				}
			}
		}
		return all
	}
	if n := counted("brimline_route_skipped_total"); len(n) != len(debezium.PassedReasons()) {
		t.Errorf("reasons at the start: %v", n)
	}
	for value, reason := range map[string]debezium.Passed{
		``: debezium.PassedTombstone, `{"ts_ms":1}`: debezium.PassedHeartbeat,
		strings.Replace(string(event("c", "null", row("a", "1", ""))), "transactions", "refunds",
			1): debezium.PassedOtherTable,
		`{"op":"m","source":{},"message":{}}`:              debezium.PassedMessage,
		`{"status":"BEGIN","id":"1:2","event_count":null}`: debezium.PassedMetadata,
	} {
		out := route(decoder(t), 1, record{source: source, key: []byte(`{"serverName":"x"}`), value: []byte(value)})
		if out.dead != nil || out.passed != reason {
			t.Errorf("%s: %+v", value, out)
		}
		m.observe(out, time.Time{})
		if got := counted("brimline_route_skipped_total")[string(reason)]; got != 1 {
			t.Errorf("%s is counted %v times", reason, got)
		}
	}
	if got := counted("brimline_route_records_total")["nothing"]; got != 5 {
		t.Errorf("%v records came to nothing", got)
	}
}
