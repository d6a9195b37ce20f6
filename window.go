package brimline

import "time"

// Window is one user's state in the group table.
//
// The state of a user with more than a few rows is a log: segments under keys
// of their own (see Segments), and after them this value, whose rows, edges and versions are then only
// what has changed since the newest segment. codecs.AssembleWindow puts it together.
type Window struct {
	// Last is the offset after the last folded change, and 0 before the first:
	// a change at an offset below it is a replay.
	Last int64
	// Floor is the highest time of a row that is no longer (or never was)
	// retained, MinTime while there is none: every row above it is in Rows.
	Floor Time
	Scale int   // decimals of the amounts
	Rows  []Row // by Compare; their user is the key
	Rules []RuleState
	// Changed are the rows of this user that were changed, moved away or deleted, by ID: a change that is older in its
	// source, whoever writes it once more or late, must not bring back what a row was. The others have their Stamp.
	Changed []RowVersion

	// Asked is the cause of the user's newest question to PostgreSQL that has no answer yet, and the zero Cause
	// when all have theirs. Until then no announced edge is forgotten, nor is the user.
	Asked Cause
	// Apart is the same for the questions that travel apart.
	Apart Cause
	// Stirred is the newest change to rows that came while a question was open, or that reached an announced edge.
	Stirred Stir
	// Reach is the lowest time of the rows whose row versions were forgotten while a question was open, 0 for none. A
	// replay of one of their changes asks a question that reaches down to it.
	Reach Time

	// Doubt is the newest distrust of this user; zero where there was none, or where its rows would have aged out.
	Doubt Doubt
	// Newest is the newest change to the user's rows, as PostgreSQL has them in order; zero where none says so.
	Newest Seen
	// Above notes the question that verify will put to PostgreSQL, or has put lately, because the user was above a limit.
	Above Above

	Older Segments
	// Gone are the ids of deleted rows in older segments. Rows that aged out are not among them: Floor tells.
	Gone []string
}

// Segments are those that hold the older part of a user's log: the numbers
// from First to Next, without Next. Their values are Windows too, whose Last
// says when they were sealed; none is ever changed.
type Segments struct {
	First, Next uint64
	// Check is the exclusive or of the checksums of their bytes.
	Check uint32
}

// Len is how many there are.
func (s Segments) Len() int { return int(s.Next - s.First) }

// Stir is a place in the changes stream and in PostgreSQL's log.
type Stir struct {
	Last int64 // the offset after the change; 0 for none
	LSN  uint64
	TxID int64
}

// Seen is a change as PostgreSQL is asked whether it shows it.
type Seen struct {
	LSN   uint64
	Ticks int64 // of the commit time, as those of a Stamp; 0 where it is not known
	TxID  int64
}

// After says whether it was committed after another one, as far as can be told: by the commit times, and where those
// are as good as the same, by the places in the log.
func (s Seen) After(o Seen) bool {
	if s.Ticks != 0 && o.Ticks != 0 && s.Ticks != o.Ticks {
		return s.Ticks > o.Ticks
	}
	return s.LSN > o.LSN
}

// Replaces says whether it is to be taken for newer than one that came before it. A clock that steps back and a log
// that begins lower, after a failover, are followed.
func (s Seen) Replaces(o Seen) bool {
	return s.LSN > o.LSN || s.After(o) || s.Ticks == 0 && s.TxID > o.TxID
}

// Source is a source of that.
func (s Seen) Source() Source {
	c := Source{LSN: s.LSN, TxID: s.TxID}
	if s.Ticks != 0 {
		c.Commit = MakeStamp(s.LSN, s.Ticks, 0).Commit()
	}
	return c
}

// SeenOf is a change as it is seen.
func SeenOf(c *Source) Seen { return Seen{LSN: c.LSN, Ticks: StampOf(c).Ticks(), TxID: c.TxID} }

// Doubt notes that a user was distrusted: rows were forgotten, and PostgreSQL answers for them.
type Doubt struct {
	Offset int64 // the offset after the Distrust; 0 for none
	Reason DistrustReason
	At     Time // when that was said, by the clock of the message
	// From and Floor are the first and the last time at which a forgotten row may have been.
	From, Floor Time
	Asked       int // how many of the later questions were put
}

