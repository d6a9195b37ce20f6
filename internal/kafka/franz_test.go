package kafka

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The counterparts of TestSettings for franz-go. A change here is a change of guarantees.
func TestFranzSettings(t *testing.T) {
	o := Options{Brokers: []string{"localhost:9092"}, RebalanceTimeout: time.Minute, InstanceID: "a"}
	open := func(settings []kgo.Opt, err error) func(any) any {
		t.Helper()
		must(t, err)
		c, err := kgo.NewClient(settings...)
		must(t, err)
		t.Cleanup(c.Close)
		return c.OptValue
	}
	member := open(o.MemberSettings(Group{Rules: []byte("r1")}))
	expect(t, "client id", member(kgo.ClientID), any("brimline"))
	expect(t, "topics made by use", member(kgo.AllowAutoTopicCreation), any(false))
	expect(t, "session timeout", member(kgo.SessionTimeout), any(6*time.Second))
	expect(t, "heartbeats", member(kgo.HeartbeatInterval), any(1500*time.Millisecond))
	expect(t, "rebalance timeout", member(kgo.RebalanceTimeout), any(time.Minute))
	expect(t, "isolation", member(kgo.FetchIsolationLevel), any(int8(1)))
	expect(t, "first offset", member(kgo.ConsumeStartOffset), any(kgo.NewOffset().AtStart()))
	expect(t, "reset of invalid offsets", member(kgo.ConsumeResetOffset), any(kgo.NoResetOffset()))
	expect(t, "bytes fetched of a partition", member(kgo.FetchMaxPartitionBytes), any(int32(256<<10)))
	expect(t, "wait for records", member(kgo.FetchMaxWait), any(100*time.Millisecond))
	balancers, _ := member(kgo.Balancers).([]kgo.GroupBalancer)
	if len(balancers) != 1 || balancers[0].ProtocolName() != "range-same-rules" || balancers[0].IsCooperative() {
		t.Errorf("balancers %v", balancers)
	}
	expect(t, "instance", member(kgo.InstanceID), any("a"))

	transactions := open(o.TransactionSettings())
	expect(t, "acks", transactions(kgo.RequiredAcks), any(kgo.AllISRAcks()))
	expect(t, "idempotence given up", transactions(kgo.DisableIdempotentWrite), any(false))
	expect(t, "stop on data loss", transactions(kgo.StopProducerOnDataLossDetected), any(true))
	expect(t, "patience with unknown topics", transactions(kgo.UnknownTopicRetries), any(int64(-1)))
	expect(t, "transaction timeout", transactions(kgo.TransactionTimeout), any(15*time.Second))
	expect(t, "largest batch", transactions(kgo.ProducerBatchMaxBytes), any(int32(16<<20+1<<10)))
	expect(t, "linger", transactions(kgo.ProducerLinger), any(5*time.Millisecond))

	dated := open(o.DatedSettings(kgo.ManualPartitioner()))
	expect(t, "acks", dated(kgo.RequiredAcks), any(kgo.AllISRAcks()))
	expect(t, "idempotence given up", dated(kgo.DisableIdempotentWrite), any(false))
	expect(t, "patience by a record's time", dated(kgo.RecordDeliveryTimeout), any(time.Duration(0)))
	expect(t, "tries", dated(kgo.RecordRetries), any(int64(600)))
	expect(t, "largest batch", dated(kgo.ProducerBatchMaxBytes), any(int32(16<<20+1<<10)))
	expect(t, "linger", dated(kgo.ProducerLinger), any(5*time.Millisecond))

	follower := open(o.FollowSettings())
	expect(t, "isolation", follower(kgo.FetchIsolationLevel), any(int8(1)))
	expect(t, "reset of invalid offsets", follower(kgo.ConsumeResetOffset), any(kgo.NoResetOffset()))
}
