// Package window is the stage that keeps every user's sliding window and finds the edges.
//
// # In
//
// The changes stream, keyed by user: changes to rows from route, answers from verify, at once and when it has asked
// again, who is distrusted or to be forgotten, and when to ask again about them; keyed by a partition's marker:
// truncations, and the clock's announcement that users who have aged out are about to be forgotten.
//
// # Out
//
// Candidates: edges to be confirmed by PostgreSQL, and spans that reach below the retained history, whose edges
// PostgreSQL is asked for. What is asked about rows older than the user's newest by more than the lateness goes to
// the questions stream, all else to the candidates stream. Where a TRUNCATE takes some of a user's rows, a message to
// the user goes to the changes stream: see mixed.go.
//
// # State
//
// One brimline.Window per user: the rows of the retained history and the edges announced so far. This stage alone
// decides what is announced. Users with many rows have segments beside their value, see State. One brimline.Marker
// per partition: its newest TRUNCATE, and who was forgotten.
//
// # On replay
//
// The same message again, at its old offset (Window.Last is beyond it): the value is written again and the candidates
// that it caused are emitted again, because after a crash either may not have reached Kafka. The same change at a new
// offset finds its row as it is and does nothing: its first message was handled before it. An older change, by the
// order of the source, does nothing either. Segments are not written again: they were in the table before the value
// that names them.
//
// # On bad input
//
// Route has taken it out already. A message that still cannot be decoded goes to the dead letter stream.
package window
