// Package verify is the stage that asks PostgreSQL about candidates and turns them into alerts, each once.
//
// # In
//
// The candidates stream, keyed by user. Its partition p holds the candidates of partition p of the changes stream, in
// the order of their causes apart from replays. The questions stream is the same for what is asked about old rows.
// Each of the two is a lane, with queues, places with PostgreSQL and a producer of its own, so that no live candidate
// waits for a question. So is a third stream: edges that were dismissed, to be asked about again after a while. Only
// this stage writes there.
//
// # Out
//
// Confirmed edges go to alerts, others to dismissed with the reason and both figures; both are keyed by alert id and
// partitioned by the user alone, so that one user's alerts stay in order. Verify tells the window stage through the
// changes stream which edges were dismissed, and which PostgreSQL found in the span of a late candidate: the window
// stage alone decides what is announced. An edge that was dismissed although the window has more than PostgreSQL goes
// to the stream of what is asked again, and what comes of that to the window stage.
//
// # State
//
// The committed offset of each partition of both streams and, in its metadata, the watermark, the cause of the last
// candidate that was taken, and the users of whom something is kept back, each with the offset of the first message:
// candidates whose questions are about too many rows for one statement, and all later ones of their users. The
// committed offset is the first of these. One Kafka transaction holds the outputs, the offset and the metadata of the
// partitions of a lane that have something at that moment, so Kafka commits all of it or nothing.
//
// A transaction is fenced twice: by the producer's transactional id, against an older life of the same instance, and
// by the consumer group's generation, against an instance that lost its partitions and does not know it yet. The
// producer is made before the consumer joins, because making it ends what an older life left open, and a claim starts
// only from an offset that no open transaction can still change.
//
// # On replay
//
// A candidate whose cause is not above the watermark has been handled: the window stage, or the broker, wrote it
// twice. It is dropped and counted. The same candidate at the same offset does not come again, unless its transaction
// was aborted, and then nothing of it was ever visible.
//
// # On bad input
//
// A candidate that can never be decided (its bytes cannot be decoded, its rule does not compile, its user's rows
// cannot be read as amounts) goes to the dead letter stream whole, in the same transaction, and the partition goes
// on. The same transaction tells the window stage, which has it decided again. PostgreSQL being away is no such case:
// the partition waits, its offset stays, and a stop or a rebalance ends the wait at once. A question about too many
// rows for one statement is put in pieces, with slots of its own, a bounded number of times, and meanwhile its
// partition goes on.
package verify
