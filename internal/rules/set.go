package rules

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/sliding"
)

// Limits of a rules file.
const (
	MaxFile    = 1 << 20 // bytes
	MaxRules   = 1000
	MaxColumns = 100
)

// DefaultScale is the number of decimals of amounts in a file that does not say.
const DefaultScale = 2

// Set is a valid rules file. It comes from Load or Parse; its RuleSet is to be read, not changed.
type Set struct {
	brimline.RuleSet
	Disabled   []brimline.Rule // those of `enabled: false`, which are read and not run
	predicates []predicate     // of Rules, in their order
}

// Compiled are the rules ready for use, with their fingerprints; opts apply to each.
func (s *Set) Compiled(opts ...Option) []sliding.Rule {
	compiled := make([]sliding.Rule, len(s.predicates))
	for i, p := range s.predicates {
		rule := s.Rules[i]
		compiled[i] = sliding.Rule{Rule: rule, Fingerprint: rule.Fingerprint(), Takes: p.takes(opts)}
		if column, ok := declared(s.Columns, rule.Column); ok {
			compiled[i].Value = valueOf(column, opts)
		}
	}
	return compiled
}

// Load is Parse for the file at path. A file that cannot be read is a
// *brimline.Error of ClassInput and kind rules_unreadable.
func Load(path string) (*Set, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	return Parse(path, data)
}

// readFile reads no more than shows that a file is too large.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, MaxFile+1))
}

func unreadable(path string, err error) error {
	return &brimline.Error{
		Class: brimline.ClassInput, Kind: "rules_unreadable", Where: "reading rules",
		Remedy: "name a readable rules file", Err: fmt.Errorf("%s: %w", path, unwrapPath(err)),
	}
}

// unwrapPath leaves out the path, which is already said.
func unwrapPath(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// Parse reads a rules file, called name in messages. Whatever is wrong with
// it is told at once: the error is a *brimline.Error of ClassInput and kind
// rules_invalid around a *Problems.
func Parse(name string, data []byte) (*Set, error) {
	r := newReader(name, "rules", data)
	set := r.read()
	if len(r.problems.List) > 0 {
		return nil, r.problems.invalid()
	}
	return set, nil
}
