package security

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/brimline/brimline/internal/testkit"
)

const patience = 2 * time.Minute

var (
	binary  string
	servers = sync.OnceValues(startEmbedded)
	stopAll = func() {}
)

func startEmbedded() (*testkit.Parts, error) {
	parts, stop, err := testkit.Embedded(context.Background())
	if err == nil {
		stopAll = stop
	}
	return parts, err
}

func TestMain(m *testing.M) {
	testkit.Main(&binary, func() int {
		defer func() { stopAll() }()
		return m.Run()
	})
}

// parts are the embedded parts, started for the first test that needs them.
func parts(t *testing.T) *testkit.Parts {
	t.Helper()
	p, err := servers()
	if err != nil {
		t.Fatalf("embedded parts: %v", err)
	}
	return p
}

// said is a command's output and exit code.
type said struct {
	code     int
	out, err string
}

func (s said) all() string { return s.out + s.err }

// brimline runs a command to its end in a directory of its own, without the
// settings of whoever runs the tests.
func brimline(t *testing.T, env []string, args ...string) said {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(clean(cmd.Dir), env...)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	err := cmd.Run()
	if cmd.ProcessState == nil || ctx.Err() != nil {
		t.Errorf("brimline %q: %v\n%s", args, err, problems.Bytes()) // not Fatal: it may run beside the test
		return said{code: -1}
	}
	return said{cmd.ProcessState.ExitCode(), out.String(), problems.String()}
}

// clean is the environment without settings of brimline and libpq.
func clean(home string) []string {
	env := []string{"HOME=" + home}
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); name != "HOME" && !strings.HasPrefix(name, "BRIMLINE_") &&
			!strings.HasPrefix(name, "PG") {
			env = append(env, v)
		}
	}
	return env
}

// write makes a file of a test.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// fails checks that a command failed in the class of code, says so, and names a remedy.
func (s said) fails(t *testing.T, code int, words ...string) {
	t.Helper()
	if s.code != code || !strings.Contains(s.all(), "remedy: ") {
		t.Errorf("code %d, want %d with a remedy:\n%s", s.code, code, s.all())
	}
	for _, w := range words {
		if !strings.Contains(s.all(), w) {
			t.Errorf("it does not say %q:\n%s", w, s.all())
		}
	}
}
