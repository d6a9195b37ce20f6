//go:build !unix

package app

// isLocked: the library gives no error of its own for a lock that another process holds.
func isLocked(err error) bool { return err != nil }
