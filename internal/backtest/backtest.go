package backtest

import (
	"context"
	"errors"
	"math"
	"slices"
	"sort"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/ledger"
	"github.com/brimline/brimline/internal/sliding"
)

// Options say which rows and rules a run evaluates.
type Options struct {
	Rules []sliding.Rule
	// Against are other rules, compared with Rules by their id, if Compare is set.
	Against []sliding.Rule
	Compare bool
	// From and To bound the edges; both are included. Rows are read from the furthest reach before From on.
	From, To brimline.Time
	// Timeout bounds each statement, Budget the whole; 0 is no bound.
	Timeout, Budget time.Duration
	// Each is given the alerts of Rules, by user, those of one user by the rules' order and by time; may be nil. An
	// alert is given once: where the reading would begin again, it fails.
	Each func(*Alert) error
	// Progress is told now and then how many rows and whole users have been read; may be nil.
	Progress func(rows, users int64)
}

// Alert is one that a rule would have sent.
type Alert struct {
	Rule *brimline.Rule
	User string
	sliding.Edge
}

// ID is the alert's id.
func (a *Alert) ID() string { return brimline.AlertID(a.User, a.Rule.ID, a.Time) }

// Report is the result of a backtest.
type Report struct {
	From, To    brimline.Time
	Oldest      brimline.Time // of the rows that were read, those before From included; MaxTime where there are none
	Newest      brimline.Time // MinTime where there are none
	Position    uint64        // of the write-ahead log, when the rows were as they were read
	Rows, Users int64         // that were read
	Rules       []*RuleReport // of Options.Rules, then those that only Options.Against has
}

// RuleReport counts the alerts that one rule would have sent.
type RuleReport struct {
	Rule *brimline.Rule // nil where only the other file has it
	Old  *brimline.Rule // nil where the other file does not have it, or there is none

	Alerts, Users int64 // of Rule
	Days          []Day // with alerts, by day
	Most          []UserAlerts
	Curve         *Curve // nil of a rule that silences edges: which, depends on all its edges

	compared bool
	// With another file: Old's alerts, those that both have, those that only Rule has, only Old, and those of
	// neither kind that are one crossing at two times.
	OldAlerts, Kept, Gained, Lost, Moved int64
	GainedExamples, LostExamples         []Alert
	MovedExamples                        []Move
}

// Day is a day in UTC, by its first moment.
type Day struct {
	At     brimline.Time
	Alerts int64
}

// UserAlerts is how many alerts a user has.
type UserAlerts struct {
	User   string
	Alerts int64
}

// Move is one crossing as the old and as the new rule find it.
type Move struct{ From, To Alert }

// How much a report shows.
const (
	mostUsers    = 10
	mostExamples = 5
)

// evaluatedAtLeast is how many rows are evaluated at once.
const evaluatedAtLeast = 4096

// errAgain says that alerts were given out that would come a second time.
var errAgain = &brimline.Error{
	Class: brimline.ClassEnvironment, Kind: "backtest_cut_off", Where: "reading all rows",
	Remedy: "run it again, at the primary, or at a standby with hot_standby_feedback = on",
	Err:    errors.New("the reading was cut off after alerts had been written, and would write them again"),
}

// Run evaluates all rows. An error of a row that cannot be added up, a bound that is reached, or the database's
// is as package ledger gives it.
func Run(ctx context.Context, l *ledger.Ledger, o Options) (*Report, error) {
	if o.Budget > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, o.Budget, errBudget)
		defer cancel()
	}
	var f *fold
	w := ledger.Walk{To: o.To, Timeout: o.Timeout}
	for _, rules := range [][]sliding.Rule{o.Rules, o.Against} {
		for i := range rules {
			w.Whole = w.Whole || rules[i].NeedsColumns()
		}
	}
	window, quiet := longest(&o)
	w.From = o.From.Add(-quiet).Add(-window)
	begin := func() (func(*brimline.Transaction) error, error) {
		if f != nil && f.given {
			return nil, errAgain
		}
		f = newFold(&o)
		return f.take, nil
	}
	position, err := l.Walk(ctx, w, begin)
	if err == nil {
		err = f.finish()
	}
	if err != nil {
		if cause := context.Cause(ctx); errors.Is(cause, errBudget) {
			err = errBudget
		}
		return nil, err
	}
	f.report.Position = position
	return f.done(), nil
}

var errBudget = &brimline.Error{
	Class: brimline.ClassEnvironment, Kind: "backtest_budget", Where: "--budget",
	Remedy: "give it more time, or a shorter span from --from to --to",
	Err:    errors.New("the time is over, and not all rows are read"),
}

// forEver is before any row.
const forEver = math.MaxInt64

