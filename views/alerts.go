package views

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/table"
	"github.com/brimline/brimline/processors"
	"github.com/lovoo/goka"
	"github.com/lovoo/goka/storage"
)

// RecentKept is how many of the newest alerts Alerts keeps at hand.
const RecentKept = 500

// Alerts answers from the index of alerts by user. Its methods are safe for concurrent use.
type Alerts struct {
	*tableView
	recent recent
}

// OpenAlerts makes a view of the index table, as Open does of the window table.
func OpenAlerts(ctx context.Context, c Config) (*Alerts, error) {
	a := &Alerts{}
	t, err := openTable(ctx, &c, c.streams().IndexTable, codecs.AlertLog{}, a.update)
	if err != nil {
		return nil, err
	}
	a.tableView = t
	if c.Kept != nil {
		c.Kept.Listen(a.changed)
	}
	return a, nil
}

// User gives the alerts of a user that the index keeps, newest edge first; none is not an error.
func (a *Alerts) User(id string) ([]*brimline.Alert, error) {
	var alerts []*brimline.Alert
	err := a.read(func() error {
		v, err := a.get(id)
		if err != nil || v == nil {
			return err
		}
		alerts = slices.Clone(v.([]*brimline.Alert))
		return nil
	})
	slices.SortFunc(alerts, func(x, y *brimline.Alert) int {
		return cmp.Or(cmp.Compare(y.Candidate.Edge, x.Candidate.Edge), cmp.Compare(x.Candidate.Rule.ID, y.Candidate.Rule.ID))
	})
	return alerts, err
}

// Recent gives the newest n alerts of all users, newest first by Raised; at
// most RecentKept. The first call walks the whole index, later ones do not.
func (a *Alerts) Recent(_ context.Context, n int) ([]*brimline.Alert, error) {
	var alerts []*brimline.Alert
	err := a.read(func() error {
		if !a.isRead() {
			return a.failed(table.ErrUnread)
		}
		if a.kept != nil {
			a.recent.lost(a.kept.Losses())
		}
		err := a.recent.fill(func() error {
			return a.each(func(key string, value any) bool {
				a.recent.add(value.([]*brimline.Alert))
				return true
			})
		})
		alerts = a.recent.newest(n)
		return err
	})
	return alerts, err
}

// Raised is when an alert came to be: when PostgreSQL confirmed it, or where
// it was not asked, when the triggering row was committed, or else its edge.
func Raised(a *brimline.Alert) brimline.Time {
	return cmp.Or(a.Verification.At, a.Candidate.Source.Commit, a.Candidate.Edge)
}

// update stores a record of the index and keeps the recent alerts up to date.
func (a *Alerts) update(ctx goka.UpdateContext, s storage.Storage, key string, value []byte) error {
	if err := processors.KeepAlerts(ctx, s, key, value); err != nil {
		return err
	}
	a.changed(key, value)
	return nil
}

// changed keeps the recent alerts up to date.
func (a *Alerts) changed(key string, value []byte) {
	if processors.IsMarker(key) || !a.recent.wanted() {
		return
	}
	if value == nil {
		a.recent.forget(key)
		return
	}
	// A value that cannot be read fails the reads of its own user, not the view.
	if v, err := (codecs.AlertLog{}).Decode(value); err == nil {
		a.recent.add(v.([]*brimline.Alert))
	}
}

// recent are the newest alerts of all users. They are collected from the first
// question on: a view for one user's figures never needs them.
type recent struct {
	filling sync.Mutex
	filled  int // r.begin of the newest whole walk
	mu      sync.Mutex
	want    bool
	forgets int               // how many users were forgotten, and states lost, since it is wanted
	losses  int64             // of the table's states, of which the list knows
	alerts  []*brimline.Alert // newest first, each id once
}

// fill runs walk, which adds all alerts of the table, unless that was done before and no user was forgotten since: the
// places of such a user's alerts are those of older ones, which only the table has.
func (r *recent) fill(walk func() error) error {
	r.filling.Lock()
	defer r.filling.Unlock()
	for now := r.begin(); r.filled != now; now = r.begin() {
		if err := walk(); err != nil {
			return err
		}
		r.filled = now
	}
	return nil
}

// begin tells the state of the table, as a number above 0, for which a walk that begins now is good. The list is empty
// where there was none: what a walk before has found may have been deleted under it.
func (r *recent) begin() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.want = true // before the walk begins, so that what comes in meanwhile is not missed
	if r.filled != r.forgets+1 {
		r.alerts = nil
	}
	return r.forgets + 1
}

func (r *recent) forget(user string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forgets++
	r.alerts = slices.DeleteFunc(r.alerts, func(a *brimline.Alert) bool { return a.Candidate.User == user })
}

// lost has the table walked again where a state was lost since: alerts of it may be in the table no longer.
func (r *recent) lost(losses int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.losses != losses {
		r.losses = losses
		r.forgets++
	}
}

func (r *recent) wanted() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.want
}

func (r *recent) add(alerts []*brimline.Alert) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range alerts {
		at, found := slices.BinarySearchFunc(r.alerts, a, compareRecent)
		if found || at == RecentKept {
			continue
		}
		r.alerts = slices.Insert(r.alerts, at, a)
		r.alerts = r.alerts[:min(len(r.alerts), RecentKept)]
	}
}

func (r *recent) newest(n int) []*brimline.Alert {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.alerts[:max(0, min(n, len(r.alerts)))])
}

// compareRecent orders newest first; equal only for the same alert.
func compareRecent(x, y *brimline.Alert) int {
	return cmp.Or(cmp.Compare(Raised(y), Raised(x)), cmp.Compare(x.Candidate.ID(), y.Candidate.ID()))
}
