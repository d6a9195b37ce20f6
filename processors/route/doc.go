// Package route is the first stage: change events in, changes keyed by user out.
//
// # In
//
// The source topic as Debezium (or `brimline capture`) writes it, keyed by the
// row's primary key.
//
// # Out
//
// The changes stream, keyed by user: this puts key, hash and number of
// partitions under our control. A change that moves a row to another user
// becomes two. A TRUNCATE becomes one marker in every partition. The order of
// changes to one row is kept, because they share a source partition and the
// producer is idempotent.
//
// # State
//
// None. The consumer group's offsets are all there is; their metadata name the id of the topic, and those of a topic
// that is no more count for nothing.
//
// # On replay
//
// The same changes are written again, at new offsets. The window stage takes
// them as redelivered: they change nothing.
//
// # On bad input
//
// The record goes to the dead letter stream whole, with its coordinates, an
// error kind, a remedy and, where they can be read, the account and the row's id,
// and is counted. What is certain all the same is written beside it: an update that
// cannot be taken deletes the row, which is no longer what it was. This is the one
// place that meets bad input; it never stops a partition.
//
// Records that say nothing about rows of the watched table (tombstones after
// deletes, heartbeats, metadata and, if so configured, other tables) are passed
// over and counted by why.
package route
