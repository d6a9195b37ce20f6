package httpapi

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/present"
)

// alertsCSV gives what alerts gives as a table. The next page is in the header Link.
func (h *handler) alertsCSV(w http.ResponseWriter, r *http.Request) {
	p, err := h.lookFor(r, h.Streams.Alerts, true, alertFilters, standardCSV, mostCSV)
	var body bytes.Buffer
	if err == nil {
		err = writeTable(&body, p.records)
	}
	if err != nil {
		writeError(w, statusOf(err), err)
		return
	}
	if p.next != "" {
		query := r.URL.Query()
		query.Set("cursor", p.next)
		next := url.URL{Path: r.URL.Path, RawQuery: query.Encode()}
		w.Header().Set("Link", "<"+next.String()+`>; rel="next"`)
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8; header=present")
	w.Header().Set("Content-Disposition", `attachment; filename="alerts.csv"`)
	_, _ = w.Write(body.Bytes())
}

var tableHeader = []string{
	"recorded_at", "id", "status", "user_id", "rule", "severity", "measure", "window", "edge_time",
	"limit", "before", "total", "count", "figures_of", "verified_at", "transaction_id", "transaction_amount",
	"supersedes",
}

func writeTable(to *bytes.Buffer, records []json.RawMessage) error {
	table := csv.NewWriter(to)
	if err := table.Write(tableHeader); err != nil {
		return err
	}
	for _, record := range records {
		decoded, err := codecs.Alert{}.Decode(record)
		if err != nil {
			return err
		}
		var place struct {
			Recorded struct{ At string } `json:"recorded"`
		}
		if err := json.Unmarshal(record, &place); err != nil {
			return err
		}
		a := decoded.(*brimline.Alert)
		c := &a.Candidate
		scale := c.Rule.Measure.Scale(c.Scale)
		figures, of, verified := c.Stream, "stream", ""
		if a.Database != nil {
			figures, of = *a.Database, "database"
		}
		if a.Verification.At != 0 {
			verified = a.Verification.At.String()
		}
		if err := table.Write([]string{
			place.Recorded.At, present.Cell(c.ID()), string(a.Verification.Status), present.Cell(c.User),
			present.Cell(c.Rule.ID),
			present.Cell(c.Rule.Severity), c.Rule.Measure.String(),
			present.Duration(c.Rule.Window), c.Edge.String(), c.Rule.Limit.Format(scale), figures.Before.Format(scale),
			figures.Total.Format(scale), strconv.FormatInt(figures.Count, 10), of, verified, present.Cell(c.Trigger.ID),
			c.Trigger.Amount.Format(c.Scale), present.Cell(strings.Join(a.SupersededIDs(), " ")),
		}); err != nil {
			return err
		}
	}
	table.Flush()
	return table.Error()
}
