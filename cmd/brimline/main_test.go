package main

import (
	"bytes"
	"flag"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "write golden files anew")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"brimline": main})
}

// TestScripts runs testdata/script: what the program says to people.
func TestScripts(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	l.Close()
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("..", "..", "testdata", "script"),
		RequireExplicitExec: true,
		UpdateScripts:       *update,
		Setup: func(env *testscript.Env) error {
			env.Setenv("NOBODY", closed) // an address at which nobody answers
			env.Setenv("HOME", env.WorkDir)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"code": code},
	})
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
		"", "demo", "run", "capture", "user", "alerts", "status", "ready", "reset", "doctor", "topology",
		"rules", "rules check",
		"deadletter", "deadletter list", "deadletter retry", "version",
	} {
		code, out, errOut := run(t, append(strings.Fields(command), "--help")...)
		if code != 0 || errOut != "" {
			t.Errorf("%s --help: code %d, %s", command, code, errOut)
		}
		if command != "" && command != "rules" && command != "deadletter" && !strings.Contains(out, "Example") {
			t.Errorf("%s --help has no example", command)
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

func TestTopology(t *testing.T) {
	for name, args := range map[string][]string{"topology.txt": nil, "topology.json": {"--json"}} {
		code, out, errOut := run(t, append([]string{"topology", "--group", "g", "--source", "src", "--alerts", "alerts"}, args...)...)
		if code != 0 || errOut != "" {
			t.Fatalf("code %d, %s", code, errOut)
		}
		golden(t, name, out)
	}
}
