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
	"slices"
	"strings"

	"github.com/brimline/brimline"
)

// Level says how bad a finding is.
type Level int

// The levels, in rising order.
const (
	OK      Level = iota // as it should be
	Note                 // worth knowing; nothing need be done
	Warning              // works, and will surprise users
	Error                // does not work, or gives wrong results
)

func (l Level) String() string {
	return [...]string{"ok", "note", "warning", "error"}[min(max(l, OK), Error)]
}

// MarshalText is String.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// Finding is the outcome of one check about one thing.
type Finding struct {
	Check  string `json:"check"` // of Checks; at OK the subject: kafka_brokers, postgres_index
	Level  Level  `json:"level"`
	Source Source `json:"source"`
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
// of ClassEnvironment (ClassInput where all of them are about settings) whose kind is the first such finding's check.
// It names all of them, so that they can be mended in one go.
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
	if !slices.ContainsFunc(bad, func(f Finding) bool { return !f.ofSettings() }) {
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

// ofSettings reports whether other settings, or other names for groups, are what helps.
func (f *Finding) ofSettings() bool {
	switch f.Check {
	case "group_settings", "postgres_connection_url", "connect_url", "units_unknown", "units_contradict":
		return true
	}
	return f.Source == FromFiles
}

// report collects findings.
type report struct{ findings []Finding }

// add reports that a check has found something. remedy is an imperative that names the objects.
func (r *report) add(id, remedy, format string, args ...any) {
	c := byID[id]
	if c == nil {
		panic("preflight: no check " + id)
	}
	r.findings = append(r.findings, Finding{
		Check: id, Level: c.Level, Source: c.Source, What: fmt.Sprintf(format, args...), Remedy: remedy,
	})
}

func (r *report) ok(subject, format string, args ...any) {
	r.findings = append(r.findings, Finding{
		Check: subject, Source: subjects[subject], What: fmt.Sprintf(format, args...),
	})
}

// failed turns an explained error into a finding of its own.
func (r *report) failed(id string, err error) {
	e, ok := errors.AsType[*brimline.Error](err)
	if !ok {
		r.add(id, "", "%v", err)
		return
	}
	what := e.Err.Error()
	if e.Where != "" {
		what = e.Where + ": " + what
	}
	r.add(id, e.Remedy, "%s", what)
}

// Failed is the finding that an error is, made by a check.
func Failed(id string, err error) Finding {
	var r report
	r.failed(id, err)
	return r.findings[0]
}

// Found is a finding of a check.
func Found(id, remedy, format string, args ...any) Finding {
	var r report
	r.add(id, remedy, format, args...)
	return r.findings[0]
}

// Fine is the finding that a subject is as it should be.
func Fine(subject, format string, args ...any) Finding {
	var r report
	r.ok(subject, format, args...)
	return r.findings[0]
}
