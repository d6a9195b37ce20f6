// Package ledger asks PostgreSQL the questions that decide an alert: what is a
// user's total around a time, and which edges are in a span. It only reads:
// every question is a read-only transaction, bounded in time, that also says
// what it was read from (decision 15). One about more rows than a statement
// may read is put to Long, in pieces (decision 21).
//
// A login needs no more than this, and the start fails with the missing GRANT
// in its text where something is lacking:
//
//	GRANT CONNECT ON DATABASE … TO brimline;
//	GRANT USAGE ON SCHEMA streaming TO brimline;
//	GRANT SELECT (id, user_id, amount, "timestamp") ON streaming.transactions TO brimline;
//
// plus SELECT on the further columns that rules ask about, and BYPASSRLS where
// the table has row-level security. Every question is
// over one user and a span of time: an index on (user, time) answers it
// without touching other rows.
//
// The answers are PostgreSQL's. Figures of a plain rule are summed there;
// rows of a rule with a where expression are fetched and evaluated here, by the
// same function that evaluates them in the stream, because SQL and the expression
// language would differ somewhere. Sums travel as text and are read as exact
// decimals. A column's value has the text that the change stream gives it, or
// the column is refused (types.go). Rows whose amount is NULL are not there, as in the stream, where
// they are bad input.
package ledger
