package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/brimline/brimline/internal/present"
)

// TestDurations: every flag that is a duration takes those of rules files, from the command line, the environment and
// the file, refuses what those refuse, and has a default that is written as all durations are.
func TestDurations(t *testing.T) {
	t.Chdir(t.TempDir())
	app, err := newParser(&commands{}, io.Discard, io.Discard, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	found, seen := 0, map[string]bool{}
	for _, node := range app.Model.Leaves(true) {
		for _, flags := range node.AllFlags(true) {
			for _, f := range flags {
				if f.Target.Type() != reflect.TypeFor[time.Duration]() || seen[f.Name] && len(f.Envs) > 0 {
					continue
				}
				seen[f.Name] = true
				found++
				args := strings.Fields(strings.TrimPrefix(node.FullPath(), "brimline"))
				for _, p := range node.Positional {
					if p.Required {
						args = append(args, "x")
					}
				}
				name := strings.Join(args, " ") + " --" + f.Name
				if d, err := present.ParseDuration(f.Default); err != nil || present.Duration(d) != f.Default {
					t.Errorf("%s: the default %q, %v", name, f.Default, err)
				}
				for text, want := range map[string]string{"90d": "2160h0m0s", "1.5h": "unknown unit"} {
					for from, got := range parsed(t, args, f, text) {
						if !strings.Contains(got, want) {
							t.Errorf("%s %s from the %s: %s, want %s", name, text, from, got, want)
						}
					}
				}
			}
		}
	}
	if found < 15 {
		t.Errorf("only %d durations are flags", found)
	}
}

// parsed gives, by where it was said, the value that a flag gets from a text, or the error.
func parsed(t *testing.T, args []string, f *kong.Flag, text string) map[string]string {
	t.Helper()
	parse := func(args ...string) string {
		p, err := newParser(&commands{}, io.Discard, io.Discard, func(int) {})
		if err != nil {
			t.Fatal(err)
		}
		ctx, err := p.Parse(args)
		if err != nil {
			return err.Error()
		}
		for _, other := range ctx.Flags() {
			if other.Name == f.Name {
				return fmt.Sprint(ctx.FlagValue(other))
			}
		}
		return "no such flag"
	}
	all := map[string]string{"command line": parse(append(args, "--"+f.Name+"="+text)...)}
	if len(f.Envs) == 0 {
		return all
	}
	if err := os.Setenv(f.Envs[0], text); err != nil {
		t.Fatal(err)
	}
	all["environment"] = parse(args...)
	if err := os.Unsetenv(f.Envs[0]); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "brimline.yaml")
	line := strings.ReplaceAll(f.Name, "-", "_") + ": " + text + "\n"
	if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	all["file"] = parse(append(args, "--config="+file)...)
	return all
}
