package app

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/httpapi"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/internal/present"
	"github.com/brimline/brimline/processors"
)

// outage is since when and why stage verify waits for PostgreSQL.
type outage struct {
	mu    sync.Mutex
	since time.Time
	cause error
}

// set is told by stage verify; a nil cause ends it.
func (o *outage) set(since time.Time, cause error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.since, o.cause = since, cause
}

func (o *outage) now() (since time.Time, cause error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.since, o.cause
}

// unreadPatience is how long a partition may have no reader before that is worth a word: a rebalance takes seconds.
const unreadPatience = 10 * time.Second

// input is a partition that a stage has to read.
type input struct {
	stage     processors.StageName
	topic     string
	partition int32
}

// unread are the inputs that no instance of the group reads.
type unread struct {
	log   *slog.Logger
	gauge map[processors.StageName]prometheus.Gauge

	mu    sync.Mutex
	since map[input]time.Time // when it was first seen so
	told  bool
	again processors.Rarely
}

func newUnread(log *slog.Logger, m *Metrics) *unread {
	u := &unread{log: log, gauge: map[processors.StageName]prometheus.Gauge{}, since: map[input]time.Time{}}
	for _, stage := range processors.StageNames() {
		u.gauge[stage] = m.unread.WithLabelValues(string(stage))
	}
	return u
}

// withoutReader are the inputs that no member has been given.
func withoutReader(lags []StageLag, members map[string][]kafka.Member) (all []input) {
	for _, s := range lags {
		for _, p := range s.Partitions {
			if !slices.ContainsFunc(members[s.Group], func(m kafka.Member) bool {
				return slices.Contains(m.Assigned[p.Topic], p.Partition)
			}) {
				all = append(all, input{s.Stage, p.Topic, p.Partition})
			}
		}
	}
	return all
}

// look takes what has no reader at a time, and says what should be known.
func (u *unread) look(now time.Time, seen []input) {
	u.mu.Lock()
	before := u.since
	u.since = map[input]time.Time{}
	for _, in := range seen {
		u.since[in] = now
		if since, known := before[in]; known {
			u.since[in] = since
		}
	}
	u.mu.Unlock()
	counts := map[processors.StageName]float64{}
	for in := range u.patiently(now) {
		counts[in.stage]++
	}
	for stage, gauge := range u.gauge {
		gauge.Set(counts[stage])
	}
	notices := u.notices(now)
	switch {
	case len(notices) > 0 && u.again.Due(now):
		u.told = true
		for _, n := range notices {
			u.log.Warn(n.Message, "remedy", n.Remedy)
		}
	case len(notices) == 0 && u.told:
		u.told = false
		u.again.Over()
		u.log.Info("every partition is read again")
	}
}

// patiently are those that have been without a reader for longer than partitions take to be shared out.
func (u *unread) patiently(now time.Time) map[input]time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	all := maps.Clone(u.since)
	maps.DeleteFunc(all, func(_ input, since time.Time) bool { return now.Sub(since) < unreadPatience })
	return all
}

// notices say it in a sentence for each topic of a stage, in the order of the flow.
func (u *unread) notices(now time.Time) (all []httpapi.Notice) {
	late := u.patiently(now)
	for _, stage := range processors.StageNames() {
		of := map[string][]int32{}
		since := map[string]time.Time{}
		for in, at := range late {
			if in.stage != stage {
				continue
			}
			of[in.topic] = append(of[in.topic], in.partition)
			if first, ok := since[in.topic]; !ok || at.Before(first) {
				since[in.topic] = at
			}
		}
		for _, topic := range slices.Sorted(maps.Keys(of)) {
			noun, verb := "partitions", "are"
			if len(of[topic]) == 1 {
				noun, verb = "partition", "is"
			}
			all = append(all, httpapi.Notice{
				Kind: "partitions_unread", Level: httpapi.Warning,
				Message: fmt.Sprintf("%s %s of %s %s read by no instance (stage %s) since %s",
					noun, ranges(of[topic]), topic, verb, stage, present.TimeUTC(brimline.TimeOf(since[topic]))),
				Remedy: fmt.Sprintf("a partition that was added is taken up within a minute; if it is not, see that an "+
					"instance with stage %s runs, and its log", stage),
			})
		}
	}
	return all
}

