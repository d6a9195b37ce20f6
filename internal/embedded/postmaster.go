package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// pidFile is the content of postmaster.pid: who serves the data directory, and whether it is ready.
type pidFile struct {
	pid   int
	ready bool
}

func readPidFile(data string) (pidFile, error) {
	text, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return pidFile{}, err
	}
	lines := strings.Split(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil || pid <= 0 {
		return pidFile{}, fmt.Errorf("postmaster.pid begins with %q", lines[0])
	}
	// Line 8 is the state; the layout is that of src/include/utils/pidfile.h.
	return pidFile{pid, len(lines) >= 8 && strings.TrimSpace(lines[7]) == "ready"}, nil
}

// majorOf is the release that made a data directory, 0 if there is none.
func majorOf(data string) int {
	text, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if err != nil {
		return 0
	}
	major, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return major
}

// takeOver meets what a killed process left in a data directory. A server that
// still runs is stopped rather than reused: it is no child of this process, so its end
// would go unnoticed, and it has the settings of an earlier start. A
// postmaster.pid whose number now belongs to some other process would keep
// PostgreSQL from starting, so it is removed; any other stale one PostgreSQL
// deals with itself. The caller holds the lock of the directory.
func takeOver(data string, log *slog.Logger) error {
	f, err := readPidFile(data)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && isPostmasterOf(f.pid, data) {
		log.Info("stopping the PostgreSQL that an earlier process left running", "pid", f.pid, "data", data)
		ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
		defer cancel()
		gone := make(chan struct{})
		quit := make(chan struct{})
		defer close(quit)
		go func() { // not our child, so there is nothing to wait on
			defer close(gone)
			for isPostmasterOf(f.pid, data) {
				select {
				case <-quit:
					return
				case <-time.After(10 * time.Millisecond):
				}
			}
		}()
		return end(ctx, f.pid, gone, log)
	}
	if err != nil || exists(f.pid) {
		log.Info("removing a stale postmaster.pid", "pid", f.pid, "data", data)
		if err := os.Remove(filepath.Join(data, "postmaster.pid")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return postgresError("taking over", data, err)
		}
	}
	return nil
}

// end stops a server: in good order until ctx ends, then at once, then by force.
func end(ctx context.Context, pid int, gone <-chan struct{}, log *slog.Logger) error {
	select {
	case <-gone:
		return nil
	default:
	}
	if err := signalProcess(pid, signalFast); err == nil {
		select {
		case <-gone:
			return nil
		case <-ctx.Done():
		}
	}
	log.Warn("PostgreSQL does not stop in time; stopping it without a checkpoint", "pid", pid)
	_ = signalProcess(pid, signalImmediate)
	select {
	case <-gone:
		return nil
	case <-time.After(6 * time.Second): // its own limit for its processes is 5 s
	}
	_ = signalProcess(pid, signalKill)
	select {
	case <-gone:
		return nil
	case <-time.After(5 * time.Second):
		return fmt.Errorf("PostgreSQL, process %d, cannot be ended", pid)
	}
}

// placed is where the data of dir lies, whether or not it is dir itself.
func placed(dir string) string {
	if text, err := os.ReadFile(filepath.Join(dir, placeRecord)); err == nil {
		return strings.TrimSpace(string(text))
	}
	return dir
}

func removePlaced(dir string) error {
	at := placed(dir)
	errs := []error{os.RemoveAll(filepath.Join(at, dataName)), os.RemoveAll(filepath.Join(at, dataName+".new"))}
	if at != dir {
		errs = append(errs, os.Remove(at), os.Remove(filepath.Join(dir, placeRecord)))
	}
	return errors.Join(errs...)
}
