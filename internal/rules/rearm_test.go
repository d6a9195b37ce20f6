package rules_test

import (
	"strings"
	"testing"

	"github.com/brimline/brimline/internal/rules"
)

// Of a rule whose limit is not there, or is none, nothing is said about where its rearm stands to it.
func TestRearmWithoutALimit(t *testing.T) {
	for _, limit := range []string{"limit: x", "severity: high", "limit: 1e3", "limit:"} {
		_, err := rules.Parse("x", []byte("rules:\n  - id: a\n    window: 7d\n    rearm: 4\n    "+limit))
		if err == nil || strings.Contains(err.Error(), "above the limit") {
			t.Errorf("%s: %v", limit, err)
		}
	}
}
