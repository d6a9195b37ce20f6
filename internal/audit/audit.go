// Package audit compares the rows that windows retain with those of the watched table: which are missing, which are
// phantoms, which are different. What differs counts only where a second look finds the same after the stream has been
// folded.
package audit

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/ledger"
)

// Window has the window table's rows of one user.
type Window struct {
	User  string
	Found bool          // the table knows the user
	Last  int64         // of brimline.Window: another one is another state
	From  brimline.Time // all rows from then on are held, or never came
	Rows  []brimline.Transaction
	// Newest is the newest change to the user's rows; zero where that is not known.
	Newest brimline.Source
}

// Windows is the window table.
type Windows interface {
	// Each calls visit with the users that are asked about, some at once.
	Each(ctx context.Context, visit func([]Window) error) error
	// Get gives one user, also one whom the table does not know.
	Get(ctx context.Context, user string) (Window, error)
}

// Table is the watched table, as *ledger.Ledger reads it.
type Table interface {
	Differing(ctx context.Context, of []ledger.Holding) (differ []int, lsn uint64, err error)
	Present(ctx context.Context, of []ledger.Holding, begin func(), take func(int, *ledger.Found)) (uint64, error)
	Users(ctx context.Context, from brimline.Time, begin func(), take func([]string) error) (uint64, error)
	Unseen(ctx context.Context, after []brimline.Source) ([]brimline.Source, error)
}

// Options say what is compared.
type Options struct {
	Windows Windows
	Table   Table
	Scale   int // decimals of amounts
	// Unknown is the time from which on rows of users whom the window table does not know are looked for; MaxTime: they
	// are not.
	Unknown brimline.Time
	// Settle waits until the group has folded what the stream had when it was called, and says whether the stream is
	// known to have had all of before lsn.
	Settle func(ctx context.Context, lsn uint64) (arrived bool, err error)
	// Rest is called after each statement with how long it took. May be nil.
	Rest func(ctx context.Context, took time.Duration) error
	// Progress is told now and then how far the first look has come. May be nil.
	Progress func(users, rows int64)
	Clock    func() time.Time
}

// Kind says how a row differs.
type Kind string

// The kinds.
const (
	Missing   Kind = "missing"   // PostgreSQL has the row, the window does not
	Phantom   Kind = "phantom"   // the window has the row, PostgreSQL has none of this user with its id in the same time
	Different Kind = "different" // both have it, and not alike
)

// Kinds are all of them.
func Kinds() []Kind { return []Kind{Missing, Phantom, Different} }

// Row is a row as one side has it.
type Row struct {
	Time   brimline.Time
	Amount string // at the group's scale, or as PostgreSQL has it where the stream cannot hold that
}

// Finding is a row that differs.
type Finding struct {
	Kind     Kind
	User, ID string
	Stream   Row    // the window's; nothing where it is missing
	Table    Row    // PostgreSQL's; nothing where it is a phantom
	Columns  string // further columns that differ, by commas
	Why      string // why no stream can hold PostgreSQL's row; empty where it can
}

// Result is the outcome of a comparison.
type Result struct {
	At          brimline.Time // of the first look
	LSN         uint64        // at its end: what PostgreSQL had shown by then lies below
	Looks       int
	Users, Rows int64 // compared, of windows; those whom the table does not know are no users here
	Unknown     int   // users of PostgreSQL whom the window table does not know, with rows that it should have
	Findings    []Finding
	// NotYet are rows that differ where the stream is known not to have had all that the look had seen.
	NotYet []Finding
	// Unsettled are rows that differed at each look, of users about whom nothing can be said: their states changed, or
	// PostgreSQL did not show what the stream had.
	Unsettled []Finding
}

// True reports whether nothing was found.
func (r *Result) True() bool { return len(r.Findings) == 0 }

// By is how many findings there are of each kind.
func (r *Result) By() map[Kind]int {
	by := map[Kind]int{}
	for _, kind := range Kinds() {
		by[kind] = 0
	}
	for i := range r.Findings {
		by[r.Findings[i].Kind]++
	}
	return by
}

// OfUsers are the users of findings, each once, in order.
func OfUsers(findings []Finding) []string {
	users := map[string]bool{}
	for i := range findings {
		users[findings[i].User] = true
	}
	return slices.Sorted(maps.Keys(users))
}

const (
	// looks is how often is looked at most: a user whose state never rests is looked at again.
	looks = 5
	// enough is how many looks must find the same of a user whose state changes all the time.
	enough = 4
	// most bounds the rows that differ, which are held in memory.
	most = 200_000
	// together is how many users are looked at again in one statement.
	together = 500
)

