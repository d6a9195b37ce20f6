package preflight

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what is made from the program anew")

const checksPage = "../../docs/checks.md"

// TestChecksPage: docs/checks.md is made from the table of checks.
func TestChecksPage(t *testing.T) {
	head, err := os.ReadFile("testdata/checks.md")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.Write(head)
	does := map[Level]string{Error: "stops", Warning: "warns", Note: "notes it (debug)"}
	for _, source := range []struct {
		name  Source
		title string
	}{
		{FromFiles, "Settings and the rules file"}, {FromGroup, "What the group has written down"}, {FromKafka, "Kafka"},
		{FromRecords, "The newest records"}, {FromConnect, "Kafka Connect (`--connect-url`)"}, {FromCatalog, "PostgreSQL"},
		{FromInstance, "A running instance (`--listen`; `doctor` only)"},
	} {
		fmt.Fprintf(&b, "## %s\n\n| check | finds | `run` | remedy |\n| --- | --- | --- | --- |\n", source.title)
		for _, c := range Checks() {
			if c.Source == source.name {
				run := does[c.Level]
				if c.Source == FromInstance {
					run = "does not ask"
				}
				fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", c.ID, c.Finds, run, c.Remedy)
			}
		}
		b.WriteString("\n")
	}
	want := strings.TrimSuffix(b.String(), "\n")
	if *update {
		if err := os.WriteFile(checksPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(checksPage)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the table says (go test ./internal/preflight -run ChecksPage -update writes it anew)",
			checksPage)
	}
}

// TestTable: every check has a subject, an ID of its own, and both texts.
func TestTable(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Checks() {
		if seen[c.ID] || c.Finds == "" || c.Remedy == "" || c.Level == OK {
			t.Errorf("%+v", c)
		}
		seen[c.ID] = true
		if _, ok := subjects[subject(c.ID)]; !ok {
			t.Errorf("%s is about no subject", c.ID)
		}
	}
}
