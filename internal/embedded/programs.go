package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/brimline/brimline"
	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

// oldestMajor is the first release whose pgoutput the capture is tested with.
const oldestMajor = 14

// programs are the server programs of one PostgreSQL release.
type programs struct {
	bin   string // directory of initdb and postgres
	major int
}

// findPrograms looks for server programs on the machine: PG_BIN, PATH, the
// places of Debian's, RPM's and Homebrew's packages, newest release first; and
// downloads them where it finds none. major, if not 0, is what an existing data
// directory was made by: another release cannot open it. PG_BIN is a choice:
// what lies there is taken whatever its release, and if nothing does, nothing
// else is taken instead.
func findPrograms(ctx context.Context, major int, o *owner, opts PostgresOptions) (programs, error) {
	if !opts.Download {
		if dir := os.Getenv("PG_BIN"); dir != "" {
			p, err := inspect(ctx, dir, o)
			if err != nil {
				return programs{}, &brimline.Error{
					Class: brimline.ClassEnvironment, Kind: "postgres_programs", Where: "PG_BIN=" + dir,
					Remedy: "set PG_BIN to the folder of initdb and postgres, or to nothing", Err: err,
				}
			}
			if major == 0 || p.major == major {
				return p, nil
			}
		}
		for _, dir := range candidates() {
			p, err := inspect(ctx, dir, o)
			if err == nil && p.major >= oldestMajor && (major == 0 || p.major == major) {
				return p, nil
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				opts.Log.Debug("PostgreSQL programs passed over", "dir", dir, "err", err)
			}
		}
	}
	p, err := download(ctx, major, o, opts)
	if err != nil {
		what := fmt.Sprintf("PostgreSQL %d or later", oldestMajor)
		if major != 0 {
			what = fmt.Sprintf("PostgreSQL %d (the data directory belongs to it)", major)
		}
		return programs{}, &brimline.Error{
			Class: brimline.ClassEnvironment, Kind: "postgres_programs", Where: "looking for PostgreSQL's server programs",
			Remedy: "install " + what + " or set PG_BIN to the folder of initdb and postgres", Err: err,
		}
	}
	return p, nil
}

// Programs gives the folder of the programs of a release, fetched if need be, for tests of one release after the other.
func Programs(ctx context.Context, major int, opts PostgresOptions) (bin string, err error) {
	o, err := chooseOwner()
	if err != nil {
		return "", err
	}
	p, err := download(ctx, major, o, opts)
	return p.bin, err
}

func candidates() []string {
	var dirs []string
	if path, err := exec.LookPath("postgres"); err == nil {
		dirs = append(dirs, filepath.Dir(path))
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin",
		"/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin",
	} {
		found, _ := filepath.Glob(pattern) // sorted; two digits each, so the last is the newest
		slices.Reverse(found)
		dirs = append(dirs, found...)
	}
	return dirs
}

// inspect says which release is in dir. Links are followed first (PATH often
// holds links), because initdb and postgres must lie side by side.
func inspect(ctx context.Context, dir string, o *owner) (programs, error) {
	real, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres"))
	if err != nil {
		return programs{}, err
	}
	bin := filepath.Dir(real)
	if _, err := os.Stat(filepath.Join(bin, "initdb")); err != nil {
		return programs{}, err
	}
	if !o.reachable(bin) {
		return programs{}, fmt.Errorf("user %s cannot reach it", o.name)
	}
	out, err := exec.CommandContext(ctx, real, "--version").Output()
	if err != nil {
		return programs{}, err
	}
	m := regexp.MustCompile(`\) (\d+)`).FindSubmatch(out)
	if m == nil {
		return programs{}, fmt.Errorf("unknown version %q", out)
	}
	major, err := strconv.Atoi(string(m[1]))
	return programs{bin, major}, err
}

