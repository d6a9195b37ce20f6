// Package kafka is what brimline knows about Kafka that goka does not: every
// client setting with its reason, offsets that never run ahead of the work, a
// guard against a second writer of a table, topics created as brimline needs
// them, lag, and a reader that knows where a topic ends.
//
// It knows sarama and goka's storage interface, never goka itself: what goka
// takes (builders, storages, callbacks) is met structurally.
//
//	options.go  what an operator can set      config.go   what sarama is told, and why
//	explain.go  errors that carry a remedy    cluster.go  first contact, topic ids
//	ordered.go  consumer group: contiguous marks, no pause, no silent end of a partition
//	strategy.go partitions only for members with the leader's rules
//	guard.go    one writer per table partition      tables.go  LevelDB, bound to the topic's id
//	writebehind.go  LevelDB, never ahead of the changelog (merged.go: its iterator)     readcache.go  values before it
//	topics.go   create, check, delete               lag.go     offsets and members of a group
//	scan.go     a partition up to its end           tail.go    a topic, to its end or for ever
package kafka
