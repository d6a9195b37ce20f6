package verify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/testkit"
)

// proxied is a broker that is reached through a proxy only.
type proxied struct {
	*world
	broker *kfake.Cluster
	proxy  *testkit.Proxy
}

// onNetwork runs a test with both protocols of transactions, and requests that are given up after a short while.
func onNetwork(t *testing.T, partitions int32, test func(*testing.T, *proxied)) {
	for _, version := range []int16{2, 0} {
		t.Run(fmt.Sprint("transaction.version=", version), func(t *testing.T) {
			l, proxy := testkit.BehindProxy(t)
			broker := must(kfake.NewCluster(kfake.NumBrokers(1),
				kfake.ListenFn(func(string, string) (net.Listener, error) { return l, nil })))
			t.Cleanup(broker.Close)
			p := &proxied{newWorldOn(t, partitions, []string{proxy.Addr()}), broker, proxy}
			p.more = []kgo.Opt{kgo.RequestTimeoutOverhead(300 * time.Millisecond)}
			p.config = func(c *Config) { c.StopTimeout = 100 * time.Millisecond }
			if version == 0 {
				p.agreeOn(version)
			}
			test(t, p)
		})
	}
}

func await(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatal("it did not happen: ", what)
	}
}

// atEnd fails if a partition's committed offset is not its end.
func (p *proxied) atEnd() {
	p.t.Helper()
	admin := kadm.NewClient(p.client)
	committed := must(admin.FetchOffsets(p.t.Context(), p.streams.VerifyGroup))
	must(admin.ListEndOffsets(p.t.Context(), p.streams.Candidates)).Each(func(end kadm.ListedOffset) {
		if got, _ := committed.Lookup(end.Topic, end.Partition); end.Offset != got.At {
			p.t.Errorf("partition %d is committed up to %d, and ends at %d", end.Partition, got.At, end.Offset)
		}
	})
}

// A transaction's end that is so long on its way that it was asked for again must not end a later transaction.
func TestEndThatComesLate(t *testing.T) { onNetwork(t, 1, endThatComesLate) }

func endThatComesLate(t *testing.T, p *proxied) {
	h := p.newSteadyLog(60)
	f := freeze("sent", math.MaxInt)
	p.stage = func(s *Stage) { s.pause = f.pause }
	stop := p.keep("one")
	end := testkit.Hold(keyEndTxn, p.proxy)
	p.put(h.all[:20]...)
	await(t, "an end is under way", end.There)
	p.caughtUp()
	f.arm()
	p.put(h.all[20:40]...)
	f.await(t) // records are with the brokers, offsets are not
	end.Release()
	await(t, "the end has arrived", end.Delivered)
	stop()
	p.stage = func(*Stage) {}
	p.start("one")
	p.put(h.all[40:]...)
	p.caughtUp()
	p.check(h)
	close(f.thaw)
}

// Offsets that are so long on their way that they were sent again must not replace later ones.
func TestOffsetsThatComeLate(t *testing.T) { onNetwork(t, 1, offsetsThatComeLate) }

func offsetsThatComeLate(t *testing.T, p *proxied) {
	h := p.newSteadyLog(80)
	f := freeze("offsets", math.MaxInt)
	p.stage = func(s *Stage) { s.pause = f.pause }
	stop := p.keep("one")
	offsets := testkit.Hold(keyTxnOffsets, p.proxy)
	p.put(h.all[:20]...)
	await(t, "offsets are under way", offsets.There)
	p.caughtUp()
	p.put(h.all[20:40]...)
	p.caughtUp()
	f.arm()
	p.put(h.all[40:60]...)
	f.await(t) // records and offsets are with the brokers
	offsets.Release()
	await(t, "the offsets have arrived", offsets.Delivered)
	close(f.thaw)
	p.caughtUp()
	p.atEnd()
	stop()
	p.stage = func(*Stage) {}
	p.start("one")
	p.put(h.all[60:]...)
	p.caughtUp()
	p.check(h)
}

// The same for offsets of batches that write nothing, which no transaction protects.
func TestLoneOffsetsThatComeLate(t *testing.T) { onNetwork(t, 1, loneOffsetsThatComeLate) }

