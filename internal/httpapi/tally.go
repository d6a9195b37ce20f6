package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/brimline/brimline/internal/feed"
)

const (
	tallyHours  = 24
	tallyLooks  = 50_000           // records that one pass reads at most
	tallyAgain  = 5 * time.Second  // how old a count may be
	tallyAfter  = 30 * time.Second // when a pass that failed is tried again
	tallyWithin = 20 * time.Second
	tallyWaits  = 400 * time.Millisecond // how long a page waits for a pass; it shows what is known then
)

// tally counts the records of a topic by the hour in which the broker took them and by rule, of the last day. The first
// pass reads the day, later ones what came since: a page that is asked for again and again costs next to nothing.
type tally struct {
	log   Log
	topic string
	now   func() time.Time

	mu      sync.Mutex
	running chan struct{} // closed when the pass ends; nil: none runs
	looked  time.Time     // end of the newest pass
	err     error         // of the newest pass
	known   bool          // a pass has succeeded
	part    bool          // older records of the day were left out
	id      feed.TopicID
	next    []int64
	hours   map[int64]map[string]int // hours since 1970
}

// counts are a tally as of now.
type counts struct {
	Known bool // false: nothing is known, for now
	Part  bool // only the newest tallyLooks were counted when it began
	Err   error
	hour  int64 // the current one
	hours map[int64]map[string]int
}

// of gives a rule's counts in the tallyHours hours that end with the current one, oldest first.
func (c *counts) of(rule string) (all [tallyHours]int) {
	for i := range all {
		all[i] = c.hours[c.hour-tallyHours+1+int64(i)][rule]
	}
	return all
}

// rules are those that something was counted of.
func (c *counts) rules() (ids []string) {
	for _, by := range c.hours {
		for id := range by {
			if !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	slices.Sort(ids)
	return ids
}

func (t *tally) counts(ctx context.Context) counts {
	if t.log == nil {
		return counts{Err: errNoView("topics")}
	}
	t.mu.Lock()
	again := tallyAgain
	if t.err != nil {
		again = tallyAfter
	}
	if t.running == nil && t.now().Sub(t.looked) >= again {
		t.running = make(chan struct{})
		go t.pass(t.running)
	}
	running := t.running
	t.mu.Unlock()
	if running != nil {
		wait := time.NewTimer(tallyWaits)
		defer wait.Stop()
		select {
		case <-running:
		case <-wait.C:
		case <-ctx.Done():
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	c := counts{Known: t.known, Part: t.part, Err: t.err, hour: hourOf(t.now()), hours: map[int64]map[string]int{}}
	for hour, by := range t.hours {
		c.hours[hour] = map[string]int{}
		for id, n := range by {
			c.hours[hour][id] = n
		}
	}
	return c
}

func hourOf(t time.Time) int64 { return t.Unix() / 3600 }

func (t *tally) pass(done chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), tallyWithin)
	defer cancel()
	err := t.read(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.running, t.err, t.looked = nil, err, t.now()
	close(done)
}

// read is run by one pass at a time.
func (t *tally) read(ctx context.Context) error {
	e, err := t.log.Extent(ctx, t.topic)
	if err != nil {
		return err
	}
	first := hourOf(t.now()) - tallyHours + 1
	low, begun := slices.Clone(t.next), t.known && e.ID == t.id && len(t.next) <= len(e.End)
	if !begun {
		if low, err = t.log.From(ctx, e, time.Unix(first*3600, 0)); err != nil {
			return err
		}
	}
	for p := range e.End {
		if p >= len(low) {
			low = append(low, e.Low[p]) // a new partition
		}
		low[p] = max(low[p], e.Low[p])
	}
	found := map[int64]map[string]int{}
	l, err := t.log.Newest(ctx, e, low, e.End, tallyLooks, func(r feed.Record) bool {
		var head struct {
			Rule struct {
				ID string `json:"id"`
			} `json:"rule"`
		}
		if json.Unmarshal(r.Value, &head) == nil && head.Rule.ID != "" {
			hour := hourOf(r.At)
			if found[hour] == nil {
				found[hour] = map[string]int{}
			}
			found[hour][head.Rule.ID]++
		}
		return true
	})
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !begun {
		t.hours, t.part = map[int64]map[string]int{}, false
	}
	t.known, t.id, t.next, t.part = true, e.ID, e.End, t.part || !l.Done
	for hour, by := range found {
		if t.hours[hour] == nil {
			t.hours[hour] = map[string]int{}
		}
		for id, n := range by {
			t.hours[hour][id] += n
		}
	}
	for hour := range t.hours {
		if hour < first {
			delete(t.hours, hour)
		}
	}
	return nil
}

// failed says why nothing is known, nil where a pass is under way.
func (c *counts) failed() *errorBody {
	if c.Known || c.Err == nil || errors.Is(c.Err, context.DeadlineExceeded) {
		return nil
	}
	return new(describe(c.Err))
}
