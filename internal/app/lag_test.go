package app

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/processors"
)

// scriptedLag answers each look at the whole flow with the next line: end and lag of route, window, verify, index.
type scriptedLag struct {
	lines [][4][2]int64
	asked int
	fail  map[int]bool
}

func (s *scriptedLag) Lag(_ context.Context, group string, topics []string) ([]kafka.PartitionLag, error) {
	names := processors.NewStreams("g", "src", "alerts").Groups()
	look := min(s.asked/4, len(s.lines)-1)
	stage := s.asked % 4
	if group != names[stage] {
		return nil, errors.New("not in the order of the flow: " + group)
	}
	s.asked++
	if s.fail[look] {
		s.asked += 3 - stage
		return nil, errors.New("away")
	}
	at := s.lines[look][stage]
	return []kafka.PartitionLag{{Topic: topics[0], High: at[0], Lag: at[1]}}, nil
}

func TestAwaitCaughtUp(t *testing.T) {
	s := &scriptedLag{
		lines: [][4][2]int64{
			{{9, 4}, {5, 0}, {0, 0}, {0, 0}},  // route is behind
			{{9, 0}, {9, 2}, {0, 0}, {0, 0}},  // window is
			{{9, 0}, {9, 0}, {1, 0}, {0, 0}},  // at rest as far as can be seen …
			{{9, 0}, {10, 0}, {1, 0}, {1, 0}}, // … but verify had answered: something was written since
			{{9, 0}, {10, 0}, {2, 0}, {1, 0}}, // and once more
			{{9, 0}, {10, 0}, {2, 0}, {1, 0}}, // the brokers are away: nothing is known
			{{9, 0}, {10, 0}, {2, 0}, {1, 0}},
			{{9, 0}, {10, 0}, {2, 0}, {1, 0}}, // twice the same
			{{0, 1}, {0, 1}, {0, 1}, {0, 1}},
		},
		fail: map[int]bool{5: true},
	}
	if err := AwaitCaughtUp(t.Context(), s, processors.NewStreams("g", "src", "alerts"), time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if looks := s.asked / 4; looks != 8 {
		t.Errorf("caught up after %d looks, want 8", looks)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := AwaitCaughtUp(ctx, s, processors.NewStreams("g", "src", "alerts"), time.Millisecond)
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// shortened is a cluster all of whose topics begin behind what was committed.
type shortened struct{}

func (shortened) Lag(_ context.Context, _ string, topics []string) (lags []kafka.PartitionLag, err error) {
	for _, topic := range topics {
		lags = append(lags, kafka.PartitionLag{Topic: topic, Low: 8, High: 8, Committed: 7, Lost: 1})
	}
	return lags, nil
}

// What is asked again is written in transactions, and no committed offset passes the last one's control record: a topic
// that has aged away has lost nothing.
func TestNothingIsLostOfWhatIsAskedAgain(t *testing.T) {
	streams := processors.NewStreams("g", "src", "alerts")
	all, err := Lags(t.Context(), shortened{}, streams)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, stage := range all {
		for _, l := range stage.Partitions {
			if lost := l.Lost > 0; lost == (l.Topic == streams.Again) {
				t.Errorf("%s has lost %d", l.Topic, l.Lost)
			}
			seen++
		}
	}
	if seen < 5 {
		t.Errorf("%d topics", seen)
	}
}
