package explain

import (
	"slices"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/body"
	"github.com/brimline/brimline/internal/sliding"
	"github.com/brimline/brimline/views"
)

// Report is a reason with what it rests on. Totals are those of PostgreSQL where it was asked, else the stream's.
type Report struct {
	User        string
	Found       bool // the window table knows the user
	Rule        brimline.Rule
	Scale       int // decimals of totals
	AmountScale int // decimals of amounts
	At          brimline.Time
	Reason      Reason

	Known          bool // Total is the table's: PostgreSQL was asked, or the stream's window is whole
	Total          brimline.Total
	Count          int64
	Edge           brimline.Time // that the reason is about, 0 for none; HasEdge tells where it is an edge by the totals
	HasEdge        bool
	Newest         brimline.Time // newest row that the rule takes up to At, 0 for none
	Silent         bool          // another edge lies in the rule's quiet before it, or the rule is not armed
	State          *brimline.EdgeStatus
	Dismissal      *brimline.Alert // the newest dismissal of the edge
	Quiet          brimline.Time
	NotCounted     int64          // rows of the window that only the rule's where leaves out
	WithAll        brimline.Total // what the total would be with them
	Rows           []Row          // of the window, oldest first
	RowsInDatabase int

	Stream   views.RuleFigures
	AsOf     views.AsOf
	Doubt    *brimline.Doubt
	Database *Database // nil where it was not asked
	// DatabaseError is why PostgreSQL could not tell; nil where it could, or was not asked.
	DatabaseError error
	// What the stream and PostgreSQL have differently, of the rows that the stream retains.
	OnlyInDatabase, OnlyInStream, Different []brimline.Transaction
	Letters                                 []*brimline.DeadLetter
	Alerts, Dismissed                       []*brimline.Alert
}

// Row is a row of the window.
type Row struct {
	brimline.Transaction
	Why Why
}

// Why says whether a row counts for a rule, and why not.
type Why string

// The answers.
const (
	Counted     Why = "counted"
	ByWhere     Why = "where"     // the rule's condition is not met
	ByDirection Why = "direction" // the measure takes the other sign only
	ByNull      Why = "null"      // the column whose different values are counted has none
)

// WhyOf says whether the rule counts a row.
func WhyOf(rule *sliding.Rule, row *brimline.Transaction) Why {
	if rule.Takes != nil && !rule.Takes(row) {
		return ByWhere
	}
	switch _, counts := rule.Weigh(row); {
	case counts:
		return Counted
	case rule.Value != nil:
		return ByNull
	}
	return ByDirection
}

// Distance is limit less total, of an average what all transactions together are below the limit.
func (r *Report) Distance() brimline.Total { return r.Rule.Bar(r.Count).Sub(r.Total) }

func (r *Report) above() bool { return r.Rule.Above(brimline.Figures{Total: r.Total, Count: r.Count}) }

// figures are a report without its reason.
func (e *Evidence) figures() *Report {
	u, stream := &e.User, e.stream()
	r := &Report{
		User: u.ID, Found: u.Found, Rule: e.Rule.Rule, AmountScale: u.Scale, Scale: e.Rule.Measure.Scale(u.Scale), At: u.Now,
		Quiet: stream.Quiet, Stream: *stream, AsOf: u.AsOf, Doubt: u.Doubt, Database: e.Database,
		Letters: e.Letters, Alerts: e.Alerts, Dismissed: e.Dismissed,
		Known: e.Database != nil || stream.Complete && !stream.Distrusted,
		Total: stream.At.Total, Count: stream.At.Count,
	}
	rows, from := u.Rows, brimline.MinTime
	if u.Floor != brimline.MinTime {
		from = u.Floor.Add(e.Rule.Window) + 1
	}
	if d := e.Database; d != nil {
		r.Total, r.Count, rows, from = d.Figures.Total, d.Figures.Count, d.Rows, d.From.Add(-e.Rule.Quiet)
		if e.Rule.Rearms { // they are all up to the time
			from = brimline.MinTime
		}
	}
	if t, ok := lastEdge(rows, e.Rule, from, u.Now); ok && r.above() && !fell(rows, e.Rule, t, u.Now) {
		r.Edge, r.HasEdge = t, true
		r.Silent = e.silent(rows, from, t)
	}
	start := u.Now.Add(-e.Rule.Window)
	r.WithAll = r.Total
	var values sliding.Values // of rows that count and of those that a condition leaves out
	for i := range rows {
		row := &rows[i]
		if row.Time < start || row.Time > u.Now {
			continue
		}
		why := WhyOf(e.Rule, row)
		value := any(nil)
		if e.Rule.Value != nil {
			if value = e.Rule.Value(row); value != nil {
				values.Enter(value)
			}
		}
		if why != ByWhere {
			r.Newest = row.Time
		} else if w, counts := e.Rule.Measure.Weigh(row.Amount); counts && (e.Rule.Value == nil || value != nil) {
			r.NotCounted++
			r.WithAll = e.Rule.Measure.Join(r.WithAll, w.Total())
		}
		r.Rows = append(r.Rows, Row{*row, why})
	}
	if e.Rule.Value != nil && r.NotCounted > 0 {
		r.WithAll = values.Total()
	}
	if e.Database != nil {
		r.RowsInDatabase = len(r.Rows)
		if r.HasEdge {
			start = r.Edge.Add(-e.Rule.Window)
		}
		e.compare(r, max(start, u.Floor+1))
	}
	return r
}

