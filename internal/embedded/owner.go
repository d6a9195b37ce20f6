package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/brimline/brimline"
)

// owner is the user PostgreSQL runs as where that cannot be ourselves; nil otherwise.
type owner struct {
	name     string
	uid, gid uint32
}

// chooseOwner picks the user for PostgreSQL, which refuses to run as root. Only
// users that exist are taken: a program for trying things out has no business
// adding users to a machine.
func chooseOwner() (*owner, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil && uid != 0 {
			return &owner{name, uint32(uid), uint32(gid)}, nil
		}
	}
	return nil, &brimline.Error{
		Class: brimline.ClassEnvironment, Kind: "postgres_user", Where: "starting PostgreSQL as root",
		Remedy: "run brimline as an ordinary user, or add a user named postgres",
		Err:    errors.New("PostgreSQL refuses to run as root, and there is no user postgres or nobody to run it as"),
	}
}

// give hands a path to the owner.
func (o *owner) give(path string) error {
	if o == nil {
		return nil
	}
	return os.Chown(path, int(o.uid), int(o.gid))
}

// placeRecord names, inside a PostgresOptions.Dir, the directory that stands in for it.
const placeRecord = "postgres.place"

// place returns the directory that holds the data directory: dir itself, or,
// where the owner cannot get there (root's home and Go's test directories are
// closed to others), a directory outside whose path is recorded in dir.
func place(dir string, o *owner, log *slog.Logger) (string, error) {
	record := filepath.Join(dir, placeRecord)
	if text, err := os.ReadFile(record); err == nil {
		at := strings.TrimSpace(string(text))
		if _, err := os.Stat(at); err != nil {
			// Not silently begun anew: the change stream in Kafka beside it would belong to another database.
			return "", dirError(dir, "data_dir_lost", "delete the directory to begin anew",
				fmt.Errorf("its PostgreSQL data was in %s, which is gone: %w", at, err))
		}
		return at, nil
	}
	if o.reachable(dir) {
		return dir, nil
	}
	var errs []error
	for _, base := range []string{"/var/tmp", os.TempDir()} { // the first outlives a reboot
		if !o.reachable(base) {
			errs = append(errs, fmt.Errorf("%s: closed to user %s", base, o.name))
			continue
		}
		// A name that cannot be guessed: others can write here too.
		at, err := os.MkdirTemp(base, "brimline-postgres-")
		if err == nil {
			if err = o.give(at); err == nil {
				err = writeFile(record, at+"\n")
			}
			if err != nil {
				os.Remove(at)
			}
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		log.Info("PostgreSQL keeps its data elsewhere, because its user cannot enter the data directory",
			"user", o.name, "data_dir", dir, "place", at)
		return at, nil
	}
	return "", dirError(dir, "data_dir", "choose a data directory that other users may enter", errors.Join(errs...))
}

// RemovePostgres deletes everything that StartPostgres keeps for dir, also what
// it had to put elsewhere. The server must be stopped. The directory itself stays.
func RemovePostgres(dir string) error {
	lock, err := lockDir(dir)
	if err != nil {
		return err
	}
	defer lock.release()
	if err := takeOver(filepath.Join(placed(dir), dataName), slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	return removePlaced(dir)
}

// sweepAge keeps a sweep off directories that are just being made.
const sweepAge = 10 * time.Minute

// sweepScratch deletes scratch databases whose process was killed: their lock is
// free. Directories of kept data hold no lock file and are not touched.
func sweepScratch() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), "brimline-postgres-*"))
	for _, dir := range dirs {
		path := filepath.Join(dir, "lock")
		info, err := os.Stat(path)
		if err != nil || time.Since(info.ModTime()) < sweepAge {
			continue
		}
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			continue // another process's
		}
		if flock(file) == nil && takeOver(filepath.Join(placed(dir), dataName), slog.New(slog.DiscardHandler)) == nil {
			_ = removePlaced(dir)
			_ = os.RemoveAll(dir)
		}
		file.Close()
	}
}
