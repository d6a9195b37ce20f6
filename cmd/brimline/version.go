package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

type versionCmd struct{}

func (versionCmd) Help() string {
	return `Example:

	brimline version`
}

func (versionCmd) Run(w *world) error {
	_, err := fmt.Fprintln(w.out, "brimline", version(), runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH)
	return err
}

// release is the version that the Makefile, the Dockerfile and goreleaser stamp: -ldflags '-X main.release=v0.1.0'.
var release string

// version is the stamped release, else the one that the Go tool recorded: `go install` knows the version of the module.
func version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "unknown"
	}
	return info.Main.Version
}
