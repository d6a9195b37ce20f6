package table

import (
	"hash"

	"github.com/lovoo/goka"
)

// SetBeside sets, or without a value deletes, a key that is not the message's: goka sets that one only. The record goes
// out by an output of the stage, which Redirected sends to the table's topic. It does not go on when it has failed.
func (p *Partition) SetBeside(ctx goka.Context, out goka.Stream, key string, value []byte) {
	if err := p.SetUnreported(key, value); err != nil {
		Fail(ctx, err)
	}
	if value == nil {
		ctx.Emit(out, key, nil)
		return
	}
	ctx.Emit(out, key, value)
}

// Redirected sends what is written to one topic to another: goka refuses an output to the group's own table.
func Redirected(build goka.ProducerBuilder, from, to string) goka.ProducerBuilder {
	return func(brokers []string, clientID string, hasher func() hash.Hash32) (goka.Producer, error) {
		p, err := build(brokers, clientID, hasher)
		return redirecting{p, from, to}, err
	}
}

type redirecting struct {
	goka.Producer
	from, to string
}

func (r redirecting) topic(topic string) string {
	if topic == r.from {
		return r.to
	}
	return topic
}

func (r redirecting) Emit(topic, key string, value []byte) *goka.Promise {
	return r.Producer.Emit(r.topic(topic), key, value)
}

func (r redirecting) EmitWithHeaders(topic, key string, value []byte, headers goka.Headers) *goka.Promise {
	return r.Producer.EmitWithHeaders(r.topic(topic), key, value, headers)
}
