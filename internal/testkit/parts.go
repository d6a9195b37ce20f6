package testkit

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/embedded"
)

// Parts are the servers that a suite runs on.
type Parts struct {
	Brokers     []string
	DatabaseURL string // as the owner of the tables, with the right to replicate

	client *kgo.Client
	admin  *kadm.Client
}

// Connected makes Parts of servers that are there already.
func Connected(brokers []string, databaseURL string) (*Parts, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchMaxBytes(8<<20), kgo.RecordDeliveryTimeout(time.Minute))
	if err != nil {
		return nil, err
	}
	return &Parts{Brokers: brokers, DatabaseURL: databaseURL, client: client, admin: kadm.NewClient(client)}, nil
}

// Embedded starts the embedded parts. stop ends them.
func Embedded(ctx context.Context) (p *Parts, stop func(), err error) {
	broker, err := embedded.StartBroker(ctx, embedded.BrokerOptions{})
	if err != nil {
		return nil, nil, err
	}
	postgres, err := embedded.StartPostgres(ctx, embedded.PostgresOptions{NoSync: true})
	if err != nil {
		broker.Close()
		return nil, nil, err
	}
	stopServers := func() {
		_ = postgres.Stop(context.Background())
		broker.Close()
	}
	p, err = Connected(broker.Addrs(), postgres.URL(""))
	if err != nil {
		stopServers()
		return nil, nil, err
	}
	return p, func() { p.client.Close(); stopServers() }, nil
}

// Database makes a fresh database and gives its URL.
func (p *Parts) Database(t testing.TB, name string) string {
	t.Helper()
	conn := Connect(t, p.DatabaseURL)
	quoted := pgx.Identifier{name}.Sanitize()
	for _, sql := range []string{`DROP DATABASE IF EXISTS ` + quoted, `CREATE DATABASE ` + quoted} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	c := conn.Config()
	return fmt.Sprintf("postgres://%s:%s@%s/%s?sslmode=disable",
		c.User, c.Password, net.JoinHostPort(c.Host, fmt.Sprint(c.Port)), name)
}

// CreateTopic makes a topic.
func (p *Parts) CreateTopic(t testing.TB, topic string, partitions int) {
	t.Helper()
	if _, err := p.admin.CreateTopic(t.Context(), int32(partitions), -1, nil, topic); err != nil {
		t.Fatalf("create topic %s: %v", topic, err)
	}
}

// CreateTable makes a topic for a table, with the brokers' limits.
func (p *Parts) CreateTable(t testing.TB, topic string, partitions int) {
	t.Helper()
	compact := "compact"
	settings := map[string]*string{"cleanup.policy": &compact}
	if _, err := p.admin.CreateTopic(t.Context(), int32(partitions), -1, settings, topic); err != nil {
		t.Fatalf("create topic %s: %v", topic, err)
	}
}

// RecreateTopic deletes a topic, and makes it anew.
func (p *Parts) RecreateTopic(t testing.TB, topic string, partitions int) {
	t.Helper()
	if _, err := p.admin.DeleteTopic(t.Context(), topic); err != nil {
		t.Fatalf("delete topic %s: %v", topic, err)
	}
	err := Eventually(t.Context(), func() (bool, error) { // brokers may still be busy with the deletion
		_, err := p.admin.CreateTopic(t.Context(), int32(partitions), -1, nil, topic)
		return err == nil, err
	})
	if err != nil {
		t.Fatalf("create topic %s anew: %v", topic, err)
	}
	p.client.PurgeTopicsFromProducing(topic) // it would write under the old topic's id
}

// Trim deletes the records of a partition below an offset, as retention does.
func (p *Parts) Trim(t testing.TB, topic string, partition int32, below int64) {
	t.Helper()
	before := kadm.Offsets{}
	before.AddOffset(topic, partition, below, -1)
	done, err := p.admin.DeleteRecords(t.Context(), before)
	if err == nil {
		err = done.Error()
	}
	if err != nil {
		t.Fatalf("delete records of %s below %d: %v", topic, below, err)
	}
}

// Offsets are the committed offsets of a group without members in a topic; commit puts them back, whatever became of
// the topic: as a member does that was slow.
func (p *Parts) Offsets(t testing.TB, group, topic string) (commit func()) {
	t.Helper()
	had, err := p.admin.FetchOffsetsForTopics(t.Context(), group, topic)
	if err == nil {
		err = had.Error()
	}
	if err != nil {
		t.Fatalf("offsets of %s: %v", group, err)
	}
	return func() {
		t.Helper()
		byName := kversion.Stable()
		byName.SetMaxKeyVersion(int16(kmsg.OffsetCommit), 9) // later ones name the topic by its id
		client, err := kgo.NewClient(kgo.SeedBrokers(p.Brokers...), kgo.MaxVersions(byName))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		if err := kadm.NewClient(client).CommitAllOffsets(t.Context(), group, had.Offsets()); err != nil {
			t.Fatalf("commit offsets of %s: %v", group, err)
		}
	}
}

