// Package feed reads topics that brimline has written, for those who look at them: pages of records from the newest
// backwards (Reader), and records as they come, for many at once (Live). It joins no group and commits nothing, and
// sees what a read_committed consumer sees.
//
// Where a reader has come to in a topic is a Position: the topic's id and an offset per partition. Whoever has one
// goes on from it at any instance, and neither misses nor repeats a record.
package feed
