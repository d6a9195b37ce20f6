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
// stream, and its existence says that the snapshot is complete: the snapshot is
// taken under a temporary slot, which PostgreSQL drops with its connection, and
// only when the sink has acknowledged every snapshot row is the temporary slot
// copied to the permanent one, position included (pg_copy_logical_replication_slot).
// That copy is one atomic step in the database. A capture killed before it finds
// no slot and takes the snapshot again; one killed after it finds the slot and
// streams. There is no file to lose, no topic to keep in step with the database,
// and an abandoned snapshot holds back no WAL. (A position in Kafka could survive
// a database that was restored from a backup, and skip its changes in silence.)
//
// # Differences from Debezium, all intended
//
//   - before of a delete under the default replica identity holds the key and
//     nulls. Debezium invents values for NOT NULL columns (user_id 0).
//   - TRUNCATE is reported, as op t with a null key. Debezium skips it by default.
//   - source.version is "brimline", and there are no __debezium.context headers:
//     no connector, task or run exists that they could name.
//   - Logical messages are not captured.
//   - Intervals, and types of extensions and users, are sent in PostgreSQL's own text.
//   - A quiet table does not hold back WAL: the slot advances with the server
//     even when nothing of ours changes, which Debezium needs heartbeats for.
package capture
