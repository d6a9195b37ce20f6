package httpapi

import (
	"bytes"
	"cmp"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/body"
	"github.com/brimline/brimline/internal/present"
	"github.com/brimline/brimline/processors"
	"github.com/brimline/brimline/views"
)

const (
	pageAlerts = 30
	pageRows   = 200
)

// page is the template's input. The fields after Now are those of the views that need them.
type page struct {
	View     string // overview, user, alert, rules, operations
	Base     string
	At       string // the address of this very view, after Base
	Metrics  bool   // are served here
	Who      string // has logged in; empty where that is not so
	Form     string // what a form of this login brings along
	Now      brimline.Time
	Status   Status
	NotReady []string
	Stalled  []string // stages that do not work although the instance is ready
	Health   health
	Notices  []Notice // those of Status, but for what the overview has figures of
	Proven   string   // the newest comparison with the table in a sentence
	Audited  string   // the newest comparison of the windows' rows, likewise
	Stages   []stageCell
	Rules    []body.Rule

	Asked  string // what was searched for
	User   *userPage
	Alert  *alertPage
	Failed *errorBody // why there is no User, Alert or Letters

	Recent       []alertRow
	RecentFailed *errorBody
	Hourly       *hourly
	Pace         pace
	Checked      *checked
	RuleRows     []ruleRow
	Operations   *operations
}

type stageCell struct {
	StageStatus
	What    string // what it does, in three words
	Tone    string // ok, busy, bad, away: a class of the style sheet
	Text    string // its state in words
	Serving string // "8 of 8 partitions"
}

type userPage struct {
	views.User
	Rules     []ruleCard
	Rows      []rowLine // newest first
	Columns   []string  // further columns of any row
	RowsTotal int
	Future    *body.Future
	Alerts    []alertRow
	AlertsAll int // of which Alerts are the newest
	AlertsErr *errorBody
}

// rowLine is a retained row and the rules that it counts for now.
type rowLine struct {
	body.Row
	Future bool
}

// leaving is a time ahead at which the total changes if nothing more comes.
type leaving struct {
	At    brimline.Time
	Total string
	Below bool // the total is at or below the limit from then on
}

type ruleCard struct {
	body.Rule
	Figures  views.RuleFigures
	Total    string
	Distance string // without its sign
	Ahead    string // total at the newest row when that is in the future, else ""
	Bar      bar
	Percent  int
	Chart    *chart
	Leaves   []leaving
}

type alertRow struct {
	ID       string
	User     string
	Rule     string
	Severity string
	Window   string
	Total    string
	Limit    string
	Count    int64
	Edge     brimline.Time
	Raised   brimline.Time
	Status   brimline.Status
	Note     string // where the total comes from

	Supersedes   []brimline.Time // edges of alerts that this one takes the place of
	SupersededBy brimline.Time   // the edge of the alert in the same list that takes this one's place; 0 for none
	ByID         string          // the id of that alert
}

func pageFuncs() template.FuncMap {
	return template.FuncMap{
		"amount": func(decimal string) string { return present.Amount("", decimal) },
		"count":  present.Count[int64], "count64": present.Count[int],
		"clock": present.Time, "ago": present.Ago, "word": present.Word,
		"column": columnText, "measure": measureText,
		"iso": func(t brimline.Time) string { return t.String() },
		"sub": func(a, b int) int { return a - b }, "coming": present.Coming, "exact": present.ExactTime,
		"plural": present.Plural[int], "plural64": present.Plural[int64],
		"reason": reasonText, "join": func(all []string) string { return strings.Join(all, ", ") },
	}
}

// measureText says a measure in words.
func measureText(name string) string {
	switch m, _ := brimline.ParseMeasure(name); m {
	case brimline.SumAbs:
		return "sum of absolute amounts"
	case brimline.Sum:
		return "sum of amounts"
	case brimline.SumIn:
		return "sum of amounts above zero"
	case brimline.SumOut:
		return "sum of amounts below zero"
	case brimline.CountAll:
		return "number of transactions"
	case brimline.Avg:
		return "average absolute amount"
	case brimline.Max:
		return "largest absolute amount"
	case brimline.Distinct:
		return "number of different values"
	}
	return name
}

