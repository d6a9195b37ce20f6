package app

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/httpapi"
	"github.com/brimline/brimline/processors"
	"github.com/brimline/brimline/processors/verify"
)

const (
	verifiedEvery = time.Minute
	verifiedSpan  = time.Hour
	// behindBy is from how many messages on the group is catching up, and not only at work.
	behindBy = 1000
)

// verified keeps what PostgreSQL made of this instance's candidates, since the start and for the last hour. It tells
// apart what was verified while the group was catching up: partial totals are dismissed then, as they should be.
type verified struct {
	tally     func() verify.Tally
	dismissed string // topic
	log       *slog.Logger

	mu     sync.Mutex
	points []verifiedPoint // looks of the last hour, and the one before; oldest first
	said   struct {
		at, warned    time.Time
		total, steady int64
	}
}

type verifiedPoint struct {
	at     time.Time
	sum    httpapi.Tally // since the start
	behind bool
}

func newVerified(start time.Time, tally func() verify.Tally, dismissed string, log *slog.Logger) *verified {
	// Nothing is known of the lag yet, and what comes first is likely to be a catch-up.
	return &verified{tally: tally, dismissed: dismissed, log: log, points: []verifiedPoint{{at: start, behind: true}}}
}

// now gives the sums at a time; lag is that of the group, -1 when it is not known.
func (j *verified) now(at time.Time, lag int64) verifiedPoint {
	last := j.points[len(j.points)-1]
	t := j.tally()
	p := verifiedPoint{at: at, behind: lag < 0 || lag > behindBy}
	p.sum = httpapi.Tally{Candidates: t.Edges, Dismissed: t.Dismissed, Early: t.Early,
		Steady: maps.Clone(last.sum.Steady)}
	if !p.behind && !last.behind {
		for reason, n := range t.Dismissed {
			if more := n - last.sum.Dismissed[reason]; more > 0 {
				if p.sum.Steady == nil {
					p.sum.Steady = map[string]int64{}
				}
				p.sum.Steady[reason] += more
			}
		}
	}
	return p
}

// look notes how things stand, and says in the log what should be known, rarely.
func (j *verified) look(at time.Time, lag int64) {
	j.mu.Lock()
	j.points = append(j.points, j.now(at, lag))
	for len(j.points) > 1 && !j.points[1].at.After(at.Add(-verifiedSpan)) {
		j.points = j.points[1:]
	}
	j.mu.Unlock()
	v := j.status(at, lag)
	n := v.Notice(j.dismissed)
	if n == nil {
		return
	}
	var total int64
	for _, n := range v.SinceStart.Dismissed {
		total += n
	}
	steady := v.SinceStart.Steady[brimline.ReasonNotAbove]
	due := func(last time.Time) bool { return last.IsZero() || at.Sub(last) >= verifiedSpan }
	switch said := &j.said; {
	case steady > said.steady && due(said.warned):
		j.log.Warn(n.Message, "remedy", n.Remedy)
		said.at, said.warned, said.total, said.steady = at, at, total, steady
	case total > said.total && due(said.at):
		j.log.Info(n.Message)
		said.at, said.total = at, total
	}
}

// status gives the sums at a time, since the start and of the last hour.
func (j *verified) status(at time.Time, lag int64) *httpapi.Verification {
	j.mu.Lock()
	defer j.mu.Unlock()
	now, before := j.now(at, lag), j.points[0]
	for _, p := range j.points {
		if !p.at.After(at.Add(-verifiedSpan)) {
			before = p
		}
	}
	return &httpapi.Verification{
		SinceStart: now.sum.Since(httpapi.Tally{}), LastHour: now.sum.Since(before.sum),
		Span: min(at.Sub(before.at), verifiedSpan),
	}
}

// watchVerified looks until ctx ends.
func (a *App) watchVerified(ctx context.Context) {
	tick := time.NewTicker(verifiedEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			a.verified.look(time.Now(), a.groupLag())
		case <-ctx.Done():
			return
		}
	}
}

// groupLag is how many messages the group is behind up to verify, -1 when that is not known.
func (a *App) groupLag() (sum int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.lags) == 0 {
		return -1
	}
	for _, s := range a.lags {
		if s.Stage == processors.Index {
			continue
		}
		for _, p := range s.Partitions {
			sum += p.Lag
		}
	}
	return sum
}
