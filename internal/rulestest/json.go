package rulestest

import (
	"encoding/json"
	"io"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/rules"
)

// Summary counts results.
type Summary struct {
	Tests     int `json:"tests"`
	Passed    int `json:"passed"`
	Failed    int `json:"failed"`    // without those that also disagree
	Disagreed int `json:"disagreed"` // of which brimline and PostgreSQL do not say the same
}

// Summarize counts.
func Summarize(results []Result) (s Summary) {
	for i := range results {
		s.Tests++
		switch r := &results[i]; {
		case len(r.Disagreements) > 0:
			s.Disagreed++
		case len(r.Failures) > 0:
			s.Failed++
		default:
			s.Passed++
		}
	}
	return s
}

type jsonReport struct {
	Summary
	Results []jsonResult `json:"results"`
}

type jsonResult struct {
	File          string             `json:"file"`
	Line          int                `json:"line"`
	Name          string             `json:"name"`
	Result        string             `json:"result"` // passed, failed or disagreed
	Failures      []jsonFailure      `json:"failures,omitempty"`
	Disagreements []jsonDisagreement `json:"disagreements,omitempty"`
	Courses       []jsonCourse       `json:"courses,omitempty"`
}

type jsonFailure struct {
	Line  int        `json:"line,omitempty"` // none: alerts after the last expectation
	Pairs []jsonPair `json:"alerts"`
}

type jsonEdge struct {
	UserID string        `json:"user_id"`
	Rule   string        `json:"rule"`
	At     brimline.Time `json:"at"`
}

type jsonPair struct {
	Result Verdict `json:"result"`
	jsonEdge
	Expected *jsonExpected `json:"expected,omitempty"`
	Sent     *jsonFigures  `json:"sent,omitempty"`
	Differs  []string      `json:"differs,omitempty"`
}

type jsonExpected struct {
	Before   *string `json:"before,omitempty"`
	Total    *string `json:"total,omitempty"`
	Count    *int64  `json:"count,omitempty"`
	Severity *string `json:"severity,omitempty"`
}

type jsonFigures struct {
	Before   string `json:"before"`
	Total    string `json:"total"`
	Count    int64  `json:"count"`
	Severity string `json:"severity,omitempty"`
}

type jsonDisagreement struct {
	Line int `json:"line"`
	jsonEdge
	Brimline   *jsonFigures `json:"brimline"`
	PostgreSQL *jsonFigures `json:"postgresql"`
}

type jsonCourse struct {
	UserID string      `json:"user_id"`
	Rule   string      `json:"rule"`
	Limit  string      `json:"limit"`
	Points []jsonPoint `json:"points"`
	Now    *jsonPoint  `json:"now,omitempty"`
}

type jsonPoint struct {
	At   brimline.Time `json:"at"`
	Rows []jsonRow     `json:"rows,omitempty"`
	jsonFigures
	Edge   bool `json:"edge"`
	Silent bool `json:"silent,omitempty"`
	Sent   bool `json:"sent"`
}

type jsonRow struct {
	ID     string `json:"id"`
	Amount string `json:"amount"`
	Taken  bool   `json:"taken"`
}

// WriteJSON writes all results as one document.
func WriteJSON(w io.Writer, results []Result) error {
	report := jsonReport{Summary: Summarize(results), Results: []jsonResult{}}
	for i := range results {
		report.Results = append(report.Results, results[i].record())
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(report)
}

func (r *Result) record() jsonResult {
	out := jsonResult{File: r.Case.File.Path, Line: r.Case.Line, Name: r.Case.Name, Result: "passed"}
	switch {
	case len(r.Disagreements) > 0:
		out.Result = "disagreed"
	case len(r.Failures) > 0:
		out.Result = "failed"
	}
	for i := range r.Failures {
		f := jsonFailure{Line: r.Failures[i].Line}
		for n := range r.Failures[i].Pairs {
			p := &r.Failures[i].Pairs[n]
			k := p.key()
			f.Pairs = append(f.Pairs, jsonPair{
				Result: p.Verdict(), jsonEdge: jsonEdge{k.user, k.rule, k.at},
				Expected: r.recordExpected(p.Expected), Sent: r.recordAlert(p.Sent), Differs: p.Differs,
			})
		}
		out.Failures = append(out.Failures, f)
	}
	for _, d := range r.Disagreements {
		j := jsonDisagreement{Line: d.Line, jsonEdge: jsonEdge{d.User, d.Rule, d.At}, Brimline: r.recordAlert(d.Fold)}
		if d.PostgreSQL != nil {
			f := recordFigures(d.PostgreSQL, r.scaleOf(d.Rule))
			j.PostgreSQL = &f
		}
		out.Disagreements = append(out.Disagreements, j)
	}
	for i := range r.Courses {
		out.Courses = append(out.Courses, r.recordCourse(&r.Courses[i]))
	}
	return out
}

func (r *Result) recordExpected(e *rules.ExpectedAlert) *jsonExpected {
	if e == nil {
		return nil
	}
	text := func(t *brimline.Total) *string {
		if t == nil {
			return nil
		}
		s := t.Format(r.scaleOf(e.Rule))
		return &s
	}
	return &jsonExpected{text(e.Before), text(e.Total), e.Count, e.Severity}
}

func (r *Result) recordAlert(a *Alert) *jsonFigures {
	if a == nil {
		return nil
	}
	f := recordFigures(&a.Figures, r.scaleOf(a.Rule))
	f.Severity = a.Severity
	return &f
}

func recordFigures(f *brimline.Figures, scale int) jsonFigures {
	return jsonFigures{Before: f.Before.Format(scale), Total: f.Total.Format(scale), Count: f.Count}
}

func (r *Result) recordCourse(c *Course) jsonCourse {
	amounts := r.Case.File.Rules.Scale
	scale := c.Rule.Measure.Scale(amounts)
	out := jsonCourse{UserID: c.User, Rule: c.Rule.ID, Limit: c.Rule.Limit.Format(scale), Points: []jsonPoint{}}
	point := func(p *Point) jsonPoint {
		j := jsonPoint{At: p.At, jsonFigures: recordFigures(&p.Figures, scale), Edge: p.Edge, Silent: p.Silent, Sent: p.Sent}
		for _, row := range p.Rows {
			j.Rows = append(j.Rows, jsonRow{row.ID, row.Amount.Format(amounts), row.Taken})
		}
		return j
	}
	for i := range c.Points {
		out.Points = append(out.Points, point(&c.Points[i]))
	}
	if c.Now != nil {
		now := point(c.Now)
		out.Now = &now
	}
	return out
}
