package backtest

import (
	"encoding/json"
	"io"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/present"
)

// mostShownSteps is how many steps of a curve are written.
const mostShownSteps = 1000

type reportJSON struct {
	From     *brimline.Time `json:"from"` // null: from the oldest row on
	To       *brimline.Time `json:"to"`   // null: to the newest row
	Oldest   *brimline.Time `json:"oldest"`
	Newest   *brimline.Time `json:"newest"`
	Position string         `json:"position"`
	Rows     int64          `json:"rows"`
	Users    int64          `json:"users"`
	Rules    []ruleJSON     `json:"rules"`
}

type ruleJSON struct {
	ID      string         `json:"id"`
	Rule    *conditionJSON `json:"rule"` // null where only the other file has it
	Alerts  int64          `json:"alerts"`
	Users   int64          `json:"users"`
	Days    []dayJSON      `json:"days"`
	Most    []userJSON     `json:"most_alerts"`
	Curve   *curveJSON     `json:"curve"`             // null: too many steps, edges are silent, or an average
	Against *againstJSON   `json:"against,omitempty"` // where another file was given
}

type conditionJSON struct {
	Window   string           `json:"window"`
	Limit    string           `json:"limit"`
	Measure  brimline.Measure `json:"measure"`
	Where    string           `json:"where,omitempty"`
	Quiet    string           `json:"quiet,omitempty"`
	Rearm    string           `json:"rearm,omitempty"`
	MinCount int64            `json:"min_count,omitempty"`
	Of       string           `json:"of,omitempty"`
}

type dayJSON struct {
	Day    string `json:"day"`
	Alerts int64  `json:"alerts"`
}

type userJSON struct {
	User   string `json:"user"`
	Alerts int64  `json:"alerts"`
}

type curveJSON struct {
	// AllSteps is how many there are; Steps holds at most 1,000 of them, each of which is exact.
	AllSteps int        `json:"all_steps"`
	Steps    []stepJSON `json:"steps"`
}

type stepJSON struct {
	Limit  string `json:"limit"`
	Alerts int64  `json:"alerts"`
}

type againstJSON struct {
	Rule     *conditionJSON `json:"rule"` // null where only the new file has it
	Alerts   int64          `json:"alerts"`
	Kept     int64          `json:"kept"`
	Gained   int64          `json:"gained"`
	Lost     int64          `json:"lost"`
	Moved    int64          `json:"moved"`
	Examples struct {
		Gained []alertJSON `json:"gained"`
		Lost   []alertJSON `json:"lost"`
		Moved  []moveJSON  `json:"moved"`
	} `json:"examples"`
}

type alertJSON struct {
	ID     string        `json:"id"`
	User   string        `json:"user"`
	Edge   brimline.Time `json:"edge"`
	Before string        `json:"before"`
	Total  string        `json:"total"`
	Count  int64         `json:"count"`
}

type moveJSON struct {
	From alertJSON `json:"from"`
	To   alertJSON `json:"to"`
}

// WriteJSON writes the report as one object; scale is that of amounts.
func (r *Report) WriteJSON(w io.Writer, scale int) error {
	out := reportJSON{
		From: bounded(r.From), To: bounded(r.To), Oldest: bounded(r.Oldest), Newest: bounded(r.Newest),
		Position: brimline.FormatLSN(r.Position), Rows: r.Rows, Users: r.Users, Rules: []ruleJSON{},
	}
	for _, rule := range r.Rules {
		out.Rules = append(out.Rules, ruleOf(rule, scale))
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(out)
}

// bounded is nil for a time that is none.
func bounded(t brimline.Time) *brimline.Time {
	if t == brimline.MinTime || t == brimline.MaxTime {
		return nil
	}
	return &t
}

func ruleOf(r *RuleReport, scale int) ruleJSON {
	out := ruleJSON{
		Rule: conditionOf(r.Rule, scale), Alerts: r.Alerts, Users: r.Users, Days: []dayJSON{}, Most: []userJSON{},
	}
	if r.Rule != nil {
		out.ID = r.Rule.ID
		if steps, known := r.Curve.Steps(); known {
			out.Curve = &curveJSON{AllSteps: len(steps), Steps: []stepJSON{}}
			for _, s := range thinned(steps, mostShownSteps) {
				limit := s.Limit.Format(r.Rule.Measure.Scale(scale))
				out.Curve.Steps = append(out.Curve.Steps, stepJSON{limit, s.Alerts})
			}
		}
	} else {
		out.ID = r.Old.ID
	}
	for _, d := range r.Days {
		out.Days = append(out.Days, dayJSON{d.At.Std().Format("2006-01-02"), d.Alerts})
	}
	for _, u := range r.Most {
		out.Most = append(out.Most, userJSON(u))
	}
	if !r.compared {
		return out
	}
	a := &againstJSON{Rule: conditionOf(r.Old, scale), Alerts: r.OldAlerts, Kept: r.Kept, Gained: r.Gained, Lost: r.Lost,
		Moved: r.Moved}
	a.Examples.Gained, a.Examples.Lost = alertsOf(r.GainedExamples, scale), alertsOf(r.LostExamples, scale)
	a.Examples.Moved = []moveJSON{}
	for i := range r.MovedExamples {
		m := &r.MovedExamples[i]
		a.Examples.Moved = append(a.Examples.Moved, moveJSON{alertOf(&m.From, scale), alertOf(&m.To, scale)})
	}
	out.Against = a
	return out
}

func conditionOf(r *brimline.Rule, scale int) *conditionJSON {
	if r == nil {
		return nil
	}
	quiet := ""
	if r.Quiet != 0 {
		quiet = present.Duration(r.Quiet)
	}
	rearm := ""
	if r.Rearms {
		rearm = r.Rearm.Format(r.Measure.Scale(scale))
	}
	return &conditionJSON{
		Window: present.Duration(r.Window), Limit: r.Limit.Format(r.Measure.Scale(scale)),
		Measure: r.Measure, Where: r.Where, Quiet: quiet, Rearm: rearm, MinCount: r.MinCount, Of: r.Column,
	}
}

func alertsOf(all []Alert, scale int) []alertJSON {
	out := []alertJSON{}
	for i := range all {
		out = append(out, alertOf(&all[i], scale))
	}
	return out
}

func alertOf(a *Alert, scale int) alertJSON {
	scale = a.Rule.Measure.Scale(scale)
	f := &a.Figures
	return alertJSON{a.ID(), a.User, a.Time, f.Before.Format(scale), f.Total.Format(scale), f.Count}
}
