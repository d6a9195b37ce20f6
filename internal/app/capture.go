package app

import (
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

// CaptureOptions are what a capture is made from. Secrets must have been read.
type CaptureOptions struct {
	Kafka       config.Kafka
	Topics      config.Topics
	DatabaseURL config.Secret
	Table       string
	Source      string // topic; must end with the table's name
	Slot        string
	Publication string
	Log         *slog.Logger
	// Streaming is called once, when the snapshot is done and changes are followed; nil tells nobody.
	Streaming func()
}

// capturePartitions is how many partitions the source topic is created with
// where nothing is said: room to grow, and not much to pay for it.
const capturePartitions = 8

// Capture writes a table's changes to the source topic until ctx ends.
func Capture(ctx context.Context, o CaptureOptions) error {
	prefix, ok := strings.CutSuffix(o.Source, "."+o.Table)
	if !ok || prefix == "" {
		return &brimline.Error{
			Class: brimline.ClassInput, Kind: "capture_topic", Where: fmt.Sprintf("--source %q", o.Source),
			Remedy: fmt.Sprintf("name the topic <prefix>.%s, as Debezium does", o.Table),
			Err:    fmt.Errorf("it does not end in the name of the table, %q", o.Table),
		}
	}
	if err := EnsureSource(ctx, &o.Kafka, &o.Topics, o.Source); err != nil {
		return err
	}
	options := KafkaOptions(&o.Kafka, "brimline-capture")
	producer, err := options.ProducerConfig()
	if err != nil {
		return err
	}
	sink, err := kafkasink.New(o.Kafka.Brokers, producer)
	if err != nil {
		return kafka.Explain(err, "connecting to write captured changes")
	}
	defer sink.Close()
	c, err := capture.New(capture.Options{
		DatabaseURL: o.DatabaseURL.Reveal(), Table: o.Table, Slot: o.Slot, Publication: o.Publication, TopicPrefix: prefix, Log: o.Log,
	}, sink)
	if err != nil {
		return err
	}
	if o.Streaming != nil {
		watching, cancel := context.WithCancel(ctx)
		defer cancel()
		go whenStreaming(watching, c, o.Streaming)
	}
	return c.Run(ctx)
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
	partitions, err := countOr(cluster, topic, t.Partitions, capturePartitions)
	if err == nil {
		_, err = cluster.Ensure(ctx, []kafka.Topic{{
			Name: topic, Partitions: partitions,
			// A new group reads everything from the beginning, so there must be one.
			Config: map[string]string{"retention.ms": forEver},
		}}, kafka.Durability{Replication: t.Replication})
	}
	return errors.Join(err, cluster.Close())
}
