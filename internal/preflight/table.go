package preflight

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs/debezium"
	"github.com/jackc/pgx/v5"
)

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

// notTables are by pg_class.relkind.
var notTables = map[string]string{
	"v": "a view, which may hide rows of the table that the change stream is about",
	"m": "a materialized view, which is as old as its last refresh",
	"f": "a foreign table, whose changes are in another server's stream",
}

func (d *database) checkTable(ctx context.Context) error {
	if err := d.readCatalog(ctx); err != nil {
		return err
	}
	switch kind := d.table.Kind; {
	case d.table.OID == 0:
		d.add("postgres_table_missing",
			"create it, or name the watched table with --table and its database with --database-url",
			"there is no table %s in database %q", d.Table, d.target.Database())
	case notTables[kind] != "":
		d.add("postgres_table_kind", "name the table beneath it with --table, and its database with --database-url",
			"%s is %s", d.Table, notTables[kind])
	case kind != "r" && kind != "p":
		d.add("postgres_table_kind", "name a table with --table", "%s is not a table", d.Table)
	case len(d.table.foreign) > 0:
		d.add("postgres_table_foreign", "detach them: their changes are in no change stream of this server",
			"of the partitions of %s these are foreign tables: %s", d.Table, strings.Join(d.table.foreign, ", "))
	default:
		d.ok("postgres_table", "table %s exists", d.Table)
	}
	return nil
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

// checkRights looks at what asking for totals needs; the catalog is open to every login.
func (d *database) checkRights(ctx context.Context) error {
	if d.table.OID == 0 || d.Unverified {
		return nil
	}
	schema, _ := SplitTable(d.Table)
	var present []string
	for _, name := range d.needed() {
		if _, ok := d.table.Columns[name]; ok {
			present = append(present, name)
		}
	}
	var usage, secured bool
	var unreadable []string
	err := d.conn.QueryRow(ctx, `SELECT has_schema_privilege($1, 'USAGE'), row_security_active($2::oid),
		ARRAY(SELECT c FROM unnest($3::text[]) c WHERE NOT has_column_privilege($2::oid, c, 'SELECT'))`,
		schema, d.table.OID, present).Scan(&usage, &secured, &unreadable)
	if err != nil {
		return err
	}
	user := column(d.target.User())
	if !usage {
		d.add("postgres_select_denied", fmt.Sprintf("GRANT USAGE ON SCHEMA %s TO %s", column(schema), user),
			"user %q may not use the schema %s", d.target.User(), schema)
	}
	if len(unreadable) > 0 {
		d.add("postgres_select_denied", fmt.Sprintf("GRANT SELECT ON %s TO %s", d.quoted(), user),
			"user %q may not read %s of %s", d.target.User(), plural(unreadable, "column"), d.Table)
	}
	if usage && len(unreadable) == 0 {
		d.ok("postgres_select", "user %q may read %s", d.target.User(), d.Table)
	}
	if secured {
		d.add("postgres_row_security_applies", fmt.Sprintf("ALTER ROLE %s BYPASSRLS, or give it a policy that shows every "+
			"row", user),
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
	if d.table.OID == 0 {
		return nil
	}
	before := len(d.findings)
	for _, id := range d.ID {
		d.checkColumn(debezium.UseID, "--id-column", id)
	}
	if c, ok := d.checkColumn(debezium.UseUser, "--user-column", d.User); ok {
		d.checkNull("user", d.User, c)
	}
	if c, ok := d.checkColumn(debezium.UseAmount, "--amount-column", d.Amount); ok {
		d.checkNull("amount", d.Amount, c)
		d.checkAmount(c)
	}
	if c, ok := d.checkColumn(debezium.UseTime, "--time-column", d.Time); ok {
		d.checkNull("time", d.Time, c)
		if c.Type == "timestamp" {
			d.add("postgres_columns_zone", "use timestamptz where writers are in several time zones",
				"column %s is a timestamp without time zone: it is read as UTC, here and in the change stream", d.Time)
		}
	}
	for _, column := range d.Columns {
		d.checkColumn(debezium.Use(column.Type), "columns of the rules file", column.Name)
	}
	if len(d.findings) == before {
		d.ok("postgres_columns", "all columns are there, with types that fit")
	}
	d.checkDefaults()
	return nil
}

func (d *database) checkAmount(c Column) {
	switch {
	case c.Type == "numeric" && c.Scale == nil:
		d.add("postgres_columns_any_scale",
			"constrain it, for example to numeric(18,2), so that PostgreSQL refuses them first",
			"column %s is numeric of any scale: values with more than %d decimals become dead letters", d.Amount, d.Scale)
	case c.Type == "numeric" && *c.Scale > d.Scale:
		d.add("postgres_columns_scale",
			fmt.Sprintf("set `scale: %d` in the rules file and use a new --group", *c.Scale),
			"column %s is %s and amounts are kept with %d decimals: values with more become dead letters", d.Amount,
			c.Shown, d.Scale)
	case isWhole(c.ColumnFacts) && d.MinorUnits < 0:
		d.add("settings_cents", "set --amount-minor-units=2 if it holds cents, and --amount-minor-units=0 if it does not",
			"the amount column %s is %s: read as whole units", d.Amount, c.Shown)
	}
}

// isWhole reports whether a column is of an integer type, in which cents are as likely as whole units.
func isWhole(f debezium.ColumnFacts) bool {
	return f.Type == "int2" || f.Type == "int4" || f.Type == "int8"
}

// checkColumn reports a column that is missing or of a type that does not fit; ok tells that it is neither.
func (d *database) checkColumn(use debezium.Use, setting, name string) (c Column, ok bool) {
	c, ok = d.table.Columns[name]
	if !ok {
		d.add("postgres_columns_missing",
			fmt.Sprintf("correct %s; the table has %s", setting, strings.Join(d.columnNames(), ", ")),
			"%s has no column %q (%s)", d.Table, name, setting)
		return c, false
	}
	if c.Generated {
		d.add("postgres_columns_generated", "name a column that is stored, or the columns that it is made from",
			"column %s of %s is generated: PostgreSQL leaves it out of the change stream", name, d.Table)
		return c, false
	}
	if isFloat(c.ColumnFacts) && use == debezium.UseAmount && d.FloatAmounts && d.Unverified {
		return c, true
	}
	err := debezium.Reads(use, name, c.ColumnFacts)
	if err == nil {
		return c, true
	}
	e, _ := errors.AsType[*brimline.Error](err)
	remedy := e.Remedy
	if use == debezium.UseAmount && (isFloat(c.ColumnFacts) || c.Type == "money") {
		remedy = fmt.Sprintf("ALTER TABLE %s ALTER COLUMN %s TYPE numeric(18,%d)", d.quoted(), column(name), d.Scale)
	}
	d.add("postgres_columns_type", remedy, "column %s of %s (%s) %s", name, d.Table, c.Shown, e.Err)
	return c, false
}

func isFloat(f debezium.ColumnFacts) bool { return f.Type == "float4" || f.Type == "float8" }

func (d *database) checkNull(role, name string, c Column) {
	if c.NotNull {
		return
	}
	d.add("postgres_columns_null", fmt.Sprintf("ALTER TABLE %s ALTER COLUMN %s SET NOT NULL", d.quoted(), column(name)),
		"the %s column %s may be NULL: such rows become dead letters", role, name)
}

// checkDefaults looks for columns in which a connector may write the default in place of NULL: Kafka Connect does so
// unless its converter is told not to.
func (d *database) checkDefaults() {
	if d.Nulls == NullsKept {
		return
	}
	const remedy = "set value.converter.replace.null.with.default=false in the connector, and start a new --group over " +
		"a new snapshot"
	for _, name := range d.needed() {
		c, ok := d.table.Columns[name]
		if !ok || c.NotNull || c.Default == nil {
			continue
		}
		asked := slices.Contains(d.AsksNull, name)
		switch {
		case d.Nulls == NullsReplaced && asked:
			d.add("connect_settings_null", remedy, "a rule asks for NULL in column %s, and the connector writes its default %s "+
				"in place of NULL", name, *c.Default)
		case d.Nulls == NullsReplaced:
			d.add("connect_settings_null_read", remedy, "the connector writes the default %s in place of NULL in column %s",
				*c.Default, name)
		case asked:
			d.add("postgres_columns_default", remedy+"; give --connect-url so that it can be checked",
				"a rule asks for NULL in column %s, which has the default %s: Kafka Connect writes that in place of NULL, "+
					"unless it is told not to", name, *c.Default)
		default:
			d.add("postgres_columns_default", remedy+"; give --connect-url so that it can be checked",
				"column %s may be NULL and has the default %s: Kafka Connect writes that in place of NULL, unless it is told "+
					"not to", name, *c.Default)
		}
	}
}

func (d *database) columnNames() []string {
	var names []string
	for name := range d.table.Columns {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		return int(d.table.Columns[a].number) - int(d.table.Columns[b].number)
	})
	return names
}