// suspicion holds the differences of a user that the looks until now have seen.
type suspicion struct {
	last int64
	rows map[Finding]int // at how many looks each was found
}

// run is one audit.
type run struct {
	Options
	result   Result
	suspects map[string]*suspicion
	unknown  map[string]bool // users of findings whom the window table does not know
	rows     int             // of suspects
	lsn      uint64
}

// Run looks once, and where something differs again, after the group has folded what the stream had.
func Run(ctx context.Context, o Options) (*Result, error) {
	r := &run{Options: o, suspects: map[string]*suspicion{}, unknown: map[string]bool{}}
	r.result.At = brimline.TimeOf(o.Clock())
	if err := r.first(ctx); err != nil {
		return nil, err
	}
	r.result.Looks, r.result.LSN = 1, r.lsn
	arrived := true
	for ; len(r.suspects) > 0 && r.result.Looks < looks; r.result.Looks++ {
		here, err := r.Settle(ctx, r.lsn)
		if err != nil {
			return nil, err
		}
		arrived = arrived && here
		if err := r.again(ctx, arrived); err != nil {
			return nil, err
		}
	}
	r.result.Unknown = len(r.unknown)
	for _, s := range r.suspects {
		for f := range s.rows {
			r.result.Unsettled = append(r.result.Unsettled, f)
		}
	}
	for _, of := range []*[]Finding{&r.result.Findings, &r.result.NotYet, &r.result.Unsettled} {
		slices.SortFunc(*of, func(a, b Finding) int {
			return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.at(), b.at()), cmp.Compare(a.ID, b.ID))
		})
	}
	return &r.result, nil
}

func (f *Finding) at() brimline.Time {
	if f.Kind == Phantom {
		return f.Stream.Time
	}
	return f.Table.Time
}

// first compares all users that are asked about, by checksum and where that differs row by row.
func (r *run) first(ctx context.Context) error {
	err := r.Windows.Each(ctx, func(some []Window) error {
		var differ []int
		err := r.ask(ctx, func() (lsn uint64, err error) {
			differ, lsn, err = r.Table.Differing(ctx, holdings(some))
			return lsn, err
		})
		if err != nil {
			return err
		}
		var odd []Window
		for _, i := range differ {
			odd = append(odd, some[i])
		}
		for i := range some {
			r.result.Users++
			r.result.Rows += int64(len(some[i].Rows))
		}
		if r.Progress != nil {
			r.Progress(r.result.Users, r.result.Rows)
		}
		return r.suspect(ctx, odd)
	})
	if err != nil || r.Unknown == brimline.MaxTime {
		return err
	}
	return r.strangers(ctx)
}

func holdings(of []Window) []ledger.Holding {
	all := make([]ledger.Holding, len(of))
	for i := range of {
		all[i] = ledger.Holding{User: of[i].User, From: of[i].From, Rows: of[i].Rows}
	}
	return all
}

// ask does one question of PostgreSQL's, which gives a log position, and rests after it.
func (r *run) ask(ctx context.Context, question func() (lsn uint64, err error)) error {
	began := r.Clock()
	lsn, err := question()
	if err != nil {
		return err
	}
	r.lsn = max(r.lsn, lsn)
	if r.Rest == nil {
		return nil
	}
	return r.Rest(ctx, r.Clock().Sub(began))
}

