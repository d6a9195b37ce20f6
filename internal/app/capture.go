package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/capture"
	"github.com/brimline/brimline/internal/capture/kafkasink"
	"github.com/brimline/brimline/internal/config"
	"github.com/brimline/brimline/internal/kafka"
)

// CaptureOptions configure a capture. Secrets must have been read.
type CaptureOptions struct {
	Kafka       config.Kafka
	Topics      config.Topics
	DatabaseURL config.Secret
	Table       string
	Source      string // topic; must end with the table's name
	Slot        string
	Publication string
	// Resnapshot takes a new snapshot before streaming goes on.
	Resnapshot bool
	// CheckInterval is how often the catalog is looked at; 0 is 10 s.
	CheckInterval time.Duration
	Log           *slog.Logger
	// Streaming is called once, when the snapshot is done and changes are followed; nil: no call.
	Streaming func()
}

const (
	// capturePartitions is how many partitions the source topic is created with
	// where nothing is said: room to grow, and not much to pay for it.
	capturePartitions = 8
	// CaptureTopic is where captures remember which table they have written to which topic.
	CaptureTopic = "brimline-capture"
)

// Capture writes a table's changes to the source topic until ctx ends. It
// creates nothing in Kafka for a table that it cannot capture.
func Capture(ctx context.Context, o CaptureOptions) error {
	prefix, ok := strings.CutSuffix(o.Source, capture.Topic("", o.Table))
	if !ok || prefix == "" {
		return &brimline.Error{
			Class: brimline.ClassInput, Kind: "capture_topic", Where: fmt.Sprintf("--source %q", o.Source),
			Remedy: fmt.Sprintf("name the topic <prefix>%s, as Debezium does", capture.Topic("", o.Table)),
			Err:    fmt.Errorf("it does not end in the name of the table, %q", o.Table),
		}
	}
	options := KafkaOptions(&o.Kafka, "brimline-capture")
	cluster, err := kafka.Dial(ctx, options, kafka.Quick)
	if err != nil {
		return err
	}
	defer cluster.Close()
	sink, err := kafkasink.New(options)
	if err != nil {
		return err
	}
	defer sink.Close()
	c, err := capture.New(capture.Options{
		DatabaseURL: o.DatabaseURL.Reveal(), Table: o.Table, Slot: o.Slot, Publication: o.Publication, TopicPrefix: prefix,
		Log:        o.Log,
		Resnapshot: o.Resnapshot, CheckInterval: o.CheckInterval,
		Memory: &captureMemory{
			cluster: cluster, sink: sink, source: o.Source, key: fmt.Appendf(nil, "%s/%s", o.Source, o.Slot),
		},
	})
	if err != nil {
		return err
	}
	if err := c.Check(ctx); err != nil {
		return err
	}
	if err := ensureSource(ctx, cluster, &o.Topics, o.Source); err != nil {
		return err
	}
	memory := kafka.Topic{Name: CaptureTopic, Partitions: 1, Kind: kafka.Table}
	_, err = cluster.Ensure(ctx, []kafka.Topic{memory}, kafka.Durability{Replication: o.Topics.Replication})
	if err != nil {
		return err
	}
	if o.Streaming != nil {
		watching, cancel := context.WithCancel(ctx)
		defer cancel()
		go whenStreaming(watching, c, o.Streaming)
	}
	err = c.Run(ctx, sink)
	s := c.Stats()
	o.Log.Info("capture ended", "table", o.Table, "changes", s.Changes,
		"snapshots", s.Snapshots, "snapshot_rows", s.SnapshotRows, "reconnects", s.Reconnects,
		"gaps", s.Gaps, "partitions_gone", s.Partitions,
		"confirmed", position(s.ConfirmedLSN), "server", position(s.ServerLSN))
	return err
}

// position is a place in the WAL as PostgreSQL writes it.
func position(lsn uint64) string { return fmt.Sprintf("%X/%X", lsn>>32, uint32(lsn)) }

// captureMemory keeps a capture's memory in the compacted CaptureTopic, by source topic and slot.
type captureMemory struct {
	cluster *kafka.Cluster
	sink    *kafkasink.Sink
	source  string
	key     []byte
}

// TopicID implements capture.Memory.
func (m *captureMemory) TopicID(context.Context) (string, error) {
	id, err := m.cluster.TopicID(m.source)
	return id, orWait(err)
}

// Load implements capture.Memory.
func (m *captureMemory) Load(ctx context.Context) (value []byte, err error) {
	err = m.cluster.Tail(ctx, CaptureTopic, kafka.Oldest, false, func(r *kafka.Message) error {
		if bytes.Equal(r.Key, m.key) {
			value = r.Value
		}
		return nil
	})
	if IsMissing(err) {
		return nil, nil
	}
	return value, orWait(err)
}

// Store implements capture.Memory.
func (m *captureMemory) Store(ctx context.Context, value []byte) error {
	stored := make(chan error, 1)
	record := capture.Record{Topic: CaptureTopic, Key: m.key, Value: value, Timestamp: time.Now()}
	err := m.sink.Produce(ctx, record, func(err error) { stored <- err })
	if err != nil {
		return err
	}
	select {
	case err := <-stored:
		return orWait(kafka.Explain(err, "remembering which table is captured"))
	case <-ctx.Done():
		return ctx.Err()
	}
}

// orWait marks what may pass: brokers that do not answer.
func orWait(err error) error {
	if e, ok := errors.AsType[*brimline.Error](err); ok && e.Kind == kafka.KindUnreachable {
		return capture.Outage(err)
	}
	return err
}

// whenStreaming calls f when the capture has come so far, and not at all when ctx ends before.
func whenStreaming(ctx context.Context, c *capture.Capture, f func()) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !c.Stats().Streaming {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
	f()
}

// EnsureSource creates the source topic of a capture where it is missing.
func EnsureSource(ctx context.Context, k *config.Kafka, t *config.Topics, topic string) error {
	cluster, err := kafka.Dial(ctx, KafkaOptions(k, "brimline-capture"), kafka.Quick)
	if err != nil {
		return err
	}
	return errors.Join(ensureSource(ctx, cluster, t, topic), cluster.Close())
}

func ensureSource(ctx context.Context, cluster *kafka.Cluster, t *config.Topics, topic string) error {
	partitions, err := countOr(cluster, topic, t.Partitions, capturePartitions)
	if err != nil {
		return err
	}
	_, err = cluster.Ensure(ctx, []kafka.Topic{{
		Name: topic, Partitions: partitions,
		// A new group reads everything from the beginning, so there must be one.
		Config: map[string]string{"retention.ms": forEver},
	}}, kafka.Durability{Replication: t.Replication})
	return err
}
