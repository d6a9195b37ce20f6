// Package failpoint lets the crash suite kill the program at named points and
// take away single protections, to see that each is needed. Only programs that
// are built with the tag crash obey it; in all others its functions are empty
// and compiled away.
package failpoint

// The points at which the crash suite kills. Each is in the code under this name.
const (
	RouteEmitted     = "route-emitted"     // a source record's changes are on their way
	SegmentSet       = "segment-set"       // a segment of the window is in the changelog, the value that names it is not
	WindowSet        = "window-set"        // the window is in the local state and in the changelog; nothing is emitted
	WindowEmitted    = "window-emitted"    // and the candidates are on their way
	BeforeMark       = "before-mark"       // a message's outputs are acknowledged; its offset is not marked
	VerifySent       = "verify-sent"       // the alerts are with the brokers, their transaction is open
	VerifyOffsets    = "verify-offsets"    // and the offsets belong to it
	VerifyCommitted  = "verify-committed"  // the transaction is committed, and this process does not know it yet
	VerifyBetween    = "verify-between"    // reached only Without(Transaction): alerts committed, offsets not
	IndexSet         = "index-set"         // the list of alerts is in the local state and on its way to the changelog
	Recovering       = "recovering"        // a record of a changelog has been read into the local state
	TransactionBegun = "transaction-begun" // nothing is sent yet
)

// The protections that can be taken away.
const (
	OrderedMarks = "ordered-marks" // marks are a low watermark
	Replay       = "replay"        // a replayed change writes and emits again
	TableGuard   = "table-guard"   // consecutive acknowledged offsets
	KeepNewer    = "keep-newer"    // of two values the one that has folded more input
	KeepAlerts   = "keep-alerts"   // of two lists of alerts both
	RowVersions  = "row-versions"  // an old change to a row does not undo a newer one
	Watermark    = "watermark"     // a candidate at or below it is a replay
	Transaction  = "transaction"   // alerts and offsets are committed together
	Generation   = "generation"    // offsets are committed under the generation in which they were read
	Unanswered   = "unanswered"    // a request that may still arrive, and could do harm then, is not sent a second time
	Settled      = "settled"       // a position is read only when no transaction of this process can still change it
	ProducerID   = "producer-id"   // all lives of an instance have one transactional id
	SameRules    = "same-rules"    // instances with different rules do not work side by side
	TopicID      = "topic-id"      // local state is of the topic as it is now
	SoundState   = "sound-state"   // damaged local state is noticed and set aside
	Supervision  = "supervision"   // a stage that ended is started again
)
