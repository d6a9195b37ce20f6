// Package e2e runs the built program on real parts and lets PostgreSQL judge
// what comes out. Tests named TestStack… need the real stack of deploy/stack
// and run with BRIMLINE_STACK=1; all others run on the embedded parts.
package e2e