// watchGroup keeps lag, and what no instance reads, current.
func (a *App) watchGroup(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := a.lookAtGroup(ctx); err != nil && ctx.Err() == nil {
			a.log.Debug("the group cannot be looked at", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (a *App) lookAtGroup(ctx context.Context) error {
	all, err := Lags(ctx, a.cluster, a.streams)
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.lags = all
	a.mu.Unlock()
	members := map[string][]kafka.Member{}
	for _, s := range all {
		sums := map[int32]int64{}
		for _, p := range s.Partitions {
			sums[p.Partition] += p.Lag
		}
		for partition, lag := range sums {
			a.metrics.lag[s.Stage].WithLabelValues(strconv.Itoa(int(partition))).Set(float64(lag))
			a.metrics.handled[s.Stage].WithLabelValues(strconv.Itoa(int(partition))) // it may have been added
		}
		if s.Stage == processors.Route {
			a.sourcePartitions.Store(int64(len(sums)))
		}
		if members[s.Group], err = a.cluster.Members(ctx, s.Group); err != nil {
			return err
		}
	}
	a.unread.look(time.Now(), withoutReader(all, members))
	return nil
}

// letters counts this instance's dead letters of the last hour.
type letters struct {
	sums func() map[string]int64 // by kind, since the start
	log  *slog.Logger

	mu     sync.Mutex
	points []lettersPoint // oldest first; the first is an hour old, or of the start
	said   int64
	again  processors.Rarely
}

type lettersPoint struct {
	at   time.Time // when the sums were first seen
	sums map[string]int64
}

const (
	lettersEvery = 10 * time.Second
	lettersSpan  = time.Hour
)

func newLetters(start time.Time, sums func() map[string]int64, log *slog.Logger) *letters {
	return &letters{sums: sums, log: log, points: []lettersPoint{{at: start}}}
}

// notice tells operators about dead letters; nil where there were none.
func (l *letters) notice(now time.Time) *httpapi.Notice {
	l.mu.Lock()
	before := l.points[0]
	for _, p := range l.points {
		if !p.at.After(now.Add(-lettersSpan)) {
			before = p
		}
	}
	l.mu.Unlock()
	var total int64
	var parts []string
	sums := l.sums()
	for _, kind := range slices.Sorted(maps.Keys(sums)) {
		if n := sums[kind] - before.sums[kind]; n > 0 {
			total += n
			parts = append(parts, fmt.Sprintf("%s %d", kind, n))
		}
	}
	if total == 0 {
		return nil
	}
	return &httpapi.Notice{
		Kind: "dead_letters", Level: httpapi.Warning,
		Message: fmt.Sprintf("%s in the last hour: %s", present.Plural(total, "dead letter"), strings.Join(parts, ", ")),
		Remedy:  "`brimline deadletter list` says of each what is wrong, whose it is, and what to do",
	}
}

// look notes how things stand, and tells the log of new ones.
func (l *letters) look(now time.Time) {
	sums := l.sums()
	l.mu.Lock()
	if !maps.Equal(l.points[len(l.points)-1].sums, sums) {
		l.points = append(l.points, lettersPoint{now, sums})
	}
	for len(l.points) > 1 && !l.points[1].at.After(now.Add(-lettersSpan)) {
		l.points = l.points[1:]
	}
	l.mu.Unlock()
	n := l.notice(now)
	if n == nil {
		l.again.Over()
		return
	}
	var total int64
	for _, of := range sums {
		total += of
	}
	if total > l.said && l.again.Due(now) {
		l.said = total
		l.log.Warn(n.Message, "remedy", n.Remedy)
	}
}

// watchLetters looks until ctx ends.
func (a *App) watchLetters(ctx context.Context) {
	tick := time.NewTicker(lettersEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			a.letters.look(time.Now())
		case <-ctx.Done():
			return
		}
	}
}
