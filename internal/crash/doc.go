// Package crash breaks everything around the running program (processes,
// brokers, PostgreSQL, Debezium, disks) while it works, and lets PostgreSQL
// judge what came out. It runs on the real stack of deploy/stack with
// BRIMLINE_CRASH=1, which `make test-crash` sets:
//
//	BRIMLINE_CRASH_ROUNDS   how many rounds; default: each of the short run once
//	BRIMLINE_CRASH_FAULTS   names of faults, separated by commas; default: those of the short run, `all` for every one
//	BRIMLINE_CRASH_ROWS     rows of the table in a round
//	BRIMLINE_CRASH_REPORT   file that gets the table of rounds, in Markdown
//	BRIMLINE_CRASH_PROOFS   `make test-proofs`: protections to take away, separated by commas; 1 for each
//	BRIMLINE_SEED           seed of the first round; each further one has the next
//
// The program under test is built with the tag crash, which makes package
// failpoint obey.
package crash