// strangers looks for users whom the window table does not know.
func (r *run) strangers(ctx context.Context) error {
	var strangers []Window
	err := r.ask(ctx, func() (uint64, error) {
		return r.Table.Users(ctx, r.Unknown, func() { strangers = nil }, func(users []string) error {
			for _, id := range users {
				w, err := r.Windows.Get(ctx, id)
				if err != nil {
					return err
				}
				if !w.Found {
					strangers = append(strangers, w)
				}
			}
			if len(strangers) > most {
				return errTooMany
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	for part := range slices.Chunk(strangers, together) {
		if err := r.suspect(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

var errTooMany = &brimline.Error{
	Class: brimline.ClassRuntime, Kind: "audit_too_large", Where: "comparing rows",
	Remedy: "so many have one cause: `brimline doctor` looks for it; --sample and --user show examples",
	Err:    fmt.Errorf("more than %d rows differ", most),
}

// suspect compares users row by row, and takes down what differs.
func (r *run) suspect(ctx context.Context, of []Window) error {
	for part := range slices.Chunk(of, together) {
		found, err := r.differences(ctx, part)
		if err != nil {
			return err
		}
		for i, rows := range found {
			if len(rows) == 0 {
				continue
			}
			s := &suspicion{last: part[i].Last, rows: map[Finding]int{}}
			for _, f := range rows {
				s.rows[f] = 1
			}
			r.suspects[part[i].User] = s
			if r.rows += len(rows); r.rows > most {
				return errTooMany
			}
		}
	}
	return nil
}

// again looks at the suspects once more.
func (r *run) again(ctx context.Context, arrived bool) error {
	for part := range slices.Chunk(slices.Sorted(maps.Keys(r.suspects)), together) {
		var windows []Window
		var newest []brimline.Source
		for _, id := range part {
			w, err := r.Windows.Get(ctx, id)
			if err != nil {
				return err
			}
			windows, newest = append(windows, w), append(newest, w.Newest)
		}
		// A commit that waits for a standby, or a replica that is behind, does not show what the stream has.
		hidden, err := r.Table.Unseen(ctx, newest)
		if err != nil {
			return err
		}
		found, err := r.differences(ctx, windows)
		if err != nil {
			return err
		}
		for i := range windows {
			if !slices.Contains(hidden, windows[i].Newest) {
				r.confirm(&windows[i], found[i], arrived)
			}
		}
	}
	return nil
}

// confirm takes what a further look has found of a user: what it shows as the looks before did is a finding where
// nothing of the user was folded in between, or where it was the same at enough looks. What it does not show any more
// was on its way.
func (r *run) confirm(w *Window, found []Finding, arrived bool) {
	s := r.suspects[w.User]
	rest := map[Finding]int{}
	for _, f := range found {
		n, before := s.rows[f]
		switch {
		case !before: // what this look is the first to see may be on its way
		case w.Last != s.last && n+1 < enough:
			rest[f] = n + 1
		case arrived:
			r.result.Findings = append(r.result.Findings, f)
			if !w.Found && r.Unknown != brimline.MaxTime {
				r.unknown[w.User] = true
			}
		default:
			r.result.NotYet = append(r.result.NotYet, f)
		}
	}
	if s.last, s.rows = w.Last, rest; len(rest) == 0 {
		delete(r.suspects, w.User)
	}
}

// differences compares users row by row, one snapshot for all of them.
func (r *run) differences(ctx context.Context, of []Window) (found [][]Finding, err error) {
	var rows []map[string]*ledger.Found
	err = r.ask(ctx, func() (uint64, error) {
		return r.Table.Present(ctx, holdings(of), func() {
			rows = make([]map[string]*ledger.Found, len(of))
		}, func(i int, f *ledger.Found) {
			if rows[i] == nil {
				rows[i] = map[string]*ledger.Found{}
			}
			rows[i][f.ID] = f
		})
	})
	if err != nil {
		return nil, err
	}
	found = make([][]Finding, len(of))
	for i := range of {
		found[i] = Compare(&of[i], rows[i], r.Scale)
	}
	return found, nil
}

// Compare gives the differences between what a window holds and PostgreSQL's rows, by their id.
func Compare(w *Window, table map[string]*ledger.Found, scale int) (found []Finding) {
	seen := map[string]bool{}
	for i := range w.Rows {
		row := &w.Rows[i]
		if row.Time < w.From {
			continue
		}
		seen[row.ID] = true
		f := Finding{User: w.User, ID: row.ID, Stream: Row{row.Time, row.Amount.Format(scale)}}
		theirs := table[row.ID]
		if theirs == nil {
			f.Kind = Phantom
			found = append(found, f)
			continue
		}
		f.Kind, f.Table, f.Why = Different, Row{theirs.Time, theirs.Text}, why(theirs)
		f.Columns = otherColumns(row, &theirs.Transaction)
		if theirs.Bad != nil || f.Stream != f.Table || f.Columns != "" {
			found = append(found, f)
		}
	}
	for id, theirs := range table {
		if !seen[id] {
			found = append(found, Finding{
				Kind: Missing, User: w.User, ID: id, Table: Row{theirs.Time, theirs.Text}, Why: why(theirs),
			})
		}
	}
	return found
}

func why(f *ledger.Found) string {
	if f.Bad == nil {
		return ""
	}
	return f.Bad.Error()
}

// otherColumns names the columns that both rows have with different values. A row of before a rule asked for a column
// does not have it.
func otherColumns(ours, theirs *brimline.Transaction) string {
	var names []string
	for _, c := range ours.Columns {
		if v, there := theirs.Column(c.Name); there && v != c.Value {
			names = append(names, c.Name)
		}
	}
	return strings.Join(names, ",")
}
