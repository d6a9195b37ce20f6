package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// What the README has people run is what the build makes, and a command that there is.
func TestReadmeCommands(t *testing.T) {
	page, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(makefile), "-o bin/brimline ") {
		t.Fatal("the build makes another file than bin/brimline")
	}
	// A command stands at the beginning of a line of code, or in backticks with something to act on.
	command := regexp.MustCompile("(?:^\\s{3,}|`)(?:export \\S+ +)?((?:bin/)?brimline) ([a-z]+)([^`\\n]*)")
	commands := 0
	for line := range strings.Lines(text) {
		for _, m := range command.FindAllStringSubmatch(line, -1) {
			if m[2] == "capture" || m[2] == "reset" { // named in prose
				continue
			}
			commands++
			if m[1] != "bin/brimline" {
				t.Errorf("the build makes bin/brimline, and the README says: %s", strings.TrimSpace(m[0]))
			}
			if code, _, errOut := run(t, m[2], "--help"); code != 0 {
				t.Errorf("%s: %s", m[0], errOut)
			}
		}
	}
	if commands < 5 {
		t.Errorf("%d commands found", commands)
	}
	for _, target := range regexp.MustCompile(`(?m)^    make (\S+)`).FindAllStringSubmatch(text, -1) {
		if !strings.Contains(string(makefile), "\n"+target[1]+":") {
			t.Errorf("there is no make %s", target[1])
		}
	}
}
