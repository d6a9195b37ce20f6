package codecs_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"pgregory.net/rapid"
)

// growing are texts of many bytes, most of which JSON makes longer.
func growing(most int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		unit := rapid.SampledFrom([]string{"x", "<", "\xff", "\x7f", "\x00", `"`, "é", "\u2028"}).Draw(t, "unit")
		return strings.Repeat(unit, rapid.IntRange(0, most/len(unit)).Draw(t, "bytes")/10*10)
	})
}

// Whatever its parts are, a dead letter fits, says what was cut, and keeps the beginning of that; what fits is not cut.
func TestFitDeadLetter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.SampledFrom([]int{codecs.LeastRecord, 900_000, 1 << 20}).Draw(t, "most")
		text := growing(most)
		d := brimline.DeadLetter{
			Topic: "t", Partition: 3, Offset: 9, Kind: "broken_json", Error: text.Draw(t, "error"),
			Remedy: text.Draw(t, "remedy"),
			User: text.Draw(
				t,
				"user",
			), Row: text.Draw(t, "row"), Key: []byte(text.Draw(t, "key")), Value: []byte(text.Draw(t, "value")),
		}
		if rapid.Bool().Draw(t, "tombstone") {
			d.Value = nil
		}
		one := brimline.Header{Key: text.Draw(t, "name"), Value: []byte(text.Draw(t, "header"))}
		for range rapid.SampledFrom([]int{0, 1, 3, 50_000}).Draw(t, "headers") {
			d.Headers = append(d.Headers, one)
			one = brimline.Header{Key: "h"}
		}
		was := d
		cut := codecs.FitDeadLetter(&d, most)
		b := encode(t, codecs.DeadLetter{}, &d)
		if len(b) > most {
			t.Fatalf("%d bytes, of at most %d", len(b), most)
		}
		c := brimline.Cut{}
		if d.Cut != nil {
			c = *d.Cut
		}
		if cut != (d.Cut != nil) || cut != (c != brimline.Cut{}) {
			t.Fatalf("cut is %v, and says %+v", cut, d.Cut)
		}
		for what, of := range map[string]struct{ have, was, cut int }{
			"key": {len(d.Key), len(was.Key), c.Key}, "value": {len(d.Value), len(was.Value), c.Value},
			"headers": {len(d.Headers), len(was.Headers), c.Headers},
		} {
			if of.have != of.was && of.cut != of.was || of.have == of.was && of.cut != 0 {
				t.Errorf("%s of %d is now %d, and is said to have been %d", what, of.was, of.have, of.cut)
			}
		}
		if !bytes.HasPrefix(was.Key, d.Key) || !bytes.HasPrefix(was.Value, d.Value) ||
			(d.Value == nil) != (was.Value == nil) {
			t.Error("what is kept is not the beginning")
		}
		if cut && len(was.Key)+len(was.Value)+len(was.Headers) == 0 {
			t.Error("cut, and there was nothing to cut")
		}
		if d.Partition != 3 || d.Offset != 9 || len(codecs.DeadLetterKey(string(was.Key))) > 1024 {
			t.Error("its place is not kept, or its key is large")
		}
	})
}

// A record that is small stays as it is.
func TestSmallDeadLettersAreWhole(t *testing.T) {
	d := brimline.DeadLetter{
		Key:     make([]byte, 10_000),
		Value:   make([]byte, 400_000),
		Headers: []brimline.Header{{Key: "h", Value: make([]byte, 10_000)}},
	}
	if codecs.FitDeadLetter(&d, 900_000) || d.Cut != nil || len(d.Value) != 400_000 || len(d.Headers) != 1 {
		t.Errorf("cut to %d bytes of value: %+v", len(d.Value), d.Cut)
	}
}

// A candidate of what rows and rules may have at most fits, and what fits is left as it is.
func TestFitCandidate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.SampledFrom([]int{codecs.LeastRecord, 450_000, 8 << 20}).Draw(t, "most")
		id, text := growing(1024), growing(16<<10)
		row := func() brimline.Transaction {
			r := brimline.Transaction{ID: id.Draw(t, "id")}
			left := text.Draw(t, "columns")
			for len(left) > 0 && len(r.Columns) < 99 {
				n := rapid.IntRange(1, len(left)).Draw(t, "column")
				r.Columns, left = append(r.Columns, brimline.Field{Name: strings.Repeat("n", 63), Value: left[:n]}), left[n:]
			}
			return r
		}
		c := brimline.Candidate{
			Kind: brimline.EdgeCandidate, User: id.Draw(t, "user"), Trigger: row(), Rule: brimline.Rule{
				ID: strings.Repeat(
					"r",
					64,
				), Where: growing(4096).Draw(t, "where"), Description: growing(4000).Draw(t, "description"),
			},
		}
		for range rapid.IntRange(0, 5).Draw(t, "newest") {
			c.Newest = append(c.Newest, row())
		}
		for range rapid.SampledFrom([]int{0, 32}).Draw(t, "later") {
			c.Later = append(c.Later, brimline.MaxTime)
		}
		whole := c
		cut, err := codecs.FitCandidate(&c, most)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(encode(t, codecs.Candidate{}, &c)); n > most {
			t.Fatalf("%d bytes, of at most %d", n, most)
		}
		if n := len(encode(t, codecs.Candidate{}, &whole)); cut != (n > most) || !cut && len(c.Newest) != len(whole.Newest) {
			t.Errorf("%d bytes, of at most %d: cut is %v", n, most, cut)
		}
	})
}

