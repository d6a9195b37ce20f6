//go:build race

package window

// The race detector allocates for itself.
func init() { underRace = true }
