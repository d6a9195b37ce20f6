package views

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/internal/table"
	"github.com/brimline/brimline/processors"
	"github.com/lovoo/goka"
	"github.com/lovoo/goka/storage"
)

// tableView is a goka view with what goka leaves out: how far it has read, reads
// that are refused until it has once read everything, and an end that waits
// for readers and closes the clients.
type tableView struct {
	name      string
	view      *goka.View // of all partitions, for copies of the view's own; nil where a stage keeps the table
	kept      Kept       // nil: no stage does
	codec     goka.Codec
	parts     []part // by partition
	brokers   []string
	consumers goka.SaramaConsumerBuilder
	admin     goka.TopicManager
	log       *slog.Logger
	remaining atomic.Int32
	recovered chan struct{} // closed when every partition has been read to its end once
	ends      *ends
	clients   []interface{ Close() error }
	cluster   *kafka.Cluster // one of clients
	ended     chan struct{}  // closed when Run has ended, with err
	err       error

	mu      sync.RWMutex // held for reading by reads; written to stop them
	started bool
	stopped bool
}

func openTable(
	ctx context.Context, c *Config, name string, codec goka.Codec, update goka.UpdateCallback,
) (_ *tableView, err error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	t := &tableView{name: name, codec: codec, recovered: make(chan struct{}), ended: make(chan struct{})}
	defer func() {
		if err != nil {
			_ = t.closeClients()
			err = openError(name, err)
		}
	}()
	if err := c.check(); err != nil {
		return nil, err
	}
	client := c.kafka()
	cluster, err := kafka.Dial(ctx, client, kafka.Quick)
	if err != nil {
		return nil, err
	}
	t.cluster, t.clients = cluster, append(t.clients, cluster)
	t.ends = newEnds(cluster, name)
	partitions, err := cluster.Partitions(name)
	if err != nil {
		return nil, err
	}
	id, err := cluster.TopicID(name)
	if err != nil {
		return nil, err
	}
	// Clients that give up soon: the view itself tries again for ever, and only
	// between its tries can it be stopped.
	config, err := client.Probe()
	if err != nil {
		return nil, err
	}
	// goka closes neither the consumer nor the topic manager of a view.
	consumer, err := goka.SaramaConsumerBuilderWithConfig(config)(c.Brokers, client.ClientID)
	if err != nil {
		return nil, err
	}
	t.clients = append(t.clients, consumer)
	if config, err = client.Probe(); err != nil { // goka writes into the one it is given
		return nil, err
	}
	admin, err := goka.NewTopicManager(c.Brokers, config, goka.NewTopicManagerConfig())
	if err != nil {
		return nil, err
	}
	t.clients = append(t.clients, admin)
	t.brokers, t.consumers, t.admin, t.log = c.Brokers, always(consumer), shared{admin}, c.Log.With("table", name)
	t.remaining.Store(int32(partitions))
	if t.kept = c.Kept; t.kept != nil {
		for p := range int32(partitions) {
			t.parts = append(t.parts, kept{t.kept, p, &viewState{}})
		}
		return t, nil
	}
	dir, log := table.CopyDir(c.Dir, name, id, c.Log), c.Log
	var copies []*table.Copy
	for range partitions {
		copies = append(copies, table.NewCopy(t.partitionRecovered))
	}
	t.view, err = t.newView(t.admin, t.consumers, func(topic string, partition int32) (storage.Storage, error) {
		copies[partition].Storage = table.OpenCopy(dir, topic, partition, log)
		return copies[partition], nil
	}, update)
	if err != nil {
		return nil, err
	}
	for _, at := range copies {
		t.parts = append(t.parts, copied{at, t.view})
	}
	return t, nil
}

