// Counttests reads the output of `go test -json`, shows what a person wants to see of it, which is every package's
// line and all that a failed test said, and counts. With -total it adds its counts to a file, so that several runs
// end in one sum; -print shows that sum alone.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
)

type counts struct{ Passed, Failed, Skipped int }

func (c counts) String() string {
	s := fmt.Sprintf("%d passed, %d failed", c.Passed, c.Failed)
	if c.Skipped > 0 {
		s += fmt.Sprintf(", %d skipped", c.Skipped)
	}
	return s
}

func main() {
	total := flag.String("total", "", "`file` that holds the sum of several runs")
	show := flag.Bool("print", false, "print the sum in the -total file and end")
	flag.Parse()
	if err := run(*total, *show, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "counttests:", err)
		os.Exit(1)
	}
}

func run(total string, show bool, in io.Reader, out io.Writer) error {
	var sum counts
	if total != "" {
		data, err := os.ReadFile(total)
		if err != nil && !os.IsNotExist(err) {
			return err
		}
		if len(data) > 0 {
			if err := json.Unmarshal(data, &sum); err != nil {
				return fmt.Errorf("%s: %w", total, err)
			}
		}
	}
	if show {
		fmt.Fprintln(out, sum)
		return nil
	}
	c, err := read(in, out)
	if err != nil {
		return err
	}
	if total != "" {
		sum = counts{sum.Passed + c.Passed, sum.Failed + c.Failed, sum.Skipped + c.Skipped}
		data, _ := json.Marshal(sum)
		if err := os.WriteFile(total, data, 0o666); err != nil {
			return err
		}
	}
	if c.Failed > 0 {
		return fmt.Errorf("%d failed", c.Failed)
	}
	return nil
}

type event struct {
	Action, Package, ImportPath, Test, Output string
}

// read counts tests and subtests alike; a package that fails without a failed test (it does not compile, its main
// exits, it runs out of time) counts as one failure.
func read(in io.Reader, out io.Writer) (counts, error) {
	var c counts
	said := map[string]map[string][]string{} // package → test that has not ended → its output
	failed := map[string]bool{}              // packages with a failed test
	r := bufio.NewReader(in)
	for {
		line, err := r.ReadString('\n')
		if line == "" && err == io.EOF {
			return c, nil
		}
		if err != nil && err != io.EOF {
			return c, err
		}
		var e event
		if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &e) != nil {
			fmt.Fprint(out, line) // make's own words, or a message of the go command
			continue
		}
		tests := said[e.Package]
		if tests == nil {
			tests = map[string][]string{}
			said[e.Package] = tests
		}
		switch {
		case e.Action == "build-output":
			fmt.Fprint(out, e.Output)
		case e.Action == "output" && e.Test == "":
			if e.Output != "PASS\n" {
				fmt.Fprint(out, e.Output)
			}
		case e.Action == "output":
			tests[e.Test] = append(tests[e.Test], e.Output)
		case e.Action == "pass" && e.Test != "":
			c.Passed++
			delete(tests, e.Test)
		case e.Action == "skip" && e.Test != "":
			c.Skipped++
			tell(out, tests, e.Test) // a skip without a visible reason is a hole
		case e.Action == "fail" && e.Test != "":
			c.Failed++
			failed[e.Package] = true
			tell(out, tests, e.Test)
		case e.Action == "fail":
			if !failed[e.Package] {
				c.Failed++
			}
			var names []string
			for name := range tests {
				names = append(names, name)
			}
			sort.Strings(names)
			for _, name := range names { // a panic or a timeout ends tests without a word of their own
				tell(out, tests, name)
			}
		}
	}
}

func tell(out io.Writer, tests map[string][]string, name string) {
	for _, s := range tests[name] {
		if !strings.HasPrefix(s, "=== ") {
			fmt.Fprint(out, s)
		}
	}
	delete(tests, name)
}