// longest are the longest window, and for how long before Options.From edges may silence later ones.
func longest(o *Options) (window, quiet time.Duration) {
	for _, rules := range [][]sliding.Rule{o.Rules, o.Against} {
		for i := range rules {
			window, quiet = max(window, rules[i].Window), max(quiet, rules[i].Quiet)
			if rules[i].Rearms { // all rows from the first on decide
				quiet = forEver
			}
		}
	}
	return window, quiet
}

// fold takes rows by user and time, and evaluates them.
type fold struct {
	o       *Options
	begin   brimline.Time // from which edges are looked for: those before Options.From may make later ones silent
	longest time.Duration
	report  Report
	courses []*course
	given   bool // an alert was given to Options.Each

	user string
	rows []brimline.Transaction // of the user; those that no window to come reaches are gone
	next brimline.Time          // row times before it are evaluated
	few  int                    // rows are evaluated so many at once, or more
	due  int                    // length of rows at which they are evaluated
}

// course is one rule on its way through the rows.
type course struct {
	*RuleReport
	now, old *sliding.Rule
	same     bool // old finds the edges of now
	days     map[brimline.Time]int64
	curve    *Curve // nil of a rule that silences edges, or is about an average
	// Of the user: all alerts' number, and where rules are compared the edges; and what silences the next ones.
	alerts           int64
	edges, oldOnes   []sliding.Edge
	nowSaid, oldSaid said
}

// said is the latest edge of a user and rule, and what has come of a rule that rearms.
type said struct {
	at       brimline.Time
	any      bool
	disarmed bool
}

// alerts takes the figures of the next row time, and says whether that raises an alert.
func (s *said) alerts(rule *sliding.Rule, at brimline.Time, f brimline.Figures) bool {
	if rule.Rearms {
		if f.Before.Cmp(rule.Rearm) <= 0 {
			s.disarmed = false
		}
		above, disarmed := rule.Above(f), s.disarmed
		s.disarmed = disarmed || above
		return above && !disarmed
	}
	if !rule.IsEdge(f) {
		return false
	}
	silent := s.any && s.at >= at.Add(-rule.Quiet)
	s.at, s.any = at, true
	return !silent
}

func newFold(o *Options) *fold {
	window, quiet := longest(o)
	f := &fold{o: o, longest: window, begin: o.From.Add(-quiet), few: evaluatedAtLeast}
	f.next = f.begin
	f.report = Report{From: o.From, To: o.To, Oldest: brimline.MaxTime, Newest: brimline.MinTime}
	add := func(now, old *sliding.Rule) {
		c := &course{RuleReport: &RuleReport{compared: o.Compare}, now: now, old: old}
		if now != nil {
			if c.Rule, c.days = &now.Rule, map[brimline.Time]int64{}; !now.Silences() && now.Measure != brimline.Avg {
				c.curve = newCurve(mostChanges)
			}
		}
		if old != nil {
			c.Old = &old.Rule
		}
		c.same = now != nil && old != nil && now.Fingerprint == old.Fingerprint
		f.courses, f.report.Rules = append(f.courses, c), append(f.report.Rules, c.RuleReport)
	}
	find := func(rules []sliding.Rule, id string) *sliding.Rule {
		for i := range rules {
			if rules[i].ID == id {
				return &rules[i]
			}
		}
		return nil
	}
	for i := range o.Rules {
		add(&o.Rules[i], find(o.Against, o.Rules[i].ID))
	}
	for i := range o.Against {
		if find(o.Rules, o.Against[i].ID) == nil {
			add(nil, &o.Against[i])
		}
	}
	return f
}

func (f *fold) take(row *brimline.Transaction) error {
	if f.report.Rows == 0 || row.User != f.user {
		if err := f.finish(); err != nil {
			return err
		}
		f.user, f.due = row.User, f.few
	}
	f.report.Rows++
	f.report.Oldest, f.report.Newest = min(f.report.Oldest, row.Time), max(f.report.Newest, row.Time)
	f.rows = append(f.rows, *row)
	if len(f.rows) >= f.due {
		return f.evaluate(row.Time - 1)
	}
	return nil
}

// evaluate looks at row times that are not evaluated yet, up to a time at which no further row can come.
func (f *fold) evaluate(to brimline.Time) error {
	for _, c := range f.courses {
		if err := f.look(c, to); err != nil {
			return err
		}
	}
	f.next = max(f.next, to+1)
	reach := f.next.Add(-f.longest)
	gone := sort.Search(len(f.rows), func(i int) bool { return f.rows[i].Time >= reach })
	f.rows = slices.Delete(f.rows, 0, gone)
	f.due = len(f.rows) + max(f.few, len(f.rows)/2)
	if f.o.Progress != nil {
		f.o.Progress(f.report.Rows, f.report.Users)
	}
	return nil
}