func loneOffsetsThatComeLate(t *testing.T, p *proxied) {
	h := p.newSteadyLog(60)
	stop := p.keep("one")
	p.put(h.all[:20]...)
	p.caughtUp()
	offsets := testkit.Hold(keyOffsetCommit, p.proxy)
	p.put(h.all[:20]...) // replays
	await(t, "offsets are under way", offsets.There)
	p.caughtUp()
	p.put(h.all[20:40]...)
	p.caughtUp()
	offsets.Release()
	await(t, "the offsets have arrived", offsets.Delivered)
	p.atEnd()
	stop()
	p.start("one")
	p.put(h.all[40:]...)
	p.caughtUp()
	p.check(h)
}

// What a transaction has written is given up when its time is over, however long the network stands still, and done
// again by the next life.
func TestTransactionsAreNotWaitedForBeyondTheirTimeout(t *testing.T) {
	onNetwork(t, 1, func(t *testing.T, p *proxied) {
		p.options.TransactionTimeout = time.Second
		h := p.newSteadyLog(20)
		hold := make(chan struct{})
		p.ledger.set(nil, hold)
		one := p.start("one")
		p.put(h.all...)
		<-p.ledger.took
		p.proxy.Set(testkit.Weather{NoRequests: true})
		close(hold)
		err := one.end(t, false)
		if e, ok := errors.AsType[*brimline.Error](err); !ok || e.Kind != "transaction" || !errors.Is(err, errNotTaken) {
			t.Errorf("it ended with %v", err)
		}
		p.proxy.Set(testkit.Weather{})
		p.start("one")
		p.caughtUp()
		p.check(h)
	})
}

// A transaction that a session left behind may still commit under the generation that the next session has as well. The
// next one must not read its position before.
func TestPositionsAreReadBetweenTransactionsOnly(t *testing.T) {
	onNetwork(t, 1, func(t *testing.T, p *proxied) {
		p.more = nil // the end is waited for
		h := p.newSteadyLog(20)
		var committer *committer
		p.stage = func(s *Stage) { s.joined = func(m *member) { committer = m.s.near.committer } }
		end := testkit.Hold(keyEndTxn, p.proxy)
		p.start("one")
		p.put(h.all...)
		await(t, "an end is under way", end.There)
		brief, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := committer.settle(brief); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a session went on during a transaction: %v", err)
		}
		end.Release()
		if err := committer.settle(t.Context()); err != nil {
			t.Errorf("after the transaction: %v", err)
		}
		p.caughtUp()
		p.check(h)
	})
}

// A batch whose offsets the group refuses is undone, and done again by whoever has the partition then.
func TestRefusedOffsetsAreUndone(t *testing.T) {
	onNetwork(t, 2, func(t *testing.T, p *proxied) {
		refusals := []*kerr.Error{kerr.IllegalGeneration, kerr.RebalanceInProgress, kerr.UnknownMemberID}
		p.broker.ControlKey(keyTxnOffsets, func(k kmsg.Request) (kmsg.Response, error, bool) {
			p.broker.KeepControl()
			if len(refusals) == 0 {
				return nil, nil, false
			}
			request := k.(*kmsg.TxnOffsetCommitRequest)
			answer := request.ResponseKind().(*kmsg.TxnOffsetCommitResponse)
			for _, t := range request.Topics {
				topic := kmsg.TxnOffsetCommitResponseTopic{Topic: t.Topic}
				for _, q := range t.Partitions {
					topic.Partitions = append(topic.Partitions, kmsg.TxnOffsetCommitResponseTopicPartition{
						Partition: q.Partition, ErrorCode: refusals[0].Code,
					})
				}
				answer.Topics = append(answer.Topics, topic)
			}
			refusals = refusals[1:]
			return answer, nil, true
		})
		h := p.newSteadyLog(100)
		p.put(h.all...)
		one := p.start("one")
		p.caughtUp()
		one.stopped(t) // it has not ended by itself
		if got := p.metric("aborts_total"); got != 3 {
			t.Errorf("%v transactions aborted, want 3", got)
		}
		p.check(h)
	})
}

