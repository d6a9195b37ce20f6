package preflight

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/brimline/brimline/codecs/debezium"
	"github.com/brimline/brimline/internal/postgres"
	"github.com/jackc/pgx/v5"
)

// Catalog describes the watched table as PostgreSQL has it; OID is 0 when there is none.
type Catalog struct {
	OID  uint32
	Kind string // pg_class.relkind
	// Columns are all of them, with domains resolved.
	Columns  map[string]Column
	Identity debezium.Identity
	identity string // pg_class.relreplident; of a partitioned table the weakest of its leaves
	foreign  []string
}

// Column describes one of its columns.
type Column struct {
	debezium.ColumnFacts
	Shown     string // its type, as PostgreSQL writes it
	Generated bool
	number    int16
}

// Facts are those of the named columns, as far as they are there.
func (c *Catalog) Facts(names []string) map[string]debezium.ColumnFacts {
	facts := map[string]debezium.ColumnFacts{}
	for _, name := range names {
		if column, ok := c.Columns[name]; ok {
			facts[name] = column.ColumnFacts
		}
	}
	return facts
}

// ReadCatalog looks the watched table up, and nothing else: for a look from time to time. It is nil where there is no
// such table.
func ReadCatalog(ctx context.Context, o DatabaseOptions) (*Catalog, error) {
	target, err := postgres.Parse(o.URL)
	if err != nil {
		return nil, err
	}
	d := &database{DatabaseOptions: o, target: target}
	if err := d.connect(ctx); err != nil {
		return nil, postgres.Cause(err)
	}
	defer d.conn.Close(context.WithoutCancel(ctx))
	if err := d.readCatalog(ctx); err != nil {
		return nil, postgres.Cause(err)
	}
	if d.table.OID == 0 {
		return nil, nil
	}
	return &d.table, nil
}

const (
	tableSQL = `SELECT c.oid, c.relkind::text, c.relreplident::text
	FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname = $1 AND c.relname = $2`

	// leavesSQL gives the replica identities of a partitioned table's leaves, by which their changes are written.
	leavesSQL = `SELECT coalesce(array_agg(DISTINCT c.relreplident::text), '{}'),
		coalesce(array_agg(c.oid::pg_catalog.regclass::text) FILTER (WHERE c.relkind = 'f'), '{}')
	FROM pg_catalog.pg_partition_tree($1::oid::pg_catalog.regclass) t JOIN pg_catalog.pg_class c ON c.oid = t.relid
	WHERE t.isleaf AND c.relkind <> 'p'`

	// columnsSQL follows domains to the type beneath, however deep. A type's modifier is the nearest to the column that
	// is set; a default and NOT NULL can be the domain's.
	columnsSQL = `WITH RECURSIVE base AS (
		SELECT a.attname, a.attnum, a.atttypid AS type, a.atttypmod AS modifier, a.attnotnull AS required,
			pg_catalog.format_type(a.atttypid, a.atttypmod) AS shown, a.attgenerated <> '' AS generated,
			CASE WHEN a.attgenerated = '' THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END AS preset
		FROM pg_catalog.pg_attribute a
		LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
		WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
		UNION ALL
		SELECT b.attname, b.attnum, t.typbasetype, CASE WHEN b.modifier >= 0 THEN b.modifier ELSE t.typtypmod END,
			b.required OR t.typnotnull, b.shown, b.generated,
			coalesce(b.preset, pg_catalog.pg_get_expr(t.typdefaultbin, 0))
		FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.type
		WHERE t.typtype = 'd')
	SELECT b.attname, b.attnum, CASE WHEN t.typtype = 'e' THEN 'enum' ELSE t.typname END, b.modifier, b.required, b.shown,
		b.generated, coalesce(b.preset, '')
	FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.type AND t.typtype <> 'd'`

	identitySQL = `SELECT coalesce(array_agg(a.attname::text ORDER BY a.attnum), '{}')
	FROM pg_catalog.pg_index i JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)
	WHERE i.indrelid = $1 AND CASE $2 WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END`
)

