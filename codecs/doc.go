// Package codecs holds every byte layout that brimline reads or writes.
//
// Change events come in through [Debezium]. Between the stages, [Change] and
// [Window] are compact binary, because they are written once per row; what
// people and other programs read ([Alert], [Candidate], [DeadLetter],
// [AlertLog], [RuleSet]) is JSON. Both kinds carry a version: the first byte,
// or the member "version". A decoder reads every version ever released;
// testdata/wire keeps bytes of each.
//
// The codecs have the shape of goka's Codec without importing it. They hold no
// state, may be used concurrently, and never panic on input.
package codecs
