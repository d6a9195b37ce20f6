package views

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sort"
	"sync/atomic"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/internal/sliding"
	"github.com/brimline/brimline/processors"
)

// User has the window table's figures of one user, evaluated at one time.
type User struct {
	ID string
	// The table holds something about the user; a user whose rows have all aged out may be gone from it.
	Found bool
	Scale int                    // decimals of amounts
	Now   brimline.Time          // when the figures are of
	Rules []RuleFigures          // one per rule, in the order of the rules
	Rows  []brimline.Transaction // all retained rows, oldest first, those later than Now included
	// Floor is the highest time of a row that is not retained, MinTime when there is none.
	Floor brimline.Time
	AsOf  AsOf
	// Doubt is the newest distrust of the user, nil where there is none: rows up to its floor were forgotten.
	Doubt *brimline.Doubt

	compiled []sliding.Rule // of Rules
}

// RuleFigures are one rule's figures for one user.
type RuleFigures struct {
	Rule  brimline.Rule
	Scale int              // decimals of the totals, the limit and the distance
	At    brimline.Figures // of the window that ends at User.Now
	// Distance is Limit - At.Total: how much more the user can move before the
	// next alert. Below zero the user is above the limit. Of an average it is Limit × At.Count - At.Total: the excess over
	// the limit of all transactions together, below zero.
	Distance brimline.Total
	// Complete is false when the window reaches down to rows that are not
	// retained any more, so that the figures may be too low.
	Complete bool
	// Distrusted says that the window reaches down to rows that were forgotten because they were not PostgreSQL's, so
	// that nothing can be said of its total: At, Distance and Ahead are of the rows that came since.
	Distrusted bool
	// Newest is the time of the newest transaction in the window; nil when the window is empty.
	Newest *brimline.Time
	// Ahead are the figures at the user's newest row when that is later than
	// User.Now (a clock that is ahead, a payment dated forward); nil otherwise.
	Ahead *brimline.Figures
	// ClearsAt is when the total is at or below the limit if nothing more comes; nil where it is not above, or where
	// that is not known.
	ClearsAt *brimline.Time
	// Edges are those announced to the user, oldest first.
	Edges []brimline.Edge
	// Quiet is the time up to which edges lie before the rule was there, or before the user was forgotten, and are not
	// announced; 0 where there is none.
	Quiet brimline.Time
	// Unjudged are the spans about which PostgreSQL was asked, and could not tell.
	Unjudged []brimline.Span
}

// Above reports whether the total is above the limit, as far as it is known.
func (r *RuleFigures) Above() bool { return !r.Distrusted && r.Rule.Above(r.At) }

// Future are the retained rows dated later than Now, which do not count yet: how many, and the times of the first and
// the last.
func (u *User) Future() (n int, first, last brimline.Time) {
	for i := len(u.Rows) - 1; i >= 0 && u.Rows[i].Time > u.Now; i-- {
		n, first = n+1, u.Rows[i].Time
	}
	if n > 0 {
		last = u.Rows[len(u.Rows)-1].Time
	}
	return n, first, last
}

// With has the figures of each rule after one more row, which comes now and has no columns, in the order of the
// rules, and whether it would raise an alert. Figures of a distrusted user, and of a window that is not complete, are
// of the rows that are retained.
func (u *User) With(amount brimline.Amount) []WithRow {
	row := brimline.Transaction{User: u.ID, Amount: amount, Time: u.Now}
	at := sort.Search(len(u.Rows), func(i int) bool { return u.Rows[i].Time > u.Now })
	rows := slices.Insert(slices.Clone(u.Rows), at, row)
	all := make([]WithRow, len(u.compiled))
	for i := range u.compiled {
		rule, without := &u.compiled[i], u.Rules[i].At
		_, all[i].Counts = rule.Weigh(&row)
		all[i].At = sliding.FiguresAt(rows, rule, u.Now)
		all[i].Alerts = !rule.Above(without) && rule.Above(all[i].At)
	}
	return all
}

