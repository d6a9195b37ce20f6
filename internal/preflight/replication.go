package preflight

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/jackc/pgx/v5"
)

func (d *database) checkWAL(ctx context.Context) error {
	if d.replica {
		return nil
	}
	var level string
	var slots, slotsUsed, senders, sendersUsed int
	var keep, user string
	var mayReplicate bool
	err := d.conn.QueryRow(ctx, `SELECT current_setting('wal_level'),
		current_setting('max_replication_slots')::int, (SELECT count(*) FROM pg_replication_slots),
		current_setting('max_wal_senders')::int, (SELECT count(*) FROM pg_stat_replication),
		coalesce(current_setting('max_slot_wal_keep_size', true), ''),
		current_user, (SELECT rolsuper OR rolreplication FROM pg_roles WHERE rolname = current_user)`).
		Scan(&level, &slots, &slotsUsed, &senders, &sendersUsed, &keep, &user, &mayReplicate)
	if err != nil {
		return err
	}
	if level != "logical" {
		id := "postgres_wal_level_low" // asking for totals does not need it
		if d.Capture {
			id = "postgres_wal_level_capture"
		}
		d.add(id, "ALTER SYSTEM SET wal_level = 'logical', then restart PostgreSQL",
			"wal_level is %s: there is no change stream to read", level)
	} else {
		d.ok("postgres_wal_level", "wal_level is logical")
	}
	if d.Capture && !mayReplicate {
		d.add("postgres_replication_right", fmt.Sprintf("ALTER ROLE %s REPLICATION", column(user)),
			"user %q may not read the change stream", user)
	}
	full := false
	for _, limit := range []struct {
		name      string
		max, used int
	}{{"max_replication_slots", slots, slotsUsed}, {"max_wal_senders", senders, sendersUsed}} {
		if limit.used >= limit.max {
			full = true
			d.add("postgres_replication_limits",
				fmt.Sprintf("ALTER SYSTEM SET %s = %d, then restart PostgreSQL", limit.name, limit.max+5),
				"all %d of %s are in use: no further reader of the change stream can connect", limit.max, limit.name)
		}
	}
	if !full {
		d.ok("postgres_replication", "%d of %d replication slots and %d of %d senders are free",
			slots-slotsUsed, slots, senders-sendersUsed, senders)
	}
	if keep == "-1" && slotsUsed > 0 {
		d.add("postgres_replication_disk", "set max_slot_wal_keep_size to what the disk can spare",
			"max_slot_wal_keep_size is not set: the log kept for a slot that nobody reads grows until the disk is full")
	}
	return nil
}

type publicationFacts struct {
	name                             string
	inserts, updates, deletes, trunc bool
	viaRoot                          bool
	filter                           string
	columns                          []string // nil: all
}

func (d *database) checkPublication(ctx context.Context) error {
	if d.replica || d.table.OID == 0 {
		return nil
	}
	schema, name := SplitTable(d.Table)
	more := `'', NULL::text[]`
	if d.version >= 150000 {
		more = `coalesce(t.rowfilter, ''), t.attnames::text[]`
	}
	viaRoot := `false`
	if d.version >= 130000 {
		viaRoot = `p.pubviaroot`
	}
	// A partition of the table is listed in its place where pubviaroot is off.
	rows, err := d.conn.Query(ctx, fmt.Sprintf(`SELECT DISTINCT p.pubname, p.pubinsert, p.pubupdate, p.pubdelete,
		p.pubtruncate, %s, %s
		FROM pg_publication_tables t JOIN pg_publication p ON p.pubname = t.pubname
		WHERE ($4 = '' OR p.pubname = $4) AND (t.schemaname = $1 AND t.tablename = $2
			OR (t.schemaname, t.tablename) IN (SELECT n.nspname, c.relname FROM pg_partition_tree($3::oid::regclass) tree
				JOIN pg_class c ON c.oid = tree.relid JOIN pg_namespace n ON n.oid = c.relnamespace))`, viaRoot, more),
		schema, name, d.table.OID, d.Publication)
	if err != nil {
		return err
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p publicationFacts, err error) {
		err = row.Scan(&p.name, &p.inserts, &p.updates, &p.deletes, &p.trunc, &p.viaRoot, &p.filter, &p.columns)
		return p, err
	})
	if err != nil {
		return err
	}
	slices.SortFunc(found, func(a, b publicationFacts) int { return strings.Compare(a.name, b.name) })
	found = slices.CompactFunc(found, func(a, b publicationFacts) bool { return a.name == b.name })
	if len(found) == 0 {
		return d.noPublication(ctx)
	}
	for _, p := range found {
		d.publicationFindings(p)
	}
	return nil
}

