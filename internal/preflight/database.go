package preflight

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"time"

	"github.com/brimline/brimline"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// DatabaseOptions say what is expected of PostgreSQL.
type DatabaseOptions struct {
	// URL of the database, as pgx understands it. It is never part of a finding: it may hold a password.
	URL string

	Table  string   // schema.name, unquoted, as in the settings
	ID     []string // primary key columns, in order
	User   string   // column names
	Amount string
	Time   string
	// Columns are those that rules ask about, and Scale the decimals of amounts.
	Columns []brimline.Column
	Scale   int

	// Publication and Slot that the change stream is read through; empty where
	// not known: then any that fits will do.
	Publication string
	Slot        string
	// Capture is set when `brimline capture` reads this database itself: what
	// it needs is then an error where it is otherwise a warning.
	Capture bool

	// Clock is this machine's; nil is time.Now.
	Clock func() time.Time
	// Timeout bounds all checks together; 0 means 10 s.
	Timeout time.Duration
}

const (
	oldestPostgres = 120000 // the oldest version that the tests of the pgoutput decoder and of Debezium cover
	maxClockSkew   = 2 * time.Second
	lagWarning     = 1 << 30 // bytes of write-ahead log that a slot holds back
)

// Database checks PostgreSQL: that it can be reached and asked, that the table
// and its columns are as the settings say, that lookups have their index, and
// that its change stream is complete.
func Database(ctx context.Context, o DatabaseOptions) []Finding {
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()

	d := &database{DatabaseOptions: o}
	config, err := pgx.ParseConfig(o.URL)
	if err != nil {
		d.add(Error, "postgres_url", "write it as postgres://user@host:port/database, with special characters escaped as %XX, and the password in PGPASSWORD or ~/.pgpass",
			"the database URL cannot be read%s", unread(err))
		return d.findings
	}
	d.config = config
	if d.conn, err = pgx.ConnectConfig(ctx, config); err != nil {
		d.connectFailed(err)
		return d.findings
	}
	defer d.conn.Close(context.WithoutCancel(ctx))
	d.ok("postgres_connection", "connected to %s as %s", d.place(), config.User)
	if err := d.all(ctx); err != nil {
		d.add(Error, "postgres_catalog", "see PostgreSQL's log", "PostgreSQL did not answer a check: %v", err)
	}
	return d.findings
}

// unread says why a URL cannot be read, without a word of it: pgx takes out
// what it knows to be the password, and in a URL that it cannot read it may
// know wrong.
func unread(err error) string {
	if file, ok := errors.AsType[*fs.PathError](err); ok {
		return ": it names a file, " + file.Error()
	}
	return " (it is not shown here: it may hold a password)"
}

type database struct {
	DatabaseOptions
	report
	config  *pgx.ConnConfig
	conn    *pgx.Conn
	version int
	replica bool
	table   tableFacts
}

// place names the server without credentials.
func (d *database) place() string {
	return fmt.Sprintf("PostgreSQL at %s, database %q", net.JoinHostPort(d.config.Host, fmt.Sprint(d.config.Port)), d.config.Database)
}

func (d *database) all(ctx context.Context) error {
	steps := []func(context.Context) error{
		d.checkServer, d.checkClock, d.checkTable, d.checkRights, d.checkColumns,
		d.checkKeys, d.checkIndex, d.checkWAL, d.checkPublication, d.checkSlots,
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (d *database) connectFailed(err error) {
	const check = "postgres_connection"
	reason := strings.TrimSpace(rootCause(err).Error())
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch e.Code {
		case "28P01", "28000":
			d.add(Error, "postgres_login", "check the user and password in --database-url (PGPASSWORD and ~/.pgpass count too), and pg_hba.conf",
				"%s refuses the user %q: %s", d.place(), d.config.User, e.Message)
		case "3D000":
			d.add(Error, "postgres_database", "name an existing database in --database-url", "%s: %s", d.place(), e.Message)
		case "53300":
			d.add(Error, "postgres_connections", "free connections or raise max_connections", "%s: %s", d.place(), e.Message)
		case "57P03":
			d.add(Error, check, "wait until it has started", "%s: %s", d.place(), e.Message)
		default:
			d.add(Error, check, "see PostgreSQL's log", "%s refuses the connection: %s (%s)", d.place(), e.Message, e.Code)
		}
		return
	}
	if isTLS(err) {
		d.add(Error, "postgres_tls", "set sslmode and sslrootcert in --database-url to what the server offers", "%s: %s", d.place(), reason)
		return
	}
	d.add(Error, check, "check that PostgreSQL runs and that host and port in --database-url are right", "cannot reach %s: %s", d.place(), reason)
}

func isTLS(err error) bool {
	if strings.Contains(err.Error(), "server refused TLS connection") {
		return true
	}
	_, record := errors.AsType[tls.RecordHeaderError](err)
	_, verify := errors.AsType[*tls.CertificateVerificationError](err)
	_, authority := errors.AsType[x509.UnknownAuthorityError](err)
	_, name := errors.AsType[x509.HostnameError](err)
	return record || verify || authority || name
}

// rootCause is the innermost error: pgx wraps a dial error in several
// sentences, and tries each address of a host.
func rootCause(err error) error {
	for {
		switch e := err.(type) { //nolint:errorlint // goes down the chain itself
		case interface{ Unwrap() error }:
			if e.Unwrap() == nil {
				return err
			}
			err = e.Unwrap()
		case interface{ Unwrap() []error }:
			if len(e.Unwrap()) == 0 {
				return err
			}
			err = e.Unwrap()[0]
		default:
			return err
		}
	}
}

func (d *database) checkServer(ctx context.Context) error {
	var text string
	err := d.conn.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_setting('server_version'), pg_is_in_recovery()`).
		Scan(&d.version, &text, &d.replica)
	if err != nil {
		return err
	}
	// Compiling the catalog queries takes ten times as long as running them.
	session := "SET default_transaction_read_only = on"
	if d.version >= 110000 {
		session += "; SET jit = off"
	}
	if _, err := d.conn.Exec(ctx, session); err != nil {
		return err
	}
	if d.version < oldestPostgres {
		d.add(Warning, "postgres_version", "use PostgreSQL 12 or later", "PostgreSQL %s is older than what brimline is tested with", text)
	} else {
		d.ok("postgres_version", "PostgreSQL %s", text)
	}
	if d.replica {
		d.add(Note, "postgres_replica", "run with --verify=replica, which waits until it has replayed the row; run doctor against the primary as well",
			"this server is a replica: the write-ahead log, publications and slots of the primary are not checked")
	}
	return nil
}

// checkClock compares the clocks. Windows are judged by the rows' times alone;
// a skew shows in figures "as of now".
func (d *database) checkClock(ctx context.Context) error {
	var theirs time.Time
	before := d.Clock()
	if err := d.conn.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&theirs); err != nil {
		return err
	}
	after := d.Clock()
	skew := theirs.Sub(before.Add(after.Sub(before) / 2))
	if skew.Abs() > maxClockSkew+after.Sub(before)/2 {
		direction := "ahead of"
		if skew < 0 {
			direction = "behind"
		}
		d.add(Warning, "postgres_clock", "synchronise both clocks (NTP): figures as of now are off by this much",
			"the database's clock is %s %s this machine's", skew.Abs().Round(100*time.Millisecond), direction)
		return nil
	}
	d.ok("postgres_clock", "the clocks of the database and of this machine agree")
	return nil
}
