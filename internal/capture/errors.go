package capture

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/postgres"
	"github.com/jackc/pgx/v5/pgconn"
)

// outage marks a failure that may pass by waiting.
type outage struct{ error }

func (o *outage) Unwrap() error { return o.error }

// Outage marks an error of a Memory as one that may pass by waiting.
func Outage(err error) error { return &outage{err} }

// unwrapOutage takes the mark off: it is for Run alone.
func unwrapOutage(err error) error {
	if down, ok := err.(*outage); ok { //nolint:errorlint // only the outermost is the mark
		return down.error
	}
	return err
}

// kindNoPublication is the kind of error of a stream whose publication is not
// there, or was not at the moment of the change that is being read.
const kindNoPublication = "postgres_publication_missing"

// SQLSTATEs, of the appendix "PostgreSQL Error Codes".
const (
	codeBadPassword      = "28P01"
	codeBadAuthorization = "28000"
	codeNoDatabase       = "3D000"
	codeNoRight          = "42501"
	codeNoTable          = "42P01"
	codeInUse            = "55006"
	codeNotReady         = "55000" // object not in prerequisite state
	codeLimit            = "53400"
	codeExists           = "42710"
	codeUndefined        = "42704"
	codeNoColumn         = "42703"
)

// failure says what an error of PostgreSQL means for the capture: an Error with
// a remedy where waiting does not help, an outage where it may.
func (c *Capture) failure(doing string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	if _, ok := errors.AsType[*brimline.Error](err); ok {
		return err
	}
	e := &brimline.Error{Class: brimline.ClassEnvironment, Where: doing, Err: err}
	f := postgres.Classify(err)
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		e.Err = postgres.Cause(err)
		switch f.Kind {
		case postgres.KindTLS, postgres.KindLogin, postgres.KindSession:
			e.Kind, e.Remedy = f.Kind, f.Remedy
		default:
			e.Kind, e.Remedy = "postgres_unreachable", "check that PostgreSQL runs there and that host and port are right"
		}
		if !f.Temporary {
			return e
		}
		return &outage{e}
	}
	e.Err = errors.New(pg.Message) // the rest repeats host and user
	user := c.config.User
	switch pg.Code {
	case codeBadPassword:
		e.Kind, e.Remedy = "postgres_auth", fmt.Sprintf("check the password of user %q", user)
	case codeBadAuthorization:
		e.Kind, e.Remedy = "postgres_auth", fmt.Sprintf("check that user %q exists, and that pg_hba.conf admits it", user)
	case codeNoDatabase:
		e.Kind, e.Remedy = postgres.KindDatabase, fmt.Sprintf("create database %q or name another", c.config.Database)
	case codeNoTable:
		e.Kind, e.Remedy = "postgres_table", "check the table's name, and create it before the capture starts"
	case codeNoRight:
		switch {
		// "walsender" up to release 15, "WAL sender" since.
		case says(pg, "walsender", "WAL sender", "replication"):
			e.Kind, e.Remedy = "postgres_replication_right", fmt.Sprintf("ALTER ROLE %s REPLICATION (on a managed service, "+
				"its own way to grant it)", quote(user))
		case f.Kind == postgres.KindRowSecurity:
			e.Kind, e.Remedy = postgres.KindRowSecurity, fmt.Sprintf("ALTER ROLE %s BYPASSRLS: the change stream has every "+
				"row, and so must the snapshot", quote(user))
		default:
			e.Kind = "postgres_select_right"
			e.Remedy = fmt.Sprintf("GRANT USAGE ON SCHEMA %s TO %s; GRANT SELECT ON %s TO %[2]s",
				quote(c.schema), quote(user), c.quotedTable())
		}
	case codeUndefined:
		e.Kind = "postgres"
		if says(pg, "publication") {
			e.Kind, e.Remedy = kindNoPublication, c.createPublication(c.told)+"; then "+again
		}
	case codeNoColumn: // the table was altered between two statements
		e.Kind = postgres.KindAway
		return &outage{e}
	case codeLimit:
		e.Kind, e.Remedy = "postgres_slots", "drop slots that are not used, or raise max_replication_slots (a snapshot "+
			"needs two)"
	case codeInUse:
		e.Kind, e.Remedy = "slot_in_use", "stop the other process, or give this capture a slot of its own"
		return &outage{e}
	case codeNotReady:
		switch {
		case says(pg, "wal_level"):
			return errWalLevel(e.Err)
		case says(pg, "can no longer", "invalidated", "cannot read from logical"):
			return errSlotLost(c.o.Slot, e.Err)
		}
		e.Kind = postgres.KindAway
		return &outage{e}
	default:
		// A pooler's refusal passes when it knows the database again, an internal error when a server takes over; a
		// refused statement does not.
		if f.Temporary || strings.HasPrefix(pg.Code, "08") || strings.HasPrefix(pg.Code, "XX") {
			e.Kind = postgres.KindAway
			return &outage{e}
		}
		e.Kind = "postgres"
	}
	return e
}

func says(pg *pgconn.PgError, texts ...string) bool {
	return slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(pg.Message, s) })
}

func errWalLevel(err error) error {
	return &brimline.Error{
		Class: brimline.ClassEnvironment, Kind: "postgres_wal_level", Where: "PostgreSQL's settings",
		Remedy: "ALTER SYSTEM SET wal_level = logical, then restart PostgreSQL", Err: err,
	}
}

func errSlotLost(slot string, err error) error {
	return &brimline.Error{
		Class: brimline.ClassEnvironment, Kind: "slot_lost", Where: fmt.Sprintf("replication slot %q", slot),
		Remedy: fmt.Sprintf("SELECT pg_drop_replication_slot('%s') and start again: a new snapshot brings every row that "+
			"is there. "+
			"Rows that were deleted, truncated or moved to another user since the slot was lost stay in the topic; to be rid "+
			"of them, begin another topic (--source) "+
			"with a new --group. Raise max_slot_wal_keep_size", slot),
		Err: err,
	}
}

// quote makes an SQL identifier.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func (c *Capture) quotedTable() string { return quote(c.schema) + "." + quote(c.table) }
