// Package postgres is the one place that reads a connection string, opens
// connections and says what a failure of PostgreSQL means.
//
// A connection string is read strictly (package urls), before the driver sees
// it: what is not proven to be a host, a database or a user is never shown.
// The driver's own errors hold the whole configuration with its password;
// Cause takes them apart.
//
// Questions are asked in transactions (Ask) that are read-only, bounded in time
// and free of what the login has set about names and policies. That holds
// behind a pooler in transaction mode too, where a setting of the session would
// be the next client's.
package postgres
