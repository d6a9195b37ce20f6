// Package reference says which edges a set of rows has, twice: by the definition
// of docs/semantics.md word by word over rows in memory (Table), and by
// PostgreSQL's own window query over the same rows in a temporary table
// (Session). For a whole table there are TableSQL, and Sweep where a rule has a
// condition. Neither shares anything with the stages that it judges but the
// words of the domain and the compiled where expressions.
package reference
