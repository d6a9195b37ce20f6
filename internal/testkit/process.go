package testkit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Main runs a suite that needs the program, for TestMain: binary is its path, built for run and gone with it.
func Main(binary *string, run func() int, tags ...string) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "brimline-suite-")
		if err == nil {
			defer os.RemoveAll(dir)
			*binary, err = build(dir, tags)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return run()
	}())
}

// buildFlags has -race if the suite itself is under the race detector.
var buildFlags []string

// build compiles the program into dir, with build tags if any, and gives its path.
func build(dir string, tags []string) (string, error) {
	bin := filepath.Join(dir, "brimline")
	args := append([]string{"build", "-tags", strings.Join(tags, ","), "-o", bin}, buildFlags...)
	out, err := exec.Command("go", append(args, "github.com/brimline/brimline/cmd/brimline")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return bin, nil
}

// Process is a running program of ours.
type Process struct {
	cmd  *exec.Cmd
	out  lockedBuffer
	done chan struct{}
	err  error
	peak atomic.Int64 // of the resident memory, in bytes
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Start runs bin in the background, with env added to the environment; the
// test's end kills it. What it prints is shown when the test fails.
func Start(t testing.TB, bin string, env []string, args ...string) *Process {
	t.Helper()
	p := &Process{cmd: exec.Command(bin, args...), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("%s: %v", bin, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	go p.watchMemory()
	t.Cleanup(func() {
		p.Signal(syscall.SIGCONT)
		p.Signal(syscall.SIGKILL)
		<-p.done
		if t.Failed() {
			out := p.out.String()
			t.Logf("%s %q printed (its end):\n%s", filepath.Base(bin), args, out[max(0, len(out)-6000):])
		}
	})
	return p
}

// Signal sends a signal to the process itself; an ended process takes none.
func (p *Process) Signal(s syscall.Signal) {
	select {
	case <-p.done:
	default:
		_ = p.cmd.Process.Signal(s)
	}
}

// Wait waits for its end and gives its exit code, -1 for a signal.
func (p *Process) Wait(ctx context.Context) (int, error) {
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// watchMemory keeps the peak of the resident memory while the process runs. What wait tells of it is no measure: the
// peak of whoever started the process counts as the process's own, and a benchmark has its rows in memory.
func (p *Process) watchMemory() {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if peak, err := peakOf(p.cmd.Process.Pid); err == nil {
			p.peak.Store(max(p.peak.Load(), peak))
		}
		select {
		case <-tick.C:
		case <-p.done:
			return
		}
	}
}

// peakOf is the peak of the resident memory of a process, in bytes, as Linux counts it.
func peakOf(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("no VmHWM")
}

// Usage is the CPU time of a process that has ended, and the peak of its resident memory, in bytes, which may lack its
// last tenth of a second; 0 where the system does not tell.
func (p *Process) Usage() (cpu time.Duration, peak int64) {
	state := p.cmd.ProcessState
	return state.UserTime() + state.SystemTime(), p.peak.Load()
}

// Output is the text that it has printed so far.
func (p *Process) Output() string { return p.out.String() }
