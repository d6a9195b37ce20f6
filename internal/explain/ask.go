package explain

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/feed"
	"github.com/brimline/brimline/internal/sliding"
	"github.com/brimline/brimline/processors"
	"github.com/brimline/brimline/views"
)

// Users gives what the window table has of a user; *views.Windows does.
type Users interface {
	User(ctx context.Context, id string, now brimline.Time) (views.User, error)
}

// Ledger asks PostgreSQL; *ledger.Ledger does.
type Ledger interface {
	Figures(ctx context.Context, user string, rule *sliding.Rule, at brimline.Time, after ...brimline.Source) (
		brimline.Figures, uint64, error)
	Rows(ctx context.Context, user string, from, to brimline.Time) ([]brimline.Transaction, uint64, error)
}

// Asker gathers evidence and reports. It is safe for concurrent use.
type Asker struct {
	Users   Users
	Log     feed.Log
	Ledger  func(context.Context) (Ledger, error) // nil: PostgreSQL is not asked
	Streams processors.Streams
	Rules   []sliding.Rule
	Most    int // how many offsets of a topic are looked at; 0: all
	Now     func() time.Time
}

// Question is about a user, all rules or one of them, with all its limits, and a time; 0 is that of the user's newest
// row, and now where there is none.
type Question struct {
	User, Rule string
	At         brimline.Time
}

// Explain answers for each rule that is asked about. A rule that there is not is an error of ClassInput; a user whom
// nothing is known of is none. That PostgreSQL cannot tell stands in the reports.
func (a *Asker) Explain(ctx context.Context, q Question) ([]*Report, error) {
	asked, err := a.chosen(q.Rule)
	if err != nil {
		return nil, err
	}
	var db Ledger
	var away error
	if a.Ledger != nil {
		db, away = a.Ledger(ctx)
	}
	at := q.At
	if at == 0 {
		if at, err = a.newest(ctx, db, q.User); err != nil {
			return nil, err
		}
	}
	user, err := a.Users.User(ctx, q.User, at)
	if err != nil {
		return nil, err
	}
	letters, err := a.letters(ctx, q.User)
	if err != nil {
		return nil, err
	}
	var reports []*Report
	for _, rule := range asked {
		e := &Evidence{Rule: rule, User: user, Letters: letters, Asks: a.Streams.Asks}
		topic := a.Streams.Alerts
		if rule.Shadow {
			topic = a.Streams.Shadow
		}
		if e.Alerts, e.AlertsCut, err = a.alerts(ctx, topic, q.User, rule.ID); err != nil {
			return nil, err
		}
		if e.Dismissed, _, err = a.alerts(ctx, a.Streams.Dismissed, q.User, rule.ID); err != nil {
			return nil, err
		}
		failed := away
		if db != nil {
			e.Database, failed = consult(ctx, db, q.User, rule, at)
		}
		r := e.Report()
		r.DatabaseError = failed
		reports = append(reports, r)
	}
	return reports, nil
}

// chosen are the rules that are asked about.
func (a *Asker) chosen(id string) (asked []*sliding.Rule, err error) {
	var names []string
	for i := range a.Rules {
		r := &a.Rules[i]
		names = append(names, r.ID)
		if id == "" || r.ID == id || r.Of() == id {
			asked = append(asked, r)
		}
	}
	if len(asked) == 0 {
		return nil, &brimline.Error{
			Class: brimline.ClassInput, Kind: "rule_unknown", Where: "rule",
			Remedy: "the rules in force are " + strings.Join(names, ", "), Err: fmt.Errorf("there is no rule %q", id),
		}
	}
	return asked, nil
}

// newest is the time of the user's newest row, now where there is none.
func (a *Asker) newest(ctx context.Context, db Ledger, id string) (brimline.Time, error) {
	now := brimline.TimeOf(a.Now())
	user, err := a.Users.User(ctx, id, now)
	if err != nil {
		return 0, err
	}
	var at brimline.Time
	from := brimline.MinTime
	if n := len(user.Rows); n > 0 {
		at = user.Rows[n-1].Time
		from = at + 1
	}
	if db != nil { // it may have rows that the stream has not brought
		if rows, _, err := db.Rows(ctx, id, from, brimline.MaxTime); err == nil && len(rows) > 0 {
			at = rows[len(rows)-1].Time
		}
	}
	if at == 0 {
		return now, nil
	}
	return at, nil
}

