//go:build !crash

package failpoint

import "time"

// Clock is now itself.
func Clock(now func() time.Time) func() time.Time { return now }

// Hit does nothing.
func Hit(string) {}

// StatementRows is usual.
func StatementRows(usual int) int { return usual }

// Without is false.
func Without(string) bool { return false }
