package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What builds a program for others stamps its version, and the program says it.
func TestVersionIsStamped(t *testing.T) {
	program := filepath.Join(t.TempDir(), "brimline")
	build := exec.Command("go", "build", "-ldflags", "-X main.release=v9.8.7-rc.1", "-o", program, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.Command(program, "version").Output()
	if err != nil || !strings.HasPrefix(string(out), "brimline v9.8.7-rc.1 go1.") {
		t.Errorf("it says %q (%v)", out, err)
	}
	for _, path := range []string{"Makefile", "Dockerfile", ".goreleaser.yaml"} {
		text, err := os.ReadFile(filepath.Join("../..", path))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "-X main.release=") {
			t.Errorf("%s does not stamp the version: -ldflags '-X main.release=…'", path)
		}
	}
}
