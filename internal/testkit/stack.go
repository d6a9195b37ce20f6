package testkit

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Stack is a real stack of deploy/stack with ports and a directory of its own.
type Stack struct {
	Dir string
	Env map[string]string // what up.sh exports

	scripts string
}

// NewStack makes the directory of a stack; scripts is the path of deploy/stack. Nothing runs yet.
func NewStack(scripts string) (*Stack, error) {
	dir, err := os.MkdirTemp("", "brimline-stack-")
	if err != nil {
		return nil, err
	}
	// PostgreSQL runs as another user when we are root.
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // see above
		return nil, err
	}
	return &Stack{Dir: dir, Env: map[string]string{}, scripts: scripts}, nil
}

// Up starts the named parts, all if none is named, and waits until they are ready.
func (s *Stack) Up(env []string, parts ...string) error {
	out, err := s.Script("up.sh", append(env, "STACK_PORTS=auto"), parts...)
	if err != nil {
		return err
	}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		if name, value, ok := strings.Cut(strings.TrimPrefix(lines.Text(), "export "), "="); ok {
			s.Env[name] = strings.Trim(value, "'")
		}
	}
	return nil
}

// Script runs one of deploy/stack's scripts and gives what it printed.
func (s *Stack) Script(name string, env []string, args ...string) ([]byte, error) {
	cmd := exec.Command(filepath.Join(s.scripts, name), args...)
	cmd.Env = append(append(os.Environ(), "STACK_DIR="+s.Dir), env...)
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %q: %w\n%s", name, args, err, problems.Bytes())
	}
	return out, nil
}

// Wipe stops everything and deletes the stack's directory.
func (s *Stack) Wipe() error {
	_, err := s.Script("down.sh", nil, "--wipe")
	return err
}