// WithRow has the figures of a rule after one more row.
type WithRow struct {
	At     brimline.Figures
	Counts bool // the rule takes the row
	Alerts bool
}

// Windows answers from the window table. Its methods are safe for concurrent use.
type Windows struct {
	*tableView
	rules      atomic.Pointer[inForce]
	follow     bool // the rules are those of the group's record
	rulesTopic string
	client     kafka.Options
	log        *slog.Logger
}

// Open makes a view of the window table, connects to the brokers and reads
// the rules in force; of the table nothing is read before Run. A
// *brimline.Error of ClassEnvironment says what is missing.
func Open(ctx context.Context, c Config) (*Windows, error) {
	t, err := openTable(ctx, &c, c.streams().WindowTable, codecs.WindowPart{}, processors.KeepNewer)
	if err != nil {
		return nil, err
	}
	w := &Windows{tableView: t, follow: c.Rules == nil, rulesTopic: c.streams().Rules, client: c.kafka(), log: c.Log}
	if w.follow {
		if err = w.readRules(ctx, t.cluster); err != nil {
			err = openError(w.rulesTopic, err)
		}
	} else {
		var given *Rules
		given, err = CompileRules(c.Rules)
		w.rules.Store(&inForce{rules: given})
	}
	if err != nil {
		return nil, errors.Join(err, t.closeClients())
	}
	return w, nil
}

// Run follows the table, and the rules in force unless Config names others,
// until ctx ends, which is not an error. It may be called once; afterwards
// the view is closed.
func (w *Windows) Run(ctx context.Context) error {
	return w.run(ctx, func(ctx context.Context) {
		if w.follow {
			w.followRules(ctx)
		}
	})
}

// User gives the figures of a user as of now: brimline.TimeOf(time.Now()), or
// another time. An unknown user is not an error:
// Found is false and all totals are zero. The key is the user id's canonical text.
func (w *Windows) User(ctx context.Context, id string, now brimline.Time) (User, error) {
	if err := processors.CheckUser(id); err != nil { // keys of markers and segments among them
		return User{}, &brimline.Error{
			Class: brimline.ClassInput, Kind: "bad_user_id", Where: "looking up a user",
			Remedy: "give the user id as it stands in the table", Err: err,
		}
	}
	in := w.rules.Load()
	if in.err != nil {
		return User{}, in.err
	}
	partition := w.partition(id)
	var window *brimline.Window
	var marker *brimline.Marker
	err := w.read(func() (err error) {
		if window, err = w.whole(id); err != nil {
			return err
		}
		marker, err = w.marker(max(0, partition))
		return err
	})
	if err != nil {
		return User{}, err
	}
	u := UserAt(id, Truncated(window, marker), in.rules, now)
	u.AsOf.Partition = partition
	if partition >= 0 {
		// Read after the values, so that the answer is never older than it says.
		p := Progress{Offset: w.parts[partition].offset(), End: w.ends.of(ctx, partition)}
		u.AsOf.Table, u.AsOf.Lag = p.Offset, p.Lag()
	}
	return u, nil
}

// mostLooks bounds how often a value is read again whose segments have been replaced meanwhile.
const mostLooks = 100

// whole puts together a user's window, nil where there is none.
func (w *Windows) whole(id string) (whole *brimline.Window, err error) {
	for range mostLooks {
		value, err := w.window(id)
		if err != nil || value == nil {
			return nil, err
		}
		whole, _, err = codecs.AssembleWindow(value, func(n uint64) ([]byte, error) {
			return w.parts[w.partition(id)].get(processors.SegmentKey(id, n))
		})
		if isUnread(err) {
			return nil, w.failed(err)
		}
		if !errors.Is(err, codecs.ErrTorn) {
			return whole, err
		}
	}
	return nil, readError(w.name, err)
}

