package embedded

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/brimline/brimline"
)

// dirLock keeps a second process out of a data directory. It is a lock of the
// operating system on an open file, not the file's existence: a killed process
// leaves the file but not the lock.
type dirLock struct{ file *os.File }

func lockDir(dir string) (*dirLock, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, dirError(dir, "data_dir", "choose a directory that can be written to", err)
	}
	path := filepath.Join(dir, "lock")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, dirError(dir, "data_dir", "choose a directory that can be written to", err)
	}
	if err := flock(file); err != nil {
		holder, _ := os.ReadFile(path)
		file.Close()
		if !errors.Is(err, errLocked) {
			return nil, dirError(dir, "data_dir", "choose a directory on a local file system", err)
		}
		return nil, dirError(dir, "data_dir_in_use", "stop the other process, or choose another directory",
			fmt.Errorf("process %s is using it", strings.TrimSpace(string(holder))))
	}
	// For the message above only; who holds the lock is known to the kernel.
	if err := file.Truncate(0); err == nil {
		_, _ = file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return &dirLock{file}, nil
}

func (l *dirLock) release() {
	if l != nil {
		l.file.Close()
	}
}

func dirError(dir, kind, remedy string, err error) error {
	return &brimline.Error{
		Class: brimline.ClassEnvironment, Kind: kind,
		Where: fmt.Sprintf("data directory %q", dir), Remedy: remedy, Err: err,
	}
}

// listen opens a loopback port: the wanted one, or with 0 the one recorded in
// dir by an earlier start if it is free, so that clients which were configured
// once go on working, or else any free one. It records what it opened.
func listen(dir string, port int) (net.Listener, error) {
	record := ""
	if dir != "" {
		record = filepath.Join(dir, "port")
	}
	var l net.Listener
	var err error
	if recorded := readPort(record); port == 0 && recorded != 0 {
		l, err = net.Listen("tcp", loopback(recorded))
	}
	if l == nil {
		l, err = net.Listen("tcp", loopback(port))
	}
	if err != nil {
		return nil, &brimline.Error{
			Class: brimline.ClassEnvironment, Kind: "port_in_use", Where: "listening on " + loopback(port),
			Remedy: "choose another port, or 0 for any free one", Err: err,
		}
	}
	if record != "" {
		if err := writeFile(record, strconv.Itoa(portOf(l))+"\n"); err != nil {
			l.Close()
			return nil, dirError(dir, "data_dir", "choose a directory that can be written to", err)
		}
	}
	return l, nil
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func portOf(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }

func readPort(path string) int {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	port, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || port < 1 || port > 65535 {
		return 0
	}
	return port
}

// writeFile replaces a small file whole, so that a kill leaves the old or the new text.
func writeFile(path, text string) error {
	if err := os.WriteFile(path+".new", []byte(text), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