// columnText is a row's further column as text; nothing for NULL and for a column that it lacks.
func columnText(row rowLine, name string) string {
	v := row.Columns[name]
	if v == nil {
		return ""
	}
	return present.Text(fmt.Sprint(v))
}

// base is a page as every view has it.
func (h *handler) base(r *http.Request, view string) page {
	p := page{
		View: view, Base: h.Base, At: r.URL.RequestURI(), Metrics: !h.Apart, Now: h.now(), Status: h.Status(r.Context()),
	}
	p.At = strings.TrimPrefix(p.At, h.Base)
	if v := visitOf(r); v.session != "" {
		p.Who, p.Form = v.name(), h.sessions.Form(v.session)
	}
	if p.Status.Proof != nil {
		p.Proven = p.Status.Proof.Sentence(p.Now.Std())
	}
	if p.Status.Audit != nil {
		p.Audited = p.Status.Audit.Sentence(p.Now.Std())
	}
	p.NotReady, p.Stalled = p.Status.NotReady(), p.Status.stalled()
	p.Health = healthOf(&p)
	for _, n := range p.Status.Notices {
		if n.Kind != figuresDiffer || n.Level != Note {
			p.Notices = append(p.Notices, n)
		}
	}
	for _, s := range p.Status.Stages {
		p.Stages = append(p.Stages, cellOf(s))
	}
	for i := range h.Rules.Rules {
		p.Rules = append(p.Rules, body.RuleOf(&h.Rules.Rules[i], h.Rules.Scale))
	}
	return p
}

func (h *handler) show(w http.ResponseWriter, status int, p *page) {
	h.render(w, status, "page.html", p)
}

// fail has the page say why it does not show what was asked for.
func (p *page) fail(err error) int {
	p.Failed = new(describe(err))
	return statusOf(err)
}

// index shows a user, or how things are where none is asked for.
func (h *handler) index(w http.ResponseWriter, r *http.Request) {
	p := h.base(r, "overview")
	p.Asked = r.URL.Query().Get("user")
	if p.Asked != "" {
		p.View = "user"
	}
	status := http.StatusOK
	if err := checkQuery(r, "user"); err != nil {
		p.View, status = "user", p.fail(err)
	} else if p.Asked != "" {
		if p.User, err = h.userPage(r, p.Asked); err != nil {
			status = p.fail(err)
		}
	}
	var err error
	if p.Recent, err = h.recent(r); err != nil {
		p.RecentFailed = new(describe(err))
	}
	if p.View == "overview" {
		h.fillOverview(r, &p)
	}
	h.show(w, status, &p)
}

