//go:build !crash

package failpoint

// Hit does nothing.
func Hit(string) {}

// Without is false.
func Without(string) bool { return false }
