package rules

import (
	"slices"
	"strconv"
	"strings"
)

// sqlReader reads a mixture of SQL and rule expressions with SQL's precedence, notes every piece of SQL with what to
// write instead, and gives the whole as a rule. It types nothing: the result is compiled like any other.
type sqlReader struct {
	c    *compiler
	list []token
	next int
	said []fault

	stuck  bool   // nothing more is understood
	gaveUp *fault // where that is no word of SQL
}

// operand of a comparison, or a whole condition.
type sqlOperand struct {
	script
	first token  // where it begins
	text  *token // a text in quotes and nothing else
	fixed bool   // a literal of any kind
	null  *token // NULL, or the nil of rules
	atom  bool   // binds tighter than not
}

func (r *sqlReader) peek() token { return r.list[r.next] }

func (r *sqlReader) take() token {
	t := r.list[r.next]
	if t.kind != atEnd {
		r.next++
	}
	return t
}

// comments leaves SQL's own kind of comment out.
func (r *sqlReader) comments() {
	r.list = slices.DeleteFunc(r.list, func(t token) bool {
		if t.kind == aComment {
			r.say(t, "-- is SQL", script{{"// " + strings.TrimSpace(strings.TrimLeft(t.text, "-")), t.at}})
		}
		return t.kind == aComment
	})
}

// skip takes the token that must come.
func (r *sqlReader) skip(sign string) {
	if t := r.peek(); t.is(sign) {
		r.take()
	} else {
		r.unexpected(t)
	}
}

func (c *compiler) declared(name string) bool {
	if slices.Contains(builtIn[:], name) {
		return true
	}
	for _, col := range c.columns {
		if col.Name == name {
			return true
		}
	}
	return false
}

// word tells whether the next token is a word of SQL, and no column of that name.
func (r *sqlReader) word(words ...string) bool {
	t := r.peek()
	return t.kind == aWord && t.is(words...) && !r.c.declared(t.text)
}

func (r *sqlReader) expression() script {
	if t := r.peek(); r.word("where") && r.list[r.next+1].kind != atEnd {
		r.take()
		at := len(r.said)
		s := r.or().script
		r.end()
		if !r.stuck {
			message := t.text + " is the name of the field: write `" + s.String() + "`"
			r.said = slices.Insert(r.said, at, fault{at: t.at, message: message})
		}
		return s
	}
	s := r.or().script
	r.end()
	return s
}

func (r *sqlReader) end() {
	if r.stuck {
		return
	}
	if r.peek().is(";") && r.list[r.next+1].kind == atEnd {
		return
	}
	if t := r.peek(); t.kind != atEnd {
		r.unexpected(t)
	}
}

func (r *sqlReader) or() sqlOperand {
	return r.junction(r.and, "or", "||")
}

func (r *sqlReader) and() sqlOperand {
	return r.junction(r.not, "and", "&&")
}

func (r *sqlReader) junction(part func() sqlOperand, word, sign string) sqlOperand {
	left := part()
	for !r.stuck && (r.peek().is(sign) || r.word(word)) {
		t := r.take()
		written := r.lower(t)
		right := part()
		left = sqlOperand{script: join(left.script, piece{" " + written + " ", t.at}, right.script), first: left.first}
	}
	return left
}

// lower is a word as rules write it, in small letters.
func (r *sqlReader) lower(t token) string {
	if written := strings.ToLower(t.text); written != t.text {
		r.say(t, t.text+" is SQL", script{{written, t.at}})
		return written
	}
	return t.text
}

func (r *sqlReader) not() sqlOperand {
	if !r.peek().is("!") && !r.word("not") {
		return r.predicate()
	}
	t := r.take()
	written := r.lower(t)
	if written == "not" {
		written = "not "
	}
	o := r.not()
	if o.atom {
		return sqlOperand{script: join(piece{written, t.at}, o.script), first: t}
	}
	return sqlOperand{script: join(piece{written + "(", t.at}, o.script, ")"), first: t}
}

// ownWords are the words of rules that stand between two operands.
var ownWords = []string{"in", "contains", "startsWith", "endsWith", "matches"}

var comparisons = []string{"=", "==", "<>", "!=", "<", "<=", "=<", ">", ">=", "=>", "~", "~*", "!~", "!~*"}

