package verify

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/kafka"
)

// TestStartErrors are those of an environment that is not as it must be.
func TestStartErrors(t *testing.T) {
	w := newWorld(t, 1)
	admin := kadm.NewClient(w.client)
	expect := func(name, kind, where string) {
		t.Helper()
		err := w.start("one").end(t, false)
		if e, ok := errors.AsType[*brimline.Error](err); !ok || e.Kind != kind || !strings.Contains(e.Where, where) ||
			e.Class != brimline.ClassEnvironment ||
			e.Remedy == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	commit := func(topic string, offset int64, metadata string) {
		t.Helper()
		var offsets kadm.Offsets
		offsets.Add(kadm.Offset{Topic: topic, At: offset, LeaderEpoch: -1, Metadata: metadata})
		if err := admin.CommitAllOffsets(t.Context(), w.streams.VerifyGroup, offsets); err != nil {
			t.Fatal(err)
		}
	}
	for _, topic := range []string{w.streams.Candidates, w.streams.Questions} {
		commit(topic, 0, "9:1:2")
		expect("a watermark of another version", "watermark", "")
		commit(topic, 1000, "1:5:0")
		expect("an offset that is not there", "offset_out_of_range", topic)
		commit(topic, 0, "1:5:0")
	}
	streams := w.streams
	for _, topic := range []*string{&w.streams.Alerts, &w.streams.Candidates, &w.streams.Questions} {
		*topic = "missing-" + *topic
		expect("a missing topic", "topic", *topic)
		w.streams = streams
	}
	other := w.streams.Group + "-other"
	must(admin.CreateTopic(t.Context(), 2, 1, nil, other))
	for _, topic := range []*string{&w.streams.Changes, &w.streams.Questions} {
		*topic = other
		expect("unequal partitions", "copartitioning", other)
		w.streams = streams
	}
	if _, err := New(Config{}); err == nil || len(err.(interface{ Unwrap() []error }).Unwrap()) != 10 {
		t.Errorf("an empty configuration: %v", err)
	}
}

// TestNoBroker ends promptly while no broker answers.
func TestNoBroker(t *testing.T) {
	w := newWorld(t, 1)
	w.config = func(c *Config) {
		c.Client = kafka.Options{Brokers: []string{"127.0.0.1:1"}}.ClientSettings
	}
	one := w.start("one")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	<-ctx.Done()
	one.stopped(t)
}

// TestDiagnosisIsKafkas: what a broker says of a login reaches the operator with its own remedy.
func TestDiagnosisIsKafkas(t *testing.T) {
	k := must(kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser(kafka.SASLPlain, "app", "secret")))
	defer k.Close()
	k.ControlKey(int16(kmsg.SASLAuthenticate), func(r kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		answer := r.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		answer.ErrorCode = kerr.SaslAuthenticationFailed.Code
		return answer, nil, true // as Kafka does; kfake hangs up
	})
	w := newWorld(t, 1)
	w.options.Brokers = k.ListenAddrs()
	w.options.SASL = kafka.SASL{Mechanism: kafka.SASLPlain, User: "app", Password: "wrong"}
	err := kafka.Explain(w.start("one").end(t, false), "stage verify")
	if e, ok := errors.AsType[*brimline.Error](err); !ok || e.Kind != kafka.KindAuth ||
		e.Class != brimline.ClassEnvironment || !strings.Contains(e.Remedy, "password") {
		t.Errorf("a wrong password: %v", err)
	}
}
