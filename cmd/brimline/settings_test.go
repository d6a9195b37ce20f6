package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

const settingsPage = "../../docs/settings.md"

// docs/settings.md is made from the flags themselves; go test -update writes it anew.
func TestSettingsPage(t *testing.T) {
	want := settingsReference(t)
	if *update {
		if err := os.WriteFile(settingsPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(settingsPage)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the flags say (go test -update writes it anew)", settingsPage)
	}
}

// setting is a flag that the environment and the file can set as well.
type setting struct {
	flag     *kong.Flag
	group    string
	commands []string
}

func settingsReference(t *testing.T) string {
	t.Helper()
	app, err := kong.New(&commands{}, kong.Name("brimline"), vars())
	if err != nil {
		t.Fatal(err)
	}
	var (
		all      []*setting
		groups   []string
		byGroup  = map[string][]*setting{}
		byFlag   = map[string]*setting{}
		ofOne    []string // flags of one command, which are nothing but flags
		commands int
	)
	for _, node := range app.Model.Leaves(true) {
		commands++
		name := strings.TrimPrefix(strings.TrimSuffix(node.Path(), " "), "brimline ")
		var own []string
		for _, flags := range node.AllFlags(true) {
			for _, f := range flags {
				switch {
				case f.Name == "help" || f.Name == "config":
					continue
				case len(f.Envs) == 0:
					own = append(own, fmt.Sprintf("| `%s` | `--%s`%s | %s |\n",
						name, f.Name, orNone(f.Default, " = `%s`"), cell(f.Help)))
					continue
				}
				key := f.Name + "=" + f.Default // capture has a slot of its own where nothing is said, and run has none
				s := byFlag[key]
				if s == nil {
					s = &setting{flag: f}
					byFlag[key] = s
					all = append(all, s)
				} else if s.flag.Envs[0] != f.Envs[0] {
					t.Errorf("--%s of %s is another one than that of %s", f.Name, name, s.commands[0])
				}
				if s.commands = append(s.commands, name); s.group == "" && f.Group != nil {
					s.group = f.Group.Title
				}
			}
		}
		ofOne = append(ofOne, own...)
	}
	for _, s := range all {
		if s.group == "" {
			s.group = "Others"
		}
		if !slices.Contains(groups, s.group) {
			groups = append(groups, s.group)
		}
		byGroup[s.group] = append(byGroup[s.group], s)
	}
	var b strings.Builder
	head, err := os.ReadFile("testdata/settings.md")
	if err != nil {
		t.Fatal(err)
	}
	b.Write(head)
	for _, group := range groups {
		// Most groups are the same for all their commands, which are then named once.
		rows := byGroup[group]
		same := !slices.ContainsFunc(rows, func(s *setting) bool { return !slices.Equal(s.commands, rows[0].commands) })
		columns, rule, last := "| flag, environment, file | default | meaning |", "| --- | --- | --- |", " commands |"
		fmt.Fprintf(&b, "## %s\n\n", group)
		if same {
			fmt.Fprintf(&b, "%s\n\n%s\n%s\n", wrapped("Of "+strings.Join(rows[0].commands, ", ")+"."), columns, rule)
		} else {
			fmt.Fprintf(&b, "%s%s\n%s --- |\n", columns, last, rule)
		}
		for _, s := range rows {
			f := s.flag
			fmt.Fprintf(&b, "| `--%s` `%s` `%s` | %s | %s |", f.Name, strings.Join(f.Envs, "` `"),
				strings.ReplaceAll(f.Name, "-", "_"), orNone(f.Default, "`%s`"), cell(f.Help))
			if !same {
				fmt.Fprintf(&b, " %s |", strings.Join(s.commands, ", "))
			}
			b.WriteString("\n")
		}
		b.WriteString("\n")
	}
	b.WriteString("## Flags of single commands\n\nThese are neither in the environment nor in the file.\n\n" +
		"| command | flag | meaning |\n| --- | --- | --- |\n")
	for _, row := range ofOne {
		b.WriteString(row)
	}
	if len(byFlag) < 40 || commands < 10 {
		t.Fatalf("%d settings of %d commands found", len(byFlag), commands)
	}
	return b.String()
}

func orNone(s, format string) string {
	if s == "" {
		return ""
	}
	return fmt.Sprintf(format, s)
}

// cell is a text as a table in Markdown takes it.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

// wrapped breaks a line of prose where the house's pages do.
func wrapped(line string) string {
	const width = 160
	var b strings.Builder
	at := 0
	for _, word := range strings.Fields(line) {
		switch {
		case at == 0:
		case at+1+len(word) > width:
			b.WriteByte('\n')
			at = 0
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += len(word)
	}
	return b.String()
}
