// Package embedded holds the parts that `brimline demo`, development and fast
// tests run on in place of installed servers: a Kafka broker inside this
// process and a real PostgreSQL as a child process, both on loopback only.
//
// The broker (Broker) speaks the real protocol but is a fake by its own
// description: one node, no replication, no fsync per record. It is never meant
// for production, and says so in the log whenever it starts.
//
// PostgreSQL (Postgres) is the real server, with logical decoding switched on.
// Its programs come from the machine or, where it has none, from the archives
// that github.com/fergusstrange/embedded-postgres knows how to fetch.
//
// Both keep their state in a directory of the caller, and both expect to be
// killed: whatever a killed process leaves behind (a lock, a port record, a
// running server, a stale postmaster.pid, a half-made data directory) is met
// and dealt with by the next start.
package embedded
