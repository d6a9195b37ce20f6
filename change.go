package brimline

// ChangeKind says what a Change does to a user's window.
type ChangeKind uint8

// The kinds of change. The first three come from the table's change stream, EdgesFound, Dismissal and Unjudgeable from
// the verify stage, as answers to candidates, and so do Restored, StillDismissed and Disbelieved, as answers to what it
// asked again; Sweep, AskAgain and AskAbove come from the clock, Retry from `brimline deadletter retry`, Distrust from
// `brimline distrust`, and Forget from `brimline forget`.
const (
	Upsert     ChangeKind = 1 // the row is there now, with these contents
	Delete     ChangeKind = 2 // the row is gone; Row.ID says which, Row.Time when it was
	Truncate   ChangeKind = 3 // all rows of all users in this partition are gone
	EdgesFound ChangeKind = 4 // PostgreSQL's edges in a span the window could not decide alone
	Dismissal  ChangeKind = 5 // PostgreSQL did not confirm an announced edge
	Sweep      ChangeKind = 6 // users of this partition who have nothing from Row.Time on are about to be forgotten
	// Unjudgeable: PostgreSQL could not add its rows up, and the candidate became a dead letter.
	Unjudgeable ChangeKind = 7
	// Retry: such a dead letter is to be decided after all, if nothing has done so since.
	Retry ChangeKind = 8
	// Distrust: the user's rows up to Row.Time are not those of PostgreSQL. They are forgotten, and PostgreSQL answers
	// for them.
	Distrust ChangeKind = 9
	// AskAgain: PostgreSQL is to be asked once more about the rows of a user who was distrusted, as Doubt.Next says.
	AskAgain ChangeKind = 10
	// Forget: what is kept of the user, who asked for that or is no more, is to be deleted; Row.Time is when it was said.
	Forget ChangeKind = 11
	// Restored: PostgreSQL was asked again and has the edge that it dismissed.
	Restored ChangeKind = 12
	// StillDismissed: PostgreSQL was asked again for a while and still has less than the window had. If the window has
	// it still, the edge is put once more, as Candidate.Doubted.
	StillDismissed ChangeKind = 13
	// Disbelieved: PostgreSQL dismissed that candidate, too. The user is to be distrusted. Row.Time is when that was
	// known.
	Disbelieved ChangeKind = 14
	// AskAbove: PostgreSQL is to be asked about a user who is above a limit, as Above.Next says.
	AskAbove ChangeKind = 15
)

// The first and the last kind.
const (
	FirstChange = Upsert
	LastChange  = AskAbove
)

// Change is one message of the changes stream, keyed by user.
type Change struct {
	Kind ChangeKind
	User string
	// Row is that of an Upsert or a Delete, whose time is MinTime where it is not known. Of answers it is the row that
	// made the question necessary.
	Row    Transaction
	Source Source
	Update bool // Upsert: the source says that the row was there before, with other contents
	// Inserted: the source says that this user did not have the row before. With neither, nothing is known of that: a
	// snapshot's row, or a record without operation.
	Inserted bool
	Reason   DistrustReason // Distrust and Disbelieved
	// Whole: Delete: the source says that Row, but for its Columns, is what the row was when it was deleted.
	// Truncate: the source has one partition, so that nothing has come before it that is newer.
	Whole bool

	Rule uint64 // answers and Retry: fingerprint of the rule; 0 of an answer that only says that it is complete
	// Edges are all edges of the span for EdgesFound and the one edge for Dismissal and what comes of asking again. For
	// Unjudgeable and Retry they are the edge, or the first and the last time of the span that was asked about.
	Edges []Time
	// Cause is the Cause.Offset of the candidate that is answered or retried. For EdgesFound it is that of the user's
	// newest question that is answered with this message and those before it, and Index is its Cause.Index, which is
	// below 0; Index is 0 where more of the answer follows. Apart says that these are the questions that travel apart;
	// of each user, those and the others are answered in their order, and there is none between the two. For AskAgain
	// Cause is Doubt.Offset, and Index which time it is, from 1. For AskAbove Cause is Above.Asked.
	Cause int64
	Index int
	Apart bool
}
