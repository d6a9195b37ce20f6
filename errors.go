package brimline

import (
	"errors"
	"fmt"
)

// Class says who can end a failure; it is the exit code of the command that met it.
type Class int

const (
	ClassRuntime     Class = 1 // brimline itself, or something that may pass by waiting
	ClassInput       Class = 2 // what the user wrote: flags, files, records
	ClassEnvironment Class = 3 // Kafka, PostgreSQL, rights, disks
)

// Error is a failure that a person is expected to act on. It answers three
// questions: what kind is it (Kind, for machines), what was being done and
// where (Where, for operators), and what can be done (Remedy, for users).
type Error struct {
	Class  Class
	Kind   string // snake_case, stable: a metric label and a field of dead letters
	Where  string // what was being done, to what: `rules.yaml:12`, `topic "alerts"`
	Remedy string // one sentence, an imperative; empty where there is nothing to do
	Err    error  // what happened; never nil
}

func (e *Error) Error() string {
	s := e.Err.Error()
	if e.Where != "" {
		s = e.Where + ": " + s
	}
	if e.Remedy != "" {
		s += " (remedy: " + e.Remedy + ")"
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// BadInput is an Error of ClassInput about one record; it ends in the dead letter topic, never in a stop.
func BadInput(kind, remedy, format string, args ...any) *Error {
	return &Error{Class: ClassInput, Kind: kind, Remedy: remedy, Err: fmt.Errorf(format, args...)}
}

// ExitCode is the process exit code for err: 0 for nil, the class of the first
// Error in its chain, and ClassRuntime for anything else.
func ExitCode(err error) int {
	if err == nil {
		return 0
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return int(e.Class)
	}
	return int(ClassRuntime)
}