func (h *handler) render(w http.ResponseWriter, status int, name string, data any) {
	var text bytes.Buffer
	if err := h.pages.ExecuteTemplate(&text, name, data); err != nil {
		writeError(w, http.StatusInternalServerError, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(text.Bytes())
}

func (h *handler) userPage(r *http.Request, id string) (*userPage, error) {
	u, err := h.lookUp(r.Context(), id)
	if err != nil {
		return nil, err
	}
	user := body.UserOf(&u, pageRows)
	p := &userPage{User: u, RowsTotal: len(u.Rows), Future: user.Future}
	for i, row := range user.Rows { // newest first
		of := &u.Rows[len(u.Rows)-1-i]
		by := u.CountedBy(of)
		row.CountedBy = &by
		p.Rows = append(p.Rows, rowLine{Row: row, Future: of.Time > u.Now})
	}
	for i := range u.Rules {
		f := u.Rules[i]
		distance := f.Distance
		if f.Above() {
			distance = brimline.Total{}.Sub(distance)
		}
		ahead := ""
		if f.Ahead != nil {
			ahead = present.Amount("", f.Ahead.Total.Format(f.Scale))
		}
		card := ruleCard{Rule: user.Rules[i].Rule, Figures: f}
		if !f.Distrusted {
			card.Total = present.Amount("", f.At.Total.Format(f.Scale))
			card.Distance = present.Amount("", distance.Format(f.Scale))
			card.Ahead, card.Bar, card.Percent, card.Chart = ahead, barOf(&f), percent(&f), chartOf(&u, i)
			card.Leaves = leavingOf(&u, i)
		}
		p.Rules = append(p.Rules, card)
	}
	for _, row := range user.Rows {
		for name := range row.Columns {
			if !slices.Contains(p.Columns, name) {
				p.Columns = append(p.Columns, name)
			}
		}
	}
	slices.Sort(p.Columns)
	if h.Alerts != nil {
		alerts, err := h.Alerts.User(id)
		if err != nil {
			p.AlertsErr = new(describe(err))
		}
		p.Alerts, p.AlertsAll = alertRows(alerts), len(alerts)
		p.Alerts = p.Alerts[:min(len(p.Alerts), pageRows)]
	}
	return p, nil
}

func (h *handler) recent(r *http.Request) ([]alertRow, error) {
	if h.Alerts == nil {
		return nil, errNoView("alerts")
	}
	alerts, err := h.Alerts.Recent(r.Context(), pageAlerts)
	return alertRows(alerts), err
}

func alertRows(alerts []*brimline.Alert) []alertRow {
	rows, by := make([]alertRow, len(alerts)), map[string]brimline.Time{}
	for _, a := range alerts {
		for _, id := range a.SupersededIDs() {
			if known, any := by[id]; !any || a.Candidate.Edge < known {
				by[id] = a.Candidate.Edge
			}
		}
	}
	for i, a := range alerts {
		c := &a.Candidate
		scale := c.Rule.Measure.Scale(c.Scale)
		figures, note := c.Stream, "as the stream saw it"
		if a.Database != nil {
			figures, note = *a.Database, "confirmed by PostgreSQL"
		}
		rows[i] = alertRow{
			ID: c.ID(), User: c.User, Rule: c.Rule.ID, Severity: c.Rule.Severity, Window: present.Duration(c.Rule.Window),
			Total: present.Amount("", figures.Total.Format(scale)), Count: figures.Count,
			Limit: present.Amount("", c.Rule.Limit.Format(scale)),
			Edge:  c.Edge, Raised: views.Raised(a), Status: a.Verification.Status, Note: note,
			Supersedes: a.Supersedes, SupersededBy: by[c.ID()],
		}
		if rows[i].SupersededBy != 0 {
			rows[i].ByID = brimline.AlertID(c.User, c.Rule.ID, rows[i].SupersededBy)
		}
	}
	return rows
}

func cellOf(s StageStatus) stageCell {
	c := stageCell{StageStatus: s, Text: string(s.State), Tone: "busy"}
	switch s.Name {
	case processors.Route:
		c.What = "takes changes in"
	case processors.Window:
		c.What = "keeps the totals"
	case processors.Verify:
		c.What = "asks PostgreSQL"
	case processors.Index:
		c.What = "files the alerts"
	}
	own, running := 0, 0
	for _, p := range s.Partitions {
		if p.Own {
			own++
			if p.State == Running {
				running++
			}
		}
	}
	switch {
	case !s.Here:
		c.Tone, c.Text = "away", "runs elsewhere"
	case s.State == Running && running == own:
		c.Tone = "ok"
	case s.State == Running:
		c.Text = string(Recovering)
	case s.State == Failed:
		c.Tone = "bad"
	}
	if s.Here {
		noun := "partitions"
		if len(s.Partitions) == 1 {
			noun = "partition"
		}
		c.Serving = fmt.Sprintf("%d of %d %s here", running, len(s.Partitions), noun)
	}
	c.Text = cmp.Or(c.Text, "unknown")
	return c
}
