package httpapi

import (
	"math"
	"sync"
	"time"

	"github.com/brimline/brimline/internal/present"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	ratesEvery = 2 * time.Second  // how often the metrics are gathered at most
	ratesKeep  = 15 * time.Minute // of which the delays are
	ratesOver  = time.Minute      // over which the rates are
)

// rates remembers the instance's own metrics, so that a page can say how fast they grow.
type rates struct {
	metrics prometheus.Gatherer

	mu      sync.Mutex
	samples []sample // oldest first
}

// sample has counters at a time. They are counts: no amount passes here.
type sample struct {
	at     time.Time
	routed float64
	alerts float64
	delay  []bucket // cumulative, ascending, the last one without bound
	here   bool     // a stage of ours counts
}

type bucket struct{ upTo, count float64 }

// take reads the metrics, unless that was done a moment ago.
func (s *rates) take(now time.Time) {
	if s.metrics == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.samples); n > 0 && now.Sub(s.samples[n-1].at) < ratesEvery {
		return
	}
	families, err := s.metrics.Gather()
	if err != nil && len(families) == 0 {
		return
	}
	taken := sample{at: now}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			switch f.GetName() {
			case "brimline_route_records_total":
				taken.routed, taken.here = taken.routed+m.GetCounter().GetValue(), true
			case "brimline_verify_alerts_total":
				taken.alerts += m.GetCounter().GetValue()
			case "brimline_verify_alert_delay_seconds":
				for _, b := range m.GetHistogram().GetBucket() {
					taken.delay = append(taken.delay, bucket{b.GetUpperBound(), float64(b.GetCumulativeCount())})
				}
				taken.delay = append(taken.delay, bucket{math.Inf(1), float64(m.GetHistogram().GetSampleCount())})
			}
		}
	}
	// A page is asked for every few seconds, or once a day: of those that are old, the newest stays.
	for len(s.samples) > 1 && now.Sub(s.samples[1].at) > ratesKeep {
		s.samples = s.samples[1:]
	}
	s.samples = append(s.samples, taken)
}

// pace is how fast the instance works, in words.
type pace struct {
	Here    bool
	Rate    string // "20 a second", of rows taken in
	Over    string // the time that Rate is measured over
	Routed  string // since the instance started
	Alerts  string // likewise
	Half    string // half of the alerts came within; empty where there was none
	Most    string // 99 of 100 did
	DelayOf string // "of 12 alerts in the last 15 min"
}

func (s *rates) pace() (p pace) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.samples) == 0 || !s.samples[len(s.samples)-1].here {
		return p
	}
	last := s.samples[len(s.samples)-1]
	p.Here, p.Routed, p.Alerts = true, present.Count(int64(last.routed)), present.Count(int64(last.alerts))
	before := s.samples[0]
	for _, other := range s.samples[:len(s.samples)-1] {
		if last.at.Sub(other.at) >= ratesOver {
			before = other
		}
	}
	if took := last.at.Sub(before.at); took >= time.Second {
		p.Rate, p.Over = perSecond((last.routed-before.routed)/took.Seconds()), present.About(took.Truncate(time.Second))
	}
	p.Half, p.Most, p.DelayOf = delays(s.samples[0], last)
	return p
}

func perSecond(n float64) string {
	switch {
	case n >= 10:
		return present.Count(int64(math.Round(n))) + " a second"
	case n >= 0.1:
		return present.Count(int64(math.Round(n*60))) + " a minute"
	case n > 0:
		return present.Count(int64(math.Round(n*3600))) + " an hour"
	}
	return "none"
}

// delays are those of the alerts between two samples, or all since the start where there was none between.
func delays(from, to sample) (half, most, of string) {
	if len(to.delay) == 0 || to.delay[len(to.delay)-1].count == 0 {
		return "", "", ""
	}
	between := make([]bucket, len(to.delay))
	copy(between, to.delay)
	of = " since the start"
	if n := len(to.delay); len(from.delay) == n && to.delay[n-1].count > from.delay[n-1].count {
		for i := range between {
			between[i].count -= from.delay[i].count
		}
		of = " in the last " + present.About(to.at.Sub(from.at).Truncate(time.Second))
	}
	all := between[len(between)-1].count
	within := func(share float64) string {
		for i, b := range between {
			if b.count < share*all {
				continue
			}
			if math.IsInf(b.upTo, 1) {
				return "more than " + seconds(between[i-1].upTo)
			}
			return seconds(b.upTo)
		}
		return ""
	}
	return within(0.5), within(0.99), present.Plural(int64(all), "alert") + of
}

// seconds rounds a bucket's bound up to what people say.
func seconds(s float64) string {
	d := time.Duration(s * float64(time.Second))
	switch {
	case d < time.Second:
		d = (d + 9*time.Millisecond).Truncate(10 * time.Millisecond)
		return present.Count(d.Milliseconds()) + " ms"
	case d < 10*time.Second:
		tenth := 100 * time.Millisecond
		d = (d + tenth - 1).Truncate(tenth)
		return d.String()
	}
	return present.About((d + time.Second - 1).Truncate(time.Second))
}
