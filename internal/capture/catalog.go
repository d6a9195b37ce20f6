package capture

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// look describes the table and its publication as the catalog has them at one moment.
type look struct {
	oid         uint32 // 0: no relation has the name
	kind        string // relkind
	persistence string // p, u, t
	identity    string // relreplident
	identifies  []string
	key         []string // columns of the primary key, in its order
	deferrable  bool     // the primary key is
	columns     []catalogColumn
	children    []string // tables that inherit from it, partitions apart
	leaves      map[uint32]leaf
	publication publication
}

type catalogColumn struct {
	name      string
	oid       uint32
	modifier  int32
	generated bool
}

// leaf is a partition that holds rows.
type leaf struct {
	name        string
	kind        string
	persistence string
	identity    string
	identifies  []string
	filenode    uint32 // another after TRUNCATE, VACUUM FULL or CLUSTER
	// brought is set when it was a table of its own before it was attached, and is not empty.
	brought bool
}

type publication struct {
	oid       uint32 // 0: there is none of the name
	version   string // xmin: another after every ALTER PUBLICATION of its settings
	owner     uint32
	insert    bool
	update    bool
	delete    bool
	truncate  bool
	viaRoot   bool
	all       bool // FOR ALL TABLES
	covers    bool // changes of the table come under its own name
	member    uint32
	partially bool     // its partitions come under theirs, or the table under that of its root
	filter    string   // of rows
	columns   []string // nil: all
	generated bool     // it publishes generated columns, which PostgreSQL 18 can
}

// settled looks until find says the same of two looks in a row, or nothing
// against one: a look is several statements, and a table that is being exchanged
// is half the one and half the other.
func (c *Capture) settled(ctx context.Context, conn *pgx.Conn, find func(*look) error) (*look, error) {
	said := ""
	for {
		l, err := c.look(ctx, conn)
		if err != nil {
			return nil, err
		}
		fault := find(l)
		if fault == nil || fault.Error() == said {
			return l, fault
		}
		said = fault.Error()
	}
}

// look reads the catalog.
func (c *Capture) look(ctx context.Context, conn *pgx.Conn) (*look, error) {
	l := &look{}
	err := conn.QueryRow(ctx, `SELECT c.oid, c.relkind::text, c.relpersistence::text, c.relreplident::text,
			ARRAY(SELECT a.attname::text FROM pg_catalog.pg_index i
				JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
				WHERE i.indrelid = c.oid AND i.indisreplident),
			ARRAY(SELECT i.inhrelid::regclass::text FROM pg_catalog.pg_inherits i
				JOIN pg_catalog.pg_class k ON k.oid = i.inhrelid
				WHERE i.inhparent = c.oid AND NOT k.relispartition ORDER BY 1)
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relname = $2`,
		c.schema, c.table).Scan(&l.oid, &l.kind, &l.persistence, &l.identity, &l.identifies, &l.children)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return nil, c.failure("reading the catalog", err)
	}
	for _, step := range []func(context.Context, *pgx.Conn) error{l.readKey, l.readColumns, l.readLeaves} {
		if err := step(ctx, conn); err != nil {
			return nil, c.failure("reading the catalog", err)
		}
	}
	return l, c.failure("reading the catalog", l.readPublication(ctx, conn, c))
}

// keyNow is the primary key alone. It takes no lock on the table: the stream
// waits for it, and must not wait for an ALTER TABLE.
func (c *Capture) keyNow(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	l := &look{}
	err := conn.QueryRow(ctx, `SELECT c.oid FROM pg_catalog.pg_class c
		JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relname = $2`, c.schema, c.table).Scan(&l.oid)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err == nil {
		err = l.readKey(ctx, conn)
	}
	return l.key, err
}

// knowKey puts a primary key before those that the table is known to have had.
func (c *Capture) knowKey(names []string) {
	if len(names) == 0 || len(c.keys) > 0 && slices.Equal(names, c.keys[0]) {
		return
	}
	others := slices.DeleteFunc(c.keys, func(k []string) bool { return slices.Equal(k, names) })
	c.keys = append([][]string{names}, others...)
}

func (l *look) readKey(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, `SELECT a.attname::text, NOT i.indimmediate FROM pg_catalog.pg_index i
		CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
		JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
		WHERE i.indisprimary AND i.indrelid = $1::oid AND k.place <= i.indnkeyatts ORDER BY k.place`, l.oid)
	if err != nil {
		return err
	}
	var name string
	_, err = pgx.ForEachRow(rows, []any{&name, &l.deferrable}, func() error {
		l.key = append(l.key, name)
		return nil
	})
	return err
}

func (l *look) readColumns(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, `SELECT attname::text, atttypid, atttypmod, attgenerated <> ''
		FROM pg_catalog.pg_attribute
		WHERE attrelid = $1::oid AND attnum > 0 AND NOT attisdropped ORDER BY attnum`, l.oid)
	if err != nil {
		return err
	}
	l.columns, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (c catalogColumn, err error) {
		err = row.Scan(&c.name, &c.oid, &c.modifier, &c.generated)
		return c, err
	})
	return err
}

