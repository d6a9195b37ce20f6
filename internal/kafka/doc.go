// Package kafka is what brimline knows about Kafka that goka does not: every
// client setting with its reason, offsets that never run ahead of the work,
// topics created as brimline needs them, lag, and a reader that knows where a
// topic ends. The state of goka's tables is package table.
//
//	options.go  what an operator can set      config.go   what sarama is told, and why
//	explain.go  errors that carry a remedy    cluster.go  first contact, topic ids
//	ordered.go  consumer group: contiguous marks, no pause, no silent end of a partition
//	strategy.go partitions only for members with the leader's rules
//	topics.go   create, check, delete               lag.go     offsets and members of a group
//	scan.go     a partition up to its end           tail.go    a topic, to its end or for ever
package kafka
