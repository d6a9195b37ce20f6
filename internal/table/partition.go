package table

import (
	"errors"

	"github.com/lovoo/goka"
)

// Fail ends the callback and with it the partition. goka's own Fail returns once the partition is told to stop:
// what follows would then be written, and the message marked as done.
func Fail(ctx goka.Context, err error) {
	ctx.Fail(err)
	panic(err)
}

// Partition is a partition of a table as the stage's callbacks have it. Any key may be read and, with SetBeside,
// written; goka's own context knows the message's only.
//
// It remembers the outcome of the last Set: once a partition is told to stop, goka's SetValue says nothing of a
// failure, writes no record and lets the message be marked as done.
type Partition struct {
	escaping
	number int32
	log    announced // nil: a state without a guard
	shared *Shared   // nil: no view listens
	failed error
}

// Number is the partition's.
func (p *Partition) Number() int32 { return p.number }

// Set is the storage's; it keeps value. Only goka calls it.
func (p *Partition) Set(key string, value []byte) error {
	p.failed = p.escaping.Set(key, value)
	if p.failed == nil && p.shared != nil {
		p.shared.set(key, value)
	}
	return p.failed
}

// Delete is the storage's.
func (p *Partition) Delete(key string) error {
	err := p.escaping.Delete(key)
	if err == nil && p.shared != nil {
		p.shared.set(key, nil)
	}
	return err
}

// newest is the newest record of the changelog that the state holds, -1 for none.
func (p *Partition) newest() int64 {
	if n, ok := p.log.(interface{ newest() int64 }); ok {
		return n.newest()
	}
	at, err := p.GetOffset(noOffset)
	if err != nil {
		return noOffset
	}
	return at
}

// set is the newest record that answers may have come from: also one that the changelog may not have.
func (p *Partition) set() int64 {
	if s, ok := p.log.(interface{ set() int64 }); ok {
		return s.set()
	}
	return p.newest()
}

var errNotSet = errors.New("the value was not set: it cannot be encoded")

// SetValue is goka's, but does not go on when it has failed.
func (p *Partition) SetValue(ctx goka.Context, value any) {
	p.failed = errNotSet // unless goka gets as far as Set
	ctx.SetValue(value)
	if p.failed != nil {
		Fail(ctx, p.failed)
	}
}

// Value is goka's, but does not go on when it has failed. A key that is not there gives nil.
func (p *Partition) Value(ctx goka.Context, codec goka.Codec) any {
	raw, err := p.Get(ctx.Key())
	if err != nil {
		Fail(ctx, err)
	}
	if raw == nil {
		return nil
	}
	value, err := codec.Decode(raw)
	if err != nil {
		Fail(ctx, err)
	}
	return value
}