// newView makes a goka view of the partitions that admin and consumers know.
func (t *tableView) newView(
	admin goka.TopicManager, consumers goka.SaramaConsumerBuilder, open storage.Builder, update goka.UpdateCallback,
) (*goka.View, error) {
	return goka.NewView(t.brokers, goka.Table(t.name), t.codec,
		goka.WithViewHasher(processors.Hasher),
		goka.WithViewCallback(update),
		goka.WithViewStorageBuilder(open),
		goka.WithViewAutoReconnect(),
		goka.WithViewBackoffBuilder(func() (goka.Backoff, error) {
			// goka's default waits up to two minutes after the broker is back.
			return goka.NewSimpleBackoff(250*time.Millisecond, 5*time.Second), nil
		}),
		goka.WithViewConsumerSaramaBuilder(consumers),
		goka.WithViewTopicManagerBuilder(func([]string) (goka.TopicManager, error) { return admin, nil }),
		goka.WithViewLogger(gokaLog{t.log}),
	)
}

// always is a builder of the same client. Its type parameter keeps sarama's name out of this package.
func always[C any](c C) func([]string, string) (C, error) {
	return func([]string, string) (C, error) { return c, nil }
}

// shared is a topic manager that outlives the several times goka closes it.
type shared struct{ goka.TopicManager }

func (shared) Close() error { return nil }

// Run follows the table until ctx ends, which is not an error. It may be
// called once; afterwards the view is closed.
func (t *tableView) Run(ctx context.Context) error { return t.run(ctx, func(context.Context) {}) }

// run is Run with something beside it, which must end when its context does.
func (t *tableView) run(ctx context.Context, beside func(context.Context)) (err error) {
	t.mu.Lock()
	if t.started || t.stopped {
		t.mu.Unlock()
		return errStopped(t.name)
	}
	t.started = true
	t.mu.Unlock()
	defer func() {
		t.err = err
		close(t.ended)
	}()

	// goka closes its stores as soon as its context ends: end the reads first.
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		t.stopReads()
		cancel()
	})
	var running sync.WaitGroup
	running.Go(func() { beside(inner) })
	err = t.follow(inner)
	stop()
	cancel()
	running.Wait()
	t.stopReads()
	closeErr := t.closeClients()
	if ctx.Err() != nil {
		return nil
	}
	if err = errors.Join(err, closeErr); err == nil {
		return errStopped(t.name)
	}
	return &brimline.Error{
		Class: brimline.ClassEnvironment, Kind: "view_failed", Where: fmt.Sprintf("view of table %q", t.name),
		Remedy: "check the state directory's disk and rights", Err: err,
	}
}

// follow reads the table until ctx ends.
func (t *tableView) follow(ctx context.Context) error {
	if t.kept == nil {
		return t.view.Run(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	for _, p := range t.parts {
		k := p.(kept)
		all.Go(func() {
			if err := k.follow(ctx, t); err != nil {
				cancel(err)
			}
		})
		all.Go(func() {
			select {
			case <-t.kept.Recovered(k.number):
				t.partitionRecovered()
			case <-ctx.Done():
			}
		})
	}
	all.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// Close releases what Open took when Run is never called. After Run it does nothing.
func (t *tableView) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.started || t.stopped {
		return nil
	}
	t.stopped = true
	return t.closeClients()
}

func (t *tableView) stopReads() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopped = true
}

func (t *tableView) closeClients() error {
	var errs []error
	for _, c := range t.clients {
		errs = append(errs, c.Close())
	}
	t.clients = nil
	return errors.Join(errs...)
}

func (t *tableView) partitionRecovered() {
	if t.remaining.Add(-1) == 0 {
		close(t.recovered)
	}
}

// Recovered reports whether the view has read its whole table and serves reads. It is false again while a partition is
// read anew whose state was lost.
func (t *tableView) Recovered() bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return !t.stopped && t.isRecovered() && t.isRead()
}

// isRead says that no partition has to be read anew, because its state was lost.
func (t *tableView) isRead() bool {
	return !slices.ContainsFunc(t.parts, func(p part) bool { return !p.isRead() })
}