func (d *database) noPublication(ctx context.Context) error {
	wanted, name := "a publication", "debezium"
	if d.Publication != "" {
		wanted, name = fmt.Sprintf("the publication %q", d.Publication), d.Publication
	}
	var exists bool
	if err := d.conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = $1)", d.Publication).
		Scan(&exists); err != nil {
		return err
	}
	publish := fmt.Sprintf("CREATE PUBLICATION %s FOR TABLE %s", column(name), d.quoted())
	if d.table.Kind == "p" && d.version >= 130000 {
		publish += " WITH (publish_via_partition_root = true)"
	}
	if exists {
		publish = fmt.Sprintf("ALTER PUBLICATION %s ADD TABLE %s", column(name), d.quoted())
	}
	if d.Streamed {
		if d.Publication == "" {
			publish = fmt.Sprintf("add %s to the publication that feeds the source topic (name it with --publication)",
				d.quoted())
		}
		d.add("postgres_publication_gone",
			fmt.Sprintf("see whether %s was replaced by another table; then %s, and take a new snapshot of it", d.Table,
				publish),
			"%s is not in %s, and the source topic has records: what is written to it now does not come", d.Table, wanted)
		return nil
	}
	// `brimline capture` and most connectors make theirs when they first start.
	d.add("postgres_publication_none", publish+", or let the connector create its own",
		"%s is not in %s yet", d.Table, wanted)
	return nil
}

// oneOf is the check for what is known to be ours, or the one for what may be.
func (d *database) oneOf(known, ours, maybe string) (id, condition string) {
	if known != "" {
		return ours, ""
	}
	return maybe, ", if it is the one that feeds the source topic (name ours with --publication)"
}

func (d *database) publicationFindings(p publicationFacts) {
	before := len(d.findings)
	alter := fmt.Sprintf("ALTER PUBLICATION %s SET ", column(p.name))
	partial, condition := d.oneOf(d.Publication, "postgres_publication_partial", "postgres_publication_maybe_partial")
	if missing := p.missing(); len(missing) > 0 {
		id := partial
		if len(missing) == 1 && !p.trunc {
			id = "postgres_publication_maybe_partial" // most tables are never truncated
		}
		d.add(id, alter+"(publish = 'insert, update, delete, truncate')"+condition,
			"publication %q leaves out %s: totals drift from the table", p.name, strings.Join(missing, ", "))
	}
	if p.filter != "" {
		d.add(partial, alter+"TABLE "+d.quoted()+condition,
			"publication %q has a row filter %s: the other rows are missing from the stream's totals", p.name, p.filter)
	}
	if absent := d.unpublished(p); len(absent) > 0 {
		id, condition := d.oneOf(d.Publication, "postgres_publication_columns", "postgres_publication_maybe_columns")
		d.add(id, alter+"TABLE "+d.quoted()+condition,
			"publication %q leaves out %s, which brimline needs", p.name, plural(absent, "column"))
	}
	if d.table.Kind == "p" && !p.viaRoot {
		d.add("postgres_publication_partitions", alter+"(publish_via_partition_root = true)"+condition,
			"publication %q names the partitions of %s instead of the table: their records look like those of other tables",
			p.name, d.Table)
	}
	if len(d.findings) == before {
		d.ok("postgres_publication", "%s is in publication %q", d.Table, p.name)
	}
}

