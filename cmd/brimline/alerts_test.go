package main

import (
	"bytes"
	"os"
	"testing"
)

// How many alerts are shown to who says no number: a few to people, all to a file or a program.
func TestMostAlerts(t *testing.T) {
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no terminal can be had: %v", err)
	}
	defer terminal.Close()
	seven := 7
	for _, x := range []struct {
		what string
		out  *output
		c    alertsCmd
		want int
	}{
		{"a terminal", &output{to: terminal}, alertsCmd{}, fewAlerts},
		{"a terminal, as JSON", &output{to: terminal}, alertsCmd{JSON: true}, fewAlerts},
		{"a file", &output{to: &bytes.Buffer{}}, alertsCmd{}, 0},
		{"a file that follows", &output{to: &bytes.Buffer{}}, alertsCmd{Follow: true}, fewAlerts},
		{"a number", &output{to: &bytes.Buffer{}}, alertsCmd{Follow: true, Limit: &seven}, 7},
	} {
		if got, err := x.c.most(&world{out: x.out}); got != x.want || err != nil {
			t.Errorf("%s: %d, want %d, %v", x.what, got, x.want, err)
		}
	}
}
