package codecs_test

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/brimline/brimline"
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

func FuzzChange(f *testing.F)     { fuzzCodec(f, codecs.Change{}, "change-v2") }
func FuzzWindow(f *testing.F)     { fuzzCodec(f, codecs.Window{}, "window-v2") }
func FuzzCandidate(f *testing.F)  { fuzzCodec(f, codecs.Candidate{}, "candidate-v1") }
func FuzzAlert(f *testing.F)      { fuzzCodec(f, codecs.Alert{}, "alert-v1") }
func FuzzAlertLog(f *testing.F)   { fuzzCodec(f, codecs.AlertLog{}, "alertlog-v1") }
func FuzzRuleSet(f *testing.F)    { fuzzCodec(f, codecs.RuleSet{}, "ruleset-v1") }
func FuzzDeadLetter(f *testing.F) { fuzzCodec(f, codecs.DeadLetter{}, "deadletter-v1") }

// FuzzDebezium requires changes or a complete error of any record, and changes that can be keyed and written.
func FuzzDebezium(f *testing.F) {
	for _, file := range []string{"string-full", "precise", "schemas", "unwrap", "unwrap-rewrite-full", "transactions", "connect-time", "double", "nan-string"} {
		for i, r := range capture(f, file) {
			if key, value := r.bytes(); i%5 == 0 {
				f.Add(key, value)
			}
		}
	}
	opt := options()
	opt.AllowFloatAmounts = true
	opt.Columns = []brimline.Column{{Name: "description", Type: brimline.Text}}
	plain, further := decoder(f, options()), decoder(f, opt)
	f.Fuzz(func(t *testing.T, key, value []byte) {
		for _, d := range []*codecs.Debezium{plain, further} {
			changes, err := d.Decode(key, value)
			describe(t, changes, err)
			for i := range changes {
				c := &changes[i]
				if c.Kind != brimline.Truncate && (c.User == "" || c.Row.Amount.Abs() < 0) {
					t.Fatalf("%+v", c)
				}
				if got := decode(t, codecs.Change{}, encode(t, codecs.Change{}, c)); !reflect.DeepEqual(got, c) {
					t.Fatalf("on the wire: %+v, decoded from the event: %+v", got, c)
				}
			}
		}
	})
}