// DistrustReason says why a user was distrusted. It is short, for it is kept with the user.
type DistrustReason string

// The reasons.
const (
	ByCommand    DistrustReason = "command" // of `brimline distrust`
	ByDismissals DistrustReason = "refuted" // PostgreSQL has dismissed an edge of the user, and again for a while
)

// asksAfter is after how long PostgreSQL is asked about a distrusted user's rows once more. What it did not show yet at
// once, because a commit waits for a standby or a replica is behind, it shows then.
var asksAfter = [...]time.Duration{time.Minute, 10 * time.Minute, time.Hour}

// Next is when PostgreSQL is to be asked about the forgotten rows the next time; false where it was asked often enough,
// or there is no doubt.
func (d *Doubt) Next() (at Time, ok bool) {
	if d.Offset == 0 || d.Asked >= len(asksAfter) {
		return 0, false
	}
	return d.At.Add(asksAfter[max(0, d.Asked)]), true
}

// Above is about a user whose total is above a limit. Rows that PostgreSQL does not have may be what lifts it, and they
// hide edges then: nothing else of the window shows that. So PostgreSQL is asked, now and then, for the edges among
// what has changed.
type Above struct {
	Last int64 // the offset after the newest change that may be hidden so, and was not asked about; 0 for none
	From Time  // the first window end among those changes'
	// Asked is the offset after the message that put the newest question, and 0 for none or where that was long ago.
	Asked int64
	At    Time // when that was, by the clock of the message
	Since Time // the first window end that it is about
}

// AsksAbove is how often PostgreSQL is asked at most about a user who stays above a limit.
const AsksAbove = 10 * time.Minute

// Next is when PostgreSQL is to be asked, MinTime for at once; false where there is nothing to ask.
func (a *Above) Next() (at Time, ok bool) {
	switch {
	case a.Last == 0:
		return 0, false
	case a.Asked == 0:
		return MinTime, true
	}
	return a.At.Add(AsksAbove), true
}

// RuleState has the edges that one rule has announced to one user.
type RuleState struct {
	Rule  uint64 // Rule.Fingerprint
	Edges []Edge // by Time
	// Quiet is the time up to which edges lie before the rule was there, and
	// before the history it started from, or before the user was forgotten; 0 for a rule that was there from the
	// beginning.
	Quiet Time
	// Forgotten are the times of edges in older segments that are no more, ascending.
	Forgotten []Time
	// Unjudged are the spans whose questions became dead letters, ascending and apart from each other.
	Unjudged []Span
}

// Span is a stretch of window ends whose edges PostgreSQL could not tell.
type Span struct {
	From, Until Time
	// Asked is the offset after the message that asked about the span again, until the answer comes; else 0.
	Asked int64
	// Again says that the answer will not be enough: rows that the span reaches have changed since the question, or
	// the span has grown.
	Again bool
	// Apart says that the question travels apart.
	Apart bool
}

// Edge is one announced edge.
type Edge struct {
	Time   Time
	Cause  Cause
	Status EdgeStatus
}

// Cause says which input message brought a candidate about, and which of its
// candidates it was. It is the order in which candidates of a partition are
// announced, apart from replays.
type Cause struct {
	Offset int64
	Index  int
}

// Compare orders causes as they happened.
func (c Cause) Compare(o Cause) int {
	switch {
	case c.Offset < o.Offset || c.Offset == o.Offset && c.Index < o.Index:
		return -1
	case c == o:
		return 0
	}
	return 1
}

// EdgeStatus is the state of an announced edge.
type EdgeStatus uint8

// The states of an announced edge.
const (
	Announced     EdgeStatus = iota // PostgreSQL has not dismissed it
	Disturbed                       // announced, and rows of its window were removed or lowered since
	EdgeDismissed                   // PostgreSQL dismissed it; rows of its window may bring it back
	Unjudged                        // its candidate became a dead letter; a change to rows of its window has it decided
	Touched                         // announced, and rows came into its window since
)
