// Package backtest says which alerts rules would have sent, by the rows that PostgreSQL has now.
//
// One streaming read gives the rows by user and time (ledger.Walk). Figures are those of package sliding, the
// same that find edges in a running group. It knows no Kafka. Memory holds one user's rows of the longest
// window, and what is reported.
package backtest
