package httpapi

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/explain"
	"github.com/brimline/brimline/internal/rules"
	"github.com/brimline/brimline/internal/sliding"
)

// book is a PostgreSQL that has the rows of one user, or is away.
type book struct {
	rows []brimline.Transaction
	err  error
}

func (b *book) Figures(
	_ context.Context, _ string, rule *sliding.Rule, at brimline.Time, _ ...brimline.Source,
) (brimline.Figures, uint64, error) {
	return sliding.FiguresAt(b.rows, rule, at), 0x1A2B3C, b.err
}

func (b *book) Rows(_ context.Context, _ string, from, to brimline.Time) ([]brimline.Transaction, uint64, error) {
	var all []brimline.Transaction
	for _, row := range b.rows {
		if from <= row.Time && row.Time <= to {
			all = append(all, row)
		}
	}
	return all, 0x1A2B3C, b.err
}

// The question that an on-call engineer asks, through the topics as they are written; the fakes' user has been over
// the weekly limit since the last row, and its alert stands in the topic.
func TestExplain(t *testing.T) {
	f := newFakes()
	o, x := f.onTopics(t)
	db := &book{}
	for i := range f.windows["27956157"].Rows {
		db.rows = append(db.rows, f.windows["27956157"].Rows[i].Transaction("27956157"))
	}
	asker := &explain.Asker{
		Users: f, Log: x.reader, Streams: o.Streams, Now: o.Now,
		Ledger: func(context.Context) (explain.Ledger, error) { return db, db.err },
	}
	for _, rule := range f.rules.Rules {
		compiled, err := rules.CompileRule(rule, f.rules.Columns, f.rules.Scale)
		if err != nil {
			t.Fatal(err)
		}
		asker.Rules = append(asker.Rules, compiled)
	}
	o.Explain = asker
	h := New(o)

	const path = "/api/v1/users/27956157/explain"
	v := getJSON(t, h, path+"?rule=weekly-volume", 200)
	want(t, v, "alerted", "explanations", 0, "reason")
	want(t, v, "3441.50", "explanations", 0, "database", "total")
	want(t, v, "3441.50", "explanations", 0, "stream", "total")
	want(t, v, "-441.50", "explanations", 0, "distance")
	want(t, v, true, "explanations", 0, "edge", "sent")
	want(t, v, nil, "explanations", 0, "differences")
	want(t, v, "an alert was sent: the total of 3441.50 in 7d went over 3000.00 at 2026-03-07T23:17:00.000000Z",
		"explanations", 0, "sentence")
	if n := len(at(getJSON(t, h, path, 200), "explanations").([]any)); n != 3 {
		t.Errorf("%d explanations, want one for each rule", n)
	}
	v = getJSON(t, h, path+"?rule=weekly-volume&at=2026-03-07T00:00:00Z&rows=1", 200)
	want(t, v, "short_by", "explanations", 0, "reason")
	want(t, v, "442.36", "explanations", 0, "distance")
	if n := len(at(v, "explanations", 0, "rows").([]any)); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
	v = getJSON(t, h, path+"?rule=large-transfers&at=2026-03-04T18:00:00Z", 200)
	want(t, v, 2.0, "explanations", 0, "rows_not_counted")

	// A row that PostgreSQL has and the stream has not, first without a word, then as a dead letter.
	late := brimline.Transaction{
		ID:      "99",
		User:    "27956157",
		Amount:  amountOf("-900.00"),
		Time:    noon.Add(-20 * time.Hour),
		Columns: []brimline.Field{{Name: "country", Value: "FR"}, {Name: "channel", Value: "card"}},
	}
	db.rows = append(db.rows, late)
	slices.SortFunc(db.rows, func(a, b brimline.Transaction) int { return a.Compare(&b) })
	v = getJSON(t, h, path+"?rule=weekly-volume&at=2026-03-07T16:00:00Z", 200)
	want(t, v, "not_in_stream", "explanations", 0, "reason")
	want(t, v, "99", "explanations", 0, "differences", "only_in_database", 0, "id")
	letter, err := codecs.DeadLetter{}.Encode(&brimline.DeadLetter{
		Topic: o.Streams.Source, Key: []byte(`{"id":99}`),
		Value: []byte(`{"after":{"id":99,"user_id":27956157,"amount":"x"}}`),
		Kind:  "amount_type", Error: "no number", At: noon,
	})
	if err != nil {
		t.Fatal(err)
	}
	x.put(o.Streams.DeadLetters, "", "", letter)
	v = getJSON(t, h, path+"?rule=weekly-volume&at=2026-03-07T16:00:00Z", 200)
	want(t, v, "dead_letter", "explanations", 0, "reason")
	want(t, v, "amount_type", "explanations", 0, "dead_letters", 0, "kind")

	// What PostgreSQL did not confirm.
	a := f.alert("small", 0, noon.Add(-time.Hour))
	a.Candidate.Kind, a.Reason, a.Verification.Status = brimline.EdgeCandidate, brimline.ReasonNotAbove, brimline.Dismissed
	x.putAlert(o.Streams.Dismissed, a)
	db.rows = nil
	v = getJSON(t, h, "/api/v1/users/small/explain?rule=weekly-volume&at=2026-03-08T11:00:00Z", 200)
	want(t, v, "dismissed", "explanations", 0, "reason")
	want(t, v, "not_above", "explanations", 0, "dismissed", 0, "reason")

	// PostgreSQL is away: the stream answers as far as it knows.
	db.err = errors.New("connection refused")
	v = getJSON(t, h, path+"?rule=weekly-volume", 200)
	want(t, v, "alerted", "explanations", 0, "reason")
	want(t, v, nil, "explanations", 0, "database")
	want(t, v, "connection refused", "explanations", 0, "database_error")
	v = getJSON(t, h, "/api/v1/users/small/explain?rule=weekly-volume&at=2026-03-08T12:00:00Z", 200)
	want(t, v, "not_retained", "explanations", 0, "reason")
	want(t, v, nil, "explanations", 0, "distance")
	v = getJSON(t, h, "/api/v1/users/nobody/explain", 200)
	want(t, v, "unknown_user", "explanations", 0, "reason")

	for target, kind := range map[string]string{
		path + "?rule=weekly": "rule_unknown", path + "?rule=": "bad_parameter", path + "?at=monday": "bad_parameter",
		path + "?rows=-1": "bad_parameter", path + "?user=1": "bad_parameter",
	} {
		v := getJSON(t, h, target, 400)
		wantProblem(t, v, kind)
	}
	if remedy := fmt.Sprint(at(getJSON(t, h, path+"?rule=weekly", 400), "remedy")); !strings.Contains(
		remedy,
		"weekly-volume",
	) {
		t.Errorf("the remedy does not say which rules there are: %s", remedy)
	}
	o.Explain = nil
	wantProblem(t, getJSON(t, New(o), path, 503), "no_view")
}
