package kafka

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"time"

	"github.com/IBM/sarama"
	"github.com/brimline/brimline"
)

// Config is the one place that states what sarama is told, and why; the
// functions below it add what one kind of client needs. sarama reads, for goka;
// what is written goes through franz-go (see ProducerSettings). Each call
// returns a fresh copy, because goka's builders write into the one they are given.
func (o Options) Config() (*sarama.Config, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	c := sarama.NewConfig()
	c.ClientID = o.ClientID

	// The oldest protocol with everything that brimline needs: topic ids in metadata, static members, fenced
	// transactional offsets. Each connection settles on what its broker has; Kafka 2.8 to 4.x and kfake work.
	c.Version = sarama.V2_8_0_0

	c.Net.DialTimeout = 10 * time.Second
	c.Net.ReadTimeout = 30 * time.Second
	c.Net.WriteTimeout = 30 * time.Second
	// One request after the other: no commit overtakes an earlier one.
	c.Net.MaxOpenRequests = 1
	if err := o.secure(c); err != nil {
		return nil, err
	}

	// 240 × 500 ms: a broker's restart or a failover of two minutes is waited out. Giving up ends the whole processor.
	c.Metadata.Retry.Max = 240
	c.Metadata.Retry.Backoff = 500 * time.Millisecond
	c.Metadata.RefreshFrequency = 5 * time.Minute
	c.Metadata.Full = true // goka's topic manager finds topics and brokers only so
	// A topic that springs up with the broker's defaults has the wrong partitions, policy and size limit.
	c.Metadata.AllowAutoTopicCreation = false
	c.Admin.Timeout = 30 * time.Second
	c.Admin.Retry.Max = 20
	c.Admin.Retry.Backoff = 250 * time.Millisecond

	o.consume(c)
	if err := c.Validate(); err != nil {
		return nil, &brimline.Error{Class: brimline.ClassInput, Kind: "kafka_options", Where: "kafka options", Err: err}
	}
	return c, nil
}

func (o Options) consume(c *sarama.Config) {
	// A new group means: from the beginning. With "newest" everything before its first commit would be missed.
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	// An offset that the broker no longer has means lost input. It must be seen, not skipped over.
	c.Consumer.Group.ResetInvalidOffsets = false
	// Alerts are written in transactions, and so are some connectors' changes; what was aborted never happened.
	c.Consumer.IsolationLevel = sarama.ReadCommitted
	// Ordered consumers and Tail read the errors; goka does, too.
	c.Consumer.Return.Errors = true
	c.Consumer.MaxWaitTime = 250 * time.Millisecond
	// A stage that waits (PostgreSQL away, a slow disk) is not a reason to resubscribe every 100 ms.
	c.Consumer.MaxProcessingTime = time.Second
	c.Consumer.Retry.Backoff = 250 * time.Millisecond
	// Of each partition, in one request for all of them: thousands of records, so that catching up takes few requests,
	// and a quarter of sarama's default, so that eight partitions' worth of it is little memory in each stage. It grows
	// by itself for a larger record.
	c.Consumer.Fetch.Default = 256 << 10

	c.Consumer.Offsets.AutoCommit.Enable = true
	c.Consumer.Offsets.AutoCommit.Interval = o.CommitEvery
	c.Consumer.Offsets.Retry.Max = 10
	c.Consumer.Group.Session.Timeout = o.SessionTimeout
	c.Consumer.Group.Heartbeat.Interval = o.SessionTimeout / 4 // three may be lost
	c.Consumer.Group.Rebalance.Timeout = o.RebalanceTimeout
	// 600 × 200 ms. The backoff is also how soon a member asks again during a rebalance, of which 2 s, the default, is
	// most.
	c.Consumer.Group.Rebalance.Retry.Max = 600
	c.Consumer.Group.Rebalance.Retry.Backoff = 200 * time.Millisecond
	c.Consumer.Group.InstanceId = o.InstanceID
}

// partitionsEvery is how often a member of a group looks for partitions that were added to what it reads.
const partitionsEvery = 15 * time.Second

// Group adds to the options what one consumer group needs.
type Group struct {
	// Strategy shares out partitions. goka groups need goka.CopartitioningStrategy. Nil: sarama's range strategy.
	Strategy sarama.BalanceStrategy
	// Rules is a fingerprint of the rules that this member applies. If set, only members with the leader's
	// fingerprint get partitions (see RulesStrategy), and Members shows it.
	Rules []byte
	// OnExcluded is called with the leader's fingerprint when this member was left out for its own, each time
	// partitions are shared out. It must return at once. Nil: not told.
	OnExcluded func(leader []byte)
	// OnAssigned is called once the handler has taken its partitions, OnRevoked before it gives them up; the handler
	// goes on when they return. Nil: not told.
	OnAssigned, OnRevoked func()
}

