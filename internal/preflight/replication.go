package preflight

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/jackc/pgx/v5"
)

// needed for the change stream, so an error for whoever reads it here and a
// warning for whoever only asks for totals.
func (d *database) streamLevel() Level {
	if d.Capture {
		return Error
	}
	return Warning
}

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
		d.add(d.streamLevel(), "postgres_wal_level", "ALTER SYSTEM SET wal_level = 'logical', then restart PostgreSQL",
			"wal_level is %s: there is no change stream to read", level)
	} else {
		d.ok("postgres_wal_level", "wal_level is logical")
	}
	if d.Capture && !mayReplicate {
		d.add(Error, "postgres_replication_right", fmt.Sprintf("ALTER ROLE %s REPLICATION", column(user)),
			"user %q may not read the change stream", user)
	}
	full := false
	for _, limit := range []struct {
		name      string
		max, used int
	}{{"max_replication_slots", slots, slotsUsed}, {"max_wal_senders", senders, sendersUsed}} {
		if limit.used >= limit.max {
			full = true
			d.add(Warning, "postgres_replication_limits", fmt.Sprintf("ALTER SYSTEM SET %s = %d, then restart PostgreSQL", limit.name, limit.max+5),
				"all %d of %s are in use: no further reader of the change stream can connect", limit.max, limit.name)
		}
	}
	if !full {
		d.ok("postgres_replication_limits", "%d of %d replication slots and %d of %d senders are free",
			slots-slotsUsed, slots, senders-sendersUsed, senders)
	}
	if keep == "-1" && slotsUsed > 0 {
		d.add(Note, "postgres_slot_limit", "set max_slot_wal_keep_size to what the disk can spare",
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
	if d.replica || d.table.oid == 0 {
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
	rows, err := d.conn.Query(ctx, fmt.Sprintf(`SELECT DISTINCT p.pubname, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate, %s, %s
		FROM pg_publication_tables t JOIN pg_publication p ON p.pubname = t.pubname
		WHERE ($4 = '' OR p.pubname = $4) AND (t.schemaname = $1 AND t.tablename = $2
			OR (t.schemaname, t.tablename) IN (SELECT n.nspname, c.relname FROM pg_partition_tree($3::oid::regclass) tree
				JOIN pg_class c ON c.oid = tree.relid JOIN pg_namespace n ON n.oid = c.relnamespace))`, viaRoot, more),
		schema, name, d.table.oid, d.Publication)
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
		d.noPublication()
		return nil
	}
	for _, p := range found {
		d.judgePublication(p)
	}
	return nil
}

func (d *database) noPublication() {
	wanted, create := "a publication", "debezium"
	if d.Publication != "" {
		wanted, create = fmt.Sprintf("the publication %q", d.Publication), d.Publication
	}
	// `brimline capture` and most connectors make theirs when they first start.
	d.add(Note, "postgres_publication", fmt.Sprintf("CREATE PUBLICATION %s FOR TABLE %s, or let the connector create its own", column(create), d.quoted()),
		"%s is not in %s yet", d.Table, wanted)
}

func (d *database) judgePublication(p publicationFacts) {
	const check = "postgres_publication"
	before := len(d.findings)
	var missing []string
	for _, op := range []struct {
		name string
		on   bool
	}{{"insert", p.inserts}, {"update", p.updates}, {"delete", p.deletes}, {"truncate", p.trunc}} {
		if !op.on {
			missing = append(missing, op.name)
		}
	}
	alter := fmt.Sprintf("ALTER PUBLICATION %s SET ", column(p.name))
	if len(missing) > 0 {
		d.add(Warning, check, alter+"(publish = 'insert, update, delete, truncate')",
			"publication %q leaves out %s: totals drift from the table", p.name, strings.Join(missing, ", "))
	}
	if p.filter != "" {
		d.add(Warning, check, alter+"TABLE "+d.quoted(),
			"publication %q has a row filter %s: the other rows are missing from the stream's totals", p.name, p.filter)
	}
	if p.columns != nil {
		var absent []string
		for _, name := range d.needed() {
			if _, exists := d.table.columns[name]; exists && !slices.Contains(p.columns, name) {
				absent = append(absent, name)
			}
		}
		if len(absent) > 0 {
			d.add(Error, check, alter+"TABLE "+d.quoted(),
				"publication %q leaves out %s, which brimline needs", p.name, plural(absent, "column"))
		}
	}
	if d.table.kind == "p" && !p.viaRoot {
		d.add(Warning, check, alter+"(publish_via_partition_root = true)",
			"publication %q names the partitions of %s instead of the table: their records look like those of other tables", p.name, d.Table)
	}
	if len(d.findings) == before {
		d.ok(check, "%s is in publication %q", d.Table, p.name)
	}
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
		FROM pg_replication_slots WHERE slot_type = 'logical' AND database = current_database() AND ($1 = '' OR slot_name = $1)
		ORDER BY slot_name`, status), d.Slot)
	if err != nil {
		return err
	}
	const check = "postgres_slot"
	n := 0
	var name, wal string
	var active bool
	var lag int64
	_, err = pgx.ForEachRow(rows, []any{&name, &active, &wal, &lag}, func() error {
		n++
		behind := humanize.IBytes(uint64(max(0, lag)))
		drop := fmt.Sprintf("start its reader, or drop it: SELECT pg_drop_replication_slot('%s')", strings.ReplaceAll(name, "'", "''"))
		switch {
		case wal == "lost":
			d.add(Error, check, fmt.Sprintf("drop it (SELECT pg_drop_replication_slot('%s')) and start the connector with a new snapshot", name),
				"slot %s is lost: PostgreSQL has removed log that its reader had not read, so changes are missing from the stream", name)
		case !active && lag > lagWarning, wal == "unreserved":
			d.add(Warning, check, drop, "slot %s is %s behind and holds that much log on the disk%s", name, behind, inactive(active))
		case !active:
			d.add(Warning, check, drop, "nobody reads slot %s (%s behind): the stream has stopped and log piles up", name, behind)
		case lag > lagWarning:
			d.add(Warning, check, "see what slows its reader down", "slot %s is %s behind", name, behind)
		default:
			d.ok(check, "slot %s is being read, %s behind", name, behind)
		}
		return nil
	})
	if err == nil && n == 0 {
		d.add(Note, check, "start Debezium's connector or `brimline capture`", "no logical replication slot%s in this database: nothing reads its change stream", named(d.Slot))
	}
	return err
}

func inactive(active bool) string {
	if active {
		return ""
	}
	return ", and nobody reads it"
}

func named(name string) string {
	if name == "" {
		return ""
	}
	return fmt.Sprintf(" %q", name)
}