// Whatever the network does, each candidate is handled once.
func TestWeather(t *testing.T) {
	onNetwork(t, 4, func(t *testing.T, p *proxied) {
		p.config = func(c *Config) { c.StopTimeout, c.Batch = time.Second, 20 }
		h := p.newLog(1600)
		p.keep("one")
		p.keep("two")
		weathers := []testkit.Weather{
			{Delay: 20 * time.Millisecond}, {Lost: 0.1}, {Reset: 0.1}, {Cut: 0.1},
			{NoRequests: true}, {NoAnswers: true}, {Shut: true}, {},
		}
		for i, w := range weathers {
			p.put(h.all[i*len(h.all)/len(weathers) : (i+1)*len(h.all)/len(weathers)]...)
			p.proxy.Set(w)
			<-time.After(700 * time.Millisecond) // how long the weather lasts
			p.proxy.Set(testkit.Weather{})
		}
		p.caughtUp()
		p.check(h)
	})
}

// A stop ends in time while no broker can be reached.
func TestStopWithoutBrokers(t *testing.T) {
	for _, away := range []testkit.Weather{{Shut: true}, {NoRequests: true}, {NoAnswers: true}} {
		onNetwork(t, 1, func(t *testing.T, p *proxied) {
			p.more = nil
			h := p.newLog(10)
			one := p.start("one")
			p.put(h.all...)
			p.caughtUp()
			awaitMetric(t, p.world, "candidates_total", func(float64) bool { // the answers to its last transactions have come
				return int(p.metric("candidates_total")+p.metric("replays_total")) == len(h.all)
			})
			p.proxy.Set(away)
			began := time.Now()
			one.stopped(t)
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("a stop in %+v took %v", away, took)
			}
			p.proxy.Set(testkit.Weather{})
		})
	}
}

// A transaction that never ends keeps the group's offsets back, and the client waits for them without a word.
func TestOffsetsThatAreKeptBackAreTold(t *testing.T) {
	onNetwork(t, 1, func(t *testing.T, p *proxied) {
		h := p.newLog(20)
		p.put(h.all...)
		told := make(chan struct{}, 100)
		config := p.config
		p.config = func(c *Config) {
			config(c)
			c.Log = slog.New(tellsOf{slog.DiscardHandler, "candidates wait", told})
		}
		p.stage = func(s *Stage) { s.tellAfter = 20 * time.Millisecond }
		var kept atomic.Bool
		kept.Store(true)
		p.broker.ControlKey(keyOffsetFetch, func(r kmsg.Request) (kmsg.Response, error, bool) {
			p.broker.KeepControl()
			asked := r.(*kmsg.OffsetFetchRequest)
			if !kept.Load() || len(asked.Groups) == 0 {
				return nil, nil, false
			}
			answer := asked.ResponseKind().(*kmsg.OffsetFetchResponse)
			for _, g := range asked.Groups {
				group := kmsg.NewOffsetFetchResponseGroup()
				group.Group = g.Group
				for _, asked := range g.Topics {
					topic := kmsg.NewOffsetFetchResponseGroupTopic()
					topic.Topic, topic.TopicID = asked.Topic, asked.TopicID
					for _, n := range asked.Partitions {
						partition := kmsg.NewOffsetFetchResponseGroupTopicPartition()
						partition.Partition, partition.ErrorCode = n, kerr.UnstableOffsetCommit.Code
						topic.Partitions = append(topic.Partitions, partition)
					}
					group.Topics = append(group.Topics, topic)
				}
				answer.Groups = append(answer.Groups, group)
			}
			return answer, nil, true
		})
		p.start("one")
		for range 2 {
			await(t, "the wait is told, and again", told)
		}
		kept.Store(false)
		p.caughtUp()
		p.check(h)
	})
}

// tellsOf sends when a message that begins like this is logged.
type tellsOf struct {
	slog.Handler
	message string
	told    chan<- struct{}
}

func (h tellsOf) Enabled(context.Context, slog.Level) bool { return true }

func (h tellsOf) WithAttrs([]slog.Attr) slog.Handler { return h }

func (h tellsOf) Handle(_ context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, h.message) {
		select {
		case h.told <- struct{}{}:
		default:
		}
	}
	return nil
}
