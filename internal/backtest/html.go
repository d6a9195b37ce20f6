package backtest

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/present"
)

// Heading says where an HTML report comes from.
type Heading struct {
	File, Against string // names of the files of rules; Against is empty where there is no other one
	Made          time.Time
	Currency      string // goes before amounts
}

//go:embed report.html
var reportHTML string

var reportPage = template.Must(template.New("report").Funcs(template.FuncMap{
	"count": present.Count[int64], "plural": present.Plural[int64], "time": present.Time, "word": present.Word,
	"text": present.Text,
	"iso":  brimline.Time.String, "days": func(n int) string { return present.Plural(n, "day") },
	"examples": func(what string, all []exampleView) examplesView { return examplesView{what, all} },
}).Parse(reportHTML))

type reportView struct {
	*Report
	Heading
	Position string
	HasRows  bool
	Views    []ruleView
}

type ruleView struct {
	*RuleReport
	ID            string
	Now, Before   string // conditions in words; empty where a file does not have the rule
	Days          *daysView
	Curve         *curveView
	NoCurve       string
	Compared      bool
	Gained, Lost  []exampleView
	MovedExamples []moveView
}

type exampleView struct{ User, ID, At, Before, Total string }

type examplesView struct {
	What string
	All  []exampleView
}

type moveView struct{ User, From, To string }

// WriteHTML writes the report as one page that loads nothing from anywhere. scale is that of amounts.
func (r *Report) WriteHTML(w io.Writer, h Heading, scale int) error {
	v := reportView{Report: r, Heading: h, Position: brimline.FormatLSN(r.Position), HasRows: r.Rows > 0}
	for _, rule := range r.Rules {
		v.Views = append(v.Views, h.rule(rule, scale))
	}
	return reportPage.Execute(w, v)
}

func (h *Heading) amount(t brimline.Total, rule *brimline.Rule, scale int) string {
	return present.Total(h.Currency, t, rule, scale)
}

func (h *Heading) rule(r *RuleReport, scale int) ruleView {
	v := ruleView{RuleReport: r, Compared: r.compared}
	money := func(t brimline.Total) string { return h.amount(t, r.Rule, scale) }
	if r.Old != nil {
		v.ID, v.Before = r.Old.ID, Condition(r.Old, h.Currency, scale)
	}
	v.Gained, v.Lost = h.examples(r.GainedExamples, scale), h.examples(r.LostExamples, scale)
	for i := range r.MovedExamples {
		m := &r.MovedExamples[i]
		v.MovedExamples = append(v.MovedExamples,
			moveView{present.Word(m.From.User), present.ExactTime(m.From.Time), present.ExactTime(m.To.Time)})
	}
	if r.Rule == nil {
		return v
	}
	v.ID, v.Now, v.Days = r.Rule.ID, Condition(r.Rule, h.Currency, scale), daysOf(r.Days)
	switch steps, known := r.Curve.Steps(); {
	case r.Curve == nil:
		v.NoCurve = "How many alerts there would be with other limits is not known of an average, and of a rule that is " +
			"quiet or rearms: give it another limit."
	case !known:
		v.NoCurve = "There are too many different totals to say how many alerts there would be with other limits: choose a " +
			"shorter span."
	default:
		v.Curve = curveOf(steps, r.Rule, money)
	}
	return v
}

func (h *Heading) examples(alerts []Alert, scale int) (all []exampleView) {
	for i := range alerts {
		a := &alerts[i]
		all = append(all, exampleView{present.Word(a.User), present.Word(a.ID()), present.ExactTime(a.Time),
			h.amount(a.Figures.Before, a.Rule, scale), h.amount(a.Figures.Total, a.Rule, scale)})
	}
	return all
}

// Condition is a rule in words.
func Condition(r *brimline.Rule, currency string, scale int) string {
	text := r.Measure.String()
	if r.Column != "" {
		text += " of " + r.Column
	}
	text += fmt.Sprintf(" over %s in %s", present.Total(currency, r.Limit, r, scale), present.Duration(r.Window))
	if r.Where != "" {
		text += " where " + r.Where
	}
	if r.MinCount != 0 {
		text += fmt.Sprintf(", with %d transactions or more", r.MinCount)
	}
	if r.Quiet != 0 {
		text += ", quiet for " + present.Duration(r.Quiet)
	}
	if r.Rearms {
		text += ", rearmed at " + present.Total(currency, r.Rearm, r, scale)
	}
	return text
}

