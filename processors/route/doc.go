// Package route is the first stage: change events in, changes keyed by user out.
//
// # In
//
// The source topic as Debezium (or `brimline capture`) writes it, keyed by the row's primary key.
//
// # Out
//
// The changes stream, keyed by user: this puts key, hash and number of partitions under our control. A change that
// moves a row to another user becomes two. A TRUNCATE becomes one change in every partition. The order of changes to
// one row is kept, because they share a source partition and the producer is idempotent.
//
// # State
//
// None but the consumer group's offsets. Their metadata name the id of the topic; offsets of a deleted topic are
// ignored. The stage is not a goka processor, which would keep a context and a promise for each record: it takes
// whole fetches. A partition's records that came with one fetch are one batch, finished when the brokers have
// acknowledged all of its output. An offset is committed when every batch before it is finished, under the generation
// in which it was read.
//
//	stage.go  one life: Run        member.go  the group: what is read, and commits
//	session.go  from one rebalance to the next: batches and offsets      route.go  what becomes of a record
//
// # On replay
//
// The same changes are written again, at new offsets. The window stage recognises them, and they change nothing. A
// stop and a rebalance wait for records on their way and commit them, so that nothing comes again unless an instance
// is killed or brokers are away.
//
// # On bad input
//
// The record goes to the dead letter stream whole, with its coordinates, an error kind, a remedy and, where they can
// be read, the account and the row's id, and is counted. An update that cannot be taken also deletes the row, because
// its old contents are no longer true. This is the one place that meets bad input; it never stops a partition.
//
// Records that say nothing about rows of the watched table (tombstones after deletes, heartbeats, metadata and, if so
// configured, other tables) are passed over and counted by why.
package route
