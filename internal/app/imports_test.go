package app

import (
	"bytes"
	"encoding/json"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/brimline/brimline"

// layer is a row of the table of layers in docs/architecture.md. Paths are
// without the module's; "." is the root, "x/..." everything below x.
type layer struct {
	path   string
	ours   []string
	others []string // modules; the standard library is open to all
}

// Modules that more than one package may use.
const (
	gokaModule    = "github.com/lovoo/goka"
	saramaModule  = "github.com/IBM/sarama"
	pgxModule     = "github.com/jackc/pgx/v5"
	metricsModule = "github.com/prometheus/client_golang"
	leveldbModule = "github.com/syndtr/goleveldb"
	yamlModule    = "go.yaml.in/yaml/v3"
	kongModule    = "github.com/alecthomas/kong"
	franzModule   = "github.com/twmb/franz-go"
)

// layers is in the order of the tree: a row may name only rows above it, so the table cannot hold a cycle.
func layers() []layer {
	stage := []string{".", "codecs", "processors", "internal/perrow", "internal/sliding",
		"internal/backoff", "internal/failpoint"}
	routing := append(slices.Clone(stage), "codecs/debezium")
	keeping := append(slices.Clone(stage), "internal/table")
	return []layer{
		{".", nil, nil},
		{"internal/failpoint", nil, nil},
		{"internal/urls", nil, nil},
		{"internal/backoff", nil, nil},
		{"internal/present", []string{"."}, nil},
		{"internal/perrow", []string{"."}, nil},
		{"internal/sliding", []string{".", "internal/perrow"}, nil},
		{"codecs/debezium", []string{"."}, nil},
		{"codecs", []string{".", "codecs/debezium", "internal/perrow"}, nil},
		{"internal/rules", []string{".", "internal/present", "internal/sliding"}, []string{yamlModule, "github.com/expr-lang/expr"}},
		{"internal/postgres", []string{".", "internal/urls"}, []string{pgxModule}},
		{"internal/ledger", []string{".", "internal/sliding", "internal/postgres", "internal/backoff", "internal/failpoint"},
			[]string{pgxModule}},
		{"internal/backtest", []string{".", "internal/present", "internal/sliding", "internal/rules", "internal/ledger"}, nil},
		{"internal/audit", []string{".", "internal/ledger"}, nil},
		{"docs", nil, nil},
		{"internal/starter", []string{".", "docs", "internal/ledger"}, nil},
		{"internal/reference", []string{".", "internal/postgres"}, nil},
		{"internal/prove", []string{".", "internal/ledger", "internal/reference"}, nil},
		{"internal/kafka", []string{".", "internal/backoff", "internal/failpoint"},
			[]string{saramaModule, gokaModule, franzModule, "github.com/xdg-go/scram"}},
		{"internal/table", []string{".", "internal/failpoint"}, []string{gokaModule, leveldbModule}},
		{"internal/capture", []string{".", "internal/postgres", "internal/backoff"}, []string{pgxModule, "github.com/jackc/pglogrepl"}},
		{"internal/capture/kafkasink", []string{"internal/capture", "internal/kafka"}, []string{franzModule + "/pkg/kgo"}},
		{"internal/embedded", []string{"."}, []string{franzModule + "/pkg/kfake", "github.com/fergusstrange/embedded-postgres", pgxModule}},
		{"processors", []string{".", "codecs"}, []string{gokaModule}},
		{"processors/route", routing, []string{gokaModule, franzModule + "/pkg/kgo", franzModule + "/pkg/kerr", franzModule + "/pkg/kmsg", franzModule + "/pkg/kversion", metricsModule}},
		{"processors/window", keeping, []string{gokaModule, metricsModule}},
		{"processors/verify", stage, []string{franzModule + "/pkg/kgo", franzModule + "/pkg/kerr", franzModule + "/pkg/kmsg", franzModule + "/pkg/kversion", metricsModule}},
		{"processors/index", keeping, []string{gokaModule, metricsModule}},
		{"internal/rulestest", []string{".", "internal/present", "internal/reference", "internal/rules", "processors/window"}, nil},
		{"views", []string{
			".", "codecs", "processors", "internal/sliding", "internal/rules", "internal/kafka", "internal/table",
		}, []string{gokaModule}},
		{"internal/preflight", []string{".", "codecs/debezium", "processors", "internal/kafka", "internal/postgres",
			"internal/present", "internal/rules", "internal/urls"},
			[]string{pgxModule, "github.com/dustin/go-humanize"}},
		{"internal/feed", []string{".", "internal/backoff", "internal/kafka"}, nil},
		{"internal/body", []string{".", "internal/present", "views"}, nil},
		{"internal/explain", []string{".", "codecs", "processors", "internal/body", "internal/present", "internal/sliding",
			"internal/rules", "internal/feed", "views"}, nil},
		{"internal/access", []string{"."}, nil},
		{"internal/httpapi", []string{".", "docs", "internal/access", "codecs", "processors", "internal/body", "internal/present", "internal/feed",
			"internal/rules", "internal/explain", "views"}, []string{metricsModule}},
		{"internal/config", []string{".", "processors", "internal/present", "internal/urls"}, []string{kongModule, yamlModule,
			"github.com/dustin/go-humanize"}},
		{"internal/app", []string{
			".", "codecs", "codecs/debezium", "processors", "processors/route", "processors/window", "processors/verify",
			"processors/index", "views",
			"internal/sliding", "internal/rules", "internal/ledger", "internal/kafka", "internal/table", "internal/capture", "internal/capture/kafkasink",
			"internal/preflight", "internal/feed", "internal/access", "internal/httpapi", "internal/config", "internal/backoff", "internal/failpoint", "internal/starter",
			"internal/backtest", "internal/audit", "internal/explain", "internal/present", "internal/reference", "internal/prove",
		}, []string{gokaModule, metricsModule, leveldbModule, "github.com/dustin/go-humanize"}},
		{"internal/demo", []string{".", "codecs", "internal/embedded", "internal/kafka", "internal/config", "internal/app"}, []string{pgxModule}},
		{"internal/leaks", nil, []string{"go.uber.org/goleak"}},
		{"internal/testkit", []string{".", "codecs", "processors", "views", "internal/sliding", "internal/rules", "internal/kafka", "internal/embedded"}, []string{pgxModule, franzModule}},
		{"internal/e2e", nil, nil},      // tests only
		{"internal/bench", nil, nil},    // tests only
		{"internal/crash", nil, nil},    // tests only
		{"internal/docs", nil, nil},     // tests only
		{"internal/security", nil, nil}, // tests only
		{"internal/tools/counttests", nil, nil},
		{"internal/tools/pgprograms", []string{"internal/embedded"}, nil},
		{"deploy", nil, nil},   // tests only
		{"examples", nil, nil}, // tests only
		{"examples/total", []string{".", "views"}, nil},
		{"examples/consumer", []string{".", "codecs"}, []string{pgxModule, franzModule + "/pkg/kgo"}},
		{"cmd/brimline", []string{
			".", "codecs", "processors", "views", "internal/body", "internal/present", "internal/sliding", "internal/rules", "internal/kafka", "internal/preflight",
			"internal/access", "internal/httpapi", "internal/config", "internal/app", "internal/demo", "internal/reference", "internal/rulestest",
			"internal/starter", "internal/backtest", "internal/feed", "internal/explain", "internal/prove", "internal/audit",
		}, []string{kongModule, "golang.org/x/term"}},
	}
}

func TestImportsPointOneWay(t *testing.T) {
	table := layers()
	for i, l := range table {
		for _, o := range l.ours {
			if !slices.ContainsFunc(table[:i], func(above layer) bool { return above.path == o }) {
				t.Errorf("the table lets %s import %s, which is not above it", l.path, o)
			}
		}
	}
	seen := map[string]bool{}
	for path, imports := range realImports(t) {
		i := slices.IndexFunc(table, func(l layer) bool { return l.path == path })
		if i < 0 {
			t.Errorf("%s is not in the table of layers: say where it belongs", path)
			continue
		}
		seen[path] = true
		for _, imported := range imports {
			if !allowed(table[i], imported) {
				t.Errorf("%s must not import %s", path, imported)
			}
		}
	}
	for _, l := range table {
		if !seen[l.path] {
			t.Errorf("%s is in the table of layers, and not in the tree", l.path)
		}
	}
}

func allowed(l layer, imported string) bool {
	if imported == module {
		return slices.Contains(l.ours, ".")
	}
	if ours, ok := strings.CutPrefix(imported, module+"/"); ok {
		return slices.Contains(l.ours, ours)
	}
	if first, _, _ := strings.Cut(imported, "/"); !strings.Contains(first, ".") {
		return true
	}
	return slices.ContainsFunc(l.others, func(m string) bool {
		return imported == m || strings.HasPrefix(imported, m+"/")
	})
}

// realImports are those of every package's own files, tests left out.
func realImports(t *testing.T) map[string][]string {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	all := map[string][]string{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		path := "."
		if p.ImportPath != module {
			path = strings.TrimPrefix(p.ImportPath, module+"/")
		}
		all[path] = p.Imports
	}
}