// predicate is an operand, or a comparison of some.
func (r *sqlReader) predicate() sqlOperand {
	left := r.operand()
	for !r.stuck {
		t := r.peek()
		switch {
		case t.is(comparisons...):
			left = r.comparison(left)
		case r.word("is"):
			left = r.isPredicate(left)
		case r.word("isnull", "notnull"):
			r.take()
			left = r.nullTest(left, t, t.text, t.is("notnull"))
		case r.word("not", "in", "between", "like", "ilike", "similar", "contains", "startswith", "endswith", "matches"):
			left = r.wordPredicate(left)
		default:
			return left
		}
	}
	return left
}

// remark is something to be said of a predicate once it has been read.
type remark struct {
	t    token
	what string
}

// comparison reads a chain of them.
func (r *sqlReader) comparison(left sqlOperand) sqlOperand {
	var remarks []remark
	out := left
	for !r.stuck && r.peek().is(comparisons...) {
		sign := r.take()
		if r.word("any", "some", "all") && r.list[r.next+1].is("(") {
			return r.anyOf(out, sign)
		}
		right := r.operand()
		if strings.Contains(sign.text, "~") {
			return r.pattern(out, right, sign)
		}
		operator := comparisonOf(sign)
		if r.stuck {
			if operator != sign.text {
				r.say(sign, sign.text+" is SQL", script{{operator, sign.at}})
			}
			return out
		}
		remarks = append(remarks, compared(sign, operator, left, right)...)
		switch {
		case right.fixed && r.names(left):
			remarks = append(remarks, remark{left.first, inQuotes(left)})
			out = r.named(left)
		case left.fixed && r.names(right):
			remarks = append(remarks, remark{right.first, inQuotes(right)})
			right = r.named(right)
		}
		out.script = append(append(out.script, piece{" " + operator + " ", sign.at}), right.script...)
		left = right
	}
	for _, x := range remarks {
		r.say(x.t, x.what, out.script)
	}
	return sqlOperand{script: out.script, first: out.first}
}

// comparisonOf is a sign as rules write it.
func comparisonOf(sign token) string {
	switch sign.text {
	case "=":
		return "=="
	case "<>":
		return "!="
	case "=<":
		return "<="
	case "=>":
		return ">="
	}
	return sign.text
}

// compared says what is SQL in a comparison: its sign, and NULL.
func compared(sign token, operator string, left, right sqlOperand) []remark {
	null := right.null
	if null == nil {
		null = left.null
	}
	switch {
	case operator == sign.text && (null == nil || null.text == "nil"):
		return nil
	case null == nil || null.text == "nil":
		return []remark{{sign, sign.text + " is SQL"}}
	case operator == sign.text:
		return []remark{{*null, null.text + " is SQL"}}
	}
	return []remark{{sign, sign.text + " " + null.text + " is never true in SQL"}}
}

func inQuotes(o sqlOperand) string { return o.text.text + " in quotes is text here, not a name" }

// names tells whether a text is SQL's way to write the name of a column.
func (r *sqlReader) names(o sqlOperand) bool {
	return o.text != nil && strings.HasPrefix(o.text.text, `"`) && r.c.declared(o.text.value())
}

func (r *sqlReader) named(o sqlOperand) sqlOperand {
	return sqlOperand{script: script{{o.text.value(), o.first.at}}, first: o.first, atom: true}
}

// column is left as the subject of a predicate that asks about a column.
func (r *sqlReader) column(left sqlOperand) (sqlOperand, bool) {
	if r.names(left) {
		return r.named(left), true
	}
	return left, false
}

// predicateSaid notes a predicate as SQL, and where its column is in quotes that as well.
func (r *sqlReader) predicateSaid(left sqlOperand, wasText bool, t token, what string, out script) sqlOperand {
	if wasText {
		r.say(left.first, left.first.text+" in quotes is text here, not a name", out)
	}
	if what != "" {
		r.say(t, what+" is SQL", out)
	}
	return sqlOperand{script: out, first: left.first}
}

func (r *sqlReader) nullTest(left sqlOperand, t token, what string, not bool) sqlOperand {
	left, wasText := r.column(left)
	operator := " == nil"
	if not {
		operator = " != nil"
	}
	return r.predicateSaid(left, wasText, t, what, join(left.script, operator))
}

