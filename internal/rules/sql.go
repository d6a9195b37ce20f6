package rules

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Many who write a condition think in SQL. What they write is refused, because a rule has one language, and each
// word or sign of SQL is answered at its place by what to write instead.

// sql looks at an expression that does not compile, and gives better faults for it where it is written in SQL.
func (c *compiler) sql(faults []fault) []fault {
	list, open := tokens(c.source)
	switch {
	case open != nil && faults[0].message == open.message:
		return faults
	case open != nil:
		return []fault{*open}
	}
	r := &sqlReader{c: c, list: list}
	r.comments()
	whole := r.expression()
	if len(r.said) == 0 {
		return faults
	}
	if r.stuck {
		if r.gaveUp != nil { // what was said of the expression before ends at the first piece of SQL
			r.said = append(r.said, *r.gaveUp)
		}
		return inOrder(r.said)
	}
	text := whole.String()
	if _, more := compileOwn(text, c.columns, c.scale); len(more) > 0 {
		for _, f := range more {
			f.at = whole.origin(f.at, len(c.source))
			r.said = append(r.said, f)
		}
		return inOrder(r.said)
	}
	said := inOrder(r.said)
	if len(said) > 1 || !strings.HasSuffix(said[0].message, " write `"+text+"`") {
		said[0].message += "; the whole expression: `" + text + "`"
	}
	return said
}

func inOrder(faults []fault) []fault {
	slices.SortStableFunc(faults, func(a, b fault) int { return cmp.Compare(a.at, b.at) })
	return faults
}

// script is text of a rule with the places that its pieces come from.
type script []piece

type piece struct {
	text string
	at   int // in the source
}

func (s script) String() string {
	var b strings.Builder
	for _, p := range s {
		b.WriteString(p.text)
	}
	return b.String()
}

// origin is the place in the source of the character at n; end is that of what lies behind everything.
func (s script) origin(n, end int) int {
	for _, p := range s {
		if length := len([]rune(p.text)); n < length {
			return p.at
		} else {
			n -= length
		}
	}
	return end
}

// join puts parts together: scripts as they are, texts at the place of what stands before them.
func join(parts ...any) script {
	var s script
	for _, part := range parts {
		switch part := part.(type) {
		case script:
			s = append(s, part...)
		case piece:
			s = append(s, part)
		case string:
			at := 0
			if len(s) > 0 {
				at = s[len(s)-1].at
			}
			s = append(s, piece{part, at})
		}
	}
	return s
}

// Bounds of what is said of one expression, which may hold a thousand comparisons within each other.
const (
	maxSaid    = 50  // pieces of SQL
	maxWritten = 400 // bytes of what to write instead of one
)

// say notes that something is SQL, and what to write.
func (r *sqlReader) say(t token, what string, write fmt.Stringer) {
	text := write.String()
	if len(text) > maxWritten {
		r.note(t.at, what)
		return
	}
	r.note(t.at, what+": write `"+text+"`")
}

func (r *sqlReader) note(at int, message string) {
	if len(r.said) < maxSaid {
		r.said = append(r.said, fault{at: at, message: message})
	}
}

// stop ends the reading: from here on nothing is understood.
func (r *sqlReader) stop(t token, message string) {
	if !r.stuck {
		r.stuck = true
		r.note(t.at, message)
	}
}

// unexpected ends the reading at a token that nothing is known about.
func (r *sqlReader) unexpected(t token) {
	switch message, known := without[strings.ToLower(t.text)]; {
	case t.kind == aWord && known && !r.c.declared(t.text):
		r.stop(t, t.text+" is SQL, and no part of rule expressions"+message)
	case r.stuck:
	case t.kind == atEnd:
		r.stuck, r.gaveUp = true, &fault{at: t.at, message: "the expression ends too early"}
	default:
		r.stuck, r.gaveUp = true, &fault{at: t.at, message: fmt.Sprintf("unexpected %q", t.text)}
	}
}

// without are words of SQL that have no counterpart, and what else is said of them.
var without = map[string]string{
	"select":            ": a rule sees one row",
	"exists":            ": a rule sees one row",
	"case":              ": write the cases as conditions with and, or",
	"escape":            ": write a pattern with matches",
	"similar":           ": write a pattern with matches",
	"symmetric":         ": write the smaller bound first",
	"collate":           "",
	"overlaps":          ": compare the times",
	"interval":          ": the clock cannot be asked, and there is no arithmetic",
	"extract":           ": compare timestamps as a whole",
	"array":             ": write a list, such as [\"a\", \"b\"]",
	"row":               ": a rule sees one row",
	"at":                ": write timestamps with their offset",
	"current_timestamp": ": the clock cannot be asked",
	"current_date":      ": the clock cannot be asked",
	"localtimestamp":    ": the clock cannot be asked",
}

// like is the condition that an operand fits a pattern of LIKE.
func like(of script, pattern string, not, folded bool) script {
	segments, anyOne := likeSegments(pattern)
	wild := len(segments) - 1
	literal := strings.Join(segments, "")
	if folded {
		literal = strings.ToLower(literal)
	}
	word := func(operator string) script {
		if not {
			operator = "not " + operator
		}
		if folded {
			of = join(piece{"lower(", of[0].at}, of, ")")
		}
		return join(of, " "+operator+" "+strconv.Quote(literal))
	}
	switch {
	case wild > 0 && literal == "" && !anyOne:
		return join(of, " != nil")
	case wild == 0 && !anyOne:
		operator := " == "
		if not {
			operator = " != "
		}
		if folded {
			of = join(piece{"lower(", of[0].at}, of, ")")
		}
		return join(of, operator+strconv.Quote(literal))
	case wild == 1 && segments[1] == "" && !anyOne:
		return word("startsWith")
	case wild == 1 && segments[0] == "" && !anyOne:
		return word("endsWith")
	case wild == 2 && segments[0] == "" && segments[2] == "" && !anyOne:
		return word("contains")
	}
	flags := "(?s)"
	if folded {
		flags = "(?is)"
	}
	operator := " matches "
	if not {
		operator = " not matches "
	}
	return join(of, operator+strconv.Quote(flags+"^"+likeExpression(pattern)+"$"))
}

// likeSegments are the texts between the % of a pattern; anyOne tells whether it has a _.
func likeSegments(pattern string) (segments []string, anyOne bool) {
	var b strings.Builder
	likeParts(pattern, func(r rune, wild bool) {
		switch {
		case !wild:
			b.WriteRune(r)
		case r == '%':
			if b.Len() > 0 || len(segments) == 0 {
				segments = append(segments, b.String())
				b.Reset()
			}
		default:
			anyOne = true
		}
	})
	return append(segments, b.String()), anyOne
}

func likeExpression(pattern string) string {
	var b strings.Builder
	likeParts(pattern, func(r rune, wild bool) {
		switch {
		case !wild:
			b.WriteString(regexp.QuoteMeta(string(r)))
		case r == '%':
			b.WriteString(".*")
		default:
			b.WriteString(".")
		}
	})
	return b.String()
}

// likeParts calls f for each character of a pattern, and says whether it stands for others.
func likeParts(pattern string, f func(r rune, wild bool)) {
	escaped := false
	for _, r := range pattern {
		if !escaped && r == '\\' {
			escaped = true
			continue
		}
		f(r, !escaped && (r == '%' || r == '_'))
		escaped = false
	}
}
