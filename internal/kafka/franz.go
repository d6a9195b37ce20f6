package kafka

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// ClientSettings tell every client of franz-go's whom to ask, and for how long. Config is sarama's
// counterpart of these and of those below.
func (o Options) ClientSettings() ([]kgo.Opt, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	secure, err := o.franzSecurity()
	if err != nil {
		return nil, err
	}
	return append([]kgo.Opt{
		kgo.SeedBrokers(o.Brokers...),
		kgo.ClientID(o.ClientID),
		kgo.DialTimeout(10 * time.Second),
		// Brokers close idle connections after ten minutes; dialling again costs a quiet stream its latency.
		kgo.ConnIdleTimeout(9 * time.Minute),
		// What the client does is in our own metrics; pushing it to the brokers costs them requests and us a second in Close.
		kgo.DisableClientMetrics(),
		kgo.RetryBackoffFn(func(int) time.Duration { return 200 * time.Millisecond }),
		// Otherwise a broker that hangs up while it starts fails what is under way at once.
		kgo.AlwaysRetryEOF(),
		// How soon a topic's partitions are asked for after another one's: the default of 5 s delays the first dead
		// letter by as much.
		kgo.MetadataMinAge(100 * time.Millisecond),
	}, secure...), nil
}

// MemberSettings are those of a member of a consumer group, which shares it with members that ConsumerGroupConfig made.
func (o Options) MemberSettings(g Group) ([]kgo.Opt, error) {
	settings, err := o.ClientSettings()
	if err != nil {
		return nil, err
	}
	o = o.withDefaults()
	settings = append(settings,
		kgo.Balancers(balancer{g.strategy(), g.Rules}),
		kgo.SessionTimeout(o.SessionTimeout),
		kgo.HeartbeatInterval(o.SessionTimeout/4), // three may be lost
		kgo.RebalanceTimeout(o.RebalanceTimeout),
		kgo.MetadataMaxAge(partitionsEvery),
		// Alerts are written in transactions, and so are some connectors' changes; what was aborted never happened.
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// A new group means: from the beginning.
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		// An offset that the broker no longer has means lost input. It must be seen, not skipped over.
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		// A broker answers when it has a record; until then, the longer it may wait the fewer requests it gets. But a
		// partition that was paused is asked for again only when the running fetch has ended, which waits for others.
		kgo.FetchMaxWait(100*time.Millisecond),
		kgo.FetchMaxPartitionBytes(256<<10),
		kgo.FetchMaxBytes(4<<20),
	)
	if o.InstanceID != "" {
		settings = append(settings, kgo.InstanceID(o.InstanceID))
	}
	return settings, nil
}

// ReaderSettings are those of a client that fetches many records at a time, of partitions that it is told, and that
// keeps few of them in memory.
func (o Options) ReaderSettings() ([]kgo.Opt, error) {
	settings, err := o.ClientSettings()
	if err != nil {
		return nil, err
	}
	return append(settings,
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		// Partitions that were paused are asked for again when the running fetch has ended.
		kgo.FetchMaxWait(500*time.Millisecond),
		kgo.FetchMaxPartitionBytes(256<<10),
		kgo.FetchMaxBytes(2<<20),
		kgo.MaxConcurrentFetches(1),
	), nil
}

// FollowSettings are those of a client that waits for the next records of partitions that it is told.
func (o Options) FollowSettings() ([]kgo.Opt, error) {
	settings, err := o.ClientSettings()
	if err != nil {
		return nil, err
	}
	return append(settings,
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		// Of each broker: one that has nothing new holds up no other.
		kgo.FetchMaxPartitionBytes(256<<10),
		kgo.FetchMaxBytes(2<<20),
	), nil
}

// TransactionSettings are those of a producer whose records are all there at once and are waited for together. Who
// uses them names the transactional id: of two producers with the same one the newer fences the older.
func (o Options) TransactionSettings() ([]kgo.Opt, error) {
	settings, err := o.ClientSettings()
	if err != nil {
		return nil, err
	}
	o = o.withDefaults()
	return append(append(settings, o.durable()...), append([]kgo.Opt{
		kgo.TransactionTimeout(o.TransactionTimeout),
		// Until all records are there, none is sent; then ProduceSync ends the wait, unless a topic's partitions are
		// not known yet.
		kgo.ProducerLinger(o.FlushEvery),
	}, disturbProducer()...)...), nil
}

// durable has every producer write records that survive.
func (o Options) durable() []kgo.Opt {
	return []kgo.Opt{
		// An acknowledged record must survive the loss of a leader: offsets are committed on the strength of it.
		// Idempotence is franz-go's default: retries neither double nor reorder records, with several requests in
		// flight, too.
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.StopProducerOnDataLossDetected(),
		kgo.ProducerBatchCompression(kgo.SnappyCompression(), kgo.NoCompression()),
		kgo.ProducerBatchMaxBytes(int32(o.MaxMessageBytes + batchOverhead)),
		kgo.MaxBufferedRecords(maxBuffered),
		kgo.MaxBufferedBytes(2 * (o.MaxMessageBytes + batchOverhead)),
		// Neither a count of retries nor an unknown topic, whose creation has not reached every broker, ends a
		// record's patience: time does.
		kgo.UnknownTopicRetries(-1),
		kgo.ProduceRequestTimeout(10 * time.Second),
	}
}
