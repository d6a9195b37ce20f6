package views

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/processors"
)

// createRules makes the topic of the group's rules as the program does.
func (f *fixture) createRules() {
	f.t.Helper()
	topic := kafka.Topic{Name: f.streams.Rules, Partitions: 1, Kind: kafka.Table}
	if _, err := f.cluster.Ensure(f.t.Context(), []kafka.Topic{topic}, kafka.Durability{}); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) putRules(limit string) {
	f.t.Helper()
	r := week.Rule
	r.Limit, _ = brimline.ParseTotal(limit, 2)
	set := &brimline.RuleSet{Scale: 2, Rules: []brimline.Rule{r}}
	f.put(f.streams.Rules, codecs.RuleSet{}, processors.RulesKey, set)
}

// A program that knows the group alone gets figures by the rules that the group applies, and by those that come later.
func TestRulesInForce(t *testing.T) {
	f := newFixture(t)
	f.putWindows("u", window(5, -1, "20.00"))
	c := Config{Brokers: f.kafka.Brokers, Group: f.streams.Group}
	_, err := Open(t.Context(), c)
	wantKind(t, err, "no_table")
	f.createRules()
	_, err = Open(t.Context(), c)
	wantKind(t, err, "no_rules")

	f.putRules("100.00")
	f.putRules("25.00")
	w := openWindows(t, c)
	run(t, w)
	distance := func() string {
		u, err := w.User(t.Context(), "u", noon)
		if err != nil {
			return err.Error()
		}
		return u.Rules[0].Distance.Format(2)
	}
	if got := distance(); got != "5.00" {
		t.Errorf("distance %s, want 5.00 to the limit in force", got)
	}
	f.putRules("30.00")
	eventually(t, "the new rules are taken", func() bool { return distance() == "10.00" })
	// What cannot be read is said; figures of the rules before would be untrue.
	f.put(f.streams.Rules, codecs.Raw{}, processors.RulesKey, []byte(`{"version":99}`))
	eventually(t, "an unreadable record is said", func() bool { return strings.Contains(distance(), "version 99") })
	if _, err := Open(t.Context(), c); err == nil {
		t.Error("opened by rules that cannot be read")
	} else {
		wantKind(t, err, "rules_record")
	}
	f.putRules("40.00")
	eventually(t, "readable rules are taken again", func() bool { return distance() == "20.00" })
}

func TestConfigIsChecked(t *testing.T) {
	_, err := Open(t.Context(), Config{Brokers: []string{"127.0.0.1:1"}})
	wantKind(t, err, "view_config")
	_, err = Open(t.Context(), Config{Group: "g"})
	wantKind(t, err, "kafka_options")
	_, err = Open(t.Context(), Config{Brokers: []string{"127.0.0.1:1"}, Group: "g", SASL: SASL{Mechanism: "NONE"}})
	wantKind(t, err, "kafka_options")
	for _, text := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		c := Config{SASL: SASL{Mechanism: Plain, User: "u", Password: "hunter2"}}
		got := fmt.Sprintf(text, c)
		if strings.Contains(got, "hunter2") || strings.Contains(got, fmt.Sprintf("%x", "hunter2")) {
			t.Errorf("%s shows the password: %s", text, got)
		}
	}
}

// Who waits for a view that has ended is told why.
func TestWaitRecoveredEndsWithRun(t *testing.T) {
	f := newFixture(t)
	w := openWindows(t, f.config())
	f.broker.Close() // so that it does not recover
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	waited := make(chan error, 1)
	go func() { waited <- w.WaitRecovered(context.Background()) }()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	select {
	case err := <-waited:
		wantKind(t, err, "view_stopped")
	case <-time.After(time.Minute):
		t.Fatal("still waiting for a view that has ended")
	}
}
