package ledger

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	"github.com/brimline/brimline"
	"github.com/jackc/pgx/v5/pgconn"
)

// Temporary reports whether asking again later can succeed without anybody
// doing anything: PostgreSQL is away, starting, stopping, full or slow, or a
// replica is behind. A wrong password or a missing right is not temporary, yet
// worth asking again too, since an operator can put it right meanwhile. What
// is neither is an error of ClassInput: a user id or a stored value that
// cannot be read, which stays as it is however often one asks.
func Temporary(err error) bool {
	e, ok := errors.AsType[*brimline.Error](err)
	return ok && (e.Kind == kindAway || e.Kind == kindBusy || e.Kind == kindTimeout || e.Kind == kindBehind)
}

// Kinds of failure.
const (
	kindAway       = "postgres_away"
	kindBusy       = "postgres_busy"
	kindTimeout    = "postgres_timeout"
	kindBehind     = "postgres_replica_behind"
	kindTLS        = "postgres_tls"
	kindLogin      = "postgres_login"
	kindDatabase   = "postgres_database"
	kindPermission = "postgres_permission"
	kindMissing    = "postgres_missing"
	kindValue      = "postgres_value"
	kindQuery      = "postgres_query"
)

// fail gives err its kind and remedy. An end that the caller brought about
// itself stays recognisable as ctx.Err().
func (l *Ledger) fail(ctx context.Context, doing string, err error) error {
	if known, ok := errors.AsType[*brimline.Error](err); ok {
		return known
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %s: %w", l.where, doing, ctx.Err())
	}
	kind, remedy := l.classify(err)
	class := brimline.ClassEnvironment
	if kind == kindValue {
		class = brimline.ClassInput
	}
	return &brimline.Error{Class: class, Kind: kind, Where: l.where + ": " + doing, Remedy: remedy, Err: err}
}

func (l *Ledger) classify(err error) (kind, remedy string) {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return l.classifyState(pg.Code)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return kindTLS, "check sslmode and sslrootcert in the PostgreSQL URL"
	}
	switch {
	case errors.Is(err, errBehind):
		return kindBehind, "check the replication lag of the replica, or ask the primary (verify: on)"
	case errors.Is(err, context.DeadlineExceeded):
		return kindTimeout, l.slow()
	}
	// Without an SQLSTATE it never was a connection, or one that broke.
	return kindAway, "check that PostgreSQL runs and can be reached from here"
}

// classifyState goes by the SQLSTATE, whose first two characters are its class.
func (l *Ledger) classifyState(code string) (kind, remedy string) {
	switch code {
	case "57014": // query_canceled, by statement_timeout
		return kindTimeout, l.slow()
	case "3D000": // invalid_catalog_name
		return kindDatabase, "correct the database in the PostgreSQL URL"
	case "42501": // insufficient_privilege
		schema, _ := splitTable(l.o.Table)
		return kindPermission, fmt.Sprintf("GRANT USAGE ON SCHEMA %s and GRANT SELECT (%s) ON %s to this login",
			quote(schema), strings.Join(l.selected(), ", "), quoteTable(l.o.Table))
	case "42P01", "42703", "3F000": // undefined_table, undefined_column, invalid_schema_name
		return kindMissing, "check the names of table and columns in the configuration"
	case "55P03": // lock_not_available
		return kindBusy, "find who locks the table"
	case "0A000": // feature_not_supported: a cached plan whose table was altered
		return kindBusy, ""
	}
	switch code[:min(2, len(code))] {
	case "08", "57", "58": // connection exception, operator intervention (shutdown, starting), system error
		return kindAway, "check that PostgreSQL runs and accepts connections"
	case "53", "40": // insufficient resources (too many connections, out of memory), serialization and deadlock
		return kindBusy, "check max_connections and the load of PostgreSQL"
	case "28": // invalid authorization
		return kindLogin, "correct user and password (PGPASSWORD, ~/.pgpass or the URL), and pg_hba.conf"
	case "22": // data exception
		return kindValue, "check that the user ids of the stream and of the table are of the same type"
	}
	return kindQuery, "report this as a bug of brimline with the text of the error"
}

func (l *Ledger) slow() string {
	return fmt.Sprintf("check the load of PostgreSQL, and that there is an index on (%s, %s)", quote(l.o.Columns.User), quote(l.o.Columns.Time))
}