func (t *tableView) isRecovered() bool {
	select {
	case <-t.recovered:
		return true
	default:
		return false
	}
}

// WaitRecovered waits until Recovered. It gives the error of ctx when that ends before, and Run's when that does.
func (t *tableView) WaitRecovered(ctx context.Context) error {
	select {
	case <-t.recovered:
		return nil
	case <-t.ended:
		if t.err != nil {
			return t.err
		}
		return errStopped(t.name)
	case <-ctx.Done():
		return fmt.Errorf("waiting for the view of table %q: %w", t.name, context.Cause(ctx))
	}
}

// Connected reports whether every partition is being followed: false while recovering and while Kafka is away.
func (t *tableView) Connected() bool {
	return !slices.ContainsFunc(t.parts, func(p part) bool { return !p.connected() })
}

// Progress is how far each partition has been read.
func (t *tableView) Progress(ctx context.Context) []Progress {
	out := make([]Progress, len(t.parts))
	var each sync.WaitGroup
	for i, at := range t.parts {
		out[i] = Progress{Partition: int32(i), Recovered: at.isRead(), Offset: at.offset()}
		each.Go(func() { out[i].End = t.ends.of(ctx, int32(i)) })
	}
	each.Wait()
	return out
}

func (t *tableView) partition(key string) int32 {
	return processors.Partition(key, len(t.parts))
}

// get reads a key's value, nil where there is none.
//
// It reads the copy itself: goka's View.Get follows the states of its
// partitions with a delay and refuses reads at random for a moment after recovery.
func (t *tableView) get(key string) (any, error) {
	p := t.partition(key)
	if p < 0 {
		// FNV-1a of one key in 2^32 is the one int32 without a positive counterpart: no producer can place it either.
		return nil, nil
	}
	raw, err := t.parts[p].get(key)
	if err != nil {
		return nil, t.failed(err)
	}
	return t.decode(raw)
}

func (t *tableView) failed(err error) error {
	if isUnread(err) {
		return errNotRecovered(t.name, t.recoveredParts())
	}
	return readError(t.name, err)
}

// each calls visit with every value of the table until it returns false.
func (t *tableView) each(visit func(key string, value any) bool) error {
	for _, p := range t.parts {
		var failed error
		more := true
		err := p.each("", func(key string, raw []byte) bool {
			var v any
			if v, failed = t.decode(raw); failed != nil {
				return false
			}
			more = v == nil || visit(key, v)
			return more
		})
		if err != nil {
			return t.failed(err)
		}
		if failed != nil || !more {
			return failed
		}
	}
	return nil
}

func (t *tableView) decode(raw []byte) (any, error) {
	if raw == nil {
		return nil, nil
	}
	v, err := t.codec.Decode(raw)
	if err != nil {
		return nil, readError(t.name, err)
	}
	return v, nil
}

// read runs f while the view is readable and does not end.
func (t *tableView) read(f func() error) error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if err := t.readable(); err != nil {
		return err
	}
	return f()
}

func (t *tableView) readable() error {
	switch {
	case t.stopped:
		return errStopped(t.name)
	case !t.isRecovered():
		return errNotRecovered(t.name, t.recoveredParts())
	}
	return nil
}

func (t *tableView) recoveredParts() []Progress {
	progress := make([]Progress, len(t.parts))
	for i, at := range t.parts {
		progress[i].Recovered = at.isRead()
	}
	return progress
}

// gokaLog passes goka's reports on at debug level: what an operator should
// hear of a view it says itself, in errors and in its progress.
type gokaLog struct{ log *slog.Logger }

func (l gokaLog) Print(v ...any)                 { l.log.Debug(fmt.Sprint(v...)) }
func (l gokaLog) Println(v ...any)               { l.log.Debug(fmt.Sprint(v...)) }
func (l gokaLog) Printf(format string, v ...any) { l.log.Debug(fmt.Sprintf(format, v...)) }