func (f *fold) look(c *course, to brimline.Time) (err error) {
	if c.now != nil {
		sliding.Walk(f.rows, c.now, f.next, to, func(t brimline.Time, figures brimline.Figures) {
			if c.curve != nil && t >= f.o.From {
				c.curve.add(figures)
			}
			if err != nil || !c.nowSaid.alerts(c.now, t, figures) || t < f.o.From {
				return
			}
			edge := sliding.Edge{Time: t, Figures: figures}
			c.alerts++
			c.days[t-(t%day+day)%day]++
			if f.o.Compare {
				c.edges = append(c.edges, edge)
			}
			if f.o.Each != nil {
				f.given = true
				err = f.o.Each(&Alert{Rule: c.Rule, User: f.user, Edge: edge})
			}
		})
	}
	if c.old != nil && !c.same {
		sliding.Walk(f.rows, c.old, f.next, to, func(t brimline.Time, figures brimline.Figures) {
			if c.oldSaid.alerts(c.old, t, figures) && t >= f.o.From {
				c.oldOnes = append(c.oldOnes, sliding.Edge{Time: t, Figures: figures})
			}
		})
	}
	return err
}

const day = brimline.Time(24 * time.Hour / time.Microsecond)

// finish ends a user, if there is one.
func (f *fold) finish() error {
	if f.report.Rows == 0 {
		return nil
	}
	if err := f.evaluate(f.o.To); err != nil {
		return err
	}
	f.report.Users++
	for _, c := range f.courses {
		c.finish(f.user, f.o.Compare)
	}
	clear(f.rows)
	f.rows, f.next = f.rows[:0], f.begin
	return nil
}

func (c *course) finish(user string, compare bool) {
	c.nowSaid, c.oldSaid = said{}, said{}
	if c.alerts > 0 {
		c.Alerts, c.Users = c.Alerts+c.alerts, c.Users+1
		c.Most = append(c.Most, UserAlerts{user, c.alerts})
		// Stable, and users come in one order: the first of those with as many stays.
		slices.SortStableFunc(c.Most, func(a, b UserAlerts) int { return int(b.Alerts - a.Alerts) })
		c.Most = c.Most[:min(len(c.Most), mostUsers)]
		c.alerts = 0
	}
	if compare {
		old := c.oldOnes
		if c.same {
			old = c.edges
		}
		c.compare(user, c.edges, old)
		c.edges, c.oldOnes = c.edges[:0], c.oldOnes[:0]
	}
}

// compare puts a user's edges of two rules beside each other. An edge that only the old rule has and one that only the
// new one has are one crossing that moved if no other edge of either lies between them, and they are no further apart
// than the longer window.
func (c *course) compare(user string, now, old []sliding.Edge) {
	var open *Alert // an edge that only one of them has, which may have moved to the next
	openOld := false
	one := func(rule *brimline.Rule, e sliding.Edge) *Alert { return &Alert{Rule: rule, User: user, Edge: e} }
	settle := func() {
		switch {
		case open == nil:
		case openOld:
			c.Lost++
			c.LostExamples = example(c.LostExamples, *open, Alert.of)
		default:
			c.Gained++
			c.GainedExamples = example(c.GainedExamples, *open, Alert.of)
		}
		open = nil
	}
	meet := func(next *Alert, isOld bool) {
		if open != nil && openOld != isOld && next.Time <= open.Time.Add(max(c.now.Window, c.old.Window)) {
			m := Move{*open, *next}
			if isOld {
				m = Move{*next, *open}
			}
			c.Moved++
			c.MovedExamples = example(c.MovedExamples, m, Move.of)
			open = nil
			return
		}
		settle()
		open, openOld = next, isOld
	}
	c.OldAlerts += int64(len(old))
	for len(now) > 0 || len(old) > 0 {
		switch {
		case len(old) == 0 || len(now) > 0 && now[0].Time < old[0].Time:
			meet(one(c.Rule, now[0]), false)
			now = now[1:]
		case len(now) == 0 || old[0].Time < now[0].Time:
			meet(one(c.Old, old[0]), true)
			old = old[1:]
		default:
			settle()
			c.Kept++
			now, old = now[1:], old[1:]
		}
	}
	settle()
}

// example adds one to some examples, of which each is another user's.
func example[T any](some []T, one T, user func(T) string) []T {
	if n := len(some); n < mostExamples && (n == 0 || user(some[n-1]) != user(one)) {
		some = append(some, one)
	}
	return some
}

func (a Alert) of() string { return a.User }
func (m Move) of() string  { return m.From.User }

// done makes the report of what was found.
func (f *fold) done() *Report {
	for _, c := range f.courses {
		if c.now == nil {
			continue
		}
		for at, n := range c.days {
			c.Days = append(c.Days, Day{at, n})
		}
		slices.SortFunc(c.Days, func(a, b Day) int { return int(a.At/day - b.At/day) })
		if c.curve != nil {
			c.Curve = c.curve
		}
	}
	return &f.report
}
