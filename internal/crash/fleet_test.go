package crash

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// instance is one `brimline run` that is started again whenever it ends, as a supervisor would.
type instance struct {
	name    string
	dir     string // its state
	log     string // its output, of all lives
	rules   string // path of the rules file; set it between lives
	command func(env []string) *exec.Cmd

	mu      sync.Mutex
	cmd     *exec.Cmd // the running life; nil between lives
	env     []string  // of the next life
	stopped bool
	lives   int
	killed  bool     // the running life was killed by us
	odd     []string // ends that the round did not cause
	crashed chan struct{}
	done    chan struct{}
}

func (r *round) newInstance(n int) *instance {
	i := &instance{
		name: fmt.Sprint("i", n), dir: filepath.Join(r.dir, fmt.Sprint("state-", n)),
		log:   filepath.Join(r.dir, fmt.Sprint("log-", n)),
		rules: filepath.Join(r.dir, "rules.yaml"), crashed: make(chan struct{}, 1),
	}
	i.command = func(env []string) *exec.Cmd {
		args := append([]string{
			"run", "--brokers", r.brokers, "--group", r.names.Group, "--source", r.names.Source,
			"--alerts", r.names.Alerts, "--rules", i.rules, "--state-dir", i.dir, "--instance", i.name,
			"--listen", "127.0.0.1:0", // so that stages and views hand partitions to each other
			"--log-level", "info", "--session-timeout", "6s", "--sweep-every", "5s", "--stop-timeout", "40s",
			"--distrust-after", "5s",
		}, r.flags...)
		cmd := exec.Command(binary, args...)
		cmd.Env = append(append(append(os.Environ(), "BRIMLINE_DATABASE_URL="+r.databaseURL), r.env...), env...)
		return cmd
	}
	return i
}

// start begins to run the instance.
func (i *instance) start() {
	i.mu.Lock()
	i.stopped, i.done = false, make(chan struct{})
	i.mu.Unlock()
	go i.live(i.done)
}

func (i *instance) live(done chan struct{}) {
	defer close(done)
	for {
		out, err := os.OpenFile(i.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			i.odd = append(i.odd, err.Error())
			return
		}
		i.mu.Lock()
		if i.stopped {
			i.mu.Unlock()
			out.Close()
			return
		}
		cmd := i.command(i.env)
		cmd.Stdout, cmd.Stderr = out, out
		fmt.Fprintf(out, "---- life %d %s %q\n", i.lives, time.Now().UTC().Format("15:04:05.000"), i.env)
		err = cmd.Start()
		bySuite := len(i.env) > 0
		i.cmd, i.env, i.killed, i.lives = cmd, nil, false, i.lives+1
		i.mu.Unlock()
		if err == nil {
			err = cmd.Wait()
		}
		out.Close()
		i.mu.Lock()
		status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
		byKill := status.Signaled() && status.Signal() == syscall.SIGKILL
		switch {
		case bySuite && byKill && !i.killed:
			i.crashed <- struct{}{}
		case i.killed && byKill, i.stopped && err == nil:
		default:
			i.odd = append(i.odd, fmt.Sprintf("%s, life %d: %v\n%s", i.name, i.lives, err, lastLines(i.log, 4000)))
		}
		i.cmd = nil
		i.mu.Unlock()
		time.Sleep(100 * time.Millisecond) // a supervisor's pause
	}
}

// output is the text that the running life has printed.
func (i *instance) output() (string, error) {
	i.mu.Lock()
	life := i.lives - 1
	i.mu.Unlock()
	b, err := os.ReadFile(i.log)
	_, printed, _ := strings.Cut(string(b), fmt.Sprintf("---- life %d ", life))
	return printed, err
}

func (i *instance) signal(s syscall.Signal) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.cmd != nil {
		i.killed = i.killed || s == syscall.SIGKILL
		_ = i.cmd.Process.Signal(s)
	}
}

// kill is kill -9; env is of the next life.
func (i *instance) kill(env ...string) {
	i.mu.Lock()
	i.env = env
	i.mu.Unlock()
	i.signal(syscall.SIGKILL)
}

// down kills the instance and keeps it down.
func (i *instance) down() {
	i.end(syscall.SIGKILL)
	<-i.done
}

// end asks once: a second SIGTERM would cut the first one's stop short.
func (i *instance) end(s syscall.Signal) {
	i.mu.Lock()
	again := i.stopped && s == syscall.SIGTERM
	i.stopped = true
	i.mu.Unlock()
	if !again {
		i.signal(s)
	}
}

// stop ends the instance cleanly.
func (i *instance) stop(ctx context.Context) error {
	i.end(syscall.SIGTERM)
	select {
	case <-i.done:
		return nil
	case <-ctx.Done():
		i.down()
		return fmt.Errorf("%s did not stop: %w", i.name, ctx.Err())
	}
}

// awaitCrash waits for a life to end at the point that its environment names.
func (i *instance) awaitCrash(ctx context.Context) bool {
	select {
	case <-i.crashed:
		return true
	case <-ctx.Done():
		return false
	}
}

// lastLines are about the last n bytes of a file.
func lastLines(name string, n int) string {
	b, err := os.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-n):])
}
