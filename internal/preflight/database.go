package preflight

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/postgres"
	"github.com/brimline/brimline/internal/present"
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
	// MinorUnits is the setting; below 0 where nothing was said.
	MinorUnits int
	// FloatAmounts takes amounts of a float's type, and Unverified says that PostgreSQL is not asked for totals.
	FloatAmounts, Unverified bool
	// Spared says that a start need not end where PostgreSQL cannot be asked.
	Spared bool
	// AsksNull are the columns of which a rule asks whether they are NULL.
	AsksNull []string
	// Nulls says whether the change stream may have NULLs.
	Nulls Nulls
	// Streamed is set when the source topic has records.
	Streamed bool

	// Publication and Slot that the change stream is read through; empty where
	// not known: then any that fits will do.
	// What is named is ours, and what is wrong with it ends a start; others are other people's.
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
	oldestPostgres = 130000 // the oldest version that the tests of the pgoutput decoder and of Debezium cover
	maxClockSkew   = 2 * time.Second
	lagWarning     = 1 << 30 // bytes of write-ahead log that a slot holds back
)

// Database checks PostgreSQL: that it can be reached and asked, that the table
// and its columns are as the settings say, that lookups have their index, and
// that its change stream is complete.
//
// The catalog is nil where it could not be read or has no such table.
func Database(ctx context.Context, o DatabaseOptions) ([]Finding, *Catalog) {
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()

	d := &database{DatabaseOptions: o}
	target, err := postgres.Parse(o.URL)
	if bad, ok := errors.AsType[*brimline.Error](err); ok {
		d.add("postgres_connection_url", bad.Remedy, "the database URL: %v", bad.Err)
		return d.findings, nil
	}
	d.target = target
	if err := d.connect(ctx); err != nil {
		d.connectFailed(err)
		return d.spare(), nil
	}
	defer d.conn.Close(context.WithoutCancel(ctx))
	d.ok("postgres_connection", "connected to %s as %s", target.Place(), target.User())
	if err := d.all(ctx); err != nil {
		d.add("postgres_connection_catalog", "see PostgreSQL's log, and whether this login may read the catalog",
			"PostgreSQL did not answer a check: %v", postgres.Cause(err))
		return d.spare(), nil
	}
	if d.table.OID == 0 {
		return d.findings, nil
	}
	return d.findings, &d.table
}

// spare are the findings, of which PostgreSQL's absence is only a warning where it was only to be looked at.
func (d *database) spare() []Finding {
	for i, f := range d.findings {
		if d.Spared && f.Level == Error && subject(f.Check) == "postgres_connection" {
			d.findings[i] = Found("postgres_connection_away", f.Remedy, "%s", f.What)
		}
	}
	return d.findings
}

// connect opens the connection, and the transaction that every check is made
// in: behind a pooler a setting of the session would be the next client's.
func (d *database) connect(ctx context.Context) (err error) {
	if d.conn, err = d.target.Connect(ctx, "brimline doctor"); err != nil {
		return err
	}
	if _, err = d.conn.Exec(ctx, "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY"); err != nil {
		_ = d.conn.Close(context.WithoutCancel(ctx))
	}
	return err
}

type database struct {
	DatabaseOptions
	report
	target  *postgres.Target
	conn    *pgx.Conn
	version int
	replica bool
	table   Catalog
}

