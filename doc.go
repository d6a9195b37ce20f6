// Package brimline holds the words of the domain: transactions, changes,
// rules, windows, candidates and alerts. It depends on nothing but the
// standard library; every other package speaks in its types.
//
// The flow, stage by stage, is declared in package processors and drawn by
// `brimline topology`.
package brimline
