package httpapi

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/access"
	"github.com/brimline/brimline/internal/rules"
	"github.com/brimline/brimline/processors"
	"github.com/brimline/brimline/views"
)

type userBody struct {
	ID        string         `json:"id"`
	Found     bool           `json:"found"`
	Now       brimline.Time  `json:"now"`
	AsOf      asOfBody       `json:"as_of"`
	Rules     []userRuleBody `json:"rules"`
	Rows      []rowBody      `json:"rows"`       // newest first
	RowsTotal int            `json:"rows_total"` // retained; rows holds at most what was asked for
	Future    *futureBody    `json:"future,omitempty"`
	DroppedTo *brimline.Time `json:"dropped_to,omitempty"`
	// Distrusted: rows up to a time were forgotten, because they were not PostgreSQL's.
	Distrusted *doubtBody `json:"distrusted,omitempty"`
}

type doubtBody struct {
	Reason string        `json:"reason"`
	Since  brimline.Time `json:"since"`
	UpTo   brimline.Time `json:"up_to"`
}

// futureBody are retained rows that do not count yet.
type futureBody struct {
	Rows  int           `json:"rows"`
	First brimline.Time `json:"first"`
	Last  brimline.Time `json:"last"`
}

type asOfBody struct {
	Partition   int32 `json:"partition"`
	InputOffset int64 `json:"input_offset"` // -1: nothing folded yet
	TableOffset int64 `json:"table_offset"`
	Lag         int64 `json:"lag"` // -1: not known
}

type userRuleBody struct {
	ruleBody
	Total    *string        `json:"total"` // null, as distance, while the user is distrusted: only PostgreSQL knows
	Count    *int64         `json:"count"`
	Distance *string        `json:"distance"` // limit - total; below zero: above the limit
	Above    bool           `json:"above"`
	Complete bool           `json:"complete"`
	Newest   *brimline.Time `json:"newest,omitempty"`
	Ahead    *aheadBody     `json:"ahead,omitempty"`
	ClearsAt *brimline.Time `json:"clears_at,omitempty"` // if nothing more comes
	Edges    []edgeBody     `json:"edges"`
}

type aheadBody struct {
	Total string `json:"total"`
	Count int64  `json:"count"`
}

type edgeBody struct {
	Time   brimline.Time `json:"time"`
	Status string        `json:"status"`
}

type rowBody struct {
	ID      string         `json:"id"`
	Time    brimline.Time  `json:"time"`
	Amount  string         `json:"amount"`
	Columns map[string]any `json:"columns,omitempty"`
}

type ruleBody struct {
	ID            string `json:"id"`
	Description   string `json:"description,omitempty"`
	Severity      string `json:"severity,omitempty"`
	Window        string `json:"window"`
	WindowSeconds int64  `json:"window_seconds"`
	Measure       string `json:"measure"`
	Where         string `json:"where,omitempty"`
	Limit         string `json:"limit"`
	Mode          string `json:"mode,omitempty"`
	Quiet         string `json:"quiet,omitempty"`
	Rearm         string `json:"rearm,omitempty"`
}

func ruleOf(r *brimline.Rule, amountScale int) ruleBody {
	mode := ""
	if r.Shadow {
		mode = "shadow"
	}
	quiet := ""
	if r.Quiet != 0 {
		quiet = rules.FormatWindow(r.Quiet)
	}
	rearm := ""
	if r.Rearms {
		rearm = r.Rearm.Format(r.Measure.Scale(amountScale))
	}
	return ruleBody{
		Mode: mode, Quiet: quiet, Rearm: rearm,
		ID: r.ID, Description: r.Description, Severity: r.Severity,
		Window: rules.FormatWindow(r.Window), WindowSeconds: int64(r.Window.Seconds()),
		Measure: r.Measure.String(), Where: r.Where, Limit: r.Limit.Format(r.Measure.Scale(amountScale)),
	}
}

func edgeStatus(s brimline.EdgeStatus) string {
	switch s {
	case brimline.Disturbed:
		return "disturbed"
	case brimline.EdgeDismissed:
		return "disproved"
	default:
		return "announced"
	}
}

const (
	standardRows = 100
	mostRows     = 10000
)

func (h *handler) user(w http.ResponseWriter, r *http.Request) {
	rows, err := number(r, "rows", standardRows, mostRows)
	var u views.User
	if err == nil {
		u, err = h.lookUp(r.Context(), r.PathValue("id"))
	}
	if err != nil {
		writeError(w, statusOf(err), err)
		return
	}
	writeJSON(w, http.StatusOK, userOf(&u, rows))
}

