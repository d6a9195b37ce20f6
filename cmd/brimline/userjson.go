package main

import (
	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/rules"
	"github.com/brimline/brimline/views"
)

// userJSON is what `user --json` writes. Amounts are decimal strings.
type userJSON struct {
	User     string        `json:"user_id"`
	Found    bool          `json:"found"`
	Now      brimline.Time `json:"now"`
	Retained int           `json:"retained_transactions"`
	Future   *userFuture   `json:"future,omitempty"` // retained transactions that do not count yet
	Rules    []userRule    `json:"rules"`
	// Distrusted: rows up to a time were forgotten, because they were not PostgreSQL's.
	Distrusted *userDoubt `json:"distrusted,omitempty"`
	AsOf       userAsOf   `json:"as_of"`
	Rows       *[]userRow `json:"rows,omitempty"` // with --rows, oldest first
}

type userRow struct {
	ID      string        `json:"id"`
	Time    brimline.Time `json:"time"`
	Amount  string        `json:"amount"`
	Counted []string      `json:"counted_by"` // rules of whose total or count it is at the time of the figures
}

type userDoubt struct {
	Reason brimline.DistrustReason `json:"reason"`
	Since  brimline.Time           `json:"since"`
	UpTo   brimline.Time           `json:"up_to"`
}

type userFuture struct {
	Transactions int           `json:"transactions"`
	First        brimline.Time `json:"first"`
	Last         brimline.Time `json:"last"`
}

type userRule struct {
	ID       string           `json:"id"`
	Window   string           `json:"window"`
	Measure  brimline.Measure `json:"measure"`
	Limit    string           `json:"limit"`
	Quiet    string           `json:"quiet,omitempty"`
	Rearm    string           `json:"rearm,omitempty"`
	Total    *string          `json:"total"` // null, as count and distance, while the user is distrusted
	Count    *int64           `json:"count"`
	Distance *string          `json:"distance"` // limit less total
	Above    bool             `json:"above"`
	Complete bool             `json:"complete"`        // false: the window reaches below the retained history
	Ahead    *userAhead       `json:"ahead,omitempty"` // at the newest transaction, where that is dated in the future
	// ClearsAt is when the total is at or below the limit if nothing more comes.
	ClearsAt *brimline.Time `json:"clears_at,omitempty"`
	With     *userWith      `json:"with,omitempty"` // of --with
}

type userWith struct {
	Total  *string `json:"total"` // null while the user is distrusted
	Counts bool    `json:"counts"`
	// Alerts: an alert would be raised; null while the user is distrusted, and where PostgreSQL alone can say whether the
	// crossing is silent.
	Alerts *bool `json:"alerts"`
}

type userAhead struct {
	Total string `json:"total"`
	Count int64  `json:"count"`
}

type userAsOf struct {
	Partition int32 `json:"partition"`
	Change    int64 `json:"change"`       // offset of the last change folded in, -1 for none
	Table     int64 `json:"table_offset"` // newest record of the table that was read
	Lag       int64 `json:"lag"`          // records not read yet, -1 when not known
}

func userRecord(u views.User, with []views.WithRow) userJSON {
	r := userJSON{
		User: u.ID, Found: u.Found, Now: u.Now, Retained: len(u.Rows), Rules: []userRule{},
		AsOf: userAsOf{u.AsOf.Partition, u.AsOf.Input, u.AsOf.Table, u.AsOf.Lag},
	}
	if n, first, last := u.Future(); n > 0 {
		r.Future = &userFuture{n, first, last}
	}
	if d := u.Doubt; d != nil {
		r.Distrusted = &userDoubt{d.Reason, d.At, d.Floor}
	}
	for i := range u.Rules {
		f := &u.Rules[i]
		rule := userRule{
			ID: f.Rule.ID, Window: rules.FormatWindow(f.Rule.Window), Measure: f.Rule.Measure,
			Limit: f.Rule.Limit.Format(f.Scale), Above: f.Above(), Complete: f.Complete,
			ClearsAt: f.ClearsAt,
		}
		if f.Rule.Quiet != 0 {
			rule.Quiet = rules.FormatWindow(f.Rule.Quiet)
		}
		if f.Rule.Rearms {
			rule.Rearm = f.Rule.Rearm.Format(f.Scale)
		}
		if with != nil {
			rule.With = &userWith{Counts: with[i].Counts}
			if !f.Distrusted {
				rule.With.Total = new(with[i].At.Total.Format(f.Scale))
			}
			if !f.Distrusted && !(with[i].Alerts && f.Rule.Silences()) {
				rule.With.Alerts = &with[i].Alerts
			}
		}
		if !f.Distrusted {
			rule.Total, rule.Count = new(f.At.Total.Format(f.Scale)), new(f.At.Count)
			rule.Distance = new(f.Distance.Format(f.Scale))
		}
		if f.Ahead != nil && !f.Distrusted {
			rule.Ahead = &userAhead{f.Ahead.Total.Format(f.Scale), f.Ahead.Count}
		}
		r.Rules = append(r.Rules, rule)
	}
	return r
}