func (w *Windows) window(key string) (*brimline.Window, error) {
	v, err := w.get(key)
	if err != nil || v == nil {
		return nil, err
	}
	return v.(*brimline.Window), nil
}

// marker reads a partition's marker, nil where there is none.
func (w *Windows) marker(partition int32) (*brimline.Marker, error) {
	raw, err := w.parts[partition].get(processors.MarkerKey(partition, len(w.parts)))
	if err != nil {
		return nil, w.failed(err)
	}
	if raw == nil {
		return nil, nil
	}
	v, err := codecs.Marker{}.Decode(raw)
	if err != nil {
		return nil, readError(w.name, err)
	}
	return v.(*brimline.Marker), nil
}

// Truncated applies the TRUNCATE of a partition's marker to a user's window: rows that were folded before it are gone,
// but for newer ones. Either may be nil. What was announced stays.
func Truncated(window *brimline.Window, marker *brimline.Marker) *brimline.Window {
	if window == nil || marker == nil || window.Last > marker.TruncatedAt {
		return window
	}
	emptied := *window
	emptied.Rows = nil
	all := true
	if t := marker.Truncation; t != nil {
		for i := range window.Rows {
			if t.Spares(&window.Rows[i], window.Changed) {
				emptied.Rows = append(emptied.Rows, window.Rows[i])
			}
		}
		all = t.Whole && len(emptied.Rows) == 0 // nothing newer may have come and lie below the floor
	}
	if all {
		emptied.Floor, emptied.Doubt = brimline.MinTime, brimline.Doubt{}
	}
	return &emptied
}

// UserAt gives the figures of a window as of now; nil is a user who is not in the table.
func UserAt(id string, window *brimline.Window, rules *Rules, now brimline.Time) User {
	u := User{
		ID: id, Scale: rules.scale, Now: now, Floor: brimline.MinTime,
		AsOf: AsOf{Input: -1, Table: -1, Lag: -1}, compiled: rules.compiled,
	}
	if window != nil {
		u.Found, u.Scale, u.Floor = true, window.Scale, window.Floor
		if window.Doubt.Offset != 0 {
			u.Doubt = &window.Doubt
		}
		u.AsOf.Input = window.Last - 1
		u.Rows = make([]brimline.Transaction, len(window.Rows))
		for i := range window.Rows {
			u.Rows[i] = window.Rows[i].Transaction(id)
		}
	}
	for i := range u.compiled {
		u.Rules = append(u.Rules, u.figures(&u.compiled[i], window))
	}
	return u
}

func (u *User) figures(rule *sliding.Rule, window *brimline.Window) RuleFigures {
	at := sliding.FiguresAt(u.Rows, rule, u.Now)
	f := RuleFigures{
		Rule: rule.Rule, Scale: rule.Measure.Scale(u.Scale),
		At: at, Distance: rule.Bar(at.Count).Sub(at.Total),
		Complete: u.Floor < u.Now.Add(-rule.Window),
	}
	f.Distrusted = u.Doubt != nil && u.Doubt.Floor >= u.Now.Add(-rule.Window)
	if newest := sliding.Newest(u.Rows, rule, u.Now, 1); len(newest) > 0 {
		f.Newest = &newest[0].Time
	}
	if n := len(u.Rows); n > 0 && u.Rows[n-1].Time > u.Now {
		ahead := sliding.FiguresAt(u.Rows, rule, u.Rows[n-1].Time)
		f.Ahead = &ahead
	}
	if at, ok := sliding.ClearsAt(u.Rows, rule, u.Now); ok && f.Complete && !f.Distrusted {
		f.ClearsAt = &at
	}
	if window != nil {
		for _, state := range window.Rules {
			if state.Rule == rule.Fingerprint {
				f.Edges, f.Quiet, f.Unjudged = state.Edges, state.Quiet, state.Unjudged
			}
		}
	}
	return f
}