// isPredicate reads what begins with IS.
func (r *sqlReader) isPredicate(left sqlOperand) sqlOperand {
	t := r.take()
	what, not := t.text, false
	if r.word("not") {
		not = true
		what += " " + r.take().text
	}
	switch word := r.take(); {
	case word.is("null", "unknown"):
		return r.nullTest(left, t, what+" "+word.text, not)
	case word.is("true", "false"):
		left, wasText := r.column(left)
		positive := word.is("true")
		out := join(piece{"(", left.first.at}, left.script, " ?? "+strconv.FormatBool(!positive)+")")
		if positive == not {
			out = join(piece{"not ", left.first.at}, out)
		}
		return r.predicateSaid(left, wasText, t, what+" "+word.text, out)
	case word.is("distinct") && r.word("from"):
		what += " " + word.text + " " + r.take().text
		right := r.operand()
		switch {
		case r.stuck:
		case right.null != nil:
			return r.nullTest(left, t, what, !not)
		case !right.fixed || len(left.script) != 1: // it would stand there twice
			r.stop(t, what+" is SQL: compare with ==, and ask for NULL with == nil")
		default:
			left, wasText := r.column(left)
			nilSign, joint, sign := " == nil", " or ", " != "
			if not {
				nilSign, joint, sign = " != nil", " and ", " == "
			}
			out := join(piece{"(", left.first.at}, left.script, nilSign+joint, left.script, sign, right.script, ")")
			return r.predicateSaid(left, wasText, t, what, out)
		}
	default:
		r.stop(t, what+" asks for NULL, TRUE and FALSE: compare with == or !=")
	}
	return left
}

// wordPredicate reads [not] in, between, like and rules' own words.
func (r *sqlReader) wordPredicate(left sqlOperand) sqlOperand {
	t := r.take()
	what, word, negated := t.text, t, ""
	not := t.is("not")
	if not {
		word, negated = r.take(), "not "
		what += " " + word.text
	}
	// Words of rules are SQL only in capitals.
	isSQL := not && t.text != "not" || !slices.Contains(ownWords, word.text)
	switch {
	case word.is("in"):
		return r.in(left, t, what, negated, isSQL)
	case word.is("between"):
		if r.word("symmetric") {
			r.unexpected(r.peek())
			return left
		}
		low := r.operand()
		if !r.stuck && !r.word("and") {
			r.unexpected(r.peek())
		}
		r.take()
		high := r.operand()
		if r.stuck {
			return left
		}
		left, wasText := r.column(left)
		out := join(low.script, " <= ", left.script, " <= ", high.script)
		if not {
			out = join(piece{"not (", left.first.at}, out, ")")
		}
		return r.predicateSaid(left, wasText, t, what, out)
	case word.is("like", "ilike"):
		right := r.operand()
		switch {
		case r.stuck:
			return left
		case r.word("escape"):
			r.unexpected(r.peek())
			return left
		case right.text == nil:
			r.stop(t, what+" is SQL: write a text with startsWith, endsWith or contains, or a pattern with matches")
			return left
		case not && strings.Trim(right.text.inner(), "%") == "" && right.text.inner() != "":
			r.stop(t, what+" "+right.text.text+" is SQL, and true of no row")
			return left
		}
		left, wasText := r.column(left)
		return r.predicateSaid(left, wasText, t, what, like(left.script, right.text.inner(), not, word.is("ilike")))
	case slices.Contains(ownWords, word.text):
		right := r.operand()
		if r.stuck {
			return left
		}
		wasText := false
		if right.fixed {
			left, wasText = r.column(left)
		}
		if !isSQL {
			what = ""
		}
		out := join(left.script, piece{" " + negated + word.text + " ", t.at}, right.script)
		return r.predicateSaid(left, wasText, t, what, out)
	}
	r.unexpected(word)
	return left
}

// in reads the list, in brackets or in SQL's parentheses.
func (r *sqlReader) in(left sqlOperand, t token, what, negated string, isSQL bool) sqlOperand {
	if r.peek().is("[") {
		list := r.operand()
		if r.stuck {
			return left
		}
		left, wasText := r.column(left)
		if !isSQL {
			what = ""
		}
		out := join(left.script, piece{" " + negated + "in ", t.at}, list.script)
		return r.predicateSaid(left, wasText, t, what, out)
	}
	if !r.peek().is("(") {
		if isSQL {
			r.stop(t, what+" is SQL: write a list to its right, such as `"+strings.ToLower(what)+" [\"a\", \"b\"]`")
		}
		r.unexpected(r.peek())
		return left
	}
	open := r.take()
	if r.word("select") {
		t = r.peek()
		r.stop(t, t.text+" is SQL, and a rule sees one row: list the values, such as `"+negated+"in [\"a\", \"b\"]`")
		return left
	}
	list := r.items(open, ")")
	if r.stuck {
		return left
	}
	left, wasText := r.column(left)
	out := join(left.script, piece{" " + negated + "in ", t.at}, list)
	return r.predicateSaid(left, wasText, t, what+" (…)", out)
}

