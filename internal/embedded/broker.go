package embedded

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"

	"github.com/brimline/brimline"
	"github.com/twmb/franz-go/pkg/kfake"
)

// BrokerOptions say where an in-process broker keeps its state and listens.
type BrokerOptions struct {
	// Dir keeps topics, offsets and transactions across restarts and kills; one
	// process at a time. Empty keeps everything in memory.
	Dir string
	// Port on 127.0.0.1. 0 takes the port of the last start in Dir if it is free, else any free one.
	Port int
	// Log receives what the broker reports; nil discards it.
	Log *slog.Logger
	// Announced is set by a caller who has told the user what this broker is not for; else the start is a warning.
	Announced bool
}

// Broker is a one-node Kafka inside this process. Topics are never created by
// being used: a mistyped topic name must fail here as it fails in production.
type Broker struct {
	cluster *kfake.Cluster
	addrs   []string
	lock    *dirLock
	close   sync.Once
}

// StartBroker starts a broker; when it returns, the broker accepts connections.
// ctx bounds the start only; Close ends the broker. A restart with the same Dir
// is another process with the same state: same port, topic ids, offsets and
// producer epochs. Killed by kill -9, it keeps every record that it
// acknowledged (they are in the page cache); only a power loss can take some.
func StartBroker(ctx context.Context, o BrokerOptions) (*Broker, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	b := &Broker{}
	if o.Dir != "" {
		var err error
		if b.lock, err = lockDir(o.Dir); err != nil {
			return nil, err
		}
	}
	l, err := listen(o.Dir, o.Port)
	if err != nil {
		b.lock.release()
		return nil, err
	}
	options := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ClusterID("brimline-embedded"),
		kfake.WithLogger(brokerLog{o.Log}),
		kfake.ListenFn(func(string, string) (net.Listener, error) { return l, nil }),
		kfake.BrokerConfigs(map[string]string{
			// Hourly by default: a demo of an hour would show goka's tables never compacted.
			"log.cleaner.backoff.ms": "60000",
			// What a topic gets when its creator leaves the choice to the broker; there is one node.
			"default.replication.factor": "1",
			"min.insync.replicas":        "1",
		}),
	}
	if o.Dir != "" {
		options = append(options, kfake.DataDir(filepath.Join(o.Dir, "data")))
	}
	if b.cluster, err = kfake.NewCluster(options...); err != nil {
		l.Close()
		b.lock.release()
		return nil, &brimline.Error{
			Class: brimline.ClassEnvironment, Kind: "embedded_broker", Where: fmt.Sprintf("in-process Kafka in %q", o.Dir),
			Remedy: "delete that directory to begin anew, or restore it", Err: err,
		}
	}
	b.addrs = b.cluster.ListenAddrs()
	level := slog.LevelWarn
	if o.Announced {
		level = slog.LevelInfo
	}
	o.Log.Log(ctx, level, "in-process Kafka started: for the demo, development and tests, never for production",
		"addr", b.addrs[0], "dir", o.Dir)
	return b, nil
}

// Addrs are the bootstrap addresses, host:port.
func (b *Broker) Addrs() []string { return b.addrs }

// Close ends the broker and saves its state; connections are cut. Safe to call twice.
func (b *Broker) Close() {
	b.close.Do(func() {
		b.cluster.Close()
		b.lock.release()
	})
}

// brokerLog passes the broker's reports on. What kfake calls a warning is a
// request that it answered with an error (a client asking for a topic that is
// not there yet, say), which is the client's to report; so only errors of the
// broker itself are warnings here.
type brokerLog struct{ log *slog.Logger }

func (l brokerLog) Logf(level kfake.LogLevel, format string, args ...any) {
	to := slog.LevelDebug
	if level == kfake.LogLevelError {
		to = slog.LevelWarn
	}
	if ctx := context.Background(); l.log.Enabled(ctx, to) {
		l.log.Log(ctx, to, fmt.Sprintf(format, args...), "part", "in-process Kafka")
	}
}