func userOf(u *views.User, rows int) userBody {
	body := userBody{
		ID: u.ID, Found: u.Found, Now: u.Now, Rules: []userRuleBody{}, Rows: []rowBody{}, RowsTotal: len(u.Rows),
		AsOf: asOfBody{Partition: u.AsOf.Partition, InputOffset: u.AsOf.Input, TableOffset: u.AsOf.Table, Lag: u.AsOf.Lag},
	}
	if u.Floor != brimline.MinTime {
		body.DroppedTo = &u.Floor
	}
	if d := u.Doubt; d != nil {
		body.Distrusted = &doubtBody{string(d.Reason), d.At, d.Floor}
	}
	if n, first, last := u.Future(); n > 0 {
		body.Future = &futureBody{n, first, last}
	}
	for i := range u.Rules {
		f := &u.Rules[i]
		rule := userRuleBody{
			ruleBody: ruleOf(&f.Rule, u.Scale), Above: f.Above(), Complete: f.Complete, Newest: f.Newest, Edges: []edgeBody{},
			ClearsAt: f.ClearsAt,
		}
		if !f.Distrusted {
			rule.Total, rule.Count = new(f.At.Total.Format(f.Scale)), new(f.At.Count)
			rule.Distance = new(f.Distance.Format(f.Scale))
		}
		if f.Ahead != nil && !f.Distrusted {
			rule.Ahead = &aheadBody{f.Ahead.Total.Format(f.Scale), f.Ahead.Count}
		}
		for _, e := range f.Edges {
			rule.Edges = append(rule.Edges, edgeBody{e.Time, edgeStatus(e.Status)})
		}
		body.Rules = append(body.Rules, rule)
	}
	for _, t := range slices.Backward(u.Rows) {
		if len(body.Rows) == rows {
			break
		}
		row := rowBody{ID: t.ID, Time: t.Time, Amount: t.Amount.Format(u.Scale)}
		for _, c := range t.Columns {
			if row.Columns == nil {
				row.Columns = map[string]any{}
			}
			row.Columns[c.Name] = c.Value
		}
		body.Rows = append(body.Rows, row)
	}
	return body
}

func (h *handler) userAlerts(w http.ResponseWriter, r *http.Request) {
	alerts, err := h.alertsOf(r.PathValue("id"))
	writeAlerts(w, alerts, err)
}

// alertsOf gives the alerts of a user that the index keeps.
func (h *handler) alertsOf(id string) ([]*brimline.Alert, error) {
	if h.Alerts == nil {
		return nil, errNoView("alerts")
	}
	if err := checkID(id); err != nil {
		return nil, err
	}
	return h.Alerts.User(id)
}

// writeAlerts writes alerts as they stand in the alerts topic: docs/alert.schema.json.
func writeAlerts(w http.ResponseWriter, alerts []*brimline.Alert, err error) {
	records := make([]json.RawMessage, len(alerts))
	for i, a := range alerts {
		if err == nil {
			records[i], err = codecs.Alert{}.Encode(a)
		}
	}
	if err != nil {
		writeError(w, statusOf(err), err)
		return
	}
	writeJSON(w, http.StatusOK, map[string][]json.RawMessage{"alerts": records})
}

func (h *handler) ready(w http.ResponseWriter, r *http.Request) {
	s := h.Status(r.Context())
	reasons := s.NotReady()
	status := http.StatusOK
	if len(reasons) > 0 {
		status = http.StatusServiceUnavailable
	}
	// Probes come without a token, and need no more than that.
	if visitOf(r).role < access.Read {
		writeJSON(w, status, struct {
			Ready    bool     `json:"ready"`
			Reasons  []string `json:"reasons"`
			Degraded []string `json:"degraded"`
			Group    string   `json:"group"`
			Instance string   `json:"instance"`
		}{len(reasons) == 0, reasons, s.Degraded(), s.Group, s.Instance})
		return
	}
	writeJSON(w, status, struct {
		Ready    bool     `json:"ready"`
		Reasons  []string `json:"reasons"` // why it is not
		Degraded []string `json:"degraded"`
		Status
	}{len(reasons) == 0, reasons, s.Degraded(), s.complete()})
}

func (h *handler) status(w http.ResponseWriter, r *http.Request) {
	writeJSON(w, http.StatusOK, h.Status(r.Context()).complete())
}

func (h *handler) rules(w http.ResponseWriter, _ *http.Request) {
	body := struct {
		Scale           int        `json:"scale"`
		Retention       string     `json:"retention"`
		RetentionSecond int64      `json:"retention_seconds"`
		Rules           []ruleBody `json:"rules"`
	}{h.Rules.Scale, rules.FormatWindow(h.Rules.Retention()), int64(h.Rules.Retention().Seconds()), []ruleBody{}}
	for i := range h.Rules.Rules {
		body.Rules = append(body.Rules, ruleOf(&h.Rules.Rules[i], h.Rules.Scale))
	}
	writeJSON(w, http.StatusOK, body)
}

type topicBody struct {
	Topic string `json:"topic"`
	Key   string `json:"key"`
	What  string `json:"what"`
}

func (h *handler) topology(w http.ResponseWriter, _ *http.Request) {
	type stage struct {
		Name  processors.StageName `json:"name"`
		Group string               `json:"group"`
		In    []topicBody          `json:"in"`
		Out   []topicBody          `json:"out"`
		Table *topicBody           `json:"table,omitempty"`
		Loop  *topicBody           `json:"loop,omitempty"`
	}
	stages := []stage{}
	for _, s := range processors.Topology(h.Streams) {
		stages = append(stages, stage{s.Name, s.Group, topicsOf(s.In), topicsOf(s.Out), topicOf(s.Table), topicOf(s.Loop)})
	}
	writeJSON(w, http.StatusOK, map[string]any{"stages": stages})
}

func topicOf(e *processors.Stream) *topicBody {
	if e == nil {
		return nil
	}
	return &topicBody{e.Topic, e.Key, e.What}
}

func topicsOf(edges []processors.Stream) []topicBody {
	out := []topicBody{}
	for i := range edges {
		out = append(out, *topicOf(&edges[i]))
	}
	return out
}