// DeleteGroup deletes a consumer group as a Kafka operator would.
func (p *Parts) DeleteGroup(t testing.TB, group string) {
	t.Helper()
	resp, err := p.admin.DeleteGroups(t.Context(), group)
	if err == nil {
		err = resp.Error()
	}
	if err != nil {
		t.Fatalf("delete group %s: %v", group, err)
	}
}

// Produce writes events to a topic and waits until all are acknowledged.
func (p *Parts) Produce(t testing.TB, topic string, events []Event) {
	t.Helper()
	failed := make(chan error, 1)
	for _, e := range events {
		p.client.Produce(t.Context(), &kgo.Record{
			Topic: topic, Partition: e.Partition, Key: e.Key, Value: e.Value, Headers: e.Headers,
		}, func(_ *kgo.Record, err error) {
			if err != nil {
				select {
				case failed <- err:
				default:
				}
			}
		})
	}
	if err := p.client.Flush(t.Context()); err != nil {
		t.Fatalf("produce to %s: %v", topic, err)
	}
	select {
	case err := <-failed:
		t.Fatalf("produce to %s: %v", topic, err)
	default:
	}
}

// Records reads all committed records of a topic up to now.
func (p *Parts) Records(t testing.TB, topic string) []*kgo.Record {
	t.Helper()
	ends, err := p.admin.ListCommittedOffsets(t.Context(), topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		t.Fatalf("end of %s: %v", topic, err)
	}
	left := map[int32]int64{}
	from := map[string]map[int32]kgo.Offset{topic: {}}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
			from[topic][o.Partition] = kgo.NewOffset().AtStart()
		}
	})
	var records []*kgo.Record
	if len(left) == 0 {
		return records
	}
	// Control records are kept, so that a partition that ends in one shows its end.
	reader, err := kgo.NewClient(kgo.SeedBrokers(p.Brokers...), kgo.ConsumePartitions(from),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	if err != nil {
		t.Fatalf("read %s: %v", topic, err)
	}
	defer reader.Close()
	for len(left) > 0 {
		fetches := reader.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatalf("read %s: %v", topic, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				records = append(records, r)
			}
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
	return records
}

// Alerts are all committed records of a topic of alerts, dismissed ones or those of rules on trial.
func (p *Parts) Alerts(t testing.TB, topic string) (alerts []*brimline.Alert) {
	t.Helper()
	for _, r := range p.Records(t, topic) {
		v, err := codecs.Alert{}.Decode(r.Value)
		if err != nil {
			t.Fatalf("alert %s of %s: %v", r.Value, topic, err)
		}
		a := v.(*brimline.Alert)
		if got := a.Candidate.ID(); got != string(r.Key) {
			t.Errorf("alert %s of %s has the key %q", got, topic, r.Key)
		}
		alerts = append(alerts, a)
	}
	return alerts
}

// TopicBytes is the size of a topic's files, copies not counted twice.
func (p *Parts) TopicBytes(t testing.TB, topic string) (size int64) {
	t.Helper()
	brokers, err := p.admin.DescribeAllLogDirs(t.Context(), nil)
	if err != nil {
		t.Fatalf("size of %s: %v", topic, err)
	}
	largest := map[int32]int64{}
	for _, dirs := range brokers {
		dirs.EachPartition(func(d kadm.DescribedLogDirPartition) {
			if d.Topic == topic {
				largest[d.Partition] = max(largest[d.Partition], d.Size)
			}
		})
	}
	for _, n := range largest {
		size += n
	}
	return size
}

// WaitRecords waits until a topic holds n records.
func (p *Parts) WaitRecords(ctx context.Context, topic string, n int64) error {
	return Eventually(ctx, func() (bool, error) {
		have, err := p.Written(ctx, topic)
		return have >= n, err
	})
}

// Written is how many records a topic has had.
func (p *Parts) Written(ctx context.Context, topic string) (have int64, err error) {
	ends, err := p.admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return 0, err
	}
	ends.Each(func(o kadm.ListedOffset) { have += max(o.Offset, 0) })
	return have, nil
}

// Committed is the sum of a group's committed offsets in a topic.
func (p *Parts) Committed(ctx context.Context, group, topic string) (int64, error) {
	offsets, err := p.admin.FetchOffsetsForTopics(ctx, group, topic)
	if err != nil {
		return 0, err
	}
	var sum int64
	offsets.Each(func(o kadm.OffsetResponse) { sum += max(o.At, 0) })
	return sum, nil
}

// Eventually polls until done or until ctx ends. It is for what other
// processes do and no signal tells us of.
func Eventually(ctx context.Context, done func() (bool, error)) error {
	return EventuallyEvery(ctx, 20*time.Millisecond, done)
}

// EventuallyEvery is Eventually for looks that cost something.
func EventuallyEvery(ctx context.Context, pause time.Duration, done func() (bool, error)) error {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		ok, err := done()
		if ok {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if err != nil {
				return fmt.Errorf("%w, last: %w", ctx.Err(), err)
			}
			return ctx.Err()
		}
	}
}

// Unique makes a name that no other test of this run has.
func Unique(t testing.TB) string {
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(t.Name()))
	return fmt.Sprintf("%.30s_%d_%d", clean, os.Getpid(), time.Now().UnixNano()%1e9)
}