// items reads a list up to its end, and gives it in brackets.
func (r *sqlReader) items(open token, end string) script {
	out := script{{"[", open.at}}
	for n := 0; !r.stuck && !r.peek().is(end); n++ {
		if n > 0 {
			r.skip(",")
			out = append(out, piece{", ", open.at})
		}
		o := r.operand()
		if o.null != nil {
			r.stop(*o.null, o.null.text+" in a list is equal to nothing: ask for it with == nil")
		}
		out = append(out, o.script...)
	}
	r.skip(end)
	return join(out, "]")
}

// anyOf reads = ANY (ARRAY[…]) and <> ALL (ARRAY[…]).
func (r *sqlReader) anyOf(left sqlOperand, sign token) sqlOperand {
	word := r.take()
	r.skip("(")
	what := sign.text + " " + word.text
	equal := sign.is("=", "==") && word.is("any", "some")
	if !equal && !(sign.is("<>", "!=") && word.is("all")) || !r.word("array") || !r.list[r.next+1].is("[") {
		r.stop(sign, what+" is SQL: write a list to the right of in, such as `in [\"a\", \"b\"]`")
		return left
	}
	r.take()
	list := r.items(r.take(), "]")
	r.skip(")")
	if r.stuck {
		return left
	}
	negated := ""
	if !equal {
		negated = "not "
	}
	left, wasText := r.column(left)
	return r.predicateSaid(left, wasText, sign, what, join(left.script, " "+negated+"in ", list))
}

// pattern is a comparison with a regular expression.
func (r *sqlReader) pattern(left, right sqlOperand, sign token) sqlOperand {
	if right.text == nil || r.stuck {
		r.stop(sign, sign.text+" is SQL: write a pattern, in quotes, to the right of matches")
		return left
	}
	expression, operator := right.text.value(), " matches "
	if strings.HasSuffix(sign.text, "*") {
		expression = "(?i)" + expression
	}
	if strings.HasPrefix(sign.text, "!") {
		operator = " not matches "
	}
	left, wasText := r.column(left)
	out := join(left.script, operator, piece{strconv.Quote(expression), right.first.at})
	return r.predicateSaid(left, wasText, sign, sign.text, out)
}

// operand reads what can be compared.
func (r *sqlReader) operand() sqlOperand {
	left := r.unary()
	for !r.stuck {
		t := r.peek()
		switch {
		case t.is("??", "+", "*", "/", "%", "^", "-", "..", "|"):
			r.take()
			right := r.unary()
			left = sqlOperand{script: join(left.script, piece{" " + t.text + " ", t.at}, right.script), first: left.first}
		case t.is("::"):
			r.take()
			left = r.cast(left, t, r.typeName("::"))
		default:
			return left
		}
	}
	return left
}

// cast leaves a conversion out.
func (r *sqlReader) cast(o sqlOperand, t token, what string) sqlOperand {
	if !r.stuck {
		r.say(t, what+" is SQL", o.script)
	}
	return o
}

// typeName reads the name of a type behind what has been read of a conversion.
func (r *sqlReader) typeName(what string) string {
	if t := r.peek(); t.kind != aWord {
		r.unexpected(t)
		return what
	}
	what += r.take().text
	for !r.stuck && r.word("with", "without", "time", "zone", "precision", "varying") {
		what += " " + r.take().text
	}
	if r.peek().is("(") {
		r.take()
		for !r.stuck && !r.peek().is(")") {
			if t := r.take(); t.kind != aNumber && !t.is(",") {
				r.unexpected(t)
			}
		}
		r.skip(")")
	}
	return what
}

func (r *sqlReader) unary() sqlOperand {
	if t := r.peek(); t.is("-", "+") {
		r.take()
		o := r.unary()
		return sqlOperand{script: join(piece{t.text, t.at}, o.script), first: t, fixed: o.fixed}
	}
	return r.primary()
}

