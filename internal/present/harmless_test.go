package present

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestAppend(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"plain, ünïcode, 漢字, $1\n\tindented", "plain, ünïcode, 漢字, $1\n\tindented"},
		{"\x1b[31mred\x1b[0m", `\u001b[31mred\u001b[0m`},
		{"a\x00b\rc\x7f", `a\u0000b\u000dc\u007f`},
		{"\u009b31m", `\u009b31m`},
		{"\x9b31m", `\ufffd31m`},
		{"abc\u202ecba", `abc\u202ecba`},
		{"\U000E0041", `\udb40\udc41`},
		{"\ufffd", "\ufffd"},
		{"ü"[:1], `\ufffd`},
	} {
		if got := string(Append(nil, []byte(c.in))); got != c.want {
			t.Errorf("%q: %q, want %q", c.in, got, c.want)
		}
	}
}

// FuzzAppend: nothing dangerous is left, doing it again changes nothing, and JSON means what it meant.
func FuzzAppend(f *testing.F) {
	f.Add("\x1b]0;title\a")
	f.Add("\u2028\U0001F468\u200d\U0001F469")
	f.Fuzz(func(t *testing.T, s string) {
		once := string(Append(nil, []byte(s)))
		for _, r := range once {
			if r != '\n' && r != '\t' && !unicode.IsGraphic(r) {
				t.Fatalf("%q: %q is left", s, r)
			}
		}
		if again := string(Append(nil, []byte(once))); again != once {
			t.Fatalf("%q: %q the second time", once, again)
		}
		if !utf8.ValidString(s) {
			return
		}
		encoded, err := json.Marshal(map[string]string{s: s})
		if err != nil {
			t.Fatal(err)
		}
		var back map[string]string
		if err := json.Unmarshal(Append(nil, encoded), &back); err != nil || back[s] != s || len(back) != 1 {
			t.Fatalf("%q came back as %q, %v", s, back, err)
		}
	})
}

func TestWord(t *testing.T) {
	long := strings.Repeat("ü", 200)
	for in, want := range map[string]string{
		"27956157": "27956157", "Ünal": "Ünal", "a-b_c.d@e": "a-b_c.d@e", "": `""`, "two words": `"two words"`, "a\nb": `"a\nb"`,
		"\x1b[31m": `"\x1b[31m"`, "\u202egnp.exe": `"\u202egnp.exe"`, "\xff": `"\xff"`, `say "hi"`: `"say \"hi\""`,
		"zero\u200bwidth": `"zero\u200bwidth"`, `zero\u200bwidth`: `"zero\\u200bwidth"`, "Zoë 1": `"Zoë 1"`, "a,b": `"a,b"`,
		"a\u00a0b": `"a\u00a0b"`, long: strings.Repeat("ü", 128) + "… (400 bytes)",
	} {
		if got := Word(in); got != want {
			t.Errorf("%q is shown as %s, want %s", in, got, want)
		}
	}
}

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		`amount "1e5" of a, b`: `amount "1e5" of a, b`, "Zoë  1\nx": "Zoë 1 x", "a \u202eb c": `a "\u202eb" c`, "": "", `"`: `"`,
		"a\u200bb\\": `"a\u200bb\\"`,
	} {
		if got := Text(in); got != want {
			t.Errorf("%q is shown as %s, want %s", in, got, want)
		}
	}
}

// FuzzWord: what is shown can be seen, is bounded, and short texts that differ are shown differently.
func FuzzWord(f *testing.F) {
	f.Add("a\u202eb", `"a\u202eb"`)
	f.Fuzz(func(t *testing.T, a, b string) {
		x, y := Word(a), Word(b)
		for _, r := range x {
			if !unicode.IsGraphic(r) || len(x) > 4*maxWord+40 {
				t.Fatalf("%q is shown as %q", a, x)
			}
		}
		if a != b && x == y && len(a) <= maxWord && len(b) <= maxWord {
			t.Fatalf("%q and %q are both shown as %s", a, b, x)
		}
	})
}
