package preflight

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/postgres"
	"github.com/jackc/pgx/v5"
)

// tableFacts is what the catalog says about the watched table; oid is 0 when there is none.
type tableFacts struct {
	oid      uint32
	kind     string // pg_class.relkind
	identity string // pg_class.relreplident
	columns  map[string]columnFacts
	readable bool
}

type columnFacts struct {
	number  int16
	base    string // pg_type.typname, of a domain that of its base type
	shown   string // format_type
	notNull bool
	scale   int // of numeric; -1 when unconstrained
}

// SplitTable cuts "schema.name"; without a point the schema is public.
func SplitTable(table string) (schema, name string) {
	schema, name, found := strings.Cut(table, ".")
	if !found {
		return "public", table
	}
	return schema, name
}

// quoted is the table as SQL writes it.
func (d *database) quoted() string {
	schema, name := SplitTable(d.Table)
	return pgx.Identifier{schema, name}.Sanitize()
}

func column(name string) string { return pgx.Identifier{name}.Sanitize() }

func (d *database) checkTable(ctx context.Context) error {
	schema, name := SplitTable(d.Table)
	t := &d.table
	err := d.conn.QueryRow(ctx, `SELECT c.oid, c.relkind::text, c.relreplident::text
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relname = $2`, schema, name).Scan(&t.oid, &t.kind, &t.identity)
	if errors.Is(err, pgx.ErrNoRows) {
		d.add(Error, "postgres_table", "create it, or name the watched table with --table and its database with --database-url",
			"there is no table %s in database %q", d.Table, d.target.Database())
		return nil
	}
	if err != nil {
		return err
	}
	switch t.kind {
	case "r", "p":
		d.ok("postgres_table", "table %s exists", d.Table)
	default:
		d.add(Warning, "postgres_table", "name the table beneath it with --table", "%s is not a table: totals can be asked of it, but only tables have a change stream", d.Table)
	}
	rows, err := d.conn.Query(ctx, `SELECT a.attname, a.attnum, b.typname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
		CASE WHEN b.typname = 'numeric' AND m.typmod >= 4 THEN (((m.typmod - 4) & 2047) # 1024) - 1024 ELSE -1 END
		FROM pg_attribute a JOIN pg_type ty ON ty.oid = a.atttypid
		CROSS JOIN LATERAL (SELECT CASE WHEN ty.typtype = 'd' THEN ty.typtypmod ELSE a.atttypmod END AS typmod) m
		JOIN pg_type b ON b.oid = CASE WHEN ty.typtype = 'd' THEN ty.typbasetype ELSE ty.oid END
		WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped`, t.oid)
	if err != nil {
		return err
	}
	t.columns = map[string]columnFacts{}
	var label string
	var c columnFacts
	_, err = pgx.ForEachRow(rows, []any{&label, &c.number, &c.base, &c.shown, &c.notNull, &c.scale}, func() error {
		t.columns[label] = c
		return nil
	})
	return err
}