// ConsumerGroupConfig is Config for one consumer group.
func (o Options) ConsumerGroupConfig(g Group) (*sarama.Config, error) {
	c, err := o.Config()
	if err != nil {
		return nil, err
	}
	// A broker answers JoinGroup when all members have come, which takes up to the rebalance timeout; a client that
	// hangs up before ends the processor.
	if d := c.Consumer.Group.Rebalance.Timeout + 10*time.Second; d > c.Net.ReadTimeout {
		c.Net.ReadTimeout = d
	}
	// A partition that is added is looked for as often, after the metadata that is as old: it is read within half a
	// minute. Only the topics that the group reads are asked for, of which a cluster may have thousands.
	c.Metadata.RefreshFrequency = partitionsEvery
	c.Metadata.Full = false
	c.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{g.strategy()}
	c.Consumer.Group.Member.UserData = g.Rules
	return c, nil
}

// strategy is that of every member of the group, whatever its client.
func (g Group) strategy() sarama.BalanceStrategy {
	strategy := g.Strategy
	if strategy == nil {
		strategy = sarama.NewBalanceStrategyRange()
	}
	if len(g.Rules) > 0 {
		strategy = RulesStrategy(strategy, g.Rules, g.OnExcluded)
	}
	return strategy
}

// Probe is Config for first contact and for commands that a person waits for:
// the same protocol, but an answer within ten seconds, be it that no broker is there.
func (o Options) Probe() (*sarama.Config, error) {
	c, err := o.Config()
	if err != nil {
		return nil, err
	}
	c.Net.DialTimeout = 3 * time.Second
	c.Net.ReadTimeout = 8 * time.Second
	c.Net.WriteTimeout = 8 * time.Second
	c.Metadata.Timeout = 7 * time.Second
	c.Metadata.Retry.Max = 3
	c.Metadata.Retry.Backoff = 250 * time.Millisecond
	c.Admin.Timeout = 8 * time.Second
	c.Admin.Retry.Max = 5
	return c, nil
}

// GroupBuilder makes ordered consumer groups (see Ordered); it is a goka.ConsumerGroupBuilder.
func (o Options) GroupBuilder(g Group) func(brokers []string, group, clientID string) (sarama.ConsumerGroup, error) {
	return func(brokers []string, group, clientID string) (sarama.ConsumerGroup, error) {
		c, err := o.ConsumerGroupConfig(g)
		if err != nil {
			return nil, err
		}
		c.ClientID = orElse(clientID, c.ClientID)
		ordered, err := Ordered(brokers, group, c, g)
		if err != nil {
			return nil, Explain(err, fmt.Sprintf("joining group %q", group))
		}
		return ordered, nil
	}
}

// ConsumerBuilder makes the consumers that read tables; it is a goka.SaramaConsumerBuilder.
func (o Options) ConsumerBuilder() func(brokers []string, clientID string) (sarama.Consumer, error) {
	return func(brokers []string, clientID string) (sarama.Consumer, error) {
		c, err := o.Config()
		if err != nil {
			return nil, err
		}
		c.ClientID = orElse(clientID, c.ClientID)
		consumer, err := sarama.NewConsumer(brokers, c)
		if err != nil {
			return nil, Explain(err, "connecting to read tables")
		}
		return consumer, nil
	}
}

// secure sets TLS and SASL.
func (o Options) secure(c *sarama.Config) error {
	t, err := o.ClientTLS()
	if err != nil {
		return err
	}
	c.Net.TLS.Enable, c.Net.TLS.Config = t != nil, t
	if s := o.SASL; s.Mechanism != "" {
		c.Net.SASL.Enable = true
		c.Net.SASL.Mechanism = sarama.SASLMechanism(s.Mechanism)
		c.Net.SASL.User, c.Net.SASL.Password = s.User, s.Password
		if s.Mechanism != SASLPlain {
			c.Net.SASL.SCRAMClientGeneratorFunc = scramClients(s.Mechanism)
		}
	}
	return nil
}

// ClientTLS is the configuration of connections: TLSConfig, or what TLS describes, whose files it reads. Nil: no TLS.
func (o Options) ClientTLS() (*tls.Config, error) {
	if o.TLSConfig != nil {
		return o.TLSConfig.Clone(), nil
	}
	t := o.TLS
	if !t.Enabled {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, tlsFile("the CA file", err)
		}
		if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, tlsFile("the CA file", fmt.Errorf("%s holds no PEM certificate", t.CAFile))
		}
	}
	if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, tlsFile("the client certificate and its key", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

func tlsFile(what string, err error) error {
	return &brimline.Error{
		Class: brimline.ClassInput, Kind: "kafka_tls", Where: "kafka TLS",
		Remedy: "check " + what, Err: err,
	}
}
