package crash

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/brimline/brimline/internal/testkit"
)

var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		if os.Getenv("BRIMLINE_CRASH") == "" {
			return m.Run()
		}
		dir, err := os.MkdirTemp("", "brimline-crash-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		if binary, err = testkit.Build(dir, "crash"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer wipeStacks()
		return m.Run()
	}())
}

// ground is a stack and the clients of the suite on it.
type ground struct {
	*testkit.Stack
	*testkit.Parts
	brokers int
}

// stacks are those that run, by number of brokers.
var stacks = map[int]*ground{}

func wipeStacks() {
	for n, g := range stacks {
		if err := g.Wipe(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		delete(stacks, n)
	}
}

// groundOf starts a stack without Connect. One of another size makes room first: two are too much for a small machine.
func groundOf(t *testing.T, brokers int) *ground {
	t.Helper()
	if g := stacks[brokers]; g != nil {
		return g
	}
	wipeStacks()
	stack, err := testkit.NewStack(filepath.Join("..", "..", "deploy", "stack"))
	if err != nil {
		t.Fatal(err)
	}
	g := &ground{Stack: stack, brokers: brokers}
	stacks[brokers] = g
	if err := stack.Up([]string{fmt.Sprint("BROKERS=", brokers)}, "postgres", "kafka"); err != nil {
		t.Fatalf("the stack: %v", err)
	}
	if g.Parts, err = testkit.Connected(strings.Split(g.Env["KAFKA_BROKERS"], ","), g.Env["ADMIN_DATABASE_URL"]); err != nil {
		t.Fatal(err)
	}
	return g
}
