package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/postgres"
	"github.com/jackc/pgx/v5"
)

func (o Options) withDefaults() Options {
	o.MaxConns = cmp.Or(o.MaxConns, 8)
	o.MaxLong = cmp.Or(o.MaxLong, 2)
	o.Timeout = cmp.Or(o.Timeout, 10*time.Second)
	o.Name = cmp.Or(o.Name, "brimline")
	return o
}

// layout describes the table, and holds the SQL that follows from it.
type layout struct {
	signature string // as signatureSQL has it: another one is another layout
	columns   map[string]column
	time      timeType
	sql       statements
}

// signatureSQL is a subquery about the table $1 and its columns $2: empty
// where there is no such table. Two answers that are equal mean that no
// question is read differently. Rights and policies are no part of it: they
// make errors by themselves.
const signatureSQL = `coalesce((SELECT pg_catalog.concat_ws(' ', a.attrelid, pg_catalog.string_agg(
		pg_catalog.concat_ws(' ', a.attname, a.atttypid, a.atttypmod, a.attcollation), ',' ORDER BY a.attnum))
	FROM pg_catalog.pg_attribute a
	WHERE a.attrelid = pg_catalog.to_regclass($1) AND a.attname = ANY($2) AND NOT a.attisdropped
	GROUP BY a.attrelid), '')`

// tableSQL is a subquery that gives a column of pg_class about the table $1.$2; it reads
// the catalog, which every login may, so that a missing table is told from a missing right.
const tableSQL = `(SELECT r.%s FROM pg_catalog.pg_class r JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace
	WHERE n.nspname = $1 AND r.relname = $2)`

// kindSQL is the kind of the table, empty where there is none.
var kindSQL = "SELECT coalesce(" + fmt.Sprintf(tableSQL, "relkind::pg_catalog.text") + ", '')"

// lookUpSQL gives a table's columns as in type column.
var lookUpSQL = `WITH RECURSIVE base AS (
	SELECT a.attname, a.atttypid AS type, a.atttypmod AS modifier, a.attcollation,
		pg_catalog.format_type(a.atttypid, a.atttypmod) AS shown
	FROM pg_catalog.pg_attribute a
	WHERE a.attrelid = ` + fmt.Sprintf(tableSQL, "oid") + ` AND a.attnum > 0 AND NOT a.attisdropped
	UNION ALL
	SELECT b.attname, t.typbasetype, CASE WHEN t.typtypmod >= 0 THEN t.typtypmod ELSE b.modifier END,
		b.attcollation, b.shown
	FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.type
	WHERE t.typtype = 'd')
	SELECT b.attname, CASE WHEN t.typtype = 'e' THEN 'enum' WHEN t.typtype = 'c' THEN 'composite'
			WHEN t.typcategory = 'A' THEN 'array' ELSE t.typname END,
		pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(t.typname), b.shown,
		pg_catalog.quote_ident(CASE WHEN t.typtype = 'e' THEN 'pg_catalog' ELSE n.nspname END),
		pg_catalog.quote_ident(f.nspname) || '.' || pg_catalog.quote_ident(o.proname),
		CASE WHEN b.modifier >= 4 THEN (((b.modifier - 4) & 2047) # 1024) - 1024 ELSE 0 END, b.modifier < 4,
		coalesce(NOT c.collisdeterministic, false)
	FROM base b
	JOIN pg_catalog.pg_type t ON t.oid = b.type AND t.typtype <> 'd'
	JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
	JOIN pg_catalog.pg_proc o ON o.oid = t.typoutput
	JOIN pg_catalog.pg_namespace f ON f.oid = o.pronamespace
	LEFT JOIN pg_catalog.pg_collation c ON c.oid = b.attcollation`