// needed are the columns that lookups read, each once.
func (d *database) needed() []string {
	names := append(slices.Clone(d.ID), d.User, d.Amount, d.Time)
	for _, c := range d.Columns {
		names = append(names, c.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (d *database) checkRights(ctx context.Context) error {
	if d.table.oid == 0 {
		return nil
	}
	schema, _ := SplitTable(d.Table)
	var present []string
	for _, name := range d.needed() {
		if _, ok := d.table.columns[name]; ok {
			present = append(present, name)
		}
	}
	var usage, secured bool
	var unreadable []string
	err := d.conn.QueryRow(ctx, `SELECT has_schema_privilege($1, 'USAGE'), row_security_active($2::oid),
		ARRAY(SELECT c FROM unnest($3::text[]) c WHERE NOT has_column_privilege($2::oid, c, 'SELECT'))`,
		schema, d.table.oid, present).Scan(&usage, &secured, &unreadable)
	if err != nil {
		return err
	}
	user := column(d.target.User())
	if !usage {
		d.add(Error, "postgres_select", fmt.Sprintf("GRANT USAGE ON SCHEMA %s TO %s", column(schema), user),
			"user %q may not use the schema %s", d.target.User(), schema)
	}
	if len(unreadable) > 0 {
		d.add(Error, "postgres_select", fmt.Sprintf("GRANT SELECT ON %s TO %s", d.quoted(), user),
			"user %q may not read %s of %s", d.target.User(), plural(unreadable, "column"), d.Table)
	}
	d.table.readable = usage && len(unreadable) == 0
	if d.table.readable {
		d.ok("postgres_select", "user %q may read %s", d.target.User(), d.Table)
	}
	if secured {
		d.add(Error, "postgres_row_security", fmt.Sprintf("ALTER ROLE %s BYPASSRLS, or give it a policy that shows every row", user),
			"row-level security of %s applies to user %q: totals would silently leave out the rows that it hides", d.Table,
			d.target.User())
	}
	return nil
}

func plural(names []string, word string) string {
	if len(names) > 1 {
		word += "s"
	}
	return word + " " + strings.Join(names, ", ")
}

func (d *database) checkColumns(context.Context) error {
	if d.table.oid == 0 {
		return nil
	}
	before := len(d.findings)
	for _, id := range d.ID {
		d.checkColumn("primary key", "--id-column", id, nil)
	}
	if c, ok := d.checkColumn("user", "--user-column", d.User, []string{"int2", "int4", "int8", "text", "varchar", "uuid"}); ok {
		d.checkNull("user", d.User, c)
	}
	if c, ok := d.checkColumn("amount", "--amount-column", d.Amount, []string{"numeric", "int2", "int4", "int8"}); ok {
		d.checkNull("amount", d.Amount, c)
		switch {
		case c.base == "numeric" && c.scale > d.Scale:
			d.add(Warning, "postgres_columns", fmt.Sprintf("set `scale: %d` in the rules file and use a new --group", c.scale),
				"column %s is %s and amounts are kept with %d decimals: values with more become dead letters", d.Amount, c.shown, d.Scale)
		case c.base == "numeric" && c.scale < 0 && !strings.Contains(c.shown, "("):
			d.add(Note, "postgres_columns", "constrain it, for example to numeric(18,2), so that PostgreSQL refuses them first",
				"column %s is numeric of any scale: values with more than %d decimals become dead letters", d.Amount, d.Scale)
		}
	}
	if c, ok := d.checkColumn("time", "--time-column", d.Time, []string{"timestamptz", "timestamp"}); ok {
		d.checkNull("time", d.Time, c)
		if c.base == "timestamp" {
			d.add(Note, "postgres_columns", "use timestamptz where writers are in several time zones",
				"column %s is a timestamp without time zone: it is read as UTC, here and in the change stream", d.Time)
		}
	}
	for _, c := range d.Columns {
		d.checkColumn("rules'", "columns of the rules file", c.Name, columnTypes(c.Type))
	}
	if len(d.findings) == before {
		d.ok("postgres_columns", "all columns are there, with types that fit")
	}
	return nil
}

// columnTypes are the PostgreSQL types that a declared column type can come from; nil takes all.
func columnTypes(t brimline.ColumnType) []string {
	switch t {
	case brimline.Integer:
		return []string{"int2", "int4", "int8", "numeric"}
	case brimline.Numeric:
		return []string{"numeric", "int2", "int4", "int8", "float4", "float8"}
	case brimline.Boolean:
		return []string{"bool"}
	case brimline.Timestamp:
		return []string{"timestamptz", "timestamp"}
	default:
		return nil
	}
}

// checkColumn reports a column that is missing or of a type that does not fit; ok tells that it is neither.
func (d *database) checkColumn(role, setting, name string, types []string) (c columnFacts, ok bool) {
	c, ok = d.table.columns[name]
	if !ok {
		d.add(Error, "postgres_columns", fmt.Sprintf("correct %s; the table has %s", setting, strings.Join(d.columnNames(), ", ")),
			"%s has no column %q (%s column)", d.Table, name, role)
		return c, false
	}
	if types == nil || slices.Contains(types, c.base) {
		return c, true
	}
	remedy := fmt.Sprintf("correct %s, or change the column's type to one of %s", setting, strings.Join(types, ", "))
	switch c.base {
	case "float4", "float8", "money":
		remedy = fmt.Sprintf("ALTER TABLE %s ALTER COLUMN %s TYPE numeric(18,%d)", d.quoted(), column(name), d.Scale)
	case "bpchar":
		remedy = fmt.Sprintf("ALTER TABLE %s ALTER COLUMN %s TYPE text: char(n) pads with blanks", d.quoted(), column(name))
	}
	d.add(Error, "postgres_columns", remedy, "column %s of %s is %s, which does not fit as %s column", name, d.Table, c.shown, role)
	return c, false
}

func (d *database) checkNull(role, name string, c columnFacts) {
	if c.notNull {
		return
	}
	d.add(Warning, "postgres_columns", fmt.Sprintf("ALTER TABLE %s ALTER COLUMN %s SET NOT NULL", d.quoted(), column(name)),
		"the %s column %s may be NULL: such rows become dead letters", role, name)
}

func (d *database) columnNames() []string {
	var names []string
	for name := range d.table.columns {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return int(d.table.columns[a].number) - int(d.table.columns[b].number) })
	return names
}

// AmountScale is the number of decimals that PostgreSQL gives the amount
// column; not known where it cannot be asked or the column takes any number.
func AmountScale(ctx context.Context, o DatabaseOptions) (scale int, known bool) {
	target, err := postgres.Parse(o.URL)
	if err != nil {
		return 0, false
	}
	d := &database{DatabaseOptions: o, target: target}
	if err := d.connect(ctx); err != nil {
		return 0, false
	}
	defer d.conn.Close(context.WithoutCancel(ctx))
	if err := d.checkTable(ctx); err != nil {
		return 0, false
	}
	c, ok := d.table.columns[o.Amount]
	switch {
	case !ok:
		return 0, false
	case c.base == "numeric":
		return c.scale, c.scale >= 0
	case c.base == "int2" || c.base == "int4" || c.base == "int8":
		return 0, true
	}
	return 0, false
}
