package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/brimline/brimline"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

func (o Options) withDefaults() Options {
	o.MaxConns = cmp.Or(o.MaxConns, 8)
	o.Timeout = cmp.Or(o.Timeout, 10*time.Second)
	o.Name = cmp.Or(o.Name, "brimline")
	return o
}

func (o *Options) poolConfig() (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(o.URL)
	if err != nil {
		return nil, o.badURL(err)
	}
	if mode := config.ConnConfig.DefaultQueryExecMode; mode == pgx.QueryExecModeSimpleProtocol || mode == pgx.QueryExecModeExec {
		return nil, &brimline.Error{
			Class: brimline.ClassInput, Kind: "postgres_url", Where: "PostgreSQL URL",
			Remedy: "use default_query_exec_mode=cache_describe, which works behind poolers as well",
			Err:    fmt.Errorf("query mode %q sends times as text, which does not hold every year", mode),
		}
	}
	config.MaxConns = int32(o.MaxConns)
	config.MinConns, config.MinIdleConns = 0, 0
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = min(5*time.Second, o.Timeout)
	}
	run := config.ConnConfig.RuntimeParams
	run["application_name"] = o.Name
	run["default_transaction_read_only"] = "on"
	run["timezone"] = "UTC"
	run["statement_timeout"] = strconv.FormatInt(o.Timeout.Milliseconds(), 10)
	return config, nil
}

// badURL leaves out what the parser says: it quotes pieces of the URL, and a
// password with an unescaped character ends up among them.
func (o *Options) badURL(error) error {
	return &brimline.Error{
		Class: brimline.ClassInput, Kind: "postgres_url", Where: "PostgreSQL URL",
		Remedy: "write postgres://user@host:port/database, with special characters escaped as %XX, and the password in PGPASSWORD or ~/.pgpass",
		Err:    errors.New("it cannot be read (not shown here: it may hold a password), or a file it names is missing"),
	}
}

func (o *Options) describe(c *pgx.ConnConfig) string {
	return fmt.Sprintf("PostgreSQL %s/%s, table %s", net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port))), c.Database, quoteTable(o.Table))
}

// column is what the catalog says about one; kind is its base type's name.
type column struct{ kind, cast string }

// prepare looks the columns up, writes the statements and tries them.
func (l *Ledger) prepare(ctx context.Context) error {
	var columns map[string]column
	err := l.ask(ctx, nil, "looking up its columns", func(ctx context.Context, c *pgx.Conn) (err error) {
		columns, err = lookUp(ctx, c, l.o.Table)
		return err
	})
	if err != nil {
		return err
	}
	if err := l.check(columns); err != nil {
		return err
	}
	l.sql = build(&l.o, columns[l.o.Columns.User].cast, l.time)
	return l.ask(ctx, nil, "reading it", func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, "SELECT "+strings.Join(l.selected(), ", ")+" FROM "+quoteTable(l.o.Table)+" LIMIT 0")
		return err
	})
}

// lookUp reads the catalog, which every login may, so that a missing table is
// told from a missing right. format_type without a modifier is the type that
// takes every value: a cast to varchar(3) would cut.
func lookUp(ctx context.Context, c *pgx.Conn, table string) (map[string]column, error) {
	schema, name := splitTable(table)
	rows, err := c.Query(ctx, `
		SELECT a.attname, format_type(coalesce(nullif(t.typbasetype, 0), t.oid), NULL), format_type(a.atttypid, -1)
		FROM pg_attribute a
		JOIN pg_class r ON r.oid = a.attrelid AND r.relkind IN ('r', 'p', 'v', 'm', 'f')
		JOIN pg_namespace n ON n.oid = r.relnamespace
		JOIN pg_type t ON t.oid = a.atttypid
		WHERE n.nspname = $1 AND r.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped`, schema, name)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns := map[string]column{}
	for rows.Next() {
		var name string
		var c column
		if err := rows.Scan(&name, &c.kind, &c.cast); err != nil {
			return nil, err
		}
		columns[name] = c
	}
	return columns, rows.Err()
}

// check compares the options with the table, and reports every difference at once.
func (l *Ledger) check(columns map[string]column) error {
	if len(columns) == 0 {
		return &brimline.Error{
			Class: brimline.ClassEnvironment, Kind: "postgres_missing", Where: l.where,
			Remedy: "name the table as schema.name, exactly as PostgreSQL spells it, and check the database in the URL",
			Err:    errors.New("there is no such table"),
		}
	}
	var wrong []string
	expect := func(name, what string, kinds ...string) string {
		c, ok := columns[name]
		switch {
		case !ok:
			wrong = append(wrong, fmt.Sprintf("there is no column %q (%s)", name, what))
		case len(kinds) > 0 && !slices.Contains(kinds, c.kind):
			wrong = append(wrong, fmt.Sprintf("column %q (%s) is %s, not %s", name, what, c.kind, strings.Join(kinds, " or ")))
		}
		return c.kind
	}
	for _, id := range l.o.Columns.ID {
		expect(id, "primary key")
	}
	expect(l.o.Columns.User, "user")
	expect(l.o.Columns.Amount, "amount, exact", "numeric", "bigint", "integer", "smallint")
	const zoned, zoneless = "timestamp with time zone", "timestamp without time zone"
	l.time = withZone
	if expect(l.o.Columns.Time, "time", zoned, zoneless) == zoneless {
		l.time = withoutZone
	}
	for _, c := range l.o.Extra {
		kinds := map[brimline.ColumnType][]string{
			brimline.Integer:   {"bigint", "integer", "smallint", "numeric"},
			brimline.Numeric:   {"numeric", "bigint", "integer", "smallint", "real", "double precision"},
			brimline.Boolean:   {"boolean"},
			brimline.Timestamp: {zoned, zoneless},
		}[c.Type]
		expect(c.Name, "column of the rules file, "+string(c.Type), kinds...)
	}
	if len(wrong) > 0 {
		return &brimline.Error{
			Class: brimline.ClassEnvironment, Kind: "postgres_missing", Where: l.where,
			Remedy: "correct the column names and types in the configuration and the rules file", Err: errors.New(strings.Join(wrong, "; ")),
		}
	}
	return nil
}

// selected are the columns that are read, quoted.
func (l *Ledger) selected() []string {
	names := slices.Concat(l.o.Columns.ID, []string{l.o.Columns.User, l.o.Columns.Amount, l.o.Columns.Time})
	for _, c := range l.o.Extra {
		names = append(names, c.Name)
	}
	for i, name := range names {
		names[i] = quote(name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
