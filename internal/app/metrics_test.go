package app

import (
	"flag"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

var update = flag.Bool("update", false, "write golden files anew")

// value is a counter's or gauge's value; the label is `name=value`, or empty.
func value(t *testing.T, r prometheus.Gatherer, name, label string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			has := label == ""
			for _, l := range m.GetLabel() {
				has = has || l.GetName()+"="+l.GetValue() == label
			}
			if has {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("no metric %s{%s}", name, label)
	return 0
}

// Names of metrics are an interface: dashboards and alerts of others hang on them.
func TestMetricNames(t *testing.T) {
	r := prometheus.NewRegistry()
	m := NewMetrics(r, "v1")
	newStageMetrics(r)
	for _, v := range m.lag {
		v.WithLabelValues("0")
	}
	for _, v := range m.handled {
		v.WithLabelValues("0")
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range families {
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
			if strings.Contains(l.GetName(), "user") || strings.Contains(l.GetName(), "alert") {
				t.Errorf("%s has the label %s", f.GetName(), l.GetName())
			}
		}
		slices.Sort(labels)
		b.WriteString(strings.TrimSpace(strings.ToLower(f.GetType().String())+" "+f.GetName()+" "+strings.Join(labels, ",")) + "\n")
	}
	golden := filepath.Join("testdata", "metrics.txt")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("metrics differ from %s (go test -update writes it anew):\n%s", golden, b.String())
	}
}

func TestBuildInfo(t *testing.T) {
	r := prometheus.NewRegistry()
	NewMetrics(r, "v1.2.3")
	if got := value(t, r, "brimline_build_info", "version=v1.2.3"); got != 1 {
		t.Errorf("brimline_build_info is %v", got)
	}
	if got := value(t, r, "brimline_build_info", "goversion="+runtime.Version()); got != 1 {
		t.Errorf("brimline_build_info of this Go is %v", got)
	}
}
