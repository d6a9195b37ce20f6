package app

import (
	"context"
	"slices"
	"strings"

	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/processors"
)

// A source topic that is deleted and made anew keeps its name and begins its offsets again. The group numbers these
// lives of the topic in its topic of rules, by whichever instance meets a new one first: a change of an earlier life is
// older than what a later one has said of the row.

// settleLife gives the number of the topic with an id among those that have been the source, from 0.
func (a *App) settleLife(ctx context.Context, id string) (life uint32, err error) {
	if id == "" { // the broker knows none
		return 0, nil
	}
	decide := func(newest map[string][]byte) (map[string][]byte, error) {
		lives := strings.Fields(string(newest[processors.LivesKey]))
		at := slices.Index(lives, id)
		if at >= 0 {
			life = uint32(at)
			return nil, nil
		}
		life = uint32(len(lives))
		return map[string][]byte{processors.LivesKey: []byte(strings.Join(append(lives, id), "\n"))}, nil
	}
	return life, a.cluster.Settle(ctx, a.kafka, settleID(a.streams), a.streams.Rules, decide)
}

// bindSource says which topic is the source now, and which life of it that is.
func (a *App) bindSource(ctx context.Context) (*kafka.Binding, uint32, error) {
	b, err := a.cluster.Bind(a.streams.Source)
	if err != nil {
		return nil, 0, err
	}
	life, err := a.settleLife(ctx, b.ID)
	return b, life, err
}

// whileBound runs an attempt until the topic that it reads is made anew.
func (a *App) whileBound(b *kafka.Binding, run func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, stop := context.WithCancelCause(ctx)
		defer stop(nil)
		go func() {
			if err := b.Watch(ctx, watchEvery); err != nil {
				stop(err)
			}
		}()
		err := run(ctx)
		if cause := context.Cause(ctx); kafka.IsMadeAnew(cause) {
			return cause
		}
		return err
	}
}
