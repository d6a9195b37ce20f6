//go:build race

package testkit

// A suite under the race detector starts a program that is under it too: in a process without it nothing is looked for.
func init() { buildFlags = append(buildFlags, "-race") }
