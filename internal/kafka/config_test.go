package kafka

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/brimline/brimline"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"go.yaml.in/yaml/v3"
)

func expect[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

// The defaults of goka and sarama lose data or time; these are ours. A change here is a change of guarantees.
func TestSettings(t *testing.T) {
	c, err := Options{Brokers: []string{"localhost:9092"}}.Config()
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "client id", c.ClientID, "brimline")
	if !c.Version.IsAtLeast(sarama.V2_8_0_0) {
		t.Errorf("protocol %v is older than 2.8", c.Version)
	}
	expect(t, "requests in flight", c.Net.MaxOpenRequests, 1)
	expect(t, "first offset", c.Consumer.Offsets.Initial, sarama.OffsetOldest)
	expect(t, "reset of invalid offsets", c.Consumer.Group.ResetInvalidOffsets, false)
	expect(t, "isolation", c.Consumer.IsolationLevel, sarama.ReadCommitted)
	expect(t, "topics made by use", c.Metadata.AllowAutoTopicCreation, false)
	expect(t, "bytes fetched of a partition", c.Consumer.Fetch.Default, 256<<10)
	expect(t, "consumer errors", c.Consumer.Return.Errors, true)
	expect(t, "metadata patience", time.Duration(c.Metadata.Retry.Max)*c.Metadata.Retry.Backoff, 2*time.Minute)
	expect(
		t,
		"rebalance patience",
		time.Duration(c.Consumer.Group.Rebalance.Retry.Max)*c.Consumer.Group.Rebalance.Retry.Backoff,
		2*time.Minute,
	)
	expect(t, "session timeout", c.Consumer.Group.Session.Timeout, 6*time.Second)
	expect(t, "heartbeats", c.Consumer.Group.Heartbeat.Interval, 1500*time.Millisecond)
	expect(t, "commits", c.Consumer.Offsets.AutoCommit.Enable, true)
	expect(t, "commit interval", c.Consumer.Offsets.AutoCommit.Interval, 100*time.Millisecond)
}

func TestSettingsOfOneKindOfClient(t *testing.T) {
	o := Options{Brokers: []string{"localhost:9092"}, RebalanceTimeout: time.Minute, InstanceID: "a"}
	group, err := o.ConsumerGroupConfig(Group{Rules: []byte("r1")})
	if err != nil {
		t.Fatal(err)
	}
	if group.Net.ReadTimeout <= group.Consumer.Group.Rebalance.Timeout {
		t.Errorf(
			"a join is given up after %v, a rebalance may take %v",
			group.Net.ReadTimeout,
			group.Consumer.Group.Rebalance.Timeout,
		)
	}
	expect(t, "user data", string(group.Consumer.Group.Member.UserData), "r1")
	expect(t, "strategy", group.Consumer.Group.Rebalance.GroupStrategies[0].Name(), "range-same-rules")
	expect(t, "instance", group.Consumer.Group.InstanceId, "a")

	if other, _ := o.Config(); other == group {
		t.Error("two clients share a config; goka's builders write into it")
	}
}

func TestEveryOptionIsCheckedAtOnce(t *testing.T) {
	err := Options{
		SASL: SASL{Mechanism: "GSSAPI"}, TLS: TLS{CAFile: "ca.pem", CertFile: "c.pem"},
		SessionTimeout: time.Millisecond, MaxMessageBytes: 1 << 40,
	}.Check()
	if n := len(strings.Split(fmt.Sprint(err), "\n")); n != 6 {
		t.Errorf("%d problems:\n%v", n, err)
	}
	expect(t, "exit code", brimline.ExitCode(err), int(brimline.ClassInput))
}

func TestPasswordIsNeverPrinted(t *testing.T) {
	const secret = "correct horse"
	o := Options{Brokers: []string{"localhost:9092"}, SASL: SASL{Mechanism: SASLPlain, User: "app", Password: secret}}
	var log bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(h).Info("options", "sasl", o.SASL, "all", o, "pointer", &o)
	}
	js, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	yml, err := yaml.Marshal(o.SASL)
	if err != nil {
		t.Fatal(err)
	}
	printed := []string{log.String(), string(js), string(yml), fmt.Sprint(o), fmt.Sprint(o.SASL), fmt.Sprint(&o.SASL)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		printed = append(printed, fmt.Sprintf(verb, o), fmt.Sprintf(verb, o.SASL))
	}
	for _, p := range printed {
		if strings.Contains(p, secret) || strings.Contains(p, fmt.Sprintf("%x", secret)) {
			t.Errorf("the password is in %q", p)
		}
	}
	expect(t, "SASL", o.SASL.String(), "PLAIN as app, password set")
}

func TestTLSFilesAreExplained(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{empty, empty + ".missing"} {
		_, err := Options{Brokers: []string{"localhost:9092"}, TLS: TLS{Enabled: true, CAFile: file}}.Config()
		if e, ok := errors.AsType[*brimline.Error](err); !ok || e.Kind != KindTLS || e.Remedy == "" {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestExplain(t *testing.T) {
	// Go says of it that it is the end of a context.
	_, late := (&net.Dialer{Timeout: time.Nanosecond}).Dial("tcp", "127.0.0.1:1")
	for _, c := range []struct {
		err  error
		kind string
	}{
		{sarama.Wrap(sarama.ErrOutOfBrokers, io.EOF), KindUnreachable},
		{fmt.Errorf("unable to dial: %w", late), KindUnreachable},
		{fmt.Errorf("unable to dial: %w", context.DeadlineExceeded), KindUnreachable}, // in TLS, franz-go
		{kerr.SaslAuthenticationFailed, KindAuth},
		{&kadm.AuthError{Err: kerr.GroupAuthorizationFailed}, KindPermission},
		{sarama.Wrap(sarama.ErrOutOfBrokers, errors.New("tls: first record does not look like a TLS handshake")), KindTLS},
		{sarama.Wrap(sarama.ErrOutOfBrokers, sarama.ErrSASLAuthenticationFailed), KindAuth},
		{&sarama.ConsumerError{Topic: "t", Err: sarama.ErrOffsetOutOfRange}, KindOffsetLost},
		{sarama.ErrUnknownTopicOrPartition, KindTopicMissing},
		{sarama.ErrTopicAuthorizationFailed, KindPermission},
		{sarama.ErrGroupAuthorizationFailed, KindPermission},
		// goka breaks the chain when it sets up a processor
		{errors.New("Setup failed: " + sarama.ErrTopicAuthorizationFailed.Error()), KindPermission},
		{errors.New("something else"), KindOther},
	} {
		e, ok := errors.AsType[*brimline.Error](Explain(c.err, "somewhere"))
		if !ok || e.Kind != c.kind || (e.Remedy == "") != (c.kind == KindOther) || e.Where != "somewhere" {
			t.Errorf("%v is explained as %+v, want %s", c.err, e, c.kind)
		}
	}
	if Explain(nil, "") != nil {
		t.Error("nothing is explained")
	}
	known := &brimline.Error{Kind: "known", Err: io.EOF}
	if err := Explain(fmt.Errorf("again: %w", known), "elsewhere"); !errors.Is(err, known) ||
		strings.Contains(err.Error(), "elsewhere") {
		t.Errorf("explained twice: %v", err)
	}
}
