// Package explain says why there was an alert for a user and a rule at a time, or why there was none: one reason of a
// closed list, and the figures that it rests on. What it is told by the window table, the topics and PostgreSQL is
// Evidence; Report is a pure function of that. Asker gathers the evidence.
//
//	reasons.go  the closed list, and a sentence for each    evidence.go  evidence in, reason out
//	ask.go      where the evidence comes from               report.go  what is told of it
//	letters.go  whom a dead letter concerns
package explain
