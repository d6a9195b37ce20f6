package app

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/brimline/brimline/internal/config"
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
	a := newApp(t, "rules: [{id: r, window: 7d, limit: 100}, {id: s, window: 7d, limit: 100, mode: shadow}]")
	for _, v := range a.metrics.lag {
		v.WithLabelValues("0")
	}
	for _, v := range a.metrics.handled {
		v.WithLabelValues("0")
	}
	families, err := a.Registry().Gather()
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
		kind := strings.ToLower(f.GetType().String())
		b.WriteString(strings.TrimSpace(kind+" "+f.GetName()+" "+strings.Join(labels, ",")) + "\n")
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
	if runtime.GOOS != "linux" { // what is known of a process differs
		process := regexp.MustCompile(`(?m)^.* process_.*\n`)
		want = process.ReplaceAll(want, nil)
		got := process.ReplaceAllString(b.String(), "")
		b.Reset()
		b.WriteString(got)
	}
	if b.String() != string(want) {
		t.Errorf("metrics differ from %s (go test -update writes it anew):\n%s", golden, b.String())
	}
}

// What the docs tell operators to watch is there under that name.
func TestMetricsOfTheDocs(t *testing.T) {
	golden, err := os.ReadFile(filepath.Join("testdata", "metrics.txt"))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	name, found := regexp.MustCompile("`(brimline_[a-z_]+[a-z])[{`]"), 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range name.FindAllStringSubmatch(string(text), -1) {
			found++
			if !regexp.MustCompile(`(?m)^\w+ ` + m[1] + `( |$)`).Match(golden) {
				t.Errorf("%s names %s, which is no metric", page, m[1])
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d metrics were found in the docs", found)
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
func newApp(t *testing.T, rules string) *App {
	t.Helper()
	c := config.Default()
	c.Verify, c.Rules = "off", filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(c.Rules, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := New(t.Context(), Options{Config: c})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Whatever is known beforehand is there at zero: else the first one is no rise, and no alert fires for it.
func TestMetricsBeginAtZero(t *testing.T) {
	a := newApp(t, `rules:
  - {id: r, window: 7d, limit: 100, severity: high}
  - {id: s, window: 7d, limit: 100}
  - {id: t, window: 7d, limit: 100, severity: very <b>bad}
  - {id: u, window: 7d, limit: 100, severity: P-1 urgent}`)
	families, err := a.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := map[string]bool{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			series[f.GetName()+" "+strings.Join(labels, ",")] = true
			if v := m.GetCounter().GetValue(); strings.HasPrefix(f.GetName(), "brimline_") && v != 0 {
				t.Errorf("%s%v begins at %v", f.GetName(), labels, v)
			}
		}
	}
	want := []string{
		"brimline_verify_alerts_total rule=r,severity=high", "brimline_verify_alerts_total rule=s,severity=",
		"brimline_verify_alerts_total rule=t,severity=other", "brimline_verify_alerts_total rule=u,severity=P-1 urgent",
		"brimline_verify_dismissed_total reason=not_above", "go_goroutines ", "go_memstats_heap_inuse_bytes ",
	}
	if runtime.GOOS == "linux" {
		want = append(want, "process_resident_memory_bytes ", "process_cpu_seconds_total ", "process_open_fds ")
	}
	kinds := deadLetterKinds(t)
	for _, known := range []string{"broken_json", "amount_scale", "id_too_long", "record_too_large", "unknown"} {
		if !kinds[known] {
			t.Errorf("kind %s was not found in the source", known)
		}
	}
	for kind := range kinds {
		want = append(want, "brimline_route_deadletters_total kind="+kind)
	}
	for _, s := range want {
		if !series[s] {
			t.Errorf("%s is not there before the first", s)
		}
	}
}

// deadLetterKinds are the kinds that the source says a record can be refused for: every brimline.BadInput of what
// route calls, by its text or its constant. A new one is found here without being told.
func deadLetterKinds(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("../../codecs/debezium/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files of the decoder, %v", len(files), err)
	}
	routes, err := filepath.Glob("../../processors/route/*.go")
	if err != nil {
		t.Fatal(err)
	}
	kinds, constants := map[string]bool{}, map[string]string{}
	var used []string
	text := func(e ast.Expr) (string, bool) {
		if l, ok := e.(*ast.BasicLit); ok && l.Kind == token.STRING {
			s, err := strconv.Unquote(l.Value)
			return s, err == nil
		}
		return "", false
	}
	for _, file := range append(append(files, routes...), "limit.go") {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ValueSpec:
				for i, name := range n.Names {
					if i < len(n.Values) && strings.HasPrefix(strings.ToLower(name.Name), "kind") {
						if s, ok := text(n.Values[i]); ok {
							constants[name.Name] = s
						}
					}
				}
			case *ast.CallExpr:
				if f, ok := n.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "BadInput" && len(n.Args) > 0 {
					if s, ok := text(n.Args[0]); ok {
						kinds[s] = true
					} else if name, ok := n.Args[0].(*ast.Ident); ok {
						used = append(used, name.Name)
					}
				}
			case *ast.KeyValueExpr: // DeadLetter{Kind: "unknown"}
				if name, ok := n.Key.(*ast.Ident); ok && name.Name == "Kind" && strings.Contains(file, "route") {
					if s, ok := text(n.Value); ok {
						kinds[s] = true
					}
				}
			}
			return true
		})
	}
	for _, kind := range constants {
		kinds[kind] = true
	}
	for _, name := range used {
		if constants[name] == "" && name != "kind" {
			t.Errorf("BadInput(%s, …): which kind is this?", name)
		}
	}
	return kinds
}
