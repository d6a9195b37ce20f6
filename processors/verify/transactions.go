package verify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/brimline/brimline/internal/backoff"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/failpoint"
)

// transactions is a producer of one transactional id, which runs one transaction at a time.
//
// Kafka has two protocols for it. In version 2, of Kafka 4, each transaction has an epoch of its own, so that a request
// of one that has ended can no longer do anything, and the first record and the first offset enter a transaction by
// themselves. In version 1 the epoch is that of the producer: a request that gets no answer may arrive later, and then
// ends, or commits offsets in, a transaction that it was not meant for. There, such a request is never sent twice, and
// the producer that sent it is given up: the next one has another epoch, and the next consumer another member id.
type transactions struct {
	client  *kgo.Client
	id      string
	group   string
	second  bool // version 2
	timeout time.Duration
}

// Keys of the requests that Kafka's protocol names by number.
var (
	keyProduce      = kmsg.NewPtrProduceRequest().Key()
	keyOffsetCommit = kmsg.NewPtrOffsetCommitRequest().Key()
	keyOffsetFetch  = kmsg.NewPtrOffsetFetchRequest().Key()
	keyEndTxn       = kmsg.NewPtrEndTxnRequest().Key()
	keyTxnOffsets   = kmsg.NewPtrTxnOffsetCommitRequest().Key()
)

// byName are the versions of requests that name topics, not their ids.
func byName() *kversion.Versions {
	v := kversion.Stable()
	v.SetMaxKeyVersion(keyOffsetCommit, 9)
	v.SetMaxKeyVersion(keyOffsetFetch, 9)
	v.SetMaxKeyVersion(keyTxnOffsets, 5)
	return v
}

// openTransactions makes the producer known to the brokers. That ends a transaction which an older life of this
// instance left open, and fences that life.
func (s *Stage) openTransactions(ctx context.Context, id string, second bool) (*transactions, error) {
	settings, err := s.Transactions()
	if err != nil {
		return nil, err
	}
	t := &transactions{id: id, group: s.Streams.VerifyGroup, second: second}
	versions, once := byName(), func(int16) bool { return false }
	if !second {
		versions.SetMaxKeyVersion(keyProduce, 11)
		versions.SetMaxKeyVersion(keyEndTxn, 4)
		versions.SetMaxKeyVersion(keyTxnOffsets, 4)
		once = func(key int16) bool { return key == keyEndTxn || key == keyTxnOffsets }
	}
	t.client, err = kgo.NewClient(append(settings,
		kgo.TransactionalID(t.id), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.MaxVersions(versions), kgo.RetryTimeoutFn(retrying(once)),
		// The brokers finish a transaction after they have answered its end, and refuse the next one until then.
		kgo.ConcurrentTransactionsBackoff(2*time.Millisecond))...)
	if err != nil {
		return nil, err
	}
	t.timeout, _ = t.client.OptValue(kgo.TransactionTimeout).(time.Duration)
	if err := patiently(ctx, func() error {
		_, _, err := t.client.ProducerID(ctx)
		return err
	}); err != nil {
		t.client.Close()
		return nil, fmt.Errorf("starting transactions of %s: %w", t.id, err)
	}
	return t, nil
}

// requestPatience is how long a request is tried again while brokers are away: a restart or a failover is waited out.
const requestPatience = 2 * time.Minute

// retrying is how long requests are tried again, by their key.
func retrying(once func(key int16) bool) func(int16) time.Duration {
	return func(key int16) time.Duration {
		if once(key) && !failpoint.Without(failpoint.Unanswered) {
			return time.Nanosecond // 0 would be without end
		}
		return requestPatience
	}
}

// patiently tries again while no broker can be reached, which franz-go reports at once.
func patiently(ctx context.Context, try func() error) error {
	deadline := time.Now().Add(requestPatience)
	for {
		err := try()
		if err == nil || ctx.Err() != nil || isAnswer(err) || time.Now().After(deadline) {
			return err
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// isAnswer tells what a broker has said from what happened on the way to it.
func isAnswer(err error) bool {
	_, ok := errors.AsType[*kerr.Error](err)
	return ok
}

// begin sends nothing.
func (t *transactions) begin() error { return t.client.BeginTransaction() }

// send gives all records to the brokers, in one request for each of them, and waits until they have them. franz-go
// waits without end for a record whose request got no answer; the stage does not wait for it.
func (t *transactions) send(records []*kgo.Record) error {
	timer := time.NewTimer(t.timeout)
	defer timer.Stop()
	for len(records) > 0 {
		n := min(len(records), recordsAtOnce)
		some := records[:n]
		taken := make(chan error, 1)
		go func() { taken <- t.client.ProduceSync(context.Background(), some...).FirstErr() }()
		select {
		case err := <-taken:
			if err != nil {
				return err
			}
		case <-timer.C:
			return errNotTaken
		}
		records = records[n:]
	}
	return nil
}

// recordsAtOnce is below what the client holds: with more it would send what it has got, and then the rest.
const recordsAtOnce = 4096

// addOffsets adds offsets to the transaction.
func (t *transactions) addOffsets(by *session, offsets []kmsg.TxnOffsetCommitRequestTopic) error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), t.timeout, errNotTaken)
	defer cancel()
	id, epoch, err := t.client.ProducerID(ctx)
	if err != nil {
		return err
	}
	if !t.second {
		r := kmsg.NewPtrAddOffsetsToTxnRequest()
		r.TransactionalID, r.ProducerID, r.ProducerEpoch, r.Group = t.id, id, epoch, t.group
		if err := again(ctx, func() error {
			answer, err := r.RequestWith(ctx, t.client)
			if err != nil {
				return err
			}
			return kerr.ErrorForCode(answer.ErrorCode)
		}); err != nil {
			return err
		}
	}
	r := kmsg.NewPtrTxnOffsetCommitRequest()
	r.TransactionalID, r.ProducerID, r.ProducerEpoch, r.Group, r.Topics = t.id, id, epoch, t.group, offsets
	if !failpoint.Without(failpoint.Generation) {
		r.MemberID, r.Generation, r.InstanceID = by.id, by.generation, by.instance
	}
	return again(ctx, func() error {
		answer, err := r.RequestWith(ctx, t.client)
		if err != nil {
			return err
		}
		return firstOf(answer.Topics, func(topic kmsg.TxnOffsetCommitResponseTopic, see func(int16)) {
			for _, p := range topic.Partitions {
				see(p.ErrorCode)
			}
		})
	})
}

