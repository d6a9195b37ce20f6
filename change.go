package brimline

// ChangeKind says what a Change does to a user's window.
type ChangeKind uint8

// The kinds of change. The first three come from the table's change stream,
// the next two from the verify stage, as answers to candidates, the last from the clock.
const (
	Upsert     ChangeKind = 1 // the row is there now, with these contents
	Delete     ChangeKind = 2 // the row is gone; Row.ID says which, Row.Time when it was
	Truncate   ChangeKind = 3 // all rows of all users in this partition are gone
	EdgesFound ChangeKind = 4 // PostgreSQL's edges in a span the window could not judge alone
	Refuted    ChangeKind = 5 // PostgreSQL did not confirm an announced edge
	Sweep      ChangeKind = 6 // users of this partition whose rows have all aged out are about to be forgotten
)

// Change is one message of the changes stream, keyed by user.
type Change struct {
	Kind   ChangeKind
	User   string
	Row    Transaction // Upsert, Delete; for EdgesFound the row that made the question necessary
	Source Source

	Rule  uint64 // EdgesFound, Refuted: fingerprint of the rule
	Edges []Time // EdgesFound: all edges of the span; Refuted: the one edge
	Cause int64  // Refuted: Cause.Offset of the refuted candidate
}
