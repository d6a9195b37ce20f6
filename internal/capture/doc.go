// Package capture turns the changes of one PostgreSQL table into the records
// that Debezium would send: first every row that is there (op r), then every
// change (c, u, d with its tombstone, t), for people who have no Kafka Connect.
//
// # The promise
//
// At least once, in commit order, like Debezium: PostgreSQL is told to forget a
// transaction only when the sink has acknowledged all of its records and those
// of all transactions before it. After a kill the records since then come again.
//
// # Where the progress lives
//
// In the replication slot, and nowhere else. The slot keeps the position of the
// stream, and its existence says that a snapshot is complete. A second slot,
// <slot>_snapshot, is there while one is not: it is made before the first row is
// read, and keeps every change from then on. When the sink has acknowledged every
// row it is copied to the stream's slot, position included
// (pg_copy_logical_replication_slot), which is one atomic step in the database. A
// capture killed before that finds <slot>_snapshot, takes the snapshot again, and
// then streams from where the first attempt began, so that rows deleted since come
// as deletes. There is no file to lose, and no position in Kafka, which could
// survive a database that was restored from a backup, and skip its changes in silence.
//
// # What the slot cannot say
//
// Which table had the name, how it was published, which life of the topic the
// rows went to: that is in a Memory, and compared at every start and every
// CheckInterval (watch.go, faults.go). A difference that keeps rows from the topic
// ends the capture, and makes the next start take a new snapshot beside the slot.
//
// # Differences from Debezium, all intended
//
//   - before of a delete under the default replica identity holds the key and
//     nulls. Debezium invents values for NOT NULL columns (user_id 0).
//   - TRUNCATE is reported, as op t with a null key. Debezium skips it by default.
//   - source.version is Version, which also says how values are written; and there
//     are no __debezium.context headers: no connector, task or run exists that they could name.
//   - Rows of a snapshot name no transaction. Debezium names the one that it reads in.
//   - Logical messages are not captured.
//   - Intervals, geometric types, hstore and composite types are sent in PostgreSQL's
//     own text, arrays of domains and of more dimensions in full: docs/capture.md has all types.
//   - A quiet table does not hold back WAL: the slot advances with the server
//     even when nothing of ours changes, which Debezium needs heartbeats for.
//
// # Files
//
//	capture.go   options, the life of a capture    setup.go    first checks, slots
//	catalog.go   what the catalog says             faults.go   what of it is a fault
//	watch.go     the looks while it streams        mark.go     what is remembered
//	snapshot.go  every row, once                   stream.go   every change since
//	pgoutput.go  its messages                      tracker.go  what is acknowledged
//	envelope.go  records                           errors.go   remedies
//	values.go    values of all types               types.go    what is under a type
package capture
