// Package present writes values for people, in one way for commands, API and page: money, counts, times, durations, and
// text that others chose.
//
//	number.go    amounts and counts        time.go      times, and how long ago they are
//	duration.go  durations, to read too    harmless.go  text that cannot move a cursor, hide a word or turn its order
//	place.go     where a record is
package present