// look finds the layout out, and tries to read the table.
func (l *Ledger) look(ctx context.Context, conn *pgx.Conn) (*layout, error) {
	const doing = "looking up its columns"
	found := &layout{columns: map[string]column{}}
	var kind string
	schema, name := splitTable(l.o.Table)
	err := postgres.Ask(ctx, conn, l.o.Timeout, func(b *pgx.Batch) {
		b.Queue("SELECT "+signatureSQL, quoteTable(l.o.Table), l.needed())
		b.Queue(kindSQL, schema, name)
		b.Queue(lookUpSQL, schema, name)
	}, func(results pgx.BatchResults) error {
		if err := results.QueryRow().Scan(&found.signature); err != nil {
			return err
		}
		if err := results.QueryRow().Scan(&kind); err != nil {
			return err
		}
		rows, err := results.Query()
		if err != nil {
			return err
		}
		var label string
		var c column
		into := []any{&label, &c.kind, &c.cast, &c.shown, &c.schema, &c.output, &c.scale, &c.anyScale, &c.loose}
		_, err = pgx.ForEachRow(rows, into, func() error {
			found.columns[label] = c
			return nil
		})
		return err
	})
	if err != nil {
		return nil, l.fail(ctx, doing, err)
	}
	if err := l.check(kind, found); err != nil {
		return nil, err
	}
	found.time = withZone
	if found.columns[l.o.Columns.Time].kind == "timestamp" {
		found.time = withoutZone
	}
	found.sql = build(&l.o, kind, found)
	try := func(b *pgx.Batch) { b.Queue(l.trySQL()) }
	err = postgres.Ask(ctx, conn, l.o.Timeout, try, postgres.Done)
	if err != nil {
		return nil, l.fail(ctx, "reading it", err)
	}
	return found, nil
}

// trySQL reads none of the table's rows, by a statement whose result's type never changes: its plan is kept.
func (l *Ledger) trySQL() string {
	columns := strings.Join(l.selected(), ", ")
	return "SELECT pg_catalog.count(*) FROM (SELECT " + columns + " FROM " + quoteTable(l.o.Table) + " LIMIT 0) AS read"
}

func (l *Ledger) missing(remedy, what string) error {
	return &brimline.Error{
		Class: brimline.ClassEnvironment, Kind: postgres.KindMissing, Where: l.where, Remedy: remedy, Err: errors.New(what),
	}
}

// notTables are by pg_class.relkind. A question about one of them would leave
// rows out, or not know when a change of the stream has arrived there.
var notTables = map[string]string{
	"v": "a view, which may hide rows of the table that the change stream is about",
	"m": "a materialized view, which is as old as its last refresh",
	"f": "a foreign table: its rows are another server's, which does not know the transactions of this one",
}

// check compares the options with the table, and reports every difference at once.
func (l *Ledger) check(kind string, found *layout) error {
	switch {
	case notTables[kind] != "":
		return l.missing("name the table beneath it with --table, and its database in the PostgreSQL URL",
			"it is "+notTables[kind])
	case kind != "r" && kind != "p":
		return l.missing("name the table as schema.name, exactly as PostgreSQL spells it, and check the database in the URL",
			"there is no such table")
	}
	remedy := "correct the column names and types in the configuration and the rules file"
	var wrong []string
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	expect := func(name, what, more string, kinds []string) {
		c, ok := found.columns[name]
		switch {
		case !ok:
			say("there is no column %q (%s)", name, what)
		case !slices.Contains(kinds, c.kind):
			say("column %q (%s) is %s, not %s%s", name, what, c.shown, alternatives(kinds), more)
		}
	}
	for _, id := range l.o.Columns.ID {
		expect(id, "primary key", "", keyKinds)
	}
	expect(l.o.Columns.User, "user", "", userKinds)
	expect(l.o.Columns.Amount, "amount, exact", "", amountKinds)
	expect(l.o.Columns.Time, "time", "", moments)
	for _, c := range l.o.Extra {
		more := advice(c.Type, found.columns[c.Name].kind)
		expect(c.Name, "column of the rules file, "+string(c.Type), more, declarable[c.Type])
	}
	amount := found.columns[l.o.Columns.Amount]
	if l.o.MinorUnits != 0 && amount.kind == "numeric" && (amount.anyScale || amount.scale != 0) {
		say("column %q (amount) is %s, and only whole numbers can count minor units", l.o.Columns.Amount, amount.shown)
		remedy = "leave --amount-minor-units out, or make the column bigint or numeric(p,0)"
	}
	if len(wrong) > 0 {
		return l.missing(remedy, strings.Join(wrong, "; "))
	}
	return nil
}

// needed are the columns that are read, each once.
func (l *Ledger) needed() []string {
	names := slices.Concat(l.o.Columns.ID, []string{l.o.Columns.User, l.o.Columns.Amount, l.o.Columns.Time})
	for _, c := range l.o.Extra {
		names = append(names, c.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// selected are the same, quoted.
func (l *Ledger) selected() []string {
	names := l.needed()
	for i, name := range names {
		names[i] = quote(name)
	}
	return names
}
