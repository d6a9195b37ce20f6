package app

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/processors"
)

// groupAt is how far a group has come: end and position of each partition of source and changes.
type groupAt struct {
	source, changes [][2]int64
	away            bool
	asked           []string
}

func (g *groupAt) Lag(_ context.Context, group string, topics []string) (lags []kafka.PartitionLag, err error) {
	g.asked = append(g.asked, topics...)
	if g.away {
		return nil, errors.New("away")
	}
	at := g.source
	if group == "g-window" {
		at = g.changes
	}
	for n, p := range at {
		lags = append(lags, kafka.PartitionLag{Topic: topics[0], Partition: int32(n), High: p[0], Lag: p[0] - p[1]})
	}
	return lags, nil
}

// TestFolded: the time that is given is one at which the source topic had nothing that is not folded now.
func TestFolded(t *testing.T) {
	start := time.Unix(1e9, 0)
	minute := 0
	g := &groupAt{}
	f := &folded{cluster: g, streams: processors.NewStreams("g", "src", "alerts"),
		clock: func() time.Time { return start.Add(time.Duration(minute) * time.Minute) }}
	for i, step := range []struct {
		source, changes [][2]int64
		away            bool
		want            int // minute, -1 for none
	}{
		{[][2]int64{{9, 4}, {3, 3}}, [][2]int64{{5, 5}}, false, -1},  // route is behind
		{[][2]int64{{20, 8}, {9, 3}}, [][2]int64{{7, 7}}, false, -1}, // still, though window is not
		{nil, nil, true, -1},
		{[][2]int64{{20, 9}, {9, 3}}, [][2]int64{{12, 10}}, false, -1},  // route has read what there was; window is behind
		{[][2]int64{{20, 15}, {9, 3}}, [][2]int64{{20, 12}}, false, 0},  // what there was in the beginning is folded
		{[][2]int64{{20, 20}, {9, 9}}, [][2]int64{{20, 20}}, false, 5},  // nothing is behind
		{[][2]int64{{21, 20}, {9, 9}}, [][2]int64{{20, 20}}, false, 5},  // a row
		{[][2]int64{{30, 21}, {10, 9}}, [][2]int64{{22, 22}}, false, 6}, // it is folded, others are not
		{nil, nil, false, 6}, // no topic
		{[][2]int64{{40, 39}, {11, 11}}, [][2]int64{{30, 30}}, false, 6}, // it is there
		{[][2]int64{{3, 2}}, [][2]int64{{31, 31}}, false, 6},             // it was made anew
		{[][2]int64{{3, 3}}, [][2]int64{{32, 32}}, false, 10},
	} {
		minute = i
		g.source, g.changes, g.away = step.source, step.changes, step.away
		at, err := f.now(t.Context())
		if (err != nil) != step.away {
			t.Errorf("minute %d: %v", minute, err)
		}
		got := -1
		if !at.IsZero() {
			got = int(at.Sub(start) / time.Minute)
		}
		if got != step.want {
			t.Errorf("minute %d: all of minute %d is folded, want %d", minute, got, step.want)
		}
	}
	asked := len(g.asked)
	if _, err := f.now(t.Context()); err != nil || len(g.asked) != asked {
		t.Errorf("the brokers are asked twice at once: %v", err)
	}
}

// TestUntilCaughtUpDoesNotWaitForABudget: edges that wait for a token may do so for hours.
func TestUntilCaughtUpDoesNotWaitForABudget(t *testing.T) {
	g, starved := &groupAt{}, false
	a := awaited{g, "g-again", func() bool { return starved }}
	for range 2 {
		if _, err := a.Lag(t.Context(), "g-verify", []string{"g-candidates", "g-again"}); err != nil {
			t.Fatal(err)
		}
		if slices.Contains(g.asked, "g-again") == starved || !slices.Contains(g.asked, "g-candidates") {
			t.Errorf("starved %v, asked for %q", starved, g.asked)
		}
		g.asked, starved = nil, true
	}
}
