// Package security holds the tests of docs/security.md: hostile values in every
// output, credentials that never show, encryption and login against servers
// that insist on them, the least rights, and what listens where.
package security
