package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/brimline/brimline"
)

func take(t *testing.T, dir, group, instance string) *place {
	t.Helper()
	p, err := takePlace(dir, group, instance)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.release)
	return p
}

func TestPlaces(t *testing.T) {
	dir := t.TempDir()
	a, b := take(t, dir, "g", ""), take(t, dir, "g", "")
	if a.Dir == b.Dir || a.Instance == b.Instance {
		t.Fatalf("two at once share a place: %+v %+v", a, b)
	}
	if other := take(t, t.TempDir(), "g", ""); other.Instance == a.Instance {
		t.Errorf("two state directories on one host give the same name %s", a.Instance)
	}
	if other := take(t, dir, "h", ""); other.Dir == a.Dir {
		t.Error("two groups share a place")
	}
	name := a.Instance
	a.release()
	a.release()
	if again := take(t, dir, "g", ""); again.Instance != name {
		t.Errorf("came back as %s, was %s", again.Instance, name)
	}

	named := take(t, dir, "g", "0")
	if named.Instance != "0" || named.Dir == b.Dir {
		t.Errorf("%+v", named)
	}
	if _, err := takePlace(dir, "g", "0"); brimline.ExitCode(err) != int(brimline.ClassEnvironment) ||
		!strings.Contains(err.Error(), "--instance") {
		t.Errorf("the same name twice: %v", err)
	}
}

func TestPlaceThatCannotBeWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := takePlace(file, "g", ""); brimline.ExitCode(err) != int(brimline.ClassEnvironment) ||
		!strings.Contains(err.Error(), "--state-dir") {
		t.Error(err)
	}
}

func TestRemoveState(t *testing.T) {
	dir := t.TempDir()
	if err := RemoveState(dir, "g"); err != nil {
		t.Errorf("nothing there: %v", err)
	}
	p, other := take(t, dir, "g", ""), take(t, dir, "h", "")
	if err := RemoveState(dir, "g"); err == nil {
		t.Error("removed under a running process")
	}
	if _, err := os.Stat(p.Dir); err != nil {
		t.Error(err)
	}
	p.release()
	if err := RemoveState(dir, "g"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(p.Dir); !os.IsNotExist(err) {
		t.Errorf("still there: %v", err)
	}
	if _, err := os.Stat(other.Dir); err != nil {
		t.Errorf("another group's state: %v", err)
	}
}
