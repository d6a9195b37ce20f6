package preflight

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

type indexFacts struct {
	name    string
	primary bool
	// deferrable is checked at the end of a transaction.
	deferrable bool
	valid      bool
	partial    bool
	btree      bool
	columns    []string // key columns in order; "" for an expression
}

func (d *database) indexes(ctx context.Context) ([]indexFacts, error) {
	rows, err := d.conn.Query(ctx,
		`SELECT c.relname, i.indisprimary, NOT i.indimmediate, i.indisvalid AND i.indisready,
		i.indpred IS NOT NULL, am.amname = 'btree',
		ARRAY(SELECT coalesce(a.attname, '') FROM unnest(i.indkey) WITH ORDINALITY k(attnum, n)
			LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum > 0
			WHERE k.n <= i.indnkeyatts ORDER BY k.n)::text[]
		FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am am ON am.oid = c.relam
		WHERE i.indrelid = $1 ORDER BY c.relname`, d.table.OID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (f indexFacts, err error) {
		err = row.Scan(&f.name, &f.primary, &f.deferrable, &f.valid, &f.partial, &f.btree, &f.columns)
		return f, err
	})
}

// checkKeys looks at the primary key, by which rows are told apart, and at the
// replica identity, by which an update or delete says what the row was.
func (d *database) checkKeys(ctx context.Context) error {
	if d.table.OID == 0 {
		return nil
	}
	indexes, err := d.indexes(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(indexes, func(f indexFacts) bool { return f.primary })
	switch {
	case i < 0:
		d.add("postgres_primary_key_none", fmt.Sprintf("ALTER TABLE %s ADD PRIMARY KEY (%s)", d.quoted(), columnList(d.ID)),
			"%s has no primary key: a change that comes twice cannot be told from two rows", d.Table)
	case !slices.Equal(indexes[i].columns, d.ID):
		key := strings.Join(indexes[i].columns, ",")
		d.add("postgres_primary_key_other", "set --id-column="+key,
			"the primary key of %s is (%s), not (%s)", d.Table, key, strings.Join(d.ID, ","))
	default:
		d.ok("postgres_primary_key", "the primary key is (%s)", strings.Join(d.ID, ", "))
	}
	if i >= 0 && indexes[i].deferrable {
		d.add("postgres_primary_key_deferrable",
			fmt.Sprintf("ALTER TABLE %s ALTER CONSTRAINT %s NOT DEFERRABLE, or make the key anew", d.quoted(),
				column(indexes[i].name)),
			"the primary key of %s is deferrable: within a transaction two rows may have the same id, and the stream's "+
				"last change of it decides", d.Table)
	}
	full := fmt.Sprintf("ALTER TABLE %s REPLICA IDENTITY FULL", d.quoted())
	if d.table.Kind == "p" {
		full += ", and the same for each of its partitions"
	}
	switch d.table.identity {
	case "f":
		d.ok("postgres_replica_identity", "the replica identity is FULL")
	case "n":
		d.add("postgres_replica_identity_nothing", full,
			"the replica identity of %s is NOTHING: once it is published, PostgreSQL refuses updates and deletes", d.Table)
	default:
		lacking := "deletes become dead letters"
		if slices.Contains(d.table.Identity.Columns, d.User) {
			lacking = "a delete does not say what the row's amount was"
		}
		if !d.holdsKey() {
			lacking = "it does not hold the primary key, so no delete says which row is gone"
		}
		d.add("postgres_replica_identity_key", full, "the replica identity of %s is not FULL: %s, and an update that moves "+
			"a row to another user leaves it with the first as well", d.Table, lacking)
	}
	return nil
}

func (d *database) holdsKey() bool {
	return !slices.ContainsFunc(d.ID, func(id string) bool { return !slices.Contains(d.table.Identity.Columns, id) })
}

// checkIndex looks for an index that serves "the rows of one user from a time
// on": a whole, valid btree that begins with exactly these two columns.
func (d *database) checkIndex(ctx context.Context) error {
	_, user := d.table.Columns[d.User]
	_, at := d.table.Columns[d.Time]
	if d.table.OID == 0 || !user || !at {
		return nil
	}
	indexes, err := d.indexes(ctx)
	if err != nil {
		return err
	}
	create := fmt.Sprintf("CREATE INDEX CONCURRENTLY ON %s (%s, %s)", d.quoted(), column(d.User), column(d.Time))
	if d.table.Kind == "p" {
		create = strings.Replace(create, " CONCURRENTLY", "", 1) // not offered for partitioned tables
	}
	var near string
	for _, f := range indexes {
		if len(f.columns) < 2 || f.columns[0] != d.User || f.columns[1] != d.Time {
			continue
		}
		switch {
		case !f.valid:
			near = fmt.Sprintf("; %s has these columns and is invalid (an interrupted build): drop it", f.name)
		case f.partial:
			near = fmt.Sprintf("; %s has these columns and covers only a part of the rows", f.name)
		case !f.btree:
			near = fmt.Sprintf("; %s has these columns and is not a btree", f.name)
		default:
			d.ok("postgres_index", "lookups use the index %s", f.name)
			return nil
		}
	}
	d.add("postgres_index_none", create,
		"no index of %s begins with (%s, %s): every verification reads the whole table%s", d.Table, d.User, d.Time, near)
	return nil
}

func columnList(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = column(name)
	}
	return strings.Join(quoted, ", ")
}
