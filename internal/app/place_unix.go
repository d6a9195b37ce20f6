//go:build unix

package app

import (
	"errors"
	"syscall"
)

// isLocked tells a lock that another process holds from a directory that cannot be used.
func isLocked(err error) bool {
	return errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EAGAIN)
}
