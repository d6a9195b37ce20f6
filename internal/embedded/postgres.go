package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/brimline/brimline"
)

// Superuser is the one role that a new PostgreSQL has. Loopback connections are trusted, without a password.
const Superuser = "brimline"

// PostgresOptions say where PostgreSQL keeps its data and how it runs.
type PostgresOptions struct {
	// Dir keeps the database across restarts and kills; one process at a time.
	// Empty is a scratch database, deleted by Stop and Kill.
	Dir string
	// Port on 127.0.0.1. 0 takes the port of the last start in Dir if it is free, else any free one.
	Port int
	// Log receives what is done to PostgreSQL; its own log is Dir/postgres.log. nil discards.
	Log *slog.Logger
	// Settings are added to the server's command line, after ours, so they win.
	Settings map[string]string
	// NoSync trades safety from power loss for speed; kill -9 is survived all the same. For tests.
	NoSync bool
	// Download takes downloaded programs even where the machine has its own.
	Download bool
	// Announce is told, before programs are downloaded, what is fetched, from where, how much and whereto; nil says it
	// to Log.
	Announce func(what string)
	// CacheDir keeps downloaded programs; empty is brimline's folder in the user's cache directory.
	CacheDir string
}

// Postgres is a running PostgreSQL server, a child process of ours with
// wal_level=logical, listening on 127.0.0.1 alone (no Unix socket).
type Postgres struct {
	port    int
	data    string
	scratch string // deleted at the end; empty for a kept Dir
	lock    *dirLock
	log     *slog.Logger
	cmd     *exec.Cmd
	done    chan struct{}
	finish  sync.Once
}

const (
	dataName     = "pgdata"
	startTimeout = 60 * time.Second // recovery after a kill under load takes seconds
	logLimit     = 8 << 20
)

// StartPostgres starts PostgreSQL; when it returns, the server accepts
// connections. ctx bounds the start only; Stop or Kill ends the server. A
// server that a killed process left running in Dir is stopped and started
// again: then it has these options, and is our child.
func StartPostgres(ctx context.Context, o PostgresOptions) (_ *Postgres, err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	p := &Postgres{log: o.Log, done: make(chan struct{})}
	defer func() {
		if err != nil {
			p.release()
		}
	}()
	owner, err := chooseOwner()
	if err != nil {
		return nil, err
	}
	if o.Dir == "" {
		sweepScratch()
		if o.Dir, err = os.MkdirTemp("", "brimline-postgres-"); err != nil {
			return nil, dirError(os.TempDir(), "data_dir", "set TMPDIR to a directory that can be written to", err)
		}
		p.scratch = o.Dir
		if err := owner.give(o.Dir); err != nil {
			return nil, dirError(o.Dir, "data_dir", "", err)
		}
	} else if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, err
	}
	if p.lock, err = lockDir(o.Dir); err != nil {
		return nil, err
	}
	at, err := place(o.Dir, owner, o.Log)
	if err != nil {
		return nil, err
	}
	p.data = filepath.Join(at, dataName)
	progs, err := findPrograms(ctx, majorOf(p.data), owner, o)
	if err != nil {
		return nil, err
	}
	if err := takeOver(p.data, o.Log); err != nil {
		return nil, err
	}
	if err := initialise(ctx, progs, p.data, owner, o); err != nil {
		return nil, err
	}
	if err := p.start(ctx, progs, owner, o); err != nil {
		return nil, err
	}
	o.Log.Info("PostgreSQL started", "port", p.port, "release", progs.major,
		"programs", progs.bin, "data", p.data, "pid", p.Pid())
	return p, nil
}

// URL is a connection string for a database; empty is the one that always exists, postgres.
func (p *Postgres) URL(db string) string {
	return fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", Superuser, loopback(p.port), cmp.Or(db, "postgres"))
}

// Pid is the process id of the server (the postmaster).
func (p *Postgres) Pid() int { return p.cmd.Process.Pid }

// Done is closed when the server has ended, for whatever reason.
func (p *Postgres) Done() <-chan struct{} { return p.done }

// Stop ends the server in good order: sessions are cut, the last checkpoint is
// written. When ctx ends first the server is stopped without the checkpoint,
// which the next start makes up for. Safe to call twice and after Kill.
func (p *Postgres) Stop(ctx context.Context) error {
	err := end(ctx, p.Pid(), p.done, p.log)
	p.release()
	return err
}

// Kill ends the server as kill -9 would, and waits until it is gone.
func (p *Postgres) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
	p.release()
}

func (p *Postgres) release() {
	p.finish.Do(func() {
		if p.scratch != "" {
			_ = removePlaced(p.scratch)
			_ = os.RemoveAll(p.scratch)
		}
		p.lock.release()
	})
}

