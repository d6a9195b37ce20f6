package brimline

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"
)

// Measure says what of a row is totalled: summed, counted, the largest, or how many are different. The zero value is
// SumAbs.
type Measure uint8

// The measures, with their names in rules files. Shrinking measures are those
// whose total may fall when a row is added.
const (
	SumAbs   Measure = iota // sum_abs: |amount|
	Sum                     // sum: amount, signed
	SumIn                   // sum_in: amounts above zero
	SumOut                  // sum_out: amounts below zero, as positive figures
	CountAll                // count: rows
	Max                     // max: the largest |amount|, 0 where there is no row
	Avg                     // avg: the sum of |amount|, which is above a limit where it is more than limit × rows
	Distinct                // distinct: how many different values a column has, NULL being none
)

var measureNames = [...]string{"sum_abs", "sum", "sum_in", "sum_out", "count", "max", "avg", "distinct"}

func (m Measure) String() string {
	if int(m) < len(measureNames) {
		return measureNames[m]
	}
	return "measure(" + strconv.Itoa(int(m)) + ")"
}

// Measures are all of them, in their order.
func Measures() []Measure {
	all := make([]Measure, len(measureNames))
	for i := range all {
		all[i] = Measure(i)
	}
	return all
}

// ParseMeasure reads a measure's name.
func ParseMeasure(s string) (Measure, error) {
	for i, name := range measureNames {
		if s == name {
			return Measure(i), nil
		}
	}
	return 0, fmt.Errorf("unknown measure %q: one of %s", s, strings.Join(measureNames[:], ", "))
}

// MarshalText is String.
func (m Measure) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText is ParseMeasure.
func (m *Measure) UnmarshalText(b []byte) (err error) {
	*m, err = ParseMeasure(string(b))
	return err
}

// Weigh gives what a row adds to the total, or of Max what it lifts it to, and whether it counts as one of the window's
// transactions. Of Distinct that is true of a row with a value that no other row of the window has.
func (m Measure) Weigh(a Amount) (weight Amount, counts bool) {
	switch m {
	case Sum:
		return a, true
	case SumIn:
		return max(a, 0), a > 0
	case SumOut:
		return max(-a, 0), a < 0
	case CountAll, Distinct:
		return 1, true
	default:
		return a.Abs(), true
	}
}

// Join is the total of two sets of rows that have nothing in common, given the total of each. Of Distinct that cannot
// be said.
func (m Measure) Join(a, b Total) Total {
	switch {
	case m != Max:
		return a.Add(b)
	case b.Cmp(a) > 0:
		return b
	}
	return a
}

// Shrinks reports whether adding a row can lower the total, or with it the average.
func (m Measure) Shrinks() bool { return m == Sum || m == Avg }

// Scale is the number of decimals of the measure's totals, given that of the amounts.
func (m Measure) Scale(amounts int) int {
	if m.Counts() {
		return 0
	}
	return amounts
}

// Counts reports whether the measure's totals are numbers of something, and no amounts.
func (m Measure) Counts() bool { return m == CountAll || m == Distinct }

// Rule raises an alert at each edge: a row time t of a user with
// total(t-Window ≤ time < t) ≤ Limit < total(t-Window ≤ time ≤ t).
//
// A rule of a file with several limits is a Rule for each of them, its tiers.
type Rule struct {
	ID          string        // of a tier that of the file, "@" and the limit: weekly-spend@5000
	Window      time.Duration // exact, whole microseconds; 7d is 168 hours
	Limit       Total         // at Measure.Scale
	Measure     Measure
	Where       string // expression over the row's columns; empty takes every row
	Severity    string
	Description string
	Shadow      bool // what it finds is verified like all else, and written to the topic of shadow alerts
	// Quiet is for how long after an edge the next ones raise no alert, whole microseconds, 0 for not at all: an edge at t
	// is silent if another edge of the user, silent ones too, lies in [t-Quiet, t).
	Quiet time.Duration
	// Rearms says that after an edge further ones raise no alert until the total before some row of the user is at or
	// below Rearm, which is at Limit's scale, not below zero and not above Limit. Of measures that cannot shrink only.
	Rearms bool
	Rearm  Total
	// MinCount, of Avg, is with how many rows at least an average is above the limit; 0 is 1.
	MinCount int64
	// Column, of Distinct, is the column whose different values are counted. It is one of RuleSet.Columns.
	Column string
}

// Above reports whether the figures are above the limit.
func (r *Rule) Above(f Figures) bool { return r.exceeds(f.Total, f.Count) }

