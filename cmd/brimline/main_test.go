package main

import (
	"bytes"
	"flag"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/brimline/brimline/internal/config"
	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "write golden files anew")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"brimline": main})
}

// TestScripts runs testdata/script: what the program says to people.
func TestScripts(t *testing.T) {
	closed := closedPort(t)
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("..", "..", "testdata", "script"),
		RequireExplicitExec: true,
		UpdateScripts:       *update,
		Setup: func(env *testscript.Env) error {
			env.Setenv("NOBODY", closed) // an address at which no server answers
			env.Setenv("HOME", env.WorkDir)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"code": code},
	})
}

// closedPort is an address at which no server answers.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// code N COMMAND ARG…: the command ends with exit code N.
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N COMMAND [ARG…]")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := "0"
	if err != nil {
		got = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if got != args[0] {
		ts.Fatalf("exit code %s, want %s", got, args[0])
	}
}

// run calls the program in this process.
func run(t *testing.T, args ...string) (code int, out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	code = execute(args, strings.NewReader(""), &o, &e)
	return code, o.String(), e.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("differs from %s (go test -update writes it anew):\n%s", path, got)
	}
}

// Every command has help, with an example, and the same text as before.
func TestHelp(t *testing.T) {
	t.Setenv("COLUMNS", "110")
	texts := map[string]string{}
	for _, command := range []string{
		"", "demo", "run", "capture", "user", "explain", "alerts", "status", "ready", "reset", "doctor", "topology",
		"rules", "rules check", "rules test", "rules init", "backtest",
		"dismissed", "dismissed list", "deadletter", "deadletter list", "deadletter retry", "prove", "audit", "distrust", "forget", "version",
	} {
		code, out, errOut := run(t, append(strings.Fields(command), "--help")...)
		if code != 0 || errOut != "" {
			t.Errorf("%s --help: code %d, %s", command, code, errOut)
		}
		if command != "" && command != "rules" && command != "deadletter" && command != "dismissed" &&
			!strings.Contains(out, "Example") {
			t.Errorf("%s --help has no example", command)
		}
		if strings.Contains(out, ",...") {
			t.Errorf("%s --help shows a list as if there were more entries than its default has:\n%s", command, out)
		}
		name := strings.ReplaceAll(command, " ", "-")
		if name == "" {
			name = "brimline"
		}
		texts[name] = out
	}
	for name, text := range texts {
		golden(t, filepath.Join("help", name+".txt"), text)
	}
}

// Whatever can be set in the environment can be set in the file, under the same name.
func TestEverySettingIsOfTheFile(t *testing.T) {
	parser, err := kong.New(&commands{}, kong.Vars{"file_here": "", "file_demo": "", "stages": ""})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	var visit func(*kong.Node)
	visit = func(n *kong.Node) {
		for _, f := range n.Flags {
			for _, env := range f.Envs {
				if !strings.HasPrefix(env, "BRIMLINE_") || f.Name == "config" || seen[f.Name] {
					continue
				}
				seen[f.Name] = true
				value := "text"
				switch f.Target.Interface().(type) {
				case bool:
					value = "true"
				case int:
					value = "8"
				case time.Duration:
					value = "15s"
				case config.Bytes:
					value = "256MiB"
				}
				name := strings.ReplaceAll(f.Name, "-", "_")
				if env != "BRIMLINE_"+strings.ToUpper(name) {
					t.Errorf("--%s is %s in the environment", f.Name, env)
				}
				file := filepath.Join(t.TempDir(), "brimline.yaml")
				if err := os.WriteFile(file, []byte(name+": "+value+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				if code, _, errOut := run(t, "version", "--config", file); code != 0 {
					t.Errorf("--%s cannot be set in the file: %s", f.Name, errOut)
				}
			}
		}
		for _, c := range n.Children {
			visit(c)
		}
	}
	visit(parser.Model.Node)
	for _, name := range []string{"currency", "slot", "connect-url", "brokers"} {
		if !seen[name] {
			t.Errorf("--%s was not looked at", name)
		}
	}
	file := filepath.Join(t.TempDir(), "brimline.yaml")
	if err := os.WriteFile(file, []byte("curency: kr\njson: true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, errOut := run(t, "version", "--config", file)
	if code != 2 || !strings.Contains(errOut, `did you mean "currency"?`) ||
		!strings.Contains(errOut, `unknown setting "json"`) {
		t.Errorf("code %d: %s", code, errOut)
	}
}

func TestTopology(t *testing.T) {
	for name, args := range map[string][]string{"topology.txt": nil, "topology.json": {"--json"}} {
		code, out, errOut := run(
			t,
			append([]string{"topology", "--group", "g", "--source", "src", "--alerts", "alerts"}, args...)...)
		if code != 0 || errOut != "" {
			t.Fatalf("code %d, %s", code, errOut)
		}
		golden(t, name, out)
	}
}
