package postgres

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Kinds of failure.
const (
	KindAway        = "postgres_away"         // not there, starting, stopping, or the connection broke
	KindBusy        = "postgres_busy"         // no connection or memory left, a lock, a conflict
	KindTimeout     = "postgres_timeout"      // too slow
	KindTLS         = "postgres_tls"          // client and server do not agree on encryption, or on who the server is
	KindLogin       = "postgres_login"        // user, password or pg_hba.conf
	KindDatabase    = "postgres_database"     // there is no such database
	KindPermission  = "postgres_permission"   // a right is missing
	KindRowSecurity = "postgres_row_security" // row-level security hides rows from this login
	KindMissing     = "postgres_missing"      // a table or column is missing, or of another type
	KindSession     = "postgres_session"      // no host is as target_session_attrs asks
	KindPooler      = "postgres_pooler"       // a pooler between that does not let through what is asked of it
	KindSettings    = "postgres_settings"     // a setting of the session that the server does not know
	KindValue       = "postgres_value"        // a value cannot be computed or converted
	KindQuery       = "postgres_query"        // anything else
)

// Failure says what an error means.
type Failure struct {
	Kind   string
	Remedy string
	// Temporary tells that asking again later can succeed with nothing changed. A
	// wrong password or a missing right is not temporary, yet worth asking again
	// too, since an operator can put it right meanwhile.
	Temporary bool
}

// Classify says what an error of a connection, an attempt to make one, or a statement means.
func Classify(err error) Failure {
	const reach = "check that PostgreSQL runs and can be reached from here"
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return classifyState(pg)
	}
	switch {
	case IsTLS(err):
		return Failure{KindTLS, "set sslmode and sslrootcert in the PostgreSQL URL to what the server offers", false}
	case errors.Is(err, pgconn.ErrReadOnlyConnection):
		return Failure{
			KindSession,
			"check which server is the primary; for a login that is read-only by default write target_session_attrs=primary",
			true,
		}
	case errors.Is(err, pgconn.ErrReadWriteConnection),
		errors.Is(err, pgconn.ErrPrimaryConnection),
		errors.Is(err, pgconn.ErrStandbyConnection):
		return Failure{KindSession, "check which servers the URL names, and its target_session_attrs", true}
	case errors.Is(err, context.DeadlineExceeded):
		return Failure{KindTimeout, "check the load of PostgreSQL", true}
	case errors.Is(err, context.Canceled):
		return Failure{KindAway, "", true}
	case says(err, "channel binding", "authentication method requirement", "SCRAM", "GSS"):
		return Failure{
			KindLogin,
			"set channel_binding, require_auth and the password to what the server asks for",
			false,
		}
	}
	// Without an SQLSTATE it never was a connection, or one that broke.
	return Failure{KindAway, reach, true}
}

