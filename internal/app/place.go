package app

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/brimline/brimline"
	"github.com/syndtr/goleveldb/leveldb/storage"
)

// maxPlaces bounds how many processes of one group share a state directory.
const maxPlaces = 256

// place is the part of the state directory that this process alone uses:
// <state-dir>/<group>/<n> without a configured instance name, else
// <state-dir>/<group>/<instance>. It is held by a lock that ends with the
// process, so that a process started again comes back to the same place, and
// two that run at once never share one.
type place struct {
	Dir      string
	Instance string
	lock     storage.Storage
}

// takePlace finds a free place, and the name that goes with it. Without a
// configured name it is the host's and a mark drawn once per place: the same
// after a restart, and different from every other place on this host.
func takePlace(stateDir, group, instance string) (*place, error) {
	base := filepath.Join(stateDir, group)
	if instance != "" {
		p, err := lockPlace(filepath.Join(base, "i-"+instance))
		if err != nil {
			return nil, placeError(base, err)
		}
		if p == nil {
			return nil, &brimline.Error{
				Class: brimline.ClassEnvironment, Kind: "instance_in_use", Where: fmt.Sprintf("--instance %q", instance),
				Remedy: "stop the other process, or give this one another --instance",
				Err:    fmt.Errorf("another process runs under this name with state in %s", base),
			}
		}
		p.Instance = instance
		return p, nil
	}
	for n := range maxPlaces {
		p, err := lockPlace(filepath.Join(base, strconv.Itoa(n)))
		if err != nil {
			return nil, placeError(base, err)
		}
		if p == nil {
			continue
		}
		if p.Instance, err = p.name(); err != nil {
			p.release()
			return nil, placeError(base, err)
		}
		return p, nil
	}
	return nil, placeError(base, fmt.Errorf("%d processes use it already", maxPlaces))
}

// lockPlace returns nil where another process has the place.
func lockPlace(dir string) (*place, error) {
	lockDir := filepath.Join(dir, "lock")
	if err := os.MkdirAll(lockDir, 0o700); err != nil {
		return nil, err
	}
	lock, err := storage.OpenFile(lockDir, false)
	if err != nil {
		if isLocked(err) {
			return nil, nil
		}
		return nil, err
	}
	return &place{Dir: dir, lock: lock}, nil
}

// name reads the place's mark, or draws one.
func (p *place) name() (string, error) {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "host"
	}
	host = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '-', r == '_':
			return r
		}
		return '-'
	}, host)
	file := filepath.Join(p.Dir, "mark")
	mark, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(mark) == 0 {
		mark = []byte(hex.EncodeToString(random(4)))
		if err := os.WriteFile(file+".new", mark, 0o600); err != nil {
			return "", err
		}
		err = os.Rename(file+".new", file)
	}
	if err != nil {
		return "", err
	}
	return host + "-" + strings.TrimSpace(string(mark)), nil
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

func (p *place) release() {
	if p != nil && p.lock != nil {
		_ = p.lock.Close()
		p.lock = nil
	}
}

func placeError(dir string, err error) error {
	return &brimline.Error{
		Class: brimline.ClassEnvironment, Kind: "state_dir", Where: fmt.Sprintf("state directory %q", dir),
		Remedy: "choose a directory that can be written to with --state-dir", Err: err,
	}
}

// RemoveState deletes a group's state below a state directory. A process that
// is using it is an error, and then nothing is deleted.
func RemoveState(stateDir, group string) error {
	base := filepath.Join(stateDir, group)
	dirs, err := os.ReadDir(base)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return placeError(base, err)
	}
	for _, d := range dirs {
		if _, err := os.Stat(filepath.Join(base, d.Name(), "lock")); err != nil {
			continue
		}
		p, err := lockPlace(filepath.Join(base, d.Name()))
		if err == nil && p == nil {
			err = errors.New("a process is using it")
		}
		if err != nil {
			return placeError(filepath.Join(base, d.Name()), err)
		}
		defer p.release()
	}
	if err := os.RemoveAll(base); err != nil {
		return placeError(base, err)
	}
	return nil
}
