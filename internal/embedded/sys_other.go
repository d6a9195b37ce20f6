//go:build !unix

package embedded

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// The embedded parts lean on Unix: file locks that end with their process,
// signals, users. Elsewhere they end at the first lock with this error, and the
// rest of brimline still builds and runs.
var (
	errLocked      = errors.New("locked")
	errUnsupported = errors.New("the embedded Kafka and PostgreSQL need Linux, macOS or another Unix")
)

const (
	signalFast      = syscall.SIGINT
	signalImmediate = syscall.SIGQUIT
	signalKill      = syscall.SIGKILL
)

func flock(*os.File) error                    { return errUnsupported }
func detach(*exec.Cmd, *owner)                {}
func signalProcess(int, syscall.Signal) error { return errUnsupported }
func exists(int) bool                         { return false }
func isPostmasterOf(int, string) bool         { return false }
func (o *owner) reachable(string) bool        { return true }