func (d *database) all(ctx context.Context) error {
	for _, step := range []func(context.Context) error{
		d.checkServer, d.checkClock, d.checkTable, d.checkRights, d.checkColumns, d.checkKeys, d.checkIndex,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	for _, step := range []struct {
		what string
		run  func(context.Context) error
	}{
		{"the settings of replication", d.checkWAL}, {"publications", d.checkPublication},
		{"replication slots", d.checkSlots},
	} {
		if err := d.allowed(ctx, step.what, step.run); err != nil {
			return err
		}
	}
	return nil
}

// allowed makes a check of what some logins may not see, and says so then.
func (d *database) allowed(ctx context.Context, what string, step func(context.Context) error) error {
	if _, err := d.conn.Exec(ctx, "SAVEPOINT step"); err != nil {
		return err
	}
	err := step(ctx)
	if e, ok := errors.AsType[*pgconn.PgError](err); !ok || e.Code != "42501" { // insufficient_privilege
		return err
	}
	if _, failed := d.conn.Exec(ctx, "ROLLBACK TO SAVEPOINT step"); failed != nil {
		return failed
	}
	d.add("postgres_connection_unseen", "", "user %q may not look at %s: they were not checked (%s)", d.target.User(),
		what,
		postgres.Cause(err))
	return nil
}

func (d *database) connectFailed(err error) {
	const check = "postgres_connection_failed"
	reason := strings.TrimSpace(postgres.Cause(err).Error())
	switch f := postgres.Classify(err); f.Kind {
	case postgres.KindSession, postgres.KindPooler, postgres.KindSettings:
		d.add(check, f.Remedy, "%s: %s", d.target.Place(), reason)
		return
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch e.Code {
		case "28P01", "28000":
			d.add("postgres_connection_login", "check the user and password in --database-url (PGPASSWORD and ~/.pgpass "+
				"count too), and pg_hba.conf",
				"%s refuses the user %q: %s", d.target.Place(), d.target.User(), e.Message)
		case "3D000":
			d.add("postgres_connection_database", "name an existing database in --database-url", "%s: %s", d.target.Place(),
				e.Message)
		case "53300":
			d.add("postgres_connection_full", "free connections or raise max_connections", "%s: %s", d.target.Place(),
				e.Message)
		case "57P03":
			d.add(check, "wait until it has started", "%s: %s", d.target.Place(), e.Message)
		default:
			d.add(check, "see PostgreSQL's log", "%s refuses the connection: %s (%s)", d.target.Place(), e.Message,
				e.Code)
		}
		return
	}
	if postgres.IsTLS(err) {
		d.add("postgres_connection_tls", "set sslmode and sslrootcert in --database-url to what the server offers", "%s: %s",
			d.target.Place(), reason)
		return
	}
	d.add(check, "check that PostgreSQL runs and that host and port in --database-url are right",
		"cannot reach %s: %s", d.target.Place(), reason)
}

func (d *database) checkServer(ctx context.Context) error {
	var text string
	err := d.conn.QueryRow(ctx,
		`SELECT current_setting('server_version_num')::int, current_setting('server_version'), pg_is_in_recovery()`).
		Scan(&d.version, &text, &d.replica)
	if err != nil {
		return err
	}
	if d.version >= 110000 {
		// Compiling the catalog queries takes ten times as long as running them.
		if _, err := d.conn.Exec(ctx, "SET LOCAL jit = off"); err != nil {
			return err
		}
	}
	d.serverFindings(text)
	return nil
}

func (d *database) serverFindings(text string) {
	if d.replica {
		d.add("postgres_version_replica", "run with --verify=replica, which waits until it has replayed the row; run doctor "+
			"against the primary as well",
			"this server is a replica: the write-ahead log, publications and slots of the primary are not checked")
	}
	if d.version < oldestPostgres {
		d.add("postgres_version_old", "use PostgreSQL 13 or later",
			"PostgreSQL %s is older than what brimline is tested with", text)
	} else {
		d.ok("postgres_version", "PostgreSQL %s", text)
	}
}

// checkClock compares the clocks. Windows are evaluated by the rows' times alone;
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
		d.add("postgres_clock_skew", "synchronise both clocks (NTP): figures as of now are off by this much",
			"the database's clock is %s %s this machine's", present.Took(skew.Abs()), direction)
		return nil
	}
	d.ok("postgres_clock", "the clocks of the database and of this machine agree")
	return nil
}
