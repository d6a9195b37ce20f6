package app

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestTraffic(t *testing.T) {
	var log strings.Builder
	handled := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "x"}, []string{"partition"})
	registry := prometheus.NewRegistry()
	registry.MustRegister(handled)
	tr := newTraffic("route", slog.New(slog.NewTextHandler(&log, nil)), handled)
	for offset := int64(200); offset < 205; offset++ {
		tr.take("src", 0, offset)
	}
	tr.take("src", 1, 7)
	tr.assigned()          // a rebalance
	tr.take("src", 0, 203) // comes again
	tr.report()
	for _, want := range []string{
		"route: partition 0 starts at offset 200", "route: partition 1 starts at offset 7", "route: partition 0 starts at offset 203",
		"messages=7", `offsets="src/0:200-204 src/1:7-7"`,
	} {
		if strings.Count(log.String(), want) != 1 {
			t.Errorf("%q is not there once:\n%s", want, log.String())
		}
	}
	if n := value(t, registry, "x", "partition=0"); n != 6 {
		t.Errorf("%v handled, want 6", n)
	}
}
