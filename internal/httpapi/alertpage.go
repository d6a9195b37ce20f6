package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/body"
	"github.com/brimline/brimline/internal/present"
)

// alertPage is one alert with its evidence.
type alertPage struct {
	alertRow
	Rule        body.Rule
	Version     string // of the rule
	Link        string // of this page, for a colleague
	JSON        string // as the topic has it
	Before      string // as Total, from PostgreSQL where it was asked
	Stream      evidence
	Database    *evidence // nil: PostgreSQL was not asked
	Agree       bool      // both have the same total and count
	Trigger     brimline.Transaction
	TriggerText string
	Newest      []evidenceRow
	Columns     []string
	Source      brimline.Source
	LSN         string
	Verified    brimline.Verification
	Took        string
	AnswerLSN   string
	After       string // from the commit to PostgreSQL's answer
	ClearsAt    brimline.Time
	AsOfNow     *evidence
	AsOfNowAt   brimline.Time
	Older       []related // alerts whose place it takes
	Newer       *related  // the alert that takes its place
}

type evidence struct {
	Before, Total, Over string
	Count               int64
}

type evidenceRow struct {
	rowLine
	Trigger bool
}

// Cells is the row as columns want it.
func (r evidenceRow) Cells() rowLine { return r.rowLine }

type related struct {
	ID   string
	Edge brimline.Time
}

func evidenceOf(f *brimline.Figures, rule *brimline.Rule, scale int) evidence {
	return evidence{
		Before: present.Amount("", f.Before.Format(scale)), Total: present.Amount("", f.Total.Format(scale)),
		Over: present.Amount("", f.Total.Sub(rule.Bar(f.Count)).Format(scale)), Count: f.Count,
	}
}

// showAlert shows the alert that an id names.
func (h *handler) showAlert(w http.ResponseWriter, r *http.Request) {
	p := h.base(r, "alert")
	status, err := http.StatusOK, checkQuery(r, "id", "cursor")
	if err == nil {
		p.Alert, err = h.evidencePage(r)
	}
	if err != nil {
		status = p.fail(err)
	}
	h.show(w, status, &p)
}

func (h *handler) evidencePage(r *http.Request) (*alertPage, error) {
	record, err := h.findAlert(r)
	if err != nil {
		return nil, err
	}
	decoded, err := codecs.Alert{}.Decode(record)
	if err != nil {
		return nil, err
	}
	a, ok := decoded.(*brimline.Alert)
	if !ok {
		return nil, fmt.Errorf("an alert is read as %T", decoded)
	}
	c := &a.Candidate
	scale := c.Rule.Measure.Scale(c.Scale)
	p := &alertPage{
		alertRow: alertRows([]*brimline.Alert{a})[0], Rule: body.RuleOf(&c.Rule, c.Scale),
		Version: fmt.Sprintf("%x", c.Rule.Fingerprint()), Stream: evidenceOf(&c.Stream, &c.Rule, scale),
		Trigger: c.Trigger, TriggerText: present.Amount("", c.Trigger.Amount.Total().Format(c.Scale)),
		Source: c.Source, Verified: a.Verification, ClearsAt: c.ClearsAt,
		Link: h.Base + "/alert?" + r.URL.RawQuery,
	}
	p.Before = p.Stream.Before
	if a.Database != nil {
		p.Before = present.Amount("", a.Database.Before.Format(scale))
		e := evidenceOf(a.Database, &c.Rule, scale)
		p.Database, p.Agree = &e, a.Database.Total == c.Stream.Total && a.Database.Count == c.Stream.Count
		p.Took = a.Verification.Duration.Round(10 * time.Microsecond).String()
		p.AnswerLSN = brimline.FormatLSN(a.Verification.LSN)
		if c.Source.Commit != 0 && a.Verification.At >= c.Source.Commit {
			p.After = a.Verification.At.Std().Sub(c.Source.Commit.Std()).Round(time.Millisecond).String()
		}
	}
	if c.Source.LSN != 0 {
		p.LSN = brimline.FormatLSN(c.Source.LSN)
	}
	if now := a.AsOfNow; now != nil {
		p.AsOfNowAt = now.At
		p.AsOfNow = &evidence{Total: present.Amount("", now.Total.Format(scale)), Count: now.Count}
	}
	for i := range c.Newest {
		row := body.RowOf(&c.Newest[i], c.Scale)
		p.Newest = append(p.Newest, evidenceRow{rowLine{Row: row}, row.ID == c.Trigger.ID})
		for name := range row.Columns {
			if !slices.Contains(p.Columns, name) {
				p.Columns = append(p.Columns, name)
			}
		}
	}
	slices.Sort(p.Columns)
	for _, edge := range a.Supersedes {
		p.Older = append(p.Older, related{brimline.AlertID(c.User, c.Rule.ID, edge), edge})
	}
	if h.Alerts != nil {
		// What cannot be read now is not said; the alert itself was found.
		others, _ := h.Alerts.User(c.User)
		for _, o := range others {
			if slices.Contains(o.SupersededIDs(), c.ID()) && (p.Newer == nil || o.Candidate.Edge < p.Newer.Edge) {
				p.Newer = &related{o.Candidate.ID(), o.Candidate.Edge}
			}
		}
	}
	var text bytes.Buffer
	if err := json.Indent(&text, record, "", "  "); err != nil {
		return nil, err
	}
	p.JSON = string(present.Append(nil, text.Bytes()))
	return p, nil
}
