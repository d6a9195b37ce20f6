package access

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/brimline/brimline"
)

// LookEvery is how often files are looked at again.
const LookEvery = time.Second

// mostBytes of a file are read.
const mostBytes = 1 << 20

// content holds the texts of files and who may open them, or why they cannot be read.
type content struct {
	texts [][]byte
	modes []fs.FileMode
	err   error
}

func (c *content) same(o *content) bool {
	if len(c.texts) != len(o.texts) || (c.err == nil) != (o.err == nil) || c.err != nil && c.err.Error() != o.err.Error() {
		return false
	}
	for i := range c.texts {
		if !bytes.Equal(c.texts[i], o.texts[i]) || c.modes[i] != o.modes[i] {
			return false
		}
	}
	return true
}

func read(paths ...string) *content {
	c := &content{}
	for _, path := range paths {
		text, mode, err := readOne(path)
		if err != nil {
			return &content{err: err}
		}
		c.texts, c.modes = append(c.texts, text), append(c.modes, mode)
	}
	return c
}

func readOne(path string) (text []byte, mode fs.FileMode, err error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, 0, err
	case !info.Mode().IsRegular():
		return nil, 0, fmt.Errorf("%s is no file", path)
	case info.Size() > mostBytes:
		return nil, 0, fmt.Errorf("%s has more than %d bytes", path, mostBytes)
	}
	text, err = os.ReadFile(path)
	return text, info.Mode(), err
}

// watched is a value that is made of files, and made again when they change.
type watched[T any] struct {
	what  string
	paths []string
	make  func([][]byte) (*T, error)
	log   *slog.Logger

	now     atomic.Pointer[T]
	trouble atomic.Pointer[error] // why the newest content is not what now is; nil where it is
}

func (w *watched[T]) open() (*content, error) {
	c := read(w.paths...)
	v, err := w.try(c)
	if err != nil {
		return nil, err
	}
	w.now.Store(v)
	return c, nil
}

func (w *watched[T]) try(c *content) (*T, error) {
	if c.err != nil {
		return nil, c.err
	}
	return w.make(c.texts)
}

// run looks again until ctx ends. What is wrong is told when two looks have found the same: files may be replaced one
// after the other.
func (w *watched[T]) run(ctx context.Context, last *content, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	seen, settled := last, true
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		c := read(w.paths...)
		if c.same(seen) && settled {
			continue
		}
		again := c.same(seen)
		seen, settled = c, again
		v, err := w.try(c)
		switch {
		case err == nil:
			settled = true
			w.now.Store(v)
			w.trouble.Store(nil)
			w.log.Info(w.what + " read again")
		case again:
			w.trouble.Store(&err)
			w.log.Error(w.what+" cannot be read again: what was read before holds", "error", err)
		}
	}
}

func (w *watched[T]) wrong() error {
	if err := w.trouble.Load(); err != nil {
		return *err
	}
	return nil
}

// File is a file of tokens.
type File struct {
	watched watched[Tokens]
	first   *content
}

// OpenFile reads a file of tokens. Errors are of ClassInput. A file that others may write to is refused, and so is one
// that others may read and that holds tokens in plain.
func OpenFile(path string, log *slog.Logger) (*File, error) {
	f := &File{watched: watched[Tokens]{
		what: "the file of tokens", paths: []string{path}, log: log,
		make: func(texts [][]byte) (*Tokens, error) {
			t, err := Parse(path, texts[0])
			if err != nil {
				return nil, err
			}
			return t, closed(path, t)
		},
	}}
	var err error
	if f.first, err = f.watched.open(); err != nil {
		if _, known := errors.AsType[*brimline.Error](err); !known {
			err = unreadable("--tokens-file", path, err)
		}
		return nil, err
	}
	return f, nil
}

// unreadable is about a file that cannot be read. Its name is not repeated where there is none: it may be the secret.
func unreadable(flag, path string, err error) error {
	if _, missing := os.Lstat(path); missing != nil {
		err = errors.New("there is no such file (its name is not repeated here: it may be the secret)")
	}
	return &brimline.Error{
		Class: brimline.ClassInput, Kind: "secret_file", Where: flag, Remedy: "name a file that this user may read", Err: err,
	}
}

const (
	writeOthers fs.FileMode = 0o022 // the group as well
	readOthers  fs.FileMode = 0o004
)

// closed refuses a file that is open to others.
func closed(path string, t *Tokens) error {
	info, err := os.Stat(path)
	if err != nil || runtime.GOOS == "windows" { // where these bits say nothing
		return err
	}
	mode := info.Mode().Perm()
	refuse := func(what, remedy string) error {
		return &brimline.Error{
			Class: brimline.ClassInput, Kind: "tokens_open", Where: "--tokens-file", Remedy: remedy,
			Err: fmt.Errorf("%s has the mode %#o: %s", path, mode, what),
		}
	}
	switch {
	case mode&writeOthers != 0:
		return refuse("others may write tokens of their own into it", "chmod 600 it, or 640 with a group of your own")
	case mode&readOthers != 0 && t.Plain():
		return refuse("every user of this machine may read the tokens in it",
			"chmod 600 it, or write sha256: and the hashes in place of tokens")
	}
	return nil
}

// Run looks at the file again and again, until ctx ends.
func (f *File) Run(ctx context.Context) { f.watched.run(ctx, f.first, LookEvery) }

// Tokens are those of now.
func (f *File) Tokens() *Tokens { return f.watched.now.Load() }

// Open tells whether every user of this machine may read the file, which then holds hashes alone.
func (f *File) Open() bool {
	info, err := os.Stat(f.watched.paths[0])
	return err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&readOthers != 0
}

// Wrong is why the file as it is now cannot be used; nil where it is.
func (f *File) Wrong() error { return f.watched.wrong() }
