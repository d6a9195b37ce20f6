// Package codecs holds every byte layout that brimline writes.
//
// [Change], [Window] and [Marker] are compact binary, because the stages write them once per row. Records that people
// and other programs read ([Alert], [Candidate], [DeadLetter], [AlertLog], [RuleSet], [Settings], [Proof]) are JSON.
// Both kinds carry a version: the first byte, or the member "version". A decoder reads every version ever released;
// testdata/wire keeps bytes of each. Package debezium reads the change events of connectors.
//
// The codecs have the shape of goka's Codec without importing it. They hold no state, may be used concurrently, and
// never panic on input.
//
// # Files
//
//   - change.go: changes of rows, and answers, from route and verify to window.
//   - window.go: the values of the window table, part by part; window_rows.go, window_stamps.go, window_rules.go,
//     window_versions.go, window_log.go and window_asked.go: how each part lies.
//   - segments.go: a user's state put together from such values.
//   - marker.go: what the window table keeps about all users of a partition.
//   - candidate.go, again.go: candidates and questions from window to verify, and questions that verify asks again.
//   - alert.go, alertlog.go, deadletter.go: alerts, the newest of a user, records that could not be taken.
//   - rules.go, settings.go, report.go: the rules of a group, what its rows mean, and its newest proof.
//   - fit.go: bounds in bytes on records that may be large.
//   - wire.go, record.go: what binary layouts share, and what JSON records share.
//   - raw.go: bytes as they are.
//
// settings.go alone imports package debezium: its record says in which units and types the decoder reads rows, in the
// decoder's words. Package debezium knows nothing of this one.
package codecs