// classifyState goes by the SQLSTATE, whose first two characters are its class.
func classifyState(pg *pgconn.PgError) Failure {
	if pg.Severity == "FATAL" &&
		(strings.HasPrefix(pg.Code, "22") || strings.HasPrefix(pg.Code, "42") && pg.Code != "42501") {
		return Failure{
			KindSettings,
			"correct the parameters of the PostgreSQL URL, PGOPTIONS, and the settings of the login (ALTER ROLE … SET)",
			false,
		}
	}
	const describe = "behind a pooler in transaction mode add default_query_exec_mode=cache_describe to the PostgreSQL URL"
	switch pg.Code {
	case "57014": // query_canceled, by statement_timeout
		return Failure{KindTimeout, "check the load of PostgreSQL", true}
	case "3D000": // invalid_catalog_name
		return Failure{KindDatabase, "correct the database in the PostgreSQL URL", false}
	case "42501": // insufficient_privilege
		if pg.Routine == "check_enable_rls" { // the message is in the server's language
			return Failure{
				KindRowSecurity,
				"ALTER ROLE … BYPASSRLS for this login, or take row-level security off the table",
				false,
			}
		}
		return Failure{KindPermission, "grant the right to this login", false}
	case "42P01", "42703", "3F000", "42883", "42804", "42846", "42704", "42809":
		// undefined_table, _column, schema, function or operator (of another type), datatype_mismatch, cannot_coerce,
		// undefined_object, wrong_object_type
		return Failure{KindMissing, "check the names of table and columns in the configuration", false}
	case "55P03": // lock_not_available
		return Failure{KindBusy, "find who locks the table", true}
	case "0A000": // feature_not_supported: a cached plan whose table was altered
		return Failure{KindBusy, "", true}
	case "55000", "25006": // not in the prerequisite state: a promotion in between; read_only_sql_transaction
		return Failure{KindAway, "check which server is the primary", true}
	case "26000", "42P05": // the prepared statement is not there, or was there before
		return Failure{KindPooler, describe, false}
	case "08P01": // protocol_violation, which is what PgBouncer makes of all that it does not like
		if strings.Contains(pg.Message, "startup parameter") {
			return Failure{
				KindPooler,
				"take it out of the PostgreSQL URL and the environment, or add it to PgBouncer's ignore_startup_parameters",
				false,
			}
		}
		if strings.Contains(pg.Message, "prepared statement") {
			return Failure{KindPooler, describe, false}
		}
		if strings.Contains(pg.Message, "no such database") {
			return Failure{KindDatabase, "correct the database in the PostgreSQL URL", false}
		}
		if strings.Contains(pg.Message, "authentication failed") || strings.Contains(pg.Message, "no such user") {
			return Failure{KindLogin, remedyLogin, false}
		}
	}
	switch (pg.Code + "  ")[:2] {
	case "08", "57", "58": // connection exception, operator intervention (shutdown, starting), system error
		return Failure{KindAway, "check that PostgreSQL runs and accepts connections", true}
	case "53", "40": // insufficient resources (too many connections, out of memory), serialization and deadlock
		return Failure{KindBusy, "check max_connections and the load of PostgreSQL", true}
	case "25": // invalid transaction state: a session that sat idle in its transaction for too long
		return Failure{KindAway, "check the timeouts of idle sessions of this login", true}
	case "28": // invalid authorization
		return Failure{KindLogin, remedyLogin, false}
	case "22": // data exception
		return Failure{KindValue, "correct the row: one of its values cannot be converted or computed with", false}
	}
	return Failure{KindQuery, "report this as a bug of brimline with the text of the error", false}
}

const remedyLogin = "correct user and password (PGPASSWORD, ~/.pgpass or the URL), and pg_hba.conf"

// IsTLS reports whether client and server do not agree on encryption, or on who the server is.
func IsTLS(err error) bool {
	if err == nil {
		return false
	}
	_, verify := errors.AsType[*tls.CertificateVerificationError](err)
	_, record := errors.AsType[tls.RecordHeaderError](err)
	_, alert := errors.AsType[tls.AlertError](err)
	_, authority := errors.AsType[x509.UnknownAuthorityError](err)
	_, name := errors.AsType[x509.HostnameError](err)
	return verify || record || alert || authority || name ||
		says(err, "server refused TLS connection", "SSL certificate")
}

func says(err error, texts ...string) bool {
	text := err.Error()
	return slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(text, s) })
}

// Cause is the error without the driver's words around it: its errors
// repeat user, database and each address of a host, and they hold the
// configuration, password and all. Where several hosts were tried, it is what
// each of them said.
func Cause(err error) error {
	if err == nil {
		return nil
	}
	var causes []error
	var texts []string
	for _, leaf := range leaves(err) {
		text := strings.TrimSpace(leaf.Error())
		if pg, ok := leaf.(*pgconn.PgError); ok { //nolint:errorlint // a leaf wraps nothing
			text = pg.Error()
		}
		if slices.Contains(texts, text) {
			continue
		}
		causes, texts = append(causes, leaf), append(texts, text)
	}
	if len(causes) == 1 {
		return causes[0]
	}
	return &several{strings.Join(texts, "; "), causes}
}

// several joins the errors of several hosts.
type several struct {
	text   string
	causes []error
}

func (s *several) Error() string   { return s.text }
func (s *several) Unwrap() []error { return s.causes }

// leaves are the errors that say something by themselves.
func leaves(err error) []error {
	switch e := err.(type) { //nolint:errorlint // goes down the chain itself
	case *pgconn.PgError, *net.OpError, *net.DNSError, *tls.CertificateVerificationError, *x509.UnknownAuthorityError:
		return []error{err}
	case interface{ Unwrap() []error }:
		var all []error
		for _, inner := range e.Unwrap() {
			all = append(all, leaves(inner)...)
		}
		if len(all) > 0 {
			return all
		}
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			return leaves(inner)
		}
	}
	return []error{err}
}