// Questions of a message that are put together fit a record, whatever their rules' texts are.
func TestTogetherFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.SampledFrom([]int{codecs.LeastRecord, 450_000}).Draw(t, "most")
		var all []brimline.Candidate
		for i := range rapid.IntRange(1, 60).Draw(t, "questions") {
			all = append(all, brimline.Candidate{
				Kind: brimline.LateCandidate, User: "u", Trigger: brimline.Transaction{ID: "1", User: "u"},
				Rule: brimline.Rule{
					ID: "r", Where: growing(4096).Draw(t, "where"), Description: growing(4000).Draw(t, "description"),
				},
				Cause: brimline.Cause{Offset: 1, Index: i},
			})
		}
		for left := all; len(left) > 0; {
			n := codecs.Together(left, most)
			if got := len(encode(t, codecs.Candidates{}, left[:n])); got > most && n > 1 {
				t.Fatalf("%d questions in %d bytes, of at most %d", n, got, most)
			}
			left = left[n:]
		}
	})
}

// A question whose row lost its columns, since its rule's texts left them no room, takes them from no other.
func TestTogetherKeepsColumns(t *testing.T) {
	row := brimline.Transaction{ID: "1", User: "u", Columns: []brimline.Field{{Name: "c", Value: "x"}}}
	all := make([]brimline.Candidate, 3)
	for i := range all {
		all[i] = brimline.Candidate{Kind: brimline.LateCandidate, User: "u", Rule: brimline.Rule{ID: "r"}, Trigger: row,
			Cause: brimline.Cause{Offset: 1, Index: i}}
	}
	all[0].Trigger.Columns = nil
	if n := codecs.Together(all, 1<<20); n != 1 {
		t.Errorf("%d questions with a row without columns", n)
	}
	if n := codecs.Together(all[1:], 1<<20); n != 2 {
		t.Errorf("%d of 2 questions with a whole row", n)
	}
	if _, err := (codecs.Candidates{}).Encode(all); err == nil {
		t.Error("a question's columns are left out in silence")
	}
}

// An alert that supersedes as many as can be named, of a user with the longest id, fits all the same.
func TestFitSuperseding(t *testing.T) {
	a := brimline.Alert{Candidate: brimline.Candidate{
		Kind: brimline.EdgeCandidate, User: strings.Repeat("\u202e", 341), Trigger: brimline.Transaction{ID: "1"},
		Rule: brimline.Rule{ID: strings.Repeat("r", 64), Description: strings.Repeat("<", 4000)},
	}, Verification: brimline.Verification{Status: brimline.Unverified}}
	for i := range 32 {
		a.Supersedes = append(a.Supersedes, brimline.Time(1<<50+i))
	}
	value, cut, err := codecs.FitAlert(&a, codecs.LeastRecord)
	if err != nil || cut || len(value) > codecs.LeastRecord {
		t.Fatalf("%d bytes, cut %v: %v", len(value), cut, err)
	}
	got, err := codecs.Alert{}.Decode(value)
	if err != nil || len(got.(*brimline.Alert).Supersedes) != 32 {
		t.Errorf("it is not read as it was: %.200v", err)
	}
}

// A list of alerts that supersede as many as can be named fits, too.
func TestFitAlertLogSuperseding(t *testing.T) {
	a := &brimline.Alert{Candidate: brimline.Candidate{
		Kind: brimline.EdgeCandidate, User: strings.Repeat("é", 512), Rule: brimline.Rule{ID: "r"},
		Trigger: brimline.Transaction{ID: "1"}, Newest: []brimline.Transaction{},
	}, Verification: brimline.Verification{Status: brimline.Unverified}}
	for i := range 32 {
		a.Supersedes = append(a.Supersedes, brimline.Time(1<<50+i))
	}
	for n := 1; n < 20; n++ {
		log, err := codecs.FitAlertLog(slices.Repeat([]*brimline.Alert{a}, n), codecs.LeastRecord)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(encode(t, codecs.AlertLog{}, log)); got > codecs.LeastRecord || len(log) == 0 {
			t.Fatalf("%d of %d alerts in %d bytes", len(log), n, got)
		}
	}
}
