// Package rulestest plays tests of rules (rules.TestFile) on a ground, and says
// what was expected and not sent, and the other way round.
//
// A ground is what takes the rows: the fold alone, as in `brimline rules test`
// (Fold), or everything from PostgreSQL's table to the alerts topic. Tests are
// played side by side, so that a ground that is costly to start and to wait
// for serves all of them at once.
package rulestest
