package app

import (
	"context"
	"time"

	"github.com/brimline/brimline/internal/backoff"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/processors"
)

// settling waits until the group has handled what PostgreSQL had shown at a moment.
type settling struct {
	cluster *kafka.Cluster
	streams processors.Streams
	grace   time.Duration // how long a stream is waited for that shows nothing newer
}

// settleEvery is how often the brokers are asked.
const settleEvery = 200 * time.Millisecond

// stragglers is how long is waited for what a connector had sent to another partition before.
const stragglers = time.Second

// awaitStream waits until a change behind lsn has come, which is after all that was committed before, or until
// delivered, which may be nil, knows that all of before lsn has arrived; it says whether that is so. As long as the
// stream comes nearer it is waited for; where it shows nothing new, for the grace.
func (s settling) awaitStream(
	ctx context.Context, lsn uint64, delivered func(context.Context, uint64) (bool, error),
) (arrived bool, err error) {
	var seen uint64
	for until := time.Now().Add(s.grace); ; {
		newest, err := s.cluster.Last(ctx, s.streams.Changes, newestLooked)
		if err != nil {
			return false, err
		}
		for _, m := range newest {
			v, err := codecs.Change{}.Decode(m.Value)
			if err != nil {
				continue
			}
			if at := v.(*brimline.Change).Source.LSN; at > seen {
				seen, until = at, time.Now().Add(s.grace)
			}
		}
		arrived := seen >= lsn
		if !arrived && delivered != nil {
			if arrived, err = delivered(ctx, lsn); err != nil {
				return false, err
			}
		}
		switch {
		case arrived:
			return true, backoff.Pause(ctx, stragglers)
		case time.Now().After(until):
			return false, nil
		}
		if err := backoff.Pause(ctx, settleEvery); err != nil {
			return false, err
		}
	}
}

// awaitRead waits until a group has read what a topic has now.
func (s settling) awaitRead(ctx context.Context, group, topic string) error {
	ends, err := s.cluster.Lag(ctx, group, []string{topic})
	for lags := ends; err == nil && !hasRead(lags, ends); lags, err = s.cluster.Lag(ctx, group, []string{topic}) {
		if err := backoff.Pause(ctx, settleEvery); err != nil {
			return err
		}
	}
	return err
}
