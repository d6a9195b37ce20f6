package rulestest

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/brimline/brimline/internal/rules"
)

// scenarios are the project's own tests, see testdata/scenarios.
func scenarios(t *testing.T) []*Case {
	t.Helper()
	paths, err := filepath.Glob("../../testdata/scenarios/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	cases, err := load(paths...)
	if err != nil {
		t.Fatal(err)
	}
	return cases
}

func load(paths ...string) (cases []*Case, err error) {
	files, err := rules.LoadTests(paths...)
	for _, f := range files {
		for i := range f.Tests {
			cases = append(cases, &Case{f, &f.Tests[i]})
		}
	}
	return cases, err
}

// mustPass plays the cases and shows what fails.
func mustPass(t *testing.T, g Ground, cases []*Case, o Options) {
	t.Helper()
	results, err := Play(t.Context(), g, cases, o)
	if err != nil {
		t.Fatal(err)
	}
	for i := range results {
		if r := &results[i]; !r.Passed() {
			var b bytes.Buffer
			r.WriteText(&b)
			t.Errorf("%s", b.Bytes())
		}
	}
}

// Every scenario holds on the fold.
func TestScenarios(t *testing.T) {
	cases := scenarios(t)
	if len(cases) < 40 {
		t.Errorf("%d scenarios", len(cases))
	}
	mustPass(t, NewFold(), cases, Options{Courses: true})
}

// In whatever order the rows of a step come, and however often, the alerts are the same.
func TestScenariosHoldInAnyOrder(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("BRIMLINE_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	t.Logf("to repeat: BRIMLINE_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	cases := scenarios(t)
	for range 50 {
		mustPass(t, &shuffled{NewFold(), r}, cases, Options{})
		if t.Failed() {
			return
		}
	}
}

// shuffled brings the rows of a step in any order, and some of them twice.
type shuffled struct {
	*Fold
	*rand.Rand
}

func (s *shuffled) Do(ctx context.Context, turns []Turn) error {
	for _, t := range turns {
		step := *t.Step
		step.Changes = slices.Clone(step.Changes)
		s.Shuffle(len(step.Changes), func(i, j int) {
			step.Changes[i], step.Changes[j] = step.Changes[j], step.Changes[i]
		})
		if n := len(step.Changes); n > 0 && s.IntN(2) == 0 {
			if c := step.Changes[s.IntN(n)]; c.After != nil {
				step.Changes = append(step.Changes, rules.RowChange{Before: c.After, After: c.After})
			}
		}
		if err := s.Fold.Do(ctx, []Turn{{t.Case, &step}}); err != nil {
			return err
		}
	}
	return nil
}
