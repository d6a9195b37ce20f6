package present

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Append appends b with every character that has no shape of its own (control
// characters, terminal escapes in one byte or two, marks that turn the
// direction of writing, soft hyphens, unassigned ones) written as \u001b is in
// JSON; a byte that is not UTF-8 becomes \ufffd. Line ends and tabs stay. JSON
// stays the same JSON, because such characters stand in its strings alone.
func Append(to, b []byte) []byte {
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch {
		case r == '\n' || r == '\t' || unicode.IsGraphic(r) && (r != utf8.RuneError || n > 1):
			to = append(to, b[:n]...)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			to = fmt.Appendf(to, `\u%04x\u%04x`, high, low)
		default:
			to = fmt.Appendf(to, `\u%04x`, r)
		}
		b = b[n:]
	}
	return to
}

// Cell is a text as a cell of a table: harmless to look at, and not taken for a formula, which some programs make of
// what begins like one.
func Cell(s string) string {
	s = string(Append(nil, []byte(s)))
	if strings.IndexAny(s, "=+-@\t\r\n") == 0 {
		return "'" + s
	}
	return s
}

// maxWord is how much of a word is shown, in bytes: enough for every id that is one.
const maxWord = 256

// Word writes an id, a name or another text that others chose where it stands among words of ours. A plain word stays
// as it is. All else is in quotes, with what cannot be seen escaped, so two ids that differ never look the same. Of a
// text above 256 bytes it shows the beginning and the length.
func Word(s string) string {
	if s == "" {
		return `""`
	}
	if len(s) > maxWord {
		return fmt.Sprintf("%s… (%d bytes)", Word(strings.ToValidUTF8(s[:maxWord], "")), len(s))
	}
	for _, r := range s {
		if r == unicode.ReplacementChar || strings.ContainsRune(`",\`, r) || !unicode.IsGraphic(r) || unicode.IsSpace(r) {
			return strconv.Quote(s)
		}
	}
	return s
}

// Text writes a sentence that may quote what others wrote, on one line: words in which something cannot be seen are
// written as Word does.
func Text(s string) string {
	words := strings.Fields(s)
	for i, word := range words {
		if strings.HasPrefix(Word(strings.NewReplacer(`"`, "", `\`, "", ",", "").Replace(word)+"."), `"`) {
			words[i] = Word(word)
		}
	}
	return strings.Join(words, " ")
}
