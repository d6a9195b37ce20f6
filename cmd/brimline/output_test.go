package main

import (
	"bytes"
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/brimline/brimline/internal/present"
)

// full is a disk without room.
type full struct{ err error }

func (f full) Write([]byte) (int, error) { return 0, f.err }

// TestOutputIsNotLostInSilence: what cannot be written is no success; a reader
// that has seen enough is none of our business.
func TestOutputIsNotLostInSilence(t *testing.T) {
	var errOut bytes.Buffer
	if code := execute([]string{"topology"}, nil, full{syscall.ENOSPC}, &errOut); code != 3 ||
		!strings.Contains(errOut.String(), "no space left") || !strings.Contains(errOut.String(), "remedy: ") {
		t.Errorf("code %d: %s", code, errOut.String())
	}
	errOut.Reset()
	if code := execute([]string{"topology"}, nil, full{syscall.EPIPE}, &errOut); code != 0 || errOut.Len() > 0 {
		t.Errorf("code %d: %s", code, errOut.String())
	}
}

func TestOutputIsPlain(t *testing.T) {
	var b bytes.Buffer
	stopped := false
	o := &output{to: &b, stop: func() { stopped = true }}
	if n, err := o.Write([]byte(clearScreen + "a\x1b[31m\n")); n != len(clearScreen)+7 || err != nil ||
		b.String() != `\u001b[H\u001b[2Ja\u001b[31m`+"\n" {
		t.Errorf("%d, %v: %q", n, err, b.String())
	}
	o.to = full{errors.New("gone")}
	_, first := o.Write([]byte("x"))
	o.to = &b
	if _, again := o.Write([]byte("x")); first == nil || again == nil || !stopped || o.failure() == nil {
		t.Error("a failure was forgotten")
	}
}

func TestShownIsShort(t *testing.T) {
	if s := present.Word(strings.Repeat("ü", 40_000)); len(s) > 300 || !strings.HasSuffix(s, "… (80000 bytes)") {
		t.Error(s)
	}
}
