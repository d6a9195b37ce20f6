// Package examples holds programs that use brimline from outside: total asks for a user's totals, consumer and
// consumer-python take each alert once. Its tests build them in modules of their own, as a stranger would, run them on
// a broker with what brimline wrote, kill them and send everything again.
package examples
