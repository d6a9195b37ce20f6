package app

import (
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/processors"
)

// A partition that no instance reads is told after the time that a rebalance takes, again and again, and when it is
// read.
func TestUnreadPartitionsAreTold(t *testing.T) {
	var log strings.Builder
	r := prometheus.NewRegistry()
	u := newUnread(slog.New(slog.NewTextHandler(&log, nil)), NewMetrics(r, "v1"))
	lags := []StageLag{
		{Stage: processors.Route, Group: "g-route", Partitions: []kafka.PartitionLag{
			{Topic: "source", Partition: 0}, {Topic: "source", Partition: 1}, {Topic: "source", Partition: 2}, {Topic: "source", Partition: 3}}},
		{Stage: processors.Index, Group: "g-index", Partitions: []kafka.PartitionLag{
			{Topic: "alerts", Partition: 0}, {Topic: "g-index-loop", Partition: 0}}},
	}
	all := map[string][]kafka.Member{
		"g-route": {{Assigned: map[string][]int32{"source": {0, 2}}}, {Assigned: map[string][]int32{"source": {1, 3}}}},
		"g-index": {{Assigned: map[string][]int32{"alerts": {0}, "g-index-loop": {0}}}},
	}
	some := maps.Clone(all)
	some["g-route"] = []kafka.Member{{Assigned: map[string][]int32{"source": {0, 1}, "other": {2, 3}}}}
	loop := maps.Clone(all)
	loop["g-index"] = []kafka.Member{{Assigned: map[string][]int32{"alerts": {0}}}}

	start := time.Date(2026, 11, 26, 3, 0, 0, 0, time.UTC)
	at := start
	look := func(after time.Duration, members map[string][]kafka.Member) (said []string) {
		at = at.Add(after)
		u.look(at, withoutReader(lags, members))
		for _, n := range u.notices(at) {
			said = append(said, n.Message)
		}
		return said
	}
	expect := func(got []string, want ...string) {
		t.Helper()
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("after %v it says %q, want %q", at.Sub(start), got, want)
		}
	}
	const two = "partitions 2-3 of source are read by no instance (stage route) since 2026-11-26 03:00:20 UTC"
	expect(look(0, all))
	expect(look(5*time.Second, nil)) // a rebalance
	expect(look(5*time.Second, all))
	expect(look(10*time.Second, some))
	expect(look(5*time.Second, some))
	expect(look(5*time.Second, some), two)
	if got := value(t, r, "brimline_stage_unread_partitions", "stage=route"); got != 2 {
		t.Errorf("the metric says %v", got)
	}
	for range 60 {
		expect(look(time.Second, some), two)
	}
	if n := strings.Count(log.String(), "03:00:20"); n != 2 {
		t.Errorf("said %d times in a minute:\n%s", n, log.String())
	}
	expect(look(time.Second, all))
	if got := value(t, r, "brimline_stage_unread_partitions", "stage=route"); got != 0 {
		t.Errorf("the metric says %v", got)
	}
	if n := strings.Count(log.String(), "every partition is read again"); n != 1 {
		t.Errorf("its end is said %d times:\n%s", n, log.String())
	}
	look(time.Second, loop)
	expect(look(time.Minute, loop),
		"partition 0 of g-index-loop is read by no instance (stage index) since 2026-11-26 03:01:32 UTC")
}

// Dead letters of the last hour are told, by kind, and those before are not.
func TestDeadLettersOfTheLastHour(t *testing.T) {
	var log strings.Builder
	sums := map[string]int64{}
	start := time.Date(2026, 11, 26, 3, 0, 0, 0, time.UTC)
	l := newLetters(start, func() map[string]int64 { return maps.Clone(sums) }, slog.New(slog.NewTextHandler(&log, nil)))
	at := start
	pass := func(d time.Duration) {
		for end := at.Add(d); at.Before(end); {
			at = at.Add(lettersEvery)
			l.look(at)
		}
	}
	expect := func(want string) {
		t.Helper()
		got := ""
		if n := l.notice(at); n != nil {
			got = n.Message
		}
		if got != want {
			t.Errorf("after %v it says %q, want %q", at.Sub(start), got, want)
		}
	}
	pass(2 * time.Hour)
	expect("")
	sums["amount_scale"] = 1
	expect("1 dead letter in the last hour: amount_scale 1")
	pass(30 * time.Minute)
	sums["postgres_amount"], sums["amount_scale"] = 2, 3
	expect("5 dead letters in the last hour: amount_scale 3, postgres_amount 2")
	pass(29 * time.Minute)
	expect("5 dead letters in the last hour: amount_scale 3, postgres_amount 2")
	pass(2 * time.Minute)
	expect("4 dead letters in the last hour: amount_scale 2, postgres_amount 2")
	pass(30 * time.Minute)
	expect("")
	if n := strings.Count(log.String(), "dead letter"); n != 2 { // when each came
		t.Errorf("%d mentions in the log:\n%s", n, log.String())
	}
	if len(l.points) > 2 {
		t.Errorf("%d points are kept of two changes", len(l.points))
	}
}