// firstOf is the first error among the answers for partitions.
func firstOf[T any](topics []T, each func(T, func(code int16))) (err error) {
	for _, t := range topics {
		each(t, func(code int16) {
			if err == nil {
				err = kerr.ErrorForCode(code)
			}
		})
	}
	return err
}

// again repeats a request that the brokers have answered and could not do at that moment: the transaction before is
// being finished, or a coordinator moves.
func again(ctx context.Context, try func() error) error {
	pauses := backoff.Backoff{First: 2 * time.Millisecond, Most: 200 * time.Millisecond}
	for {
		err := try()
		if !kerr.IsRetriable(err) && !errors.Is(err, kerr.ConcurrentTransactions) {
			return err
		}
		if pauses.Pause(ctx) != nil {
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// end commits or aborts. Where a commit gives an error, this process does not know what became of the transaction:
// only a new producer of this id ends the doubt.
func (t *transactions) end(commit bool) error {
	return t.client.EndTransaction(context.Background(), kgo.TransactionEndTry(commit))
}

func (t *transactions) close() { t.client.Close() }

// transactionVersion asks for the version of transactions that the whole cluster has agreed on; 0 and 1 are the same to
// a client.
func transactionVersion(ctx context.Context, client *kgo.Client) (level int16, err error) {
	r := kmsg.NewPtrApiVersionsRequest()
	r.ClientSoftwareName, r.ClientSoftwareVersion = "brimline", "1"
	answer, err := r.RequestWith(ctx, client)
	if err == nil {
		err = kerr.ErrorForCode(answer.ErrorCode)
	}
	if err != nil {
		return 0, err
	}
	for _, f := range answer.FinalizedFeatures {
		if f.Name == "transaction.version" {
			level = f.MaxVersionLevel
		}
	}
	return level, nil
}

// commitOffsets commits offsets of batches that write nothing, without a transaction: one that has no record would be
// none to franz-go. The request is sent once. If it gets no answer it may arrive behind later commits and take them
// back, so the stage ends, and with it the membership that the request speaks for.
func (s *Stage) commitOffsets(ctx context.Context, by *session, offsets []kmsg.OffsetCommitRequestTopic) error {
	r := kmsg.NewPtrOffsetCommitRequest()
	r.Group, r.Topics = s.Streams.VerifyGroup, offsets
	r.MemberID, r.Generation, r.InstanceID = by.id, by.generation, by.instance
	return again(ctx, func() error {
		answer, err := r.RequestWith(ctx, s.client)
		if err != nil {
			return err
		}
		return firstOf(answer.Topics, func(topic kmsg.OffsetCommitResponseTopic, see func(int16)) {
			for _, p := range topic.Partitions {
				see(p.ErrorCode)
			}
		})
	})
}

func (c *committer) failed(doing string, err error) error {
	e := &brimline.Error{
		Class: brimline.ClassEnvironment, Kind: "transaction", Where: fmt.Sprintf("%s of %q", doing, c.transactions.id),
		Remedy: "check the brokers; the stage begins anew, and nothing is lost or written twice", Err: err,
	}
	switch {
	case errors.Is(err, kerr.ProducerFenced), errors.Is(err, kerr.InvalidProducerEpoch),
		errors.Is(err, kerr.FencedInstanceID):
		e.Kind = "fenced"
		e.Err = fmt.Errorf("another producer took over, or the brokers gave this one up: %w", err)
		e.Remedy = "if it happens again and again, another process runs under this instance name: give each its own"
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge):
		e.Remedy = "raise max.message.bytes of the topics alerts, shadow, dismissed, changes and deadletter"
	case errors.Is(err, kerr.TransactionalIDAuthorizationFailed), errors.Is(err, kerr.TopicAuthorizationFailed),
		errors.Is(err, kerr.GroupAuthorizationFailed):
		e.Remedy = "allow this login WRITE on the transactional id and the topics, and READ on the group"
	}
	return e
}