// readLeaves finds the partitions that hold rows. One that is older than its
// place in the tree was a table of its own; the age of a table is that of its
// column ctid, which no statement changes.
func (l *look) readLeaves(ctx context.Context, conn *pgx.Conn) error {
	l.leaves = map[uint32]leaf{}
	if l.kind != "p" {
		return nil
	}
	rows, err := conn.Query(ctx, `WITH RECURSIVE tree AS (
			SELECT inhrelid AS oid, age(xmin) AS placed FROM pg_catalog.pg_inherits WHERE inhparent = $1::oid
		UNION ALL
			SELECT i.inhrelid, least(t.placed, age(i.xmin)) FROM tree t JOIN pg_catalog.pg_inherits i ON i.inhparent = t.oid)
		SELECT c.oid, c.oid::regclass::text, c.relkind::text, c.relpersistence::text, c.relreplident::text, c.relfilenode,
			ARRAY(SELECT a.attname::text FROM pg_catalog.pg_index i
				JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
				WHERE i.indrelid = c.oid AND i.indisreplident),
			CASE WHEN c.relkind = 'r' AND t.placed <
				(SELECT age(xmin) FROM pg_catalog.pg_attribute WHERE attrelid = c.oid AND attname = 'ctid')
				THEN pg_catalog.pg_relation_size(c.oid) > 0 ELSE false END
		FROM tree t JOIN pg_catalog.pg_class c ON c.oid = t.oid WHERE c.relkind <> 'p'`, l.oid)
	if err != nil {
		return err
	}
	var oid uint32
	var f leaf
	_, err = pgx.ForEachRow(rows, []any{&oid, &f.name, &f.kind, &f.persistence, &f.identity, &f.filenode, &f.identifies,
		&f.brought}, func() error {
		f.identifies = slices.Clone(f.identifies)
		l.leaves[oid] = f
		return nil
	})
	return err
}

func (l *look) readPublication(ctx context.Context, conn *pgx.Conn, c *Capture) error {
	p := &l.publication
	err := conn.QueryRow(ctx, `SELECT p.oid, p.xmin::text, p.pubowner, p.pubinsert, p.pubupdate, p.pubdelete,
		p.pubtruncate, p.pubviaroot, p.puballtables,
			coalesce(to_jsonb(p)->>'pubgencols' IN ('s', 'true'), false),
			EXISTS (SELECT FROM pg_catalog.pg_publication_tables t
				WHERE t.pubname = p.pubname AND t.schemaname = $2 AND t.tablename = $3)
		FROM pg_catalog.pg_publication p WHERE p.pubname = $1`, c.o.Publication, c.schema, c.table).
		Scan(&p.oid, &p.version, &p.owner, &p.insert, &p.update, &p.delete, &p.truncate, &p.viaRoot, &p.all, &p.generated,
			&p.covers)
	if errors.Is(err, pgx.ErrNoRows) || err != nil || l.oid == 0 {
		if errors.Is(err, pgx.ErrNoRows) {
			err = nil
		}
		return err
	}
	// The members are the table, a table it is a partition of, or the schema of one of these.
	more, schemas := `''::text, NULL::text[]`, ``
	if conn.PgConn().ParameterStatus("server_version") >= "15" {
		more = `coalesce(pg_catalog.pg_get_expr(r.prqual, r.prrelid), ''),
			CASE WHEN r.prattrs IS NOT NULL THEN ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
				WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs) ORDER BY a.attnum) END`
		schemas = ` UNION ALL SELECT s.oid, ''::text, NULL::text[], up.depth + 1000 FROM up
			JOIN pg_catalog.pg_class k ON k.oid = up.oid
			JOIN pg_catalog.pg_publication_namespace s ON s.pnnspid = k.relnamespace WHERE s.pnpubid = $2::oid`
	}
	err = conn.QueryRow(ctx, fmt.Sprintf(`WITH RECURSIVE up AS (
			SELECT $1::oid AS oid, 0 AS depth
		UNION ALL
			SELECT i.inhparent, up.depth + 1 FROM up JOIN pg_catalog.pg_class k ON k.oid = up.oid AND k.relispartition
			JOIN pg_catalog.pg_inherits i ON i.inhrelid = up.oid)
		SELECT oid, filter, columns FROM (
			SELECT r.oid, %s, up.depth FROM up
			JOIN pg_catalog.pg_publication_rel r ON r.prrelid = up.oid WHERE r.prpubid = $2::oid%s
		) AS m(oid, filter, columns, depth) ORDER BY depth LIMIT 1`, more, schemas), l.oid, p.oid).
		Scan(&p.member, &p.filter, &p.columns)
	if errors.Is(err, pgx.ErrNoRows) {
		err = nil
	}
	p.partially = !p.covers && (p.all || p.member != 0)
	return err
}

// published are the columns that the stream has, and so the snapshot.
func (l *look) published() (names []string) {
	p := &l.publication
	for _, c := range l.columns {
		if (!c.generated || p.generated) && (p.columns == nil || slices.Contains(p.columns, c.name)) {
			names = append(names, c.name)
		}
	}
	return names
}

func join(names []string) string { return strings.Join(names, ", ") }
