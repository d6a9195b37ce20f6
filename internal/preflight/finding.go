// Package preflight looks at Kafka, PostgreSQL and the connector before they
// disappoint anybody: each check gives findings, each finding that is not fine
// gives its remedy. `brimline doctor` prints them, start-up ends at the worst.
//
// A check reports what it finds and never returns an error of its own: what
// cannot be asked is a finding too.
package preflight

import (
	"errors"
	"fmt"
	"strings"

	"github.com/brimline/brimline"
)

// Level says how bad a finding is.
type Level int

// The levels, in rising order.
const (
	OK      Level = iota // as it should be
	Note                 // worth knowing; nothing need be done
	Warning              // works, and will surprise somebody
	Error                // does not work, or gives wrong results
)

func (l Level) String() string {
	return [...]string{"ok", "note", "warning", "error"}[min(max(l, OK), Error)]
}

// MarshalText is String.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// Finding is the outcome of one check about one thing.
type Finding struct {
	Check  string `json:"check"` // snake_case, stable: kafka_brokers, postgres_index
	Level  Level  `json:"level"`
	What   string `json:"what"`             // what was found, one sentence
	Remedy string `json:"remedy,omitempty"` // what to do, an imperative; empty at OK
}

// Worst is the highest level among findings, OK for none.
func Worst(findings []Finding) Level {
	worst := OK
	for _, f := range findings {
		worst = max(worst, f.Level)
	}
	return worst
}

// Err is nil unless a finding is of level Error; then it is a *brimline.Error
// of ClassEnvironment (ClassInput for a URL that cannot be read) whose kind is the first such finding's check. It names
// all of them, so that they can be mended in one go.
func Err(findings []Finding) error {
	var bad []Finding
	for _, f := range findings {
		if f.Level == Error {
			bad = append(bad, f)
		}
	}
	if len(bad) == 0 {
		return nil
	}
	e := &brimline.Error{
		Class: brimline.ClassEnvironment, Kind: bad[0].Check, Where: "checks before the start",
		Remedy: bad[0].Remedy, Err: errors.New(bad[0].What),
	}
	if e.Kind == "postgres_url" { // nobody was asked yet
		e.Class = brimline.ClassInput
	}
	if len(bad) > 1 {
		var b strings.Builder
		fmt.Fprintf(&b, "%d problems", len(bad))
		for _, f := range bad {
			fmt.Fprintf(&b, "\n  - %s", f.What)
			if f.Remedy != "" {
				fmt.Fprintf(&b, " (remedy: %s)", f.Remedy)
			}
		}
		e.Err, e.Remedy = errors.New(b.String()), ""
	}
	return e
}

// report collects findings.
type report struct{ findings []Finding }

func (r *report) add(level Level, check, remedy, format string, args ...any) {
	r.findings = append(r.findings, Finding{Check: check, Level: level, What: fmt.Sprintf(format, args...), Remedy: remedy})
}

func (r *report) ok(check, format string, args ...any) { r.add(OK, check, "", format, args...) }