// initialise makes the data directory if there is none. It is made under
// another name and renamed at the end: an initdb that was killed leaves a
// directory that looks like a database and is none.
func initialise(ctx context.Context, progs programs, data string, owner *owner, o PostgresOptions) error {
	if majorOf(data) != 0 {
		return nil
	}
	half := data + ".new"
	if err := os.RemoveAll(half); err != nil {
		return dirError(o.Dir, "data_dir", "", err)
	}
	if err := os.Mkdir(half, 0o700); err != nil {
		return dirError(o.Dir, "data_dir", "choose a directory that can be written to", err)
	}
	if err := owner.give(half); err != nil {
		return dirError(o.Dir, "data_dir", "", err)
	}
	args := []string{"-D", half, "-U", Superuser, "-A", "trust", "-E", "UTF8", "--no-locale"}
	if o.NoSync {
		args = append(args, "--no-sync")
	}
	cmd := exec.CommandContext(ctx, filepath.Join(progs.bin, "initdb"), args...)
	prepare(cmd, half, owner)
	if out, err := cmd.CombinedOutput(); err != nil {
		return postgresError("initialising", half, fmt.Errorf("%w\n%s", err, out))
	}
	if err := os.Rename(half, data); err != nil {
		return dirError(o.Dir, "data_dir", "", err)
	}
	return nil
}

// prepare gives a program of PostgreSQL its user, and surroundings that do not
// depend on ours: a directory it may enter, no PG… variables, one language.
func prepare(cmd *exec.Cmd, dir string, owner *owner) {
	detach(cmd, owner)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	for _, name := range []string{"LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR"} {
		if v, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
}

func (p *Postgres) start(ctx context.Context, progs programs, owner *owner, o PostgresOptions) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		l, err := listen(o.Dir, o.Port)
		if err != nil {
			return err
		}
		p.port = portOf(l)
		l.Close() // postgres cannot be handed an open socket; see the retry below
		said, err := p.launch(ctx, progs, owner, o)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
		case o.Port == 0 && strings.Contains(said, "could not create any TCP/IP sockets"):
			continue // another process took the port between our check and the server's
		case strings.Contains(said, "pre-existing shared memory block"):
			// The server processes of a killed postmaster are on their way out.
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
				continue
			}
		}
		return postgresError("starting", p.data, fmt.Errorf("%w\n%s", err, said))
	}
}

// launch runs the server and waits until it accepts connections. If that fails
// it returns what the server wrote to its log.
func (p *Postgres) launch(ctx context.Context, progs programs, owner *owner, o PostgresOptions) (string, error) {
	logPath := filepath.Join(o.Dir, "postgres.log")
	if info, err := os.Stat(logPath); err == nil && info.Size() > logLimit {
		_ = os.Rename(logPath, logPath+".old")
	}
	// A file and not a pipe to us: the server must not be hurt by our death.
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return "", err
	}
	defer log.Close()
	before, _ := log.Stat()

	p.cmd = exec.Command(filepath.Join(progs.bin, "postgres"), append([]string{"-D", p.data}, p.settings(o)...)...)
	prepare(p.cmd, p.data, owner)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	dieWithParent(p.cmd)
	started, done := make(chan error), make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // see dieWithParent
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait()
		}
	}()
	p.done = done
	if err := <-started; err != nil {
		return "", err
	}

	tick := time.NewTicker(5 * time.Millisecond) // the server says it is ready in a file, nowhere else
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if f, err := readPidFile(p.data); err == nil && f.pid == p.Pid() && f.ready {
				return "", nil
			}
			continue
		case <-done:
			err = fmt.Errorf("the server ended: %s", p.cmd.ProcessState)
		case <-ctx.Done():
			err = errors.Join(fmt.Errorf("the server is not ready: %w", ctx.Err()), end(ctx, p.Pid(), done, p.log))
		}
		text, _ := os.ReadFile(logPath)
		return string(text[min(before.Size(), int64(len(text))):]), err
	}
}

// settings are the server's command line settings, which win over its files.
func (p *Postgres) settings(o PostgresOptions) []string {
	s := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"port":                    strconv.Itoa(p.port),
		"unix_socket_directories": "", // in no directory of the machine; loopback is enough
		"wal_level":               "logical",
		"max_wal_senders":         "10",
		"max_replication_slots":   "10",
		"timezone":                "UTC",
		"log_timezone":            "UTC",
	}
	if o.NoSync {
		s["fsync"], s["full_page_writes"] = "off", "off"
	}
	for name, value := range o.Settings {
		s[name] = value
	}
	var args []string
	for name, value := range s {
		args = append(args, "--"+name+"="+value)
	}
	slices.Sort(args)
	return args
}

func postgresError(doing, data string, err error) error {
	return &brimline.Error{
		Class: brimline.ClassEnvironment, Kind: "embedded_postgres", Where: doing + " PostgreSQL in " + data,
		Remedy: "see what it says above; an external PostgreSQL can be named instead", Err: err,
	}
}