// readCatalog fills in d.table.
func (d *database) readCatalog(ctx context.Context) error {
	schema, name := SplitTable(d.Table)
	t := &d.table
	err := d.conn.QueryRow(ctx, tableSQL, schema, name).Scan(&t.OID, &t.Kind, &t.identity)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	if t.Kind == "p" {
		var identities []string
		if err := d.conn.QueryRow(ctx, leavesSQL, t.OID).Scan(&identities, &t.foreign); err != nil {
			return err
		}
		t.identity = weakest(identities, t.identity)
	}
	t.Identity = debezium.Identity{Known: true, Full: t.identity == "f"}
	if err := d.conn.QueryRow(ctx, identitySQL, t.OID, t.identity).Scan(&t.Identity.Columns); err != nil {
		return err
	}
	return d.readColumns(ctx)
}

// weakest is the identity that says least of those of a table's partitions; of the table itself where it has none.
func weakest(identities []string, root string) string {
	for _, weak := range []string{"n", "d", "i", "f"} {
		if slices.Contains(identities, weak) {
			return weak
		}
	}
	return root
}

func (d *database) readColumns(ctx context.Context) error {
	rows, err := d.conn.Query(ctx, columnsSQL, d.table.OID)
	if err != nil {
		return err
	}
	d.table.Columns = map[string]Column{}
	presets := map[string]string{}
	var label, preset string
	var modifier int
	var c Column
	into := []any{&label, &c.number, &c.Type, &modifier, &c.NotNull, &c.Shown, &c.Generated, &preset}
	_, err = pgx.ForEachRow(rows, into, func() error {
		c.Precision, c.Scale = modified(c.Type, modifier)
		d.table.Columns[label] = c
		if literal, ok := constant(preset); ok {
			presets[label] = literal
		}
		return nil
	})
	if err != nil {
		return err
	}
	return d.readDefaults(ctx, presets)
}

// modified takes a type's modifier apart: the precision of a time, the scale of a numeric.
func modified(kind string, modifier int) (precision int, scale *int) {
	switch kind {
	case "timestamp", "timestamptz", "time", "timetz":
		if modifier < 0 {
			return 6, nil
		}
		return modifier, nil
	case "numeric":
		if modifier < 4 {
			return 0, nil
		}
		s := (((modifier - 4) & 2047) ^ 1024) - 1024
		return 0, &s
	}
	return 0, nil
}

// literals are defaults that are constants, as PostgreSQL writes them: a number, a word or a text, with casts.
var literals = regexp.MustCompile(`^\(?(-?[0-9.]+|true|false|'(?:[^']|'')*')\)?(?:::[\w ."(),\[\]]+)*$`)

// constant is the text of an expression that is one.
func constant(expression string) (text string, ok bool) {
	m := literals.FindStringSubmatch(expression)
	if m == nil {
		return "", false
	}
	text = m[1]
	if strings.HasPrefix(text, "'") {
		text = strings.ReplaceAll(text[1:len(text)-1], "''", "'")
	}
	return text, true
}

// readDefaults brings constant defaults to the form in which the column's type is written.
func (d *database) readDefaults(ctx context.Context, presets map[string]string) error {
	if len(presets) == 0 {
		return nil
	}
	const settings = "SELECT pg_catalog.set_config('DateStyle', 'ISO', true), pg_catalog.set_config('TimeZone', 'UTC', " +
		"true)"
	if _, err := d.conn.Exec(ctx, settings); err != nil {
		return err
	}
	for name, literal := range presets {
		text, err := d.asType(ctx, literal, d.table.Columns[name].Shown)
		if err != nil {
			return err
		}
		c := d.table.Columns[name]
		c.Default = text
		d.table.Columns[name] = c
	}
	return nil
}

// asType is a literal's text as a type writes it; nil where the type does not take it, as a domain may that was changed
// since. The type comes from format_type, which quotes it.
func (d *database) asType(ctx context.Context, literal, kind string) (text *string, err error) {
	if _, err := d.conn.Exec(ctx, "SAVEPOINT preset"); err != nil {
		return nil, err
	}
	var value string
	err = d.conn.QueryRow(ctx, fmt.Sprintf("SELECT ($1::text::%s)::text", kind), literal).Scan(&value)
	if err == nil {
		return &value, nil
	}
	_, err = d.conn.Exec(ctx, "ROLLBACK TO SAVEPOINT preset")
	return nil, err
}
