package main

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"syscall"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/present"
)

// clearScreen is the one control sequence that we write ourselves, at the
// beginning of what shall stand on an empty screen.
const clearScreen = "\x1b[H\x1b[2J"

// output is standard output or standard error: everything that others chose
// passes package plain, and the first failure to write is kept, so that a full
// disk is not taken for success.
type output struct {
	to   io.Writer
	stop func() // called at the first failure; may be nil

	mu  sync.Mutex
	err error
}

func (o *output) Write(b []byte) (int, error) {
	safe, rest := make([]byte, 0, len(b)), b
	if own, ok := bytes.CutPrefix(b, []byte(clearScreen)); ok && isTerminal(o.to) {
		safe, rest = append(safe, clearScreen...), own
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return 0, o.err
	}
	if _, err := o.to.Write(present.Append(safe, rest)); err != nil {
		o.err = err
		if o.stop != nil {
			o.stop()
		}
		return 0, err
	}
	return len(b), nil
}

// Fd lets isTerminal look through.
func (o *output) Fd() uintptr {
	if f, ok := o.to.(interface{ Fd() uintptr }); ok {
		return f.Fd()
	}
	return ^uintptr(0)
}

// failure is the error of a failed write; nil where all went well, or
// where the reader had enough.
func (o *output) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil || errors.Is(o.err, syscall.EPIPE) {
		return nil
	}
	return &brimline.Error{
		Class: brimline.ClassEnvironment, Kind: "output", Where: "writing what was asked for",
		Remedy: "make room where the output goes", Err: o.err,
	}
}
