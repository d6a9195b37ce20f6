package httpapi

import (
	"context"
	"net/http"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/explain"
)

// explain says why there was an alert for a user, or none.
func (h *handler) explain(w http.ResponseWriter, r *http.Request) {
	body, err := h.explained(r)
	if err != nil {
		writeError(w, statusOf(err), err)
		return
	}
	writeJSON(w, http.StatusOK, body)
}

func (h *handler) explained(r *http.Request) (map[string]any, error) {
	if h.Options.Explain == nil {
		return nil, errNoView("users")
	}
	q := explain.Question{User: r.PathValue("id")}
	if err := checkID(q.User); err != nil {
		return nil, err
	}
	rows, err := number(r, "rows", standardRows, mostRows)
	if err != nil {
		return nil, err
	}
	c, err := choose(r, []string{"rule"})
	if err != nil {
		return nil, err
	}
	q.Rule = c.Equal["rule"]
	if r.URL.Query().Has("at") {
		at, err := timeParameter("at", r.URL.Query().Get("at"))
		if err != nil {
			return nil, err
		}
		q.At = brimline.TimeOf(at)
	}
	ctx, cancel := context.WithTimeout(r.Context(), looksFor)
	defer cancel()
	reports, err := h.Options.Explain.Explain(ctx, q)
	if err != nil {
		return nil, late(err)
	}
	all := []explain.Body{}
	for _, report := range reports {
		all = append(all, report.Body(rows))
	}
	return map[string]any{"user_id": q.User, "explanations": all}, nil
}
