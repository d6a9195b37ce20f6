package reference

import (
	"fmt"
	"time"

	"github.com/brimline/brimline"
)

// TableSQL gives the same as EdgesSQL for a table of any size: what was there before is the total without the rows of
// that time, since EXCLUDE GROUP takes time with the square of a user's rows. Of a largest amount there is no other
// way; it is asked once for each moment. Of different values it is not for: NewSweep is. relation is one in SQL with
// the columns user_id, "timestamp" and amount. $1 is the window (Interval), $2 the limit; the edges are those from $5
// to $6, which have a type of the time column's. The columns are user, time, total before, total and transactions.
func TableSQL(r *brimline.Rule, relation, timeType string) string {
	m := r.Measure
	aggregate, weight, counts := MeasureSQL(m)
	before, total, limit, fewest := "SUM(here) OVER w - here", "before + here", "$2::text::numeric", int64(0)
	bar, earlier := limit, limit
	if m == brimline.Avg {
		bar, earlier, fewest = limit+" * transactions", limit+" * earlier", max(1, r.MinCount)
	}
	if m == brimline.Max {
		before, total = `COALESCE(MAX(here) OVER (
			p RANGE BETWEEN $1::text::interval PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW), 0)`, "GREATEST(before, here)"
	}
	return fmt.Sprintf(`SELECT user_id, ts, before::text, total::text, transactions FROM (
		SELECT user_id, ts, before, %[6]s AS total, transactions, transactions - counted AS earlier FROM (
			SELECT user_id, ts, here, counted, %[5]s AS before, (SUM(counted) OVER w)::bigint AS transactions FROM (
				SELECT user_id, "timestamp" AS ts, %[7]s(%[1]s) AS here, COUNT(*) FILTER (WHERE %[2]s) AS counted
				FROM %[3]s AS relation GROUP BY user_id, "timestamp") AS moments
			WINDOW p AS (PARTITION BY user_id ORDER BY ts),
				w AS (p RANGE BETWEEN $1::text::interval PRECEDING AND CURRENT ROW)) AS sums) AS tb
		WHERE total > %[8]s AND transactions >= %[10]d AND (before <= %[9]s OR earlier < %[10]d)
			AND ts BETWEEN $5::%[4]s AND $6::%[4]s`,
		weight, counts, relation, timeType, before, total, aggregate, bar, earlier, fewest)
}

// Interval is an exact duration as every release reads it: before 15, microseconds alone had to fit 32 bits.
func Interval(d time.Duration) string {
	us := d.Microseconds()
	return fmt.Sprintf("%d:%02d:%02d.%06d", us/3_600_000_000, us/60_000_000%60, us/1_000_000%60, us%1_000_000)
}

// Sweep finds a rule's edges among rows that come by user and time, where a condition keeps PostgreSQL from doing so.
// It holds the moments of one user's window.
type Sweep struct {
	rule  *Rule
	from  brimline.Time
	to    brimline.Time
	found func(user string, at brimline.Time, f brimline.Figures)

	user    string
	silent  bool // of a rule that rearms: it has not been since the total was above the limit
	moments []moment
	sum     moment // of moments
}

// moment is the sum of the rows of one time.
type moment struct {
	at     brimline.Time
	weight brimline.Total
	counts int64
	values []any // with the measure distinct
}

// NewSweep calls found for each edge between from and to, both closed; of a rule that rearms for those that raise
// alerts, for which all rows from the first on are needed.
func NewSweep(
	rule *Rule, from, to brimline.Time, found func(user string, at brimline.Time, f brimline.Figures),
) *Sweep {
	return &Sweep{rule: rule, from: from, to: to, found: found}
}

// Row takes the next row. The last edge comes with End.
func (s *Sweep) Row(row *brimline.Transaction) {
	if s.rule.Takes != nil && !s.rule.Takes(row) {
		return
	}
	last := len(s.moments) - 1
	if last < 0 || row.User != s.user || row.Time != s.moments[last].at {
		s.decide()
		if row.User != s.user {
			s.user, s.moments, s.sum, s.silent = row.User, nil, moment{}, false
		}
		gone := 0
		for begin := row.Time.Add(-s.rule.Window); gone < len(s.moments) && s.moments[gone].at < begin; gone++ {
			s.sum.weight = s.sum.weight.Sub(s.moments[gone].weight)
			s.sum.counts -= s.moments[gone].counts
		}
		s.moments = append(s.moments[gone:], moment{at: row.Time})
		last = len(s.moments) - 1
	}
	weight, counts := s.rule.Measure.Weigh(row.Amount)
	if s.rule.Measure == brimline.Distinct {
		value := s.rule.Value(row)
		if counts = value != nil; counts {
			s.moments[last].values = append(s.moments[last].values, value)
		}
	}
	for _, m := range []*moment{&s.moments[last], &s.sum} {
		if s.rule.Measure == brimline.Max {
			m.weight = larger(m.weight, weight.Total())
		} else {
			m.weight = m.weight.AddAmount(weight)
		}
		if counts {
			m.counts++
		}
	}
}

// End decides about the last moment.
func (s *Sweep) End() {
	s.decide()
	s.moments, s.sum, s.silent = nil, moment{}, false
}

func (s *Sweep) decide() {
	if len(s.moments) == 0 {
		return
	}
	now := &s.moments[len(s.moments)-1]
	f := brimline.Figures{Before: s.sum.weight.Sub(now.weight), Total: s.sum.weight, Count: s.sum.counts}
	if s.rule.Measure == brimline.Max { // what has left cannot be taken back from it
		f.Before = brimline.Total{}
		for _, m := range s.moments[:len(s.moments)-1] {
			f.Before = larger(f.Before, m.weight)
		}
		f.Total = larger(f.Before, now.weight)
	}
	if s.rule.Measure == brimline.Avg {
		f.Earlier = f.Count - now.counts
	}
	if s.rule.Measure == brimline.Distinct {
		f.Before, f.Total = s.different(len(s.moments)-1), s.different(len(s.moments))
	}
	is := s.rule.IsEdge(f)
	if s.rule.Rearms {
		s.silent = s.silent && f.Before.Cmp(s.rule.Rearm) > 0
		above := f.Total.Cmp(s.rule.Limit) > 0
		is = above && !s.silent
		s.silent = s.silent || above
	}
	if now.at >= s.from && now.at <= s.to && is {
		s.found(s.user, now.at, f)
	}
}

// different is how many different values the first n moments have.
func (s *Sweep) different(n int) brimline.Total {
	all := map[any]bool{}
	for i := range s.moments[:n] {
		for _, value := range s.moments[i].values {
			all[value] = true
		}
	}
	return brimline.Count(int64(len(all)))
}

func larger(a, b brimline.Total) brimline.Total {
	if b.Cmp(a) > 0 {
		return b
	}
	return a
}
