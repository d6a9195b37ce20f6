package crash

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/brimline/brimline/internal/testkit"
)

var binary string

func TestMain(m *testing.M) {
	if os.Getenv("BRIMLINE_CRASH") == "" {
		os.Exit(m.Run())
	}
	testkit.Main(&binary, func() int {
		defer wipeStacks()
		return m.Run()
	}, "crash")
}

// ground is a stack and the clients of the suite on it.
type ground struct {
	*testkit.Stack
	*testkit.Parts
	proxies []*testkit.Proxy // before each broker, for instances that are to meet the network
}

// kind has the properties in which stacks differ.
type kind struct {
	brokers int
	old     bool // transactions as before Kafka 4
}

// stacks are those that run.
var stacks = map[kind]*ground{}

func wipeStacks() {
	for k, g := range stacks {
		if err := g.Wipe(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		for _, p := range g.proxies {
			p.Close()
		}
		delete(stacks, k)
	}
}

// groundOf starts a stack without Connect. Another one makes room first: two are too much for a small machine.
func groundOf(t *testing.T, k kind) *ground {
	t.Helper()
	if g := stacks[k]; g != nil {
		return g
	}
	wipeStacks()
	stack, err := testkit.NewStack(filepath.Join("..", "..", "deploy", "stack"))
	if err != nil {
		t.Fatal(err)
	}
	g := &ground{Stack: stack}
	stacks[k] = g
	var addresses []string
	for n := range k.brokers {
		p, err := testkit.OpenProxy("127.0.0.1:0", func() string { return g.proxied(n) }, true)
		if err != nil {
			t.Fatal(err)
		}
		g.proxies, addresses = append(g.proxies, p), append(addresses, p.Addr())
	}
	env := []string{fmt.Sprint("BROKERS=", k.brokers), "KAFKA_PROXIES=" + strings.Join(addresses, ",")}
	if k.old {
		env = append(env, "TRANSACTION_VERSION=0")
	}
	if err := stack.Up(env, "postgres", "kafka"); err != nil {
		t.Fatalf("the stack: %v", err)
	}
	if g.Parts, err = testkit.Connected(strings.Split(g.Env["KAFKA_BROKERS"], ","),
		g.Env["ADMIN_DATABASE_URL"]); err != nil {
		t.Fatal(err)
	}
	return g
}

// proxied is where a broker listens for its proxy.
func (g *ground) proxied(n int) string {
	host, port, _ := net.SplitHostPort(g.Env["SECURE_BROKER"])
	first, _ := strconv.Atoi(port)
	return net.JoinHostPort(host, strconv.Itoa(first+n))
}
