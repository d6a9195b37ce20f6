// Package kafka is what brimline knows about Kafka that goka does not: every
// client setting with its reason, offsets that never run ahead of the work,
// topics created as brimline needs them, lag, and a reader that knows where a
// topic ends. The state of goka's tables is package table.
//
// Two clients speak to the brokers. sarama is under goka's consumers, whose
// interfaces are made of its types. All else is franz-go's: producers, the
// groups of route and verify, and Cluster. One table of tests runs the settings
// of TLS and SASL through both (secure_test.go).
//
// What is set, and what went wrong:
//
//	options.go   what an operator can set
//	config.go    what sarama is told, and why      scram.go   its SCRAM
//	franz.go     what franz-go is told, and why    message.go names of its types for others
//	explain.go   errors that carry a remedy
//	clock.go, clock_crash.go   the time of records, which the crash suite steps
//
// Cluster, which asks and administers:
//
//	cluster.go   first contact, patience, topic ids
//	topics.go    create, check, delete             facts.go   a topic as the brokers see it
//	extent.go    where a topic begins and ends     lag.go     offsets and members of a group
//	scan.go      a partition up to its end         tail.go    a topic, to its end or for ever
//	binding.go   offsets bound to a topic's id     settle.go  who decides, when several could
//
// Groups and producers:
//
//	ordered.go   consumer group: contiguous marks, no pause, no silent end of a partition
//	tracker.go   the offset before which all is finished
//	strategy.go  partitions only for members with the leader's rules
//	balancer.go  the same for franz-go's members
//	producer.go  goka's producer, on franz-go     onepartition.go  a view of one partition
package kafka
