package demo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/brimline/brimline/internal/config"
)

// rulesText is the rules file of a demo that has none.
const rulesText = `# The demo's rules; change them and start it again. See docs/rules.md.
rules:
  - id: weekly-spend
    description: more than $3,000 paid within seven days
    window: 7d
    limit: "3000.00"
    measure: sum_out # payments are below zero, income above
    severity: high
  - id: card-testing
    description: more than 20 transactions within half an hour
    window: 30m
    limit: 20
    measure: count
    severity: high
`

func (w *world) settingsFile() string { return filepath.Join(w.Dir, filepath.Base(config.FileDemo)) }

// settings makes the configuration of the stages, writes the rules if there
// are none, and leaves a settings file for the other commands.
func (w *world) settings(brokers []string, url string) error {
	c := config.Default()
	c.Brokers, c.DatabaseURL = brokers, config.Secret(url)
	c.Rules, c.StateDir = filepath.Join(w.Dir, "rules.yaml"), filepath.Join(w.Dir, "state")
	c.Partitions = 4
	c.SessionTimeout = 6 * time.Second // after a kill -9, the least that the next start has to wait
	c.StopTimeout = stopWithin
	c.Listen, c.AllowedHosts = free(w.Listen), w.AllowedHosts
	w.config = c

	if _, err := os.Stat(c.Rules); errors.Is(err, fs.ErrNotExist) {
		if err := os.WriteFile(c.Rules, []byte(rulesText), 0o644); err != nil {
			return dirError(w.Dir, err)
		}
	}
	text := fmt.Sprintf(config.DemoMark+`: where its parts are, for other commands that are called in this directory.
brokers: %q
database_url: %q
rules: %q
state_dir: %q
`, strings.Join(c.Brokers, ","), url, c.Rules, c.StateDir)
	if err := os.WriteFile(w.settingsFile(), []byte(text), 0o600); err != nil {
		return dirError(w.Dir, err)
	}
	return nil
}
