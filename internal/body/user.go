// Package body holds what the API and the commands both write as JSON. openapi.yaml describes it, and tests hold both
// to that. Amounts are decimal strings.
package body

import (
	"slices"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/present"
	"github.com/brimline/brimline/views"
)

// User is a user's rows and figures.
type User struct {
	ID        string         `json:"id"`
	Found     bool           `json:"found"`
	Now       brimline.Time  `json:"now"`
	AsOf      AsOf           `json:"as_of"`
	Rules     []UserRule     `json:"rules"`
	Rows      []Row          `json:"rows"`       // newest first
	RowsTotal int            `json:"rows_total"` // retained; rows holds at most what was asked for
	Future    *Future        `json:"future,omitempty"`
	DroppedTo *brimline.Time `json:"dropped_to,omitempty"`
	// Distrusted: rows up to a time were forgotten, because they were not PostgreSQL's.
	Distrusted *Doubt `json:"distrusted,omitempty"`
}

// Doubt is since when, why, and up to which time a user is distrusted.
type Doubt struct {
	Reason string        `json:"reason"`
	Since  brimline.Time `json:"since"`
	UpTo   brimline.Time `json:"up_to"`
}

// Future are retained rows that do not count yet.
type Future struct {
	Rows  int           `json:"rows"`
	First brimline.Time `json:"first"`
	Last  brimline.Time `json:"last"`
}

// AsOf is which part of the stream the figures have seen.
type AsOf struct {
	Partition   int32 `json:"partition"`
	InputOffset int64 `json:"input_offset"` // -1: nothing folded yet
	TableOffset int64 `json:"table_offset"`
	Lag         int64 `json:"lag"` // -1: not known
}

// UserRule is a rule and the user's figures by it.
type UserRule struct {
	Rule
	Total    *string        `json:"total"` // null, as distance, while the user is distrusted: only PostgreSQL knows
	Count    *int64         `json:"count"`
	Distance *string        `json:"distance"` // limit - total; below zero: above the limit
	Above    bool           `json:"above"`
	Complete bool           `json:"complete"`
	Newest   *brimline.Time `json:"newest,omitempty"`
	Ahead    *Ahead         `json:"ahead,omitempty"`
	ClearsAt *brimline.Time `json:"clears_at,omitempty"` // if nothing more comes
	Edges    []Edge         `json:"edges"`
	With     *With          `json:"with,omitempty"` // of `brimline user --with` alone
}

// With has the figures after one more row.
type With struct {
	Total  *string `json:"total"` // null while the user is distrusted
	Counts bool    `json:"counts"`
	// Alerts: an alert would be raised; null while the user is distrusted, and where PostgreSQL alone can say whether the
	// crossing is silent.
	Alerts *bool `json:"alerts"`
}

// Ahead are the figures at the user's newest row, where that is dated in the future.
type Ahead struct {
	Total string `json:"total"`
	Count int64  `json:"count"`
}

// Edge is one that was announced.
type Edge struct {
	Time   brimline.Time `json:"time"`
	Status string        `json:"status"`
}

// Row is a retained row.
type Row struct {
	ID      string         `json:"id"`
	Time    brimline.Time  `json:"time"`
	Amount  string         `json:"amount"`
	Columns map[string]any `json:"columns,omitempty"`
	// CountedBy are the rules of whose total or count the row is at the time of the figures; of `brimline user --rows`.
	CountedBy *[]string `json:"counted_by,omitempty"`
}

// Rule is a rule as it was set.
type Rule struct {
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
	MinCount      int64  `json:"min_count,omitempty"`
	Of            string `json:"of,omitempty"`
}

// RuleOf gives a rule over amounts with that many decimals.
func RuleOf(r *brimline.Rule, amountScale int) Rule {
	mode := ""
	if r.Shadow {
		mode = "shadow"
	}
	quiet := ""
	if r.Quiet != 0 {
		quiet = present.Duration(r.Quiet)
	}
	rearm := ""
	if r.Rearms {
		rearm = r.Rearm.Format(r.Measure.Scale(amountScale))
	}
	return Rule{
		Mode: mode, Quiet: quiet, Rearm: rearm, MinCount: r.MinCount, Of: r.Column,
		ID: r.ID, Description: r.Description, Severity: r.Severity,
		Window: present.Duration(r.Window), WindowSeconds: int64(r.Window.Seconds()),
		Measure: r.Measure.String(), Where: r.Where, Limit: r.Limit.Format(r.Measure.Scale(amountScale)),
	}
}

// EdgeStatus names a status.
func EdgeStatus(s brimline.EdgeStatus) string {
	switch s {
	case brimline.Disturbed:
		return "disturbed"
	case brimline.EdgeDismissed:
		return "dismissed"
	case brimline.Unjudged:
		return "unjudged"
	default:
		return "announced"
	}
}

// UserOf gives a user with that many rows at most.
func UserOf(u *views.User, rows int) User {
	user := User{
		ID: u.ID, Found: u.Found, Now: u.Now, Rules: []UserRule{}, Rows: []Row{}, RowsTotal: len(u.Rows),
		AsOf: AsOf{Partition: u.AsOf.Partition, InputOffset: u.AsOf.Input, TableOffset: u.AsOf.Table, Lag: u.AsOf.Lag},
	}
	if u.Floor != brimline.MinTime {
		user.DroppedTo = &u.Floor
	}
	if d := u.Doubt; d != nil {
		user.Distrusted = &Doubt{string(d.Reason), d.At, d.Floor}
	}
	if n, first, last := u.Future(); n > 0 {
		user.Future = &Future{n, first, last}
	}
	for i := range u.Rules {
		f := &u.Rules[i]
		rule := UserRule{
			Rule: RuleOf(&f.Rule, u.Scale), Above: f.Above(), Complete: f.Complete, Newest: f.Newest, Edges: []Edge{},
			ClearsAt: f.ClearsAt,
		}
		if !f.Distrusted {
			rule.Total, rule.Count = new(f.At.Total.Format(f.Scale)), new(f.At.Count)
			rule.Distance = new(f.Distance.Format(f.Scale))
		}
		if f.Ahead != nil && !f.Distrusted {
			rule.Ahead = &Ahead{f.Ahead.Total.Format(f.Scale), f.Ahead.Count}
		}
		for _, e := range f.Edges {
			rule.Edges = append(rule.Edges, Edge{e.Time, EdgeStatus(e.Status)})
		}
		user.Rules = append(user.Rules, rule)
	}
	for _, t := range slices.Backward(u.Rows) {
		if len(user.Rows) == rows {
			break
		}
		user.Rows = append(user.Rows, RowOf(&t, u.Scale))
	}
	return user
}

// RowOf gives a row whose amount has that many decimals.
func RowOf(t *brimline.Transaction, scale int) Row {
	row := Row{ID: t.ID, Time: t.Time, Amount: t.Amount.Format(scale)}
	for _, c := range t.Columns {
		if row.Columns == nil {
			row.Columns = map[string]any{}
		}
		row.Columns[c.Name] = c.Value
	}
	return row
}
