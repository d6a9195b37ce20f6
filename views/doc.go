// Package views answers questions about users from goka's tables, without
// asking PostgreSQL or the processors: Windows reads the window table, Alerts
// the index of alerts by user.
//
// A view follows its whole table topic into a local store: LevelDB under the
// state directory, or memory where another process has that open (`brimline
// user` beside `brimline run`). It answers only after it has once read up to
// where the topic ended when it started; from then on every answer says how
// far it had read (AsOf), also while Kafka is away.
//
// Within brimline, beside the stage that writes the table, a view answers from
// the stage's own state, and follows only the partitions that the stage does
// not have (Kept).
//
// A program outside this module names brokers and group, and gets figures by
// the rules in force, which the group has written down. A plain goka view of
// the table would show a part of those who have many rows, which codecs.Window
// refuses: their state is spread over several keys.
//
// A view is used in this order: Open, Run in a goroutine, WaitRecovered, then
// reads from any number of goroutines until Run's context ends.
package views
