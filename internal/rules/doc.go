// Package rules reads rules files and compiles their where expressions.
//
// The file and the expression language are described for their writers in
// docs/rules.md. Expressions are parsed by expr-lang/expr; typing and
// evaluation are done here, because the two things that decide whether a rule
// is right, SQL's treatment of NULL and exact decimals, are not what that
// library's own machine does, and because what is not in the short list of
// node kinds below can then neither loop, allocate, ask the clock nor panic.
package rules