// The charts' own units, which the page stretches. Positions are integers.
const (
	plotWidth  = 1000
	plotHeight = 200
)

// daysView is a bar for each day, or for each of several days in a row where there are many.
type daysView struct {
	Bars       []barView
	Width      int
	Most       int64
	From, To   string
	Each       int // days of a bar
	WithAlerts int
	Peak       string
	PeakAlerts int64
}

type barView struct {
	X, Y, Height int
	Title        string
}

// mostBars is how many bars a chart has at most.
const mostBars = 400

// fewestBars is how many bars have room at least, so that one of them is not as wide as the page.
const fewestBars = 30

func daysOf(days []Day) *daysView {
	if len(days) == 0 {
		return nil
	}
	const dayLength = 24 * time.Hour
	first, last := days[0].At.Std(), days[len(days)-1].At.Std()
	n := int(last.Sub(first)/dayLength) + 1
	v := &daysView{Each: (n + mostBars - 1) / mostBars, WithAlerts: len(days)}
	sums := make([]int64, (n+v.Each-1)/v.Each)
	for _, d := range days {
		bar := &sums[int(d.At.Std().Sub(first)/dayLength)/v.Each]
		*bar += d.Alerts
		v.Most = max(v.Most, *bar)
		if d.Alerts > v.PeakAlerts {
			v.Peak, v.PeakAlerts = d.At.Std().Format(time.DateOnly), d.Alerts
		}
	}
	v.From, v.To, v.Width = first.Format(time.DateOnly), last.Format(time.DateOnly), 4*max(fewestBars, len(sums))
	for i, alerts := range sums {
		if alerts == 0 {
			continue
		}
		at := first.AddDate(0, 0, i*v.Each)
		title := at.Format(time.DateOnly)
		if v.Each > 1 {
			title += " and the " + present.Plural(v.Each-1, "day") + " after it"
		}
		height := max(2, present.Scaled(brimline.Count(alerts), brimline.Count(v.Most), plotHeight))
		v.Bars = append(v.Bars, barView{4 * i, plotHeight - height, height, title + ": " + present.Plural(alerts, "alert")})
	}
	return v
}

// curveView is the number of alerts by limit, as a line of steps, and around the rule's limit as a table.
type curveView struct {
	Path     string
	Limit    int // x of the rule's
	Low, Top string
	Most     int64
	Rows     []curveRow
	Cut      bool // there are alerts with limits above Top as well
}

type curveRow struct {
	Limit  string
	Alerts int64
	Own    bool
}

func curveOf(steps []Step, rule *brimline.Rule, money func(brimline.Total) string) *curveView {
	if len(steps) == 0 {
		return nil
	}
	low, top := share(rule.Limit, 25), share(rule.Limit, 300) // below that nearly each row is an edge
	if last := steps[len(steps)-1].Limit; rule.Limit.Sign() <= 0 || last.Cmp(top) < 0 {
		top = last
	}
	if rule.Limit.Sign() <= 0 {
		low = steps[0].Limit
	}
	if rule.Limit.Cmp(low) < 0 {
		low = rule.Limit
	}
	if rule.Limit.Cmp(top) > 0 {
		top = rule.Limit
	}
	v := &curveView{Low: money(low), Top: money(top)}
	width := top.Sub(low)
	var shown []Step
	alerts := AlertsAt(steps, low)
	for _, s := range steps {
		switch {
		case s.Limit.Cmp(top) > 0:
			v.Cut = true
		case s.Limit.Cmp(low) > 0:
			shown = append(shown, s)
		}
	}
	shown = thinned(shown, 2*plotWidth)
	v.Most = max(alerts, 1)
	for _, s := range shown {
		v.Most = max(v.Most, s.Alerts)
	}
	y := func(n int64) int {
		return plotHeight - present.Scaled(brimline.Count(n), brimline.Count(v.Most), plotHeight)
	}
	var path strings.Builder
	fmt.Fprintf(&path, "M0 %d", y(alerts))
	for _, s := range shown {
		fmt.Fprintf(&path, "H%dV%d", present.Scaled(s.Limit.Sub(low), width, plotWidth), y(s.Alerts))
	}
	fmt.Fprintf(&path, "H%d", plotWidth)
	v.Path, v.Limit = path.String(), present.Scaled(rule.Limit.Sub(low), width, plotWidth)
	for _, s := range Around(steps, rule.Limit) {
		v.Rows = append(v.Rows, curveRow{money(s.Limit), s.Alerts, s.Limit == rule.Limit})
	}
	return v
}
