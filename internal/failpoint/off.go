//go:build !crash

package failpoint

import "time"

// Clock is now itself.
func Clock(now func() time.Time) func() time.Time { return now }

// Hit does nothing.
func Hit(string) {}

// Without is false.
func Without(string) bool { return false }
