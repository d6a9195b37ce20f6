package httpapi

import (
	"encoding/json"
	"net/http"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/body"
	"github.com/brimline/brimline/internal/present"
	"github.com/brimline/brimline/processors"
	"github.com/brimline/brimline/views"
)

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
	writeJSON(w, http.StatusOK, body.UserOf(&u, rows))
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
	all := struct {
		Scale           int         `json:"scale"`
		Retention       string      `json:"retention"`
		RetentionSecond int64       `json:"retention_seconds"`
		Rules           []body.Rule `json:"rules"`
	}{h.Rules.Scale, present.Duration(h.Rules.Retention()), int64(h.Rules.Retention().Seconds()), []body.Rule{}}
	for i := range h.Rules.Rules {
		all.Rules = append(all.Rules, body.RuleOf(&h.Rules.Rules[i], h.Rules.Scale))
	}
	writeJSON(w, http.StatusOK, all)
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
