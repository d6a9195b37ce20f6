package feed

import (
	"cmp"
	"encoding/json"
	"strings"
	"time"

	"github.com/brimline/brimline"
)

// Filter chooses records of the topics of alerts, of dismissed candidates and of dead letters alike. What it does not
// name takes everything.
type Filter struct {
	// Equal are members by what a filter calls them: id, user, rule, severity, reason and kind. A rule without @ is
	// meant with all its limits.
	Equal    map[string]string
	From, To time.Time // of when records came to the topic; To is not included
}

// head has the members by which a filter chooses records.
type head struct {
	ID     string `json:"id"`
	UserID string `json:"user_id"` // of an alert
	User   string `json:"user"`    // of a dead letter
	Reason string `json:"reason"`
	Kind   string `json:"kind"`
	Rule   struct {
		ID       string `json:"id"`
		Severity string `json:"severity"`
	} `json:"rule"`
}

// Takes says whether a record is meant, and whether it could be read at all.
func (f *Filter) Takes(m *Record) (meant, readable bool) {
	var h head
	if json.Unmarshal(m.Value, &h) != nil || m.Value[0] != '{' {
		return false, false
	}
	if m.At.Before(f.From) || !f.To.IsZero() && !m.At.Before(f.To) {
		return false, true
	}
	for name, want := range f.Equal {
		if name == "rule" && !strings.Contains(want, "@") { // with all its tiers
			if r := (brimline.Rule{ID: h.Rule.ID}); r.Of() != want {
				return false, true
			}
			continue
		}
		have := map[string]string{
			"id": h.ID, "user": cmp.Or(h.UserID, h.User), "rule": h.Rule.ID, "severity": h.Rule.Severity,
			"reason": h.Reason, "kind": h.Kind,
		}[name]
		if have != want {
			return false, true
		}
	}
	return true, true
}
