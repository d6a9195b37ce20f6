package codecs_test

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/brimline/brimline/codecs"
)

// fuzzCodec requires of any bytes that they are refused, or decode to a value
// that encodes and decodes to the same again.
func fuzzCodec(f *testing.F, c codec, golden string) {
	files, err := filepath.Glob("../testdata/wire/" + golden + "/*")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds for %s: %v", golden, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err == nil && strings.HasSuffix(file, ".hex") {
			b, err = hex.DecodeString(strings.TrimSpace(string(b)))
		}
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := c.Decode(b)
		if err != nil {
			return
		}
		again := encode(t, c, v)
		if w := decode(t, c, again); !reflect.DeepEqual(v, w) {
			t.Fatalf("first  %+v\nsecond %+v", v, w)
		}
	})
}

func FuzzChange(f *testing.F)     { fuzzCodec(f, codecs.Change{}, "change-v3") }
func FuzzWindow(f *testing.F)     { fuzzCodec(f, codecs.WindowPart{}, "window-v3") }
func FuzzMarker(f *testing.F)     { fuzzCodec(f, codecs.Marker{}, "marker-v2") }
func FuzzAgain(f *testing.F)      { fuzzCodec(f, codecs.Again{}, "again-v1") }
func FuzzCandidate(f *testing.F)  { fuzzCodec(f, codecs.Candidate{}, "candidate-v1") }
func FuzzCandidates(f *testing.F) { fuzzCodec(f, codecs.Candidates{}, "candidate-v2") }
func FuzzAlert(f *testing.F)      { fuzzCodec(f, codecs.Alert{}, "alert-v1") }
func FuzzAlertLog(f *testing.F)   { fuzzCodec(f, codecs.AlertLog{}, "alertlog-v1") }
func FuzzRuleSet(f *testing.F)    { fuzzCodec(f, codecs.RuleSet{}, "ruleset-v1") }
func FuzzDeadLetter(f *testing.F) { fuzzCodec(f, codecs.DeadLetter{}, "deadletter-v1") }
