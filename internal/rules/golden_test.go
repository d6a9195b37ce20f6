package rules_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/rules"
)

var update = flag.Bool("update", false, "write the golden files anew")

const golden = "../../testdata/rules"

// Each file of testdata/rules is read; what a user sees of it is its golden file.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(golden, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no rules files in %s: %v", golden, err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, strings.TrimSuffix(path, ".yaml")+".golden", seen(t, filepath.Base(path), data))
		})
	}
}

func compare(t *testing.T, want, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(want, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	expected, err := os.ReadFile(want)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(expected) {
		t.Errorf("%s differs; go test ./internal/rules -update writes it anew. Got:\n%s", want, got)
	}
}

// So is each file of testdata/rules-tests.
func TestGoldenTests(t *testing.T) {
	t.Chdir("../../testdata/rules-tests")
	files, err := filepath.Glob("*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, path := range files {
		t.Run(path, func(t *testing.T) {
			_, err := rules.LoadTests(path)
			e, ok := errors.AsType[*brimline.Error](err)
			if !ok || e.Class != brimline.ClassInput || e.Kind != rules.KindTests {
				t.Fatalf("%v is not an input error of kind %s", err, rules.KindTests)
			}
			compare(t, strings.TrimSuffix(path, ".yaml")+".golden", err.Error()+"\n")
		})
	}
}

func seen(t *testing.T, name string, data []byte) string {
	t.Helper()
	set, err := rules.Parse(name, data)
	if err == nil {
		return rules.Describe(set)
	}
	var e *brimline.Error
	var list *rules.Problems
	if !errors.As(err, &e) || e.Class != brimline.ClassInput || e.Kind != "rules_invalid" || !errors.As(err, &list) {
		t.Fatalf("%#v is not an input error of kind rules_invalid around the problems", err)
	}
	return err.Error() + "\n"
}