// WasAbove reports whether the figures were above the limit before.
func (r *Rule) WasAbove(f Figures) bool { return r.exceeds(f.Before, f.Earlier) }

// IsEdge reports whether the figures are those of an edge.
func (r *Rule) IsEdge(f Figures) bool { return !r.WasAbove(f) && r.Above(f) }

func (r *Rule) exceeds(total Total, count int64) bool {
	return total.Cmp(r.Bar(count)) > 0 && (r.Measure != Avg || count >= max(1, r.MinCount))
}

// Bar is the value that a total of so many transactions must be above to be above the limit: with Avg so many times
// the limit.
func (r *Rule) Bar(count int64) Total {
	if r.Measure == Avg {
		return r.Limit.times(count)
	}
	return r.Limit
}

// TierID is the ID of the tier of a rule with a limit, whose scale is that of the measure: the limit is written without
// decimals that say nothing.
func TierID(rule string, limit Total, scale int) string {
	text := limit.Format(scale)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return rule + "@" + text
}

// Of is the ID of the rule in its file: of a tier without the limit.
func (r *Rule) Of() string {
	id, _, _ := strings.Cut(r.ID, "@")
	return id
}

// Fingerprint identifies what decides a rule's edges, and where they go: id, window, limit, measure, where, that it
// is a shadow, quiet, rearm, min_count and the column. Severity and description may change without it.
func (r *Rule) Fingerprint() uint64 {
	h := fnv.New64a()
	hi, lo := r.Limit.Words()
	decides := []string{r.ID, r.Window.String(), fmt.Sprint(hi, lo), r.Measure.String(), r.Where}
	if r.Shadow { // what is not set changes no fingerprint, or every group would begin its rules anew
		decides = append(decides, "shadow")
	}
	if r.Quiet != 0 {
		decides = append(decides, "quiet", r.Quiet.String())
	}
	if r.Rearms {
		hi, lo := r.Rearm.Words()
		decides = append(decides, "rearm", fmt.Sprint(hi, lo))
	}
	if r.MinCount != 0 {
		decides = append(decides, "min_count", strconv.FormatInt(r.MinCount, 10))
	}
	if r.Column != "" {
		decides = append(decides, "of", r.Column)
	}
	for _, s := range decides {
		_ = binary.Write(h, binary.BigEndian, uint32(len(s)))
		h.Write([]byte(s))
	}
	return h.Sum64()
}

// Reach is for how long after its time a row may decide about alerts. Of a rule that rearms there is no bound but this.
func (r *Rule) Reach() time.Duration {
	if r.Rearms {
		return 250 * 365 * 24 * time.Hour
	}
	return r.Window + r.Quiet
}

// Silences reports whether some edges of the rule raise no alert.
func (r *Rule) Silences() bool { return r.Quiet != 0 || r.Rearms }

// Unsteady reports whether a row that is added can make an alert of what was none although the total is as high without
// it: it lowers the total before an edge, or another edge, after which this one was silent, is one no more.
func (r *Rule) Unsteady() bool { return r.Measure.Shrinks() || r.Silences() }

// RuleSet is everything that instances of one group must agree on.
type RuleSet struct {
	Scale    int           // decimals of amounts
	Lateness time.Duration // how much longer than the furthest reach history is kept; 0 means the longest window
	Columns  []Column      // further columns that where expressions use
	Rules    []Rule
}

// Longest is the longest window of the rules.
func (s *RuleSet) Longest() time.Duration {
	var d time.Duration
	for i := range s.Rules {
		d = max(d, s.Rules[i].Window)
	}
	return d
}

// Furthest is the longest window of the rules, with the time for which its rule is quiet.
func (s *RuleSet) Furthest() time.Duration {
	var d time.Duration
	for i := range s.Rules {
		d = max(d, s.Rules[i].Window+s.Rules[i].Quiet)
	}
	return d
}

// Retention is how far behind a user's newest row the table keeps rows.
func (s *RuleSet) Retention() time.Duration {
	if s.Lateness == 0 {
		return s.Furthest() + s.Longest()
	}
	return s.Furthest() + s.Lateness
}

// Fingerprint identifies the set: instances with different ones never share a group's partitions.
func (s *RuleSet) Fingerprint() uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %d %q", s.Scale, s.Retention(), s.Columns)
	for i := range s.Rules {
		_ = binary.Write(h, binary.BigEndian, s.Rules[i].Fingerprint())
	}
	return h.Sum64()
}