// missing are the operations that a publication leaves out.
func (p *publicationFacts) missing() (names []string) {
	for _, op := range []struct {
		name string
		on   bool
	}{{"insert", p.inserts}, {"update", p.updates}, {"delete", p.deletes}, {"truncate", p.trunc}} {
		if !op.on {
			names = append(names, op.name)
		}
	}
	return names
}

// unpublished are the needed columns that a publication leaves out.
func (d *database) unpublished(p publicationFacts) (names []string) {
	if p.columns == nil {
		return nil
	}
	for _, name := range d.needed() {
		if c, exists := d.table.Columns[name]; exists && !c.Generated && !slices.Contains(p.columns, name) {
			names = append(names, name)
		}
	}
	return names
}

// checkSlots looks at the slots of this database: each holds back write-ahead log for one reader.
func (d *database) checkSlots(ctx context.Context) error {
	if d.replica {
		return nil
	}
	status := `''`
	if d.version >= 130000 {
		status = `coalesce(wal_status, '')`
	}
	rows, err := d.conn.Query(ctx, fmt.Sprintf(`SELECT slot_name, active, %s,
		coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), coalesce(confirmed_flush_lsn, restart_lsn)), 0)::bigint
		FROM pg_replication_slots WHERE slot_type = 'logical' AND database = current_database()
		AND ($1 = '' OR slot_name = $1)
		ORDER BY slot_name`, status), d.Slot)
	if err != nil {
		return err
	}
	n := 0
	var name, wal string
	var active bool
	var lag int64
	_, err = pgx.ForEachRow(rows, []any{&name, &active, &wal, &lag}, func() error {
		n++
		d.slotFindings(name, wal, active, lag)
		return nil
	})
	switch {
	case err != nil || n > 0:
	case d.Slot != "":
		d.add("postgres_slot_missing", "start its reader, which creates it, or correct --slot",
			"there is no logical replication slot %q in this database: nothing reads the change stream through it", d.Slot)
	default:
		d.add("postgres_slot_none", "start Debezium's connector or `brimline capture`",
			"no logical replication slot in this database: nothing reads its change stream")
	}
	return err
}

// slotFindings looks at one slot. Others than ours are other people's: what they need is not for us to say.
func (d *database) slotFindings(name, wal string, active bool, lag int64) {
	behind := humanize.IBytes(uint64(max(0, lag)))
	if d.Slot == "" {
		const which = "name ours with --slot; if it is this one, "
		switch {
		case wal == "lost":
			d.add("postgres_slot_maybe_lost", which+"start over with a new snapshot and a new --group",
				"slot %s is lost: PostgreSQL has removed log that its reader had not read. If it is the one that feeds the "+
					"source topic, changes are missing from it", name)
		case !active || lag > lagWarning || wal == "unreserved":
			d.add("postgres_slot_maybe_unread", which+"see to its reader", "slot %s is %s behind%s", name, behind,
				inactive(active))
		default:
			d.ok("postgres_slot", "slot %s is being read, %s behind", name, behind)
		}
		return
	}
	switch {
	case wal == "lost":
		d.add("postgres_slot_lost",
			fmt.Sprintf("drop it (SELECT pg_drop_replication_slot(%s)), start the connector with a new snapshot, and a new "+
				"--group over it", literal(name)),
			"slot %s is lost: PostgreSQL has removed log that its reader had not read, so changes are missing from the stream",
			name)
	case !active:
		d.add("postgres_slot_unread", "start its reader", "nothing reads slot %s (%s behind): the stream has stopped and "+
			"log piles up", name, behind)
	case lag > lagWarning, wal == "unreserved":
		d.add("postgres_slot_behind", "see what slows its reader down",
			"slot %s is %s behind and holds that much log on the disk", name, behind)
	default:
		d.ok("postgres_slot", "slot %s is being read, %s behind", name, behind)
	}
}

// literal is a text in SQL.
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func inactive(active bool) string {
	if active {
		return ""
	}
	return ", and nothing reads it"
}