func (r *sqlReader) primary() sqlOperand {
	t := r.peek()
	switch {
	case r.stuck:
		return sqlOperand{first: t}
	case t.kind == aNumber:
		r.take()
		return sqlOperand{script: script{{t.text, t.at}}, first: t, fixed: true, atom: true}
	case t.kind == aText:
		r.take()
		return r.textLiteral(t)
	case t.is("("):
		r.take()
		o := r.or()
		r.skip(")")
		return sqlOperand{script: join(piece{"(", t.at}, o.script, ")"), first: t, atom: true}
	case t.is("["):
		r.take()
		return sqlOperand{script: r.items(t, "]"), first: t}
	case t.kind == aWord:
		return r.name()
	}
	r.unexpected(t)
	return sqlOperand{first: t}
}

func (r *sqlReader) textLiteral(t token) sqlOperand {
	quotes := script{{strconv.Quote(t.value()), t.at}}
	if strings.HasPrefix(t.text, `"`) && t.value() != t.inner() {
		quotes = script{{t.text, t.at}} // escapes of rules stay
	}
	if first := []rune(t.text)[0]; typographic[first] != "" {
		runes := []rune(t.text)
		quotes = script{{strconv.Quote(string(runes[1 : len(runes)-1])), t.at}}
		r.say(t, string(first)+" is no quotation mark here", quotes)
	}
	return sqlOperand{script: quotes, first: t, text: &t, fixed: true, atom: true}
}

// name reads what begins with a word: a literal, a column, a call.
func (r *sqlReader) name() sqlOperand {
	t := r.take()
	next := r.peek()
	plain := sqlOperand{script: script{{t.text, t.at}}, first: t, atom: true}
	switch _, unknown := without[strings.ToLower(t.text)]; {
	case next.is("(") && t.is("cast") && !r.c.declared(t.text):
		r.take()
		o := r.operand()
		if !r.word("as") {
			r.unexpected(r.peek())
			return o
		}
		r.take()
		what := r.typeName("cast to ")
		r.skip(")")
		return r.cast(o, t, what)
	case next.is("("):
		return r.call(t)
	case next.kind == aText && t.is("date", "time", "timestamp", "timestamptz"):
		o := r.primary()
		if !r.stuck {
			r.say(t, t.text+" before a text is SQL", o.script)
		}
		return o
	case next.is(".") && r.list[r.next+1].kind == aWord && r.c.declared(r.list[r.next+1].text):
		r.take()
		column := r.take()
		o := sqlOperand{script: script{{column.text, column.at}}, first: column, atom: true}
		r.say(t, t.text+". is SQL", o.script)
		return o
	case r.c.declared(t.text), t.text == "true", t.text == "false":
		plain.fixed = t.text == "true" || t.text == "false"
		return plain
	case t.is("null", "nil"):
		plain.script, plain.null = script{{"nil", t.at}}, &t
		return plain
	case t.is("true", "false"):
		plain.script, plain.fixed = script{{r.lower(t), t.at}}, true
		return plain
	case unknown:
		r.unexpected(t)
		return plain
	}
	return plain
}

// call reads a function with its arguments.
func (r *sqlReader) call(t token) sqlOperand {
	if _, unknown := without[strings.ToLower(t.text)]; unknown {
		r.unexpected(t)
		return sqlOperand{first: t}
	}
	open := r.take()
	var args []script
	for !r.stuck && !r.peek().is(")") {
		if len(args) > 0 {
			r.skip(",")
		}
		args = append(args, r.or().script)
	}
	r.skip(")")
	if r.stuck {
		return sqlOperand{first: t}
	}
	name := strings.ToLower(t.text)
	switch name {
	case "coalesce", "ifnull", "nvl":
		out := script{{"(", t.at}}
		for i, arg := range args {
			if i > 0 {
				out = join(out, " ?? ")
			}
			out = join(out, arg)
		}
		out = join(out, ")")
		r.say(t, t.text+" is SQL", out)
		return sqlOperand{script: out, first: t, atom: true}
	case "length", "char_length", "character_length":
		name = "len"
	case "btrim":
		name = "trim"
	}
	if !slices.Contains(functions[:], name) {
		name = t.text
	}
	if name != t.text {
		r.say(t, t.text+" is SQL", script{{name, t.at}})
	}
	out := join(piece{name, t.at}, piece{"(", open.at})
	for i, arg := range args {
		if i > 0 {
			out = join(out, ", ")
		}
		out = join(out, arg)
	}
	return sqlOperand{script: join(out, ")"), first: t, atom: true}
}