// download unpacks the programs of a release from Maven Central, once per
// machine user.
//
// Only this part of embedded-postgres is used. Its Start runs everything as the
// caller (so not as root), initialises with password authentication, has no
// answer to what a killed process left, and would leave programs of the machine
// with code of their own; initdb and postgres are driven in one way here,
// whatever their source. The library does not export the download, so Start is
// given a data directory that holds a version and nothing else: it downloads,
// checks the sum, unpacks, and fails to start. What counts is what it unpacked.
func download(ctx context.Context, major int, o *owner, opts PostgresOptions) (programs, error) {
	version := embeddedpostgres.V17
	switch major {
	case 13:
		version = "13.23.0" // of the library's own, 13.21, there is no archive
	case 14:
		version = embeddedpostgres.V14
	case 15:
		version = embeddedpostgres.V15
	case 16:
		version = embeddedpostgres.V16
	case 0, 17:
	case 18:
		version = embeddedpostgres.V18
	default:
		return programs{}, fmt.Errorf("no archive of release %d is known", major)
	}
	archives, unpacked, err := downloadDirs(o, opts.CacheDir)
	if err != nil {
		return programs{}, err
	}
	final := filepath.Join(unpacked, "postgres-"+string(version))
	if p, err := inspect(ctx, filepath.Join(final, "bin"), o); err == nil {
		return p, nil
	}
	announce(version, archives, final, opts)
	tmp, err := os.MkdirTemp(unpacked, "unpacking-")
	if err != nil {
		return programs{}, err
	}
	defer os.RemoveAll(tmp)
	tree, noData := filepath.Join(tmp, "tree"), filepath.Join(tmp, "no-data")
	if err := os.Mkdir(noData, 0o755); err != nil {
		return programs{}, err
	}
	if err := os.WriteFile(filepath.Join(noData, "PG_VERSION"), []byte(version[:2]), 0o644); err != nil {
		return programs{}, err
	}
	fetched := make(chan error, 1)
	go func() { // the library knows no context; a caller who gives up leaves it behind
		fetched <- embeddedpostgres.NewDatabase(embeddedpostgres.DefaultConfig().Version(version).
			CachePath(archives).BinariesPath(tree).RuntimePath(filepath.Join(tmp, "run")).
			DataPath(noData).Port(0).Logger(nil)).Start()
	}()
	select {
	case <-ctx.Done():
		return programs{}, ctx.Err()
	case err = <-fetched:
	}
	if _, statErr := os.Stat(filepath.Join(tree, "bin", "postgres")); statErr != nil {
		return programs{}, fmt.Errorf("fetching PostgreSQL %s: %w", version, err)
	}
	if err := openToAll(tree); err != nil {
		return programs{}, err
	}
	// In one step, so that a kill in between leaves no half of it; if another process was quicker, its tree serves.
	if err := os.Rename(tree, final); err != nil && !errors.Is(err, fs.ErrExist) {
		return programs{}, err
	}
	return inspect(ctx, filepath.Join(final, "bin"), o)
}

// announce says what is about to be fetched. The archives of all releases are of one size on one system.
func announce(version embeddedpostgres.PostgresVersion, archives, into string, opts PostgresOptions) {
	size := 15
	if runtime.GOOS == "darwin" {
		size = 30
	}
	release := strings.TrimSuffix(string(version), ".0")
	what := fmt.Sprintf("fetching the programs of PostgreSQL %s (some %d MB) from Maven Central into %s",
		release, size, into)
	if kept, _ := filepath.Glob(filepath.Join(archives, "*-"+string(version)+".txz")); len(kept) > 0 {
		what = fmt.Sprintf("unpacking the programs of PostgreSQL %s, fetched before, into %s", release, into)
	}
	if opts.Announce == nil {
		opts.Log.Info(what)
		return
	}
	opts.Announce(what)
}

// downloadDirs are the directories of archives and of unpacked programs. Both
// are in the user's cache directory, but root's is usually closed to the user
// that PostgreSQL runs as: then programs go where only root can write and
// everybody can read.
func downloadDirs(o *owner, cache string) (archives, unpacked string, err error) {
	if cache == "" {
		if cache, err = os.UserCacheDir(); err != nil {
			return "", "", err
		}
		cache = filepath.Join(cache, "brimline")
	}
	archives, unpacked = filepath.Join(cache, "archives"), filepath.Join(cache, "programs")
	if err := os.MkdirAll(archives, 0o755); err != nil {
		return "", "", err
	}
	if err := os.MkdirAll(unpacked, 0o755); err != nil {
		return "", "", err
	}
	if o.reachable(unpacked) {
		return archives, unpacked, nil
	}
	unpacked = "/var/cache/brimline/programs"
	if err := os.MkdirAll(unpacked, 0o755); err != nil {
		return "", "", err
	}
	if !o.reachable(unpacked) {
		return "", "", fmt.Errorf("user %s can reach neither %s nor %s", o.name, cache, unpacked)
	}
	return archives, unpacked, nil
}

// openToAll lets everybody read and enter the tree, whatever our umask was.
func openToAll(tree string) error {
	return filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		mode := info.Mode().Perm() | 0o444
		if d.IsDir() || mode&0o100 != 0 {
			mode |= 0o111
		}
		return os.Chmod(path, mode)
	})
}