// alerts are the alerts of a topic for a user and a rule, newest first, and whether there were others before them.
func (a *Asker) alerts(ctx context.Context, topic, user, rule string) (all []*brimline.Alert, cut bool, err error) {
	f := &feed.Filter{Equal: map[string]string{"user": user, "rule": rule}}
	own := func(n int) int32 { return processors.Partition(user, n) }
	seen, err := feed.Look(ctx, a.Log, topic, own, f, a.Most, func(m *feed.Record) bool {
		if v, err := (codecs.Alert{}).Decode(m.Value); err == nil {
			if alert := v.(*brimline.Alert); alert.Candidate.Rule.ID == rule {
				all = append(all, alert)
			}
		}
		return true
	})
	return all, seen.Lost || !seen.Done, err
}

// letters are the dead letters that concern the user, newest first.
func (a *Asker) letters(ctx context.Context, user string) (all []*brimline.DeadLetter, err error) {
	_, err = feed.Look(ctx, a.Log, a.Streams.DeadLetters, nil, &feed.Filter{}, a.Most, func(m *feed.Record) bool {
		if v, err := (codecs.DeadLetter{}).Decode(m.Value); err == nil {
			d := v.(*brimline.DeadLetter)
			if c := ConcernOf(d, user); c.Any() {
				all = append(all, d)
			}
		}
		return true
	})
	return all, err
}

// reaches are how many windows back an edge is looked for, one after the other.
var reaches = [...]int64{1, 4, 16, 64}

// mostTries bounds how often rows are read that differ from the aggregate before, since some came between.
const mostTries = 3

// consult asks PostgreSQL.
func consult(ctx context.Context, db Ledger, user string, rule *sliding.Rule, at brimline.Time) (*Database, error) {
	for _, reach := range reaches {
		if int64(rule.Window) > math.MaxInt64/reach {
			break
		}
		d, err := snapshot(ctx, db, user, rule, at, reach)
		if errors.Is(err, sliding.ErrManyRows) && reach > reaches[0] {
			break
		}
		if err != nil {
			return nil, many(err, user)
		}
		_, found := lastEdge(d.Rows, rule, d.From, at)
		if found || !rule.Above(d.Figures) || reach == reaches[len(reaches)-1] {
			return d, nil
		}
	}
	d, err := snapshot(ctx, db, user, rule, at, reaches[0])
	return d, many(err, user)
}

// snapshot asks for the aggregate, and for rows that give the same.
func snapshot(
	ctx context.Context, db Ledger, user string, rule *sliding.Rule, at brimline.Time, reach int64,
) (d *Database, err error) {
	for range mostTries {
		d = &Database{From: at.Add(-rule.Window * time.Duration(reach))}
		if d.Figures, _, err = db.Figures(ctx, user, rule, at); err != nil {
			return nil, err
		}
		if d.Rows, d.LSN, err = db.Rows(ctx, user, d.From.Add(-rule.Reach()), at); err != nil {
			return nil, err
		}
		if sliding.FiguresAt(d.Rows, rule, at) == d.Figures {
			return d, nil
		}
	}
	return nil, &brimline.Error{
		Class: brimline.ClassRuntime, Kind: "rows_change", Where: "user " + user, Remedy: "ask again in a moment",
		Err: errors.New("the user's rows change while PostgreSQL is asked"),
	}
}

func many(err error, user string) error {
	if !errors.Is(err, sliding.ErrManyRows) {
		return err
	}
	return &brimline.Error{
		Class: brimline.ClassRuntime, Kind: "many_rows", Where: "user " + user,
		Remedy: "go by the stream's figures, and `brimline backtest`", Err: err,
	}
}
