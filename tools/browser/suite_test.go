package browser

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// patience bounds every wait; it is far beyond what is needed.
const patience = 20 * time.Second

const (
	reader   = "the-token-of-a-reader-1"
	operator = "the-token-of-an-operator-1"
)

// world holds a demo, which all tests share.
type world struct {
	binary, dir string
	demo        *process
	demoURL     string
	brokers     string
	database    string
	db          *pgx.Conn
	chromium    string // its program
}

var shared world

func TestMain(m *testing.M) {
	os.Exit(func() int {
		path := chromium()
		if path == "" {
			fmt.Fprintln(os.Stderr, "there is no Chromium here, and these tests are about what it shows: install chromium, "+
				"or name the program in BRIMLINE_CHROMIUM")
			return 1
		}
		dir, err := os.MkdirTemp("", "brimline-browser-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		stop, err := shared.begin(dir, path)
		defer stop()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

func chromium() string {
	if path := os.Getenv("BRIMLINE_CHROMIUM"); path != "" {
		return path
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// begin builds the program and starts what all tests share. stop is safe whatever became of it.
func (w *world) begin(dir, path string) (stop func(), err error) {
	var stops []func()
	stop = func() {
		for i := len(stops) - 1; i >= 0; i-- {
			stops[i]()
		}
	}
	w.dir, w.binary = dir, filepath.Join(dir, "brimline")
	build := exec.Command("go", "build", "-o", w.binary, "./cmd/brimline")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		return stop, fmt.Errorf("go build: %w\n%s", err, out)
	}
	tokens := filepath.Join(dir, "tokens")
	text := "ada read " + reader + "\nbob operate " + operator + "\n"
	if err := os.WriteFile(tokens, []byte(text), 0o600); err != nil {
		return stop, err
	}
	w.demo, err = start(w.binary, nil, "demo", "--dir", filepath.Join(dir, "demo"), "--listen", "127.0.0.1:0",
		"--rate", "0", "--backlog", "4000", "--seed", "7", "--tokens-file", tokens, "--allow-anonymous",
		"--log-level", "info")
	if err != nil {
		return stop, err
	}
	stops = append(stops, w.demo.stop)
	if w.demoURL, err = w.demo.url(); err != nil {
		return stop, err
	}
	settings, err := os.ReadFile(filepath.Join(dir, "demo", "demo.yaml"))
	if err != nil {
		return stop, err
	}
	w.brokers, w.database = setting(settings, "brokers"), setting(settings, "database_url")
	if w.db, err = pgx.Connect(context.Background(), w.database); err != nil {
		return stop, err
	}
	stops = append(stops, func() { _ = w.db.Close(context.Background()) })
	w.chromium = path
	return stop, nil
}

func setting(text []byte, name string) string {
	m := regexp.MustCompile(`(?m)^` + name + `: "([^"]*)"`).FindSubmatch(text)
	if m == nil {
		return ""
	}
	return string(m[1])
}

// process is a running program of ours.
type process struct {
	cmd  *exec.Cmd
	mu   sync.Mutex
	out  strings.Builder
	done chan struct{}
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *process) printed() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

func start(binary string, env []string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(binary, args...), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// stop ends the process, at first kindly: the demo stops its PostgreSQL then.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGCONT)
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

var listening = regexp.MustCompile(`http://127\.0\.0\.1:\d+`)

// url is where the process says that it listens.
func (p *process) url() (string, error) {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if at := listening.FindString(p.printed()); at != "" {
			return at, nil
		}
		select {
		case <-p.done:
			return "", fmt.Errorf("it has ended:\n%s", p.printed())
		default:
		}
	}
	return "", fmt.Errorf("it does not say where it listens:\n%s", p.printed())
}

func run(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p, err := start(shared.binary, env, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			out := p.printed()
			t.Logf("%q printed (its end):\n%s", args, out[max(0, len(out)-3000):])
		}
	})
	return p
}

func (p *process) mustListen(t *testing.T) string {
	t.Helper()
	at, err := p.url()
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// exec runs SQL in the demo's PostgreSQL.
func (w *world) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := w.db.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// texts is a group on a table whose ids and columns are any text.
type texts struct {
	url   string
	run   *process
	proxy *proxy // to PostgreSQL
}

// hostile is a text that tries to be markup, a path and a direction override at once.
const hostile = "\"><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">/../\u202eevil"

func newTexts(t *testing.T, name string) *texts {
	t.Helper()
	shared.exec(t, `CREATE TABLE `+name+` (id bigserial PRIMARY KEY, user_id text NOT NULL,
		amount numeric(12,2) NOT NULL, timestamp timestamptz NOT NULL DEFAULT now(), note text)`)
	shared.exec(t, `ALTER TABLE `+name+` REPLICA IDENTITY FULL`)
	shared.exec(t, `CREATE INDEX ON `+name+` (user_id, timestamp)`)
	shared.exec(t, `INSERT INTO `+name+` (user_id, amount, note) VALUES ('first', 1, 'skip')`) // makes the topic
	rules := filepath.Join(shared.dir, name+".yaml")
	text := fmt.Sprintf("columns:\n  note: text\nrules:\n  - id: large\n    window: 7d\n    limit: 1000\n"+
		"    where: note != \"skip\"\n    severity: high\n    description: %q\n"+
		"  - id: large-trial\n    window: 7d\n    limit: 900\n    mode: shadow\n", hostile)
	if err := os.WriteFile(rules, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	x := &texts{proxy: newProxy(t, shared.database)}
	common := []string{"--brokers", shared.brokers, "--table", "public." + name, "--source", "postgres.public." + name,
		"--slot", name, "--publication", name}
	run(t, []string{"BRIMLINE_DATABASE_URL=" + shared.database},
		append([]string{"capture", "--config", os.DevNull}, common...)...)
	for end := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		x.run = run(t, []string{"BRIMLINE_DATABASE_URL=" + x.proxy.database}, append([]string{
			"run", "--config", os.DevNull, "--group", name, "--alerts", name + "-alerts", "--rules", rules,
			"--state-dir", filepath.Join(shared.dir, name), "--listen", "127.0.0.1:0", "--log-level", "info",
		}, common...)...)
		x.url = x.run.mustListen(t)
		if x.run.ready() {
			return x
		}
		// It ends where capture has not made the topic yet.
		if time.Now().After(end) || !strings.Contains(x.run.printed(), "there is no topic") {
			t.Fatal("it is not ready")
		}
	}
}

// ready waits until the process should be asked; false: it has ended, or takes too long.
func (p *process) ready() bool {
	at, err := p.url()
	for end := time.Now().Add(patience); err == nil && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		select {
		case <-p.done:
			return false
		default:
		}
		response, err := http.Get(at + "/readyz")
		if err != nil {
			continue
		}
		response.Body.Close()
		if response.StatusCode == http.StatusOK {
			return true
		}
	}
	return false
}

// proxy stands between a program and PostgreSQL, and can be cut.
type proxy struct {
	database string // URL through it

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]bool
}

func newProxy(t *testing.T, database string) *proxy {
	t.Helper()
	host := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(database)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{database: strings.Replace(database, host, listener.Addr().String(), 1), conns: map[net.Conn]bool{}}
	t.Cleanup(func() {
		listener.Close()
		p.set(true)
	})
	go func() {
		for {
			in, err := listener.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue
			}
			go p.serve(in, host)
		}
	}()
	return p
}

func (p *proxy) serve(in net.Conn, host string) {
	out, err := net.Dial("tcp", host)
	if err != nil {
		in.Close()
		return
	}
	p.mu.Lock()
	if p.cut {
		in.Close()
		out.Close()
	}
	p.conns[in], p.conns[out] = true, true
	p.mu.Unlock()
	go func() {
		_, _ = io.Copy(in, out)
		in.Close()
	}()
	_, _ = io.Copy(out, in)
	out.Close()
	p.mu.Lock()
	delete(p.conns, in)
	delete(p.conns, out)
	p.mu.Unlock()
}

func (p *proxy) set(cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = cut
	for c := range p.conns {
		if cut {
			c.Close()
		}
	}
}