// silent says whether an edge is known to raise no alert, by figures from a time on.
func (e *Evidence) silent(rows []brimline.Transaction, from, edge brimline.Time) bool {
	if !e.Rule.Rearms {
		_, ok := lastEdge(rows, e.Rule, max(from, edge.Add(-e.Rule.Quiet)), edge-1)
		return e.Rule.Quiet != 0 && ok
	}
	alerts, sure := sliding.Alerts(rows, e.Rule, from, edge, edge)
	return sure && len(alerts) == 0
}

// compare notes what stream and PostgreSQL have differently from a time on.
func (e *Evidence) compare(r *Report, from brimline.Time) {
	stream := map[string]*brimline.Transaction{}
	for i := range e.User.Rows {
		if t := &e.User.Rows[i]; t.Time <= r.At {
			stream[t.ID] = t
		}
	}
	for _, row := range e.Database.Rows {
		if row.Time < from {
			continue
		}
		have := stream[row.ID]
		switch {
		case have == nil:
			r.OnlyInDatabase = append(r.OnlyInDatabase, row)
		case !have.SameRow(&row):
			r.Different = append(r.Different, row)
		}
		delete(stream, row.ID)
	}
	for _, t := range stream {
		if t.Time >= from {
			r.OnlyInStream = append(r.OnlyInStream, *t)
		}
	}
	slices.SortFunc(r.OnlyInStream, func(a, b brimline.Transaction) int { return a.Compare(&b) })
}

// Body is a report as JSON. Amounts are decimal strings.
type Body struct {
	User        string          `json:"user_id"`
	Found       bool            `json:"found"`
	Rule        body.Rule       `json:"rule"`
	At          brimline.Time   `json:"at"`
	Reason      Reason          `json:"reason"`
	Sentence    string          `json:"sentence"`
	Edge        *edgeBody       `json:"edge,omitempty"`
	Distance    *string         `json:"distance"` // limit less total; null where the total is not known
	Stream      streamBody      `json:"stream"`
	Database    *databaseBody   `json:"database"` // null: PostgreSQL was not asked, or could not tell
	Unasked     string          `json:"database_error,omitempty"`
	Rows        []rowBody       `json:"rows"` // of the window, newest first
	RowsTotal   int             `json:"rows_total"`
	NotCounted  int             `json:"rows_not_counted"`
	Differences *differBody     `json:"differences,omitempty"`
	Letters     []letterBody    `json:"dead_letters"`
	Dismissed   []dismissalBody `json:"dismissed"`
	Distrusted  *body.Doubt     `json:"distrusted,omitempty"`
	QuietUpTo   *brimline.Time  `json:"no_alerts_up_to,omitempty"`
}

type edgeBody struct {
	Time  brimline.Time `json:"time"`
	State string        `json:"state,omitempty"` // of the window table
	ID    string        `json:"alert_id"`
	// SentAt is of the alert; absent where none was sent, or PostgreSQL was not asked.
	SentAt brimline.Time `json:"verified_at,omitzero"`
	Sent   bool          `json:"sent"`
}

type figuresBody struct {
	Before string `json:"before"`
	Total  string `json:"total"`
	Count  int64  `json:"count"`
}

type streamBody struct {
	figuresBody
	Complete   bool  `json:"complete"`
	Distrusted bool  `json:"distrusted"`
	Change     int64 `json:"change"` // offset of the last change folded in, -1 for none
	Partition  int32 `json:"partition"`
	Lag        int64 `json:"lag"`
}

type databaseBody struct {
	figuresBody
	LSN string `json:"lsn"`
}

type rowBody struct {
	ID     string        `json:"id"`
	Time   brimline.Time `json:"time"`
	Amount string        `json:"amount"`
	Why    Why           `json:"why"`
}

type differBody struct {
	OnlyInDatabase []rowOnly `json:"only_in_database"`
	OnlyInStream   []rowOnly `json:"only_in_stream"`
	Different      []rowOnly `json:"different"` // as PostgreSQL has them
	Rows           int       `json:"rows"`      // in all; each list is of the newest
}

