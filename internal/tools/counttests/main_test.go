package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const events = `go test -json ./...
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    quiet when it passes\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestB/sub","Output":"    b_test.go:7: want 1, got 2\n"}
{"Action":"fail","Package":"p","Test":"TestB/sub"}
{"Action":"fail","Package":"p","Test":"TestB"}
{"Action":"output","Package":"p","Test":"TestC","Output":"    no broker here\n"}
{"Action":"skip","Package":"p","Test":"TestC"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t0.1s\n"}
{"Action":"fail","Package":"p"}
{"Action":"build-output","ImportPath":"q","Output":"q.go:1: does not compile\n"}
{"Action":"build-fail","ImportPath":"q"}
{"Action":"fail","Package":"q","FailedBuild":"q"}
{"Action":"output","Package":"r","Test":"TestHangs","Output":"panic: test timed out\n"}
{"Action":"fail","Package":"r"}
{"Action":"skip","Package":"without tests"}
`

func TestCount(t *testing.T) {
	var out strings.Builder
	got, err := read(strings.NewReader(events), &out)
	if err != nil {
		t.Fatal(err)
	}
	if want := (counts{Passed: 1, Failed: 4, Skipped: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, want := range []string{"go test -json", "want 1, got 2", "no broker here", "does not compile", "timed out"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("output lacks %q:\n%s", want, &out)
		}
	}
	if strings.Contains(out.String(), "quiet") {
		t.Errorf("output of a passed test is shown:\n%s", &out)
	}
}

func TestTotalAddsUp(t *testing.T) {
	file := filepath.Join(t.TempDir(), "total")
	pass := `{"Action":"pass","Package":"p","Test":"TestA"}` + "\n"
	for _, in := range []string{pass, pass + pass} {
		if err := run(file, false, strings.NewReader(in), os.Stderr); err != nil {
			t.Fatal(err)
		}
	}
	if err := run(file, false, strings.NewReader(events), &strings.Builder{}); err == nil {
		t.Error("failed tests are no error")
	}
	var out strings.Builder
	if err := run(file, true, nil, &out); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "4 passed, 4 failed, 1 skipped\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
