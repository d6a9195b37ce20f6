package embedded

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// child is this test program run a second time, to be killed.
type child struct {
	cmd  *exec.Cmd
	text string // what it had to say when it was ready
}

const childEnv = "BRIMLINE_EMBEDDED_CHILD"

func startChild(t *testing.T, role, dir string) child {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestChild$", "-test.v")
	cmd.Env = append(os.Environ(), childEnv+"="+role+" "+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "ready "); ok {
			return child{cmd, text}
		}
		t.Log("child:", lines.Text())
	}
	t.Fatal("the child ended")
	return child{}
}

func (c child) kill(t *testing.T) {
	t.Helper()
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.cmd.Wait()
}

// TestChild is no test: it is the life of a child.
func TestChild(t *testing.T) {
	role, dir, ok := strings.Cut(os.Getenv(childEnv), " ")
	if !ok {
		t.Skip("only run by other tests")
	}
	switch role {
	case "broker":
		b := startBroker(t, dir)
		createTopic(t, admin(t, b), "kept", nil)
		values := make([]string, 100)
		for i := range values {
			values[i] = fmt.Sprint("v", i)
		}
		produce(t, b, "kept", values...)
		fmt.Println("ready", b.Addrs()[0])
	case "postgres":
		p, err := StartPostgres(context.Background(), PostgresOptions{Dir: dir, Log: testLog(t)})
		if err != nil {
			t.Fatal(err)
		}
		query(t, p, "CREATE TABLE kept AS SELECT 42 AS n")
		fmt.Println("ready", p.Pid(), p.URL(""))
	}
	time.Sleep(time.Hour) // until killed
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

func testLog(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
