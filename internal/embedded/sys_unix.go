//go:build unix

package embedded

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

var errLocked error = syscall.EWOULDBLOCK

func flock(file *os.File) error {
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// Signals of postgres: fast shutdown ends sessions and checkpoints, immediate
// shutdown leaves recovery to the next start.
const (
	signalFast      = syscall.SIGINT
	signalImmediate = syscall.SIGQUIT
	signalKill      = syscall.SIGKILL
)

// detach puts the command into a process group of its own, because Ctrl-C in a
// terminal goes to the whole group and the server must outlive those who use it;
// and makes it run as owner, if there is one.
func detach(cmd *exec.Cmd, owner *owner) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if owner != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: owner.uid, Gid: owner.gid}
	}
}

func signalProcess(pid int, s syscall.Signal) error { return syscall.Kill(pid, s) }

func exists(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// isPostmasterOf tells whether pid is a running postmaster of the data
// directory, and not a process that came to the same number later. A postmaster
// keeps its data directory as working directory; a zombie has none, so it
// counts as gone. Without /proc, ps shows the -D that we started it with.
func isPostmasterOf(pid int, data string) bool {
	if cwd, err := os.Stat(fmt.Sprintf("/proc/%d/cwd/.", pid)); err == nil {
		want, err := os.Stat(data)
		return err == nil && os.SameFile(cwd, want)
	} else if _, err := os.Stat("/proc/self/cwd"); err == nil {
		return false
	}
	out, err := exec.Command("ps", "-o", "command=", "-p", fmt.Sprint(pid)).Output()
	return err == nil && strings.Contains(string(out), "-D "+data)
}

// reachable tells whether owner may pass through every directory on the way to
// path, path included. It looks at the mode bits only, and not at ACLs or
// supplementary groups: a wrong no costs a detour, a wrong yes the start.
func (o *owner) reachable(path string) bool {
	if o == nil {
		return true
	}
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return false
	}
	for {
		info, err := os.Stat(path)
		if err != nil {
			return false
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return false
		}
		bit := os.FileMode(0o001)
		switch {
		case stat.Uid == o.uid:
			bit = 0o100
		case stat.Gid == o.gid:
			bit = 0o010
		}
		if info.Mode()&bit == 0 {
			return false
		}
		parent := filepath.Dir(path)
		if parent == path {
			return true
		}
		path = parent
	}
}
