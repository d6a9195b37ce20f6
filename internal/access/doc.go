// Package access knows who asks: tokens from a file, the sessions of people
// who have logged in with one, and the certificate of the server. Files are
// looked at again while the program runs; one that is wrong then is told, and
// what was there before holds.
//
// The file of tokens has one on each line, and comments after #:
//
//	# name   role     token
//	grafana  read     sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//	oncall   operate  3q2-7w-a-plain-token-of-16-bytes-or-more
package access
