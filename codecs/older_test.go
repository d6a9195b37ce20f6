package codecs_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

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
		"settings": codecs.Settings{}, "again": codecs.Again{}, "proof": codecs.Proof{}, "marker": codecs.Marker{},
		"audit": codecs.Audit{},
	}
	seen, taken := map[string]bool{}, map[string]int{}
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
			again := encode(t, c, v)
			if strings.Contains(path, "/older/") { // read all the same: today's layout says the same
				if same := decode(t, c, again); !reflect.DeepEqual(same, v) {
					t.Errorf("%s is taken for something else:\n%+v\nbecame\n%+v", path, v, same)
				}
				taken[filepath.Base(filepath.Dir(path))]++
				return nil
			}
			if !bytes.Equal(again, stored) {
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
	for layout, n := range map[string]int{"change-v2": 13, "window-v2": 7, "marker-v1": 6} {
		if taken[layout] != n {
			t.Errorf("of %s, %d kept values are read, not %d", layout, taken[layout], n)
		}
	}
	for layout := range layouts {
		if !seen[layout] {
			t.Errorf("no bytes of layout %s are kept", layout)
		}
	}
}

// TestOlderLayoutsSayWhatTheySaid: groups of the layouts before today's are taken over.
func TestOlderLayoutsSayWhatTheySaid(t *testing.T) {
	noon := at(t, "2026-01-08T12:00:00.123456Z")
	for path, want := range map[string]any{
		"change-v2/upsert.hex": exampleChange(t, brimline.Upsert), "change-v2/update.hex": exampleUpdate(t),
		"change-v2/delete.hex":      exampleChange(t, brimline.Delete),
		"change-v2/truncate.hex":    exampleChange(t, brimline.Truncate),
		"change-v2/edges-found.hex": exampleChange(t, brimline.EdgesFound),
		"change-v2/insert.hex":      exampleInsert(t),
		"change-v2/distrust.hex":    exampleChange(t, brimline.Distrust),
		"change-v2/ask-again.hex":   exampleChange(t, brimline.AskAgain),
		"window-v2/doubt.hex":       exampleDoubt(t),
		"window-v2/integers.hex":    exampleWindow(t),
		"window-v2/mixed.hex":       exampleMixedWindow(t),
		"window-v2/tail.hex":        exampleTail(t),
		"window-v2/asked.hex":       exampleAsked(t),
		"window-v2/empty.hex":       &brimline.Window{Floor: brimline.MinTime},
		"change-v2/refuted.hex":     exampleChange(t, brimline.Dismissal),
		"change-v2/unjudgeable.hex": exampleChange(t, brimline.Unjudgeable),
		"change-v2/retry.hex":       exampleChange(t, brimline.Retry),
		// What only commits between two releases wrote.
		"change-v2/edges-found-apart.hex": exampleFoundApart(t),
		"change-v2/forget.hex":            exampleChange(t, brimline.Forget),
		"window-v2/apart.hex":             exampleApart(t),
		// Markers as windows of version 3, and of version 2.
		"marker-v1/unplaced.hex":     &brimline.Marker{TruncatedAt: 2000},
		"marker-v1/whole.hex":        &brimline.Marker{TruncatedAt: 4712, Truncation: exampleMarker(t).Truncation},
		"marker-v1/swept.hex":        exampleMarker(t),
		"marker-v1/sweeps.hex":       &brimline.Marker{Sweeps: []brimline.Swept{{Offset: 12, Before: noon}}},
		"marker-v1/v2-truncated.hex": &brimline.Marker{TruncatedAt: 2000},
		"marker-v1/v2-swept.hex": &brimline.Marker{TruncatedAt: 2000, Sweeps: []brimline.Swept{
			{Offset: 6000, Before: noon.Add(-89 * 24 * time.Hour)}}},
	} {
		text, err := os.ReadFile("../testdata/wire/older/" + path)
		if err != nil {
			t.Fatal(err)
		}
		stored, err := hex.DecodeString(string(bytes.TrimSpace(text)))
		if err != nil {
			t.Fatal(err)
		}
		c := codec(codecs.Change{})
		switch {
		case strings.HasPrefix(path, "window"):
			c = codecs.WindowPart{}
		case strings.HasPrefix(path, "marker"):
			c = codecs.Marker{}
		}
		if got := decode(t, c, stored); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got\n%+v\nwant\n%+v", path, got, want)
		}
	}
}
