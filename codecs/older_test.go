package codecs_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
)

// TestStoredBytesAreNeverMisread: whatever a brimline has ever stored is read as what it is, so that it encodes to the
// same bytes again, or is refused with the advice to start a new group. testdata/wire/older keeps what commits before
// today's wrote; nothing there is ever changed.
func TestStoredBytesAreNeverMisread(t *testing.T) {
	layouts := map[string]codec{
		"change": codecs.Change{}, "window": codecs.WindowPart{}, "candidate": codecs.Candidates{}, "alert": codecs.Alert{},
		"alertlog": codecs.AlertLog{}, "deadletter": codecs.DeadLetter{}, "ruleset": codecs.RuleSet{},
		"settings": codecs.Settings{}, "again": codecs.Again{},
	}
	seen := map[string]bool{}
	err := filepath.WalkDir("../testdata/wire", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		layout, _, versioned := strings.Cut(filepath.Base(filepath.Dir(path)), "-v")
		c := layouts[layout]
		if c == nil || !versioned {
			t.Errorf("%s is in no folder LAYOUT-vN", path)
			return nil
		}
		seen[layout] = true
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		stored := bytes.TrimSpace(text)
		if filepath.Ext(path) == ".hex" {
			if stored, err = hex.DecodeString(string(stored)); err != nil {
				return err
			}
		}
		v, err := c.Decode(stored)
		if err == nil {
			if again := encode(t, c, v); !bytes.Equal(again, stored) {
				t.Errorf("%s is taken for something else:\n%q\nbecame\n%q", path, stored, again)
			}
			return nil
		}
		refused, ok := errors.AsType[*brimline.Error](err)
		if !ok || refused.Kind != "older_format" || !strings.Contains(refused.Remedy, "new --group") {
			t.Errorf("%s is refused without the advice to start a new --group: %v", path, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for layout := range layouts {
		if !seen[layout] {
			t.Errorf("no bytes of layout %s are kept", layout)
		}
	}
}
