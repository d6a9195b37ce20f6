package brimline

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestFingerprintIsWhatDecidesEdges(t *testing.T) {
	base := Rule{ID: "r", Window: time.Hour, Limit: Count(5), Where: "x"}
	said := base
	said.Severity, said.Description = "high", "text"
	if base.Fingerprint() != said.Fingerprint() {
		t.Error("a description changes the fingerprint")
	}
	for i, change := range []func(*Rule){
		func(r *Rule) { r.ID = "s" }, func(r *Rule) { r.Window++ }, func(r *Rule) { r.Limit = Count(6) },
		func(r *Rule) { r.Measure = Sum }, func(r *Rule) { r.Where = "y" },
		func(r *Rule) { r.ID, r.Where = "rx", "" },
	} {
		other := base
		change(&other)
		if base.Fingerprint() == other.Fingerprint() {
			t.Errorf("change %d does not change the fingerprint", i)
		}
	}
}

func TestAlertIDsAreUnambiguous(t *testing.T) {
	if a, b := AlertID("a/b", "c", 0), AlertID("a", "b/c", 0); a == b {
		t.Errorf("%s for two users", a)
	}
}

func TestExitCodes(t *testing.T) {
	wrapped := fmt.Errorf("starting: %w", &Error{Class: ClassEnvironment, Where: "kafka",
		Remedy: "start it", Err: errors.New("away")})
	for _, tc := range []struct {
		err  error
		want int
	}{{nil, 0}, {errors.New("odd"), 1}, {BadInput("k", "r", "x"), 2}, {wrapped, 3}} {
		if got := ExitCode(tc.err); got != tc.want {
			t.Errorf("%v: %d", tc.err, got)
		}
	}
	if got := wrapped.Error(); got != "starting: kafka: away (remedy: start it)" {
		t.Error(got)
	}
}

func TestJoinedIDsDiffer(t *testing.T) {
	seen := map[string]bool{}
	for _, parts := range [][]string{{"a", "b"}, {"a,b", ""}, {"a", "b", ""}, {`a\`, "b"}, {`a\,b`, ""}} {
		id := JoinID(parts...)
		if seen[id] {
			t.Errorf("%q joins to %q, as another key does", parts, id)
		}
		seen[id] = true
	}
	if JoinID("a,b") != "a,b" {
		t.Error("a key of one column changed")
	}
}