type rowOnly struct {
	ID     string        `json:"id"`
	Time   brimline.Time `json:"time"`
	Amount string        `json:"amount"`
}

type letterBody struct {
	Topic     string        `json:"topic"`
	Partition int32         `json:"partition"`
	Offset    int64         `json:"offset"`
	At        brimline.Time `json:"at"`
	Kind      string        `json:"kind"`
	Error     string        `json:"error"`
	Row       string        `json:"row,omitempty"`
	Remedy    string        `json:"remedy,omitempty"`
}

type dismissalBody struct {
	Edge     brimline.Time `json:"edge"`
	Reason   string        `json:"reason"`
	At       brimline.Time `json:"at,omitzero"`
	Stream   figuresBody   `json:"stream"`
	Database *figuresBody  `json:"database,omitempty"`
}

// most is how many entries of a kind a report names.
const most = 20

// Body gives the report as JSON has it, with up to rows rows.
func (r *Report) Body(rowsMost int) Body {
	plainly := Writing{
		Amount: func(t brimline.Total) string { return t.Format(r.Scale) },
		Time:   brimline.Time.String, Text: func(s string) string { return s },
	}
	b := Body{
		User: r.User, Found: r.Found, At: r.At, Reason: r.Reason, Sentence: r.Sentence(plainly),
		Rule: body.RuleOf(&r.Rule, r.AmountScale),
		Stream: streamBody{
			r.figuresBody(
				&r.Stream.At,
			), r.Stream.Complete, r.Stream.Distrusted, r.AsOf.Input, r.AsOf.Partition, r.AsOf.Lag,
		},
		Rows: []rowBody{}, RowsTotal: len(r.Rows), Letters: []letterBody{}, Dismissed: []dismissalBody{},
	}
	if r.Known {
		b.Distance = new(plainly.Amount(r.Distance()))
	}
	if r.Edge != 0 {
		b.Edge = &edgeBody{Time: r.Edge, ID: brimline.AlertID(r.User, r.Rule.ID, r.Edge)}
		if r.State != nil {
			b.Edge.State = body.EdgeStatus(*r.State)
		}
		for _, a := range r.Alerts {
			if a.Candidate.Edge == r.Edge {
				b.Edge.Sent, b.Edge.SentAt = true, a.Verification.At
			}
		}
	}
	if d := r.Database; d != nil {
		b.Database = &databaseBody{r.figuresBody(&d.Figures), brimline.FormatLSN(d.LSN)}
	}
	if r.DatabaseError != nil {
		b.Unasked = r.DatabaseError.Error()
	}
	for _, row := range slices.Backward(r.Rows) {
		if row.Why != Counted {
			b.NotCounted++
		}
		if len(b.Rows) < rowsMost {
			b.Rows = append(b.Rows, rowBody{row.ID, row.Time, row.Amount.Format(r.AmountScale), row.Why})
		}
	}
	if n := len(r.OnlyInDatabase) + len(r.OnlyInStream) + len(r.Different); n > 0 {
		b.Differences = &differBody{r.only(r.OnlyInDatabase), r.only(r.OnlyInStream), r.only(r.Different), n}
	}
	for _, d := range r.Letters[:min(len(r.Letters), most)] {
		b.Letters = append(
			b.Letters,
			letterBody{d.Topic, d.Partition, d.Offset, d.At, d.Kind, d.Error, d.Row, d.Remedy},
		)
	}
	for _, d := range r.Dismissed[:min(len(r.Dismissed), most)] {
		dismissal := dismissalBody{
			Edge: d.Candidate.Edge, Reason: d.Reason, At: d.Verification.At, Stream: r.figuresBody(&d.Candidate.Stream),
		}
		if d.Database != nil {
			dismissal.Database = new(r.figuresBody(d.Database))
		}
		b.Dismissed = append(b.Dismissed, dismissal)
	}
	if d := r.Doubt; d != nil {
		b.Distrusted = &body.Doubt{Reason: string(d.Reason), Since: d.At, UpTo: d.Floor}
	}
	if r.Quiet != 0 {
		b.QuietUpTo = &r.Quiet
	}
	return b
}

func (r *Report) figuresBody(f *brimline.Figures) figuresBody {
	return figuresBody{f.Before.Format(r.Scale), f.Total.Format(r.Scale), f.Count}
}

// only are the newest rows, newest first.
func (r *Report) only(rows []brimline.Transaction) []rowOnly {
	list := []rowOnly{}
	for _, row := range slices.Backward(rows) {
		if len(list) == most {
			break
		}
		list = append(list, rowOnly{row.ID, row.Time, row.Amount.Format(r.AmountScale)})
	}
	return list
}
