package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// settleOnce settles a key with a value, unless it has one, and gives the one that it has.
func settleOnce(ctx context.Context, c *Cluster, o Options, value string, looked func()) (have string, err error) {
	err = c.Settle(ctx, o, "settled", "facts", func(newest map[string][]byte) (map[string][]byte, error) {
		looked()
		if have = string(newest["key"]); have != "" {
			return nil, nil
		}
		return map[string][]byte{"key": []byte(value)}, nil
	})
	if have == "" && err == nil {
		have = value
	}
	return have, err
}

func values(t *testing.T, c *Cluster) (all []string) {
	t.Helper()
	must(t, c.Tail(deadline(t), "facts", Oldest, false, func(m *Message) error {
		all = append(all, string(m.Key)+"="+string(m.Value))
		return nil
	}))
	return all
}

// TestSettleOfManyAtOnce: one of them writes, and all agree on what.
func TestSettleOfManyAtOnce(t *testing.T) {
	t.Parallel()
	_, o := broker(t, kfake.SeedTopics(1, "facts"))
	c := dialled(t, o)
	var (
		all   sync.WaitGroup
		mu    sync.Mutex
		wins  = map[string]int{}
		ready = make(chan struct{})
	)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	const many = 8
	for n := range many {
		all.Go(func() {
			<-ready
			won, err := settleOnce(ctx, c, o, fmt.Sprint("of ", n), func() {})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(n, err)
			}
			wins[won]++
		})
	}
	close(ready)
	all.Wait()
	if got := values(t, c); len(wins) != 1 || len(got) != 1 {
		t.Errorf("won %v, written %q", wins, got)
	}
}

// TestSettleIsFenced: who has looked and is slow writes nothing after another has written.
func TestSettleIsFenced(t *testing.T) {
	t.Parallel()
	_, o := broker(t, kfake.SeedTopics(1, "facts"))
	c := dialled(t, o)
	looks := 0
	won, err := settleOnce(deadline(t), c, o, "slow", func() {
		if looks++; looks == 2 { // it has the id, and will write what it decides now
			if won, err := settleOnce(deadline(t), c, o, "quick", func() {}); won != "quick" || err != nil {
				t.Errorf("the quick one got %q, %v", won, err)
			}
		}
	})
	if got := values(t, c); err != nil || won != "quick" || looks != 3 || len(got) != 1 || got[0] != "key=quick" {
		t.Errorf("got %q, %v after %d looks, written %q", won, err, looks, got)
	}
}

// TestSettleWritesNothing: what is settled takes no producer, and an error of who decides is the caller's.
func TestSettleWritesNothing(t *testing.T) {
	t.Parallel()
	_, o := broker(t, kfake.SeedTopics(1, "facts"))
	c := dialled(t, o)
	failed := errors.New("no")
	err := c.Settle(deadline(t), o, "settled", "facts", func(map[string][]byte) (map[string][]byte, error) {
		return nil,
			failed
	})
	if !errors.Is(err, failed) {
		t.Error(err)
	}
	looks := 0
	for range 2 {
		if won, err := settleOnce(deadline(t), c, o, "first", func() { looks++ }); won != "first" || err != nil {
			t.Errorf("%q, %v", won, err)
		}
	}
	if got := values(t, c); looks != 3 || len(got) != 1 {
		t.Errorf("%d looks, written %q", looks, got)
	}
	err = c.Settle(deadline(t), o, "settled", "nowhere", func(map[string][]byte) (map[string][]byte, error) {
		return nil,
			nil
	})
	if kindOf(err) != KindTopicMissing {
		t.Error(err)
	}
}

// TestSettleMayNot: a login without the right to the id is told so, at once.
func TestSettleMayNot(t *testing.T) {
	t.Parallel()
	_, o := broker(t, kfake.SeedTopics(1, "facts"), kfake.EnableSASL(), kfake.EnableACLs(),
		kfake.User(SASLPlain, "reader", "secret", kfake.ACL{
			Resource: 2, Name: "facts", Pattern: 3, Operation: 2, Allow: true, // everything on the topic
		}))
	o.SASL = SASL{Mechanism: SASLPlain, User: "reader", Password: "secret"}
	c, err := Dial(deadline(t), o, Quick)
	must(t, err)
	defer c.Close()
	_, err = settleOnce(deadline(t), c, o, "first", func() {})
	if kindOf(err) != KindPermission || !strings.Contains(err.Error(), "facts") {
		t.Error(err)
	}
}

// TestSettleOutlastsAServersErrors: a broker on which two ask for the id at once may fail by itself. Nothing is written
// twice for that, and a broker that goes on failing is told of.
func TestSettleOutlastsAServersErrors(t *testing.T) {
	t.Parallel()
	for _, request := range []kmsg.Request{&kmsg.InitProducerIDRequest{}, &kmsg.EndTxnRequest{}} {
		for _, times := range []int{2, 1000} {
			t.Run(fmt.Sprintf("%T, %d times", request, times), func(t *testing.T) {
				t.Parallel()
				k, o := broker(t, kfake.SeedTopics(1, "facts"))
				c := dialled(t, o)
				var left atomic.Int64
				left.Store(int64(times))
				k.ControlKey(request.Key(), func(r kmsg.Request) (kmsg.Response, error, bool) {
					k.KeepControl()
					if left.Add(-1) < 0 {
						return nil, nil, false
					}
					switch response := r.ResponseKind().(type) {
					case *kmsg.InitProducerIDResponse:
						response.ErrorCode = kerr.UnknownServerError.Code
						return response, nil, true
					case *kmsg.EndTxnResponse:
						response.ErrorCode = kerr.UnknownServerError.Code
						return response, nil, true
					}
					return nil, nil, false
				})
				won, err := settleOnce(deadline(t), c, o, "one", func() {})
				switch {
				case times > 100 && err == nil:
					t.Error("a broker that fails all the time is not told of")
				case times <= 100 && (err != nil || won != "one"):
					t.Errorf("won %q, %v", won, err)
				}
				if got := values(t, c); len(got) > 1 {
					t.Errorf("written %q", got)
				}
			})
		}
	}
}
