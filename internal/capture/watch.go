package capture

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/brimline/brimline"
	"github.com/jackc/pgx/v5"
)

// lookPatience is how long one look at the catalog may take.
const lookPatience = 30 * time.Second

// watch looks at the catalog every CheckInterval, and at once when the stream
// has met something new, on a connection of its own. The stream itself says
// nothing when another table takes the watched one's name, when a publication
// leaves the table out, or when a partition goes: its changes just stop. watch
// returns what ends the capture, or nil when ctx ends.
func (c *Capture) watch(ctx context.Context, base *look, news <-chan struct{}) error {
	var conn *pgx.Conn
	defer func() {
		if conn != nil {
			hangUp(ctx, conn.Close)
		}
	}()
	tick := time.NewTicker(c.o.CheckInterval)
	defer tick.Stop()
	blind := false
	for {
		now, fault, err := c.lookAgain(ctx, &conn, base)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !blind:
			blind = true
			c.o.Log.Warn("cannot see whether the table and its publication are as they were; trying again",
				"table", c.o.Table, "err", err)
		case err == nil:
			if blind {
				blind = false
				c.o.Log.Info("the table and its publication can be seen again", "table", c.o.Table)
			}
			if fault == nil {
				fault = c.topicAnew(ctx)
			}
			if fault != nil {
				return fault
			}
			c.goOn(ctx, base, now)
			base = now
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-news:
		}
	}
}

// lookAgain compares over a connection that is made when there is none. fault is
// what is wrong with the table, err why that cannot be said.
func (c *Capture) lookAgain(ctx context.Context, conn **pgx.Conn, base *look) (now *look, fault, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	if *conn == nil || (*conn).IsClosed() {
		if *conn, err = c.connect(ctx); err != nil {
			*conn = nil
			return nil, nil, unwrapOutage(err)
		}
		if err = c.stayConnected(ctx, *conn); err != nil {
			return nil, nil, unwrapOutage(err)
		}
	}
	return c.compare(ctx, *conn, base)
}

// compare looks and says what has become of the table since base.
func (c *Capture) compare(ctx context.Context, conn *pgx.Conn, base *look) (now *look, fault, err error) {
	now, fault = c.settled(ctx, conn, func(l *look) error { return c.changed(base, l) })
	if now == nil {
		return nil, nil, unwrapOutage(fault)
	}
	if e, ok := errors.AsType[*brimline.Error](fault); ok && now.oid == 0 {
		fault = c.gone(ctx, conn, base, e)
	}
	return now, fault, nil
}

// topicAnew is the error that the rows which were in the topic have gone with it.
// A Kafka that does not answer says nothing; the sink will.
func (c *Capture) topicAnew(ctx context.Context) error {
	if c.o.Memory == nil || c.mark == nil {
		return nil
	}
	if id, err := c.o.Memory.TopicID(ctx); err != nil || id == c.mark.TopicID {
		return nil
	}
	return tableError("capture_topic_anew", fmt.Sprintf("topic %q", c.topic), again,
		"it was created anew: what it held is gone")
}

// goOn tells of differences that the capture can live with, and remembers them.
func (c *Capture) goOn(ctx context.Context, base, now *look) {
	c.tellDifferences(base, now)
	if c.o.Memory != nil && c.mark != nil && c.mark.Owed == "" {
		if err := c.storeMark(ctx, now.mark(c.mark.TopicID, "")); err != nil && ctx.Err() == nil {
			c.o.Log.Warn("cannot remember how the table is now", "table", c.o.Table, "err", err)
		}
	}
}

// gone says what has become of a table whose name leads nowhere.
func (c *Capture) gone(ctx context.Context, conn *pgx.Conn, base *look, e *brimline.Error) error {
	var name string
	err := conn.QueryRow(ctx, `SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_catalog.pg_class c
		JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1`, base.oid).Scan(&name)
	what := *e
	what.Remedy = fmt.Sprintf("create it and ALTER PUBLICATION %s ADD TABLE %s, or name the table that took its place "+
		"with --table; then %s",
		quote(c.o.Publication), c.quotedTable(), again)
	what.Err = errors.New("it was dropped")
	if err == nil {
		what.Remedy = fmt.Sprintf("give it its name back, or put another table in its place and ALTER PUBLICATION %s ADD "+
			"TABLE %s; then %s",
			quote(c.o.Publication), c.quotedTable(), again)
		what.Err = fmt.Errorf("it has become %s: its changes come under that name and are not taken", name)
	}
	return &what
}

// tellDifferences logs what the capture goes on with and an operator should know.
func (c *Capture) tellDifferences(base, now *look) {
	if said := columnsChanged(base.columns, now.columns); said != "" && len(base.columns) > 0 {
		c.o.Log.Warn("the table's columns have changed: records have them as they are from here on, and rows that were "+
			"there are not sent again; --resnapshot does that",
			"table", c.o.Table, "changed", said)
	}
	if !slices.Equal(base.key, now.key) && len(base.key) > 0 {
		c.o.Log.Warn("the primary key has changed, and with it the key of every record from here on: rows that were there "+
			"are known by their old keys",
			"table", c.o.Table, "key", join(now.key), "before", join(base.key))
	}
	if p, q := base.publication, now.publication; p.truncate && !q.truncate {
		c.tellTruncate()
	}
	if base.identity != now.identity && base.identity != "" {
		c.tellIdentity(now)
	}
	c.tellPartitions(base, now)
}

// tellPartitions names the partitions that have gone or lost their rows.
func (c *Capture) tellPartitions(base, now *look) {
	for _, oid := range slices.Sorted(maps.Keys(base.leaves)) {
		was, is := base.leaves[oid], now.leaves[oid]
		switch {
		case is.name == "":
			c.tellPartition(was.name, "was detached or dropped")
		case was.filenode != 0 && was.filenode != is.filenode:
			c.tellPartition(is.name, "was truncated or rewritten (VACUUM FULL, CLUSTER)")
		}
	}
}

// tellPartition: PostgreSQL reports neither DROP nor DETACH nor TRUNCATE of a single partition.
func (c *Capture) tellPartition(name, what string) {
	c.stats.partitions.Add(1)
	c.o.Log.Warn("a partition "+what+", which the change stream does not say: rows that went with it stay in the topic, "+
		"and a new snapshot does not take them out. "+
		"Where they still count, attach the partition again, DELETE its rows and then detach it; if it is gone, begin "+
		"another topic (--source, --slot) with a new --group",
		"table", c.o.Table, "partition", name, "so_far", c.stats.partitions.Load())
}

func (c *Capture) tellTruncate() {
	c.o.Log.Warn("the publication leaves out truncate: rows that a TRUNCATE removes stay in the topic",
		"publication", c.o.Publication,
		"remedy", fmt.Sprintf("ALTER PUBLICATION %s SET (%s)", quote(c.o.Publication), everyChange))
}

// tellIdentity warns of deletes that name nothing but their key.
func (c *Capture) tellIdentity(l *look) {
	var tables []string
	if l.kind == "r" && l.identity != "f" {
		tables = []string{c.quotedTable()}
	}
	for _, f := range l.leaves {
		if f.identity != "f" {
			tables = append(tables, f.name)
		}
	}
	if len(tables) == 0 {
		return
	}
	slices.Sort(tables)
	c.o.Log.Warn("the replica identity is not FULL: a delete does not say whose row it was, and an update not whose it "+
		"had been", "tables", join(tables),
		"remedy", fmt.Sprintf("ALTER TABLE %s REPLICA IDENTITY FULL", tables[0]))
}

// tell logs, once per session of the table, what the topic will be without.
func (c *Capture) tell(l *look) {
	c.tellIdentity(l)
	if !l.publication.truncate {
		c.tellTruncate()
	}
	if limits := l.publication.limits(); limits != "" {
		c.o.Log.Warn("the publication does not publish the whole table: the rest is not in the topic, and PostgreSQL "+
			"counts it all the same",
			"publication", c.o.Publication, "limits", limits, "remedy", c.republish(l))
	}
	var generated []string
	for _, col := range l.columns {
		if col.generated && !l.publication.generated {
			generated = append(generated, col.name)
		}
	}
	if len(generated) > 0 {
		c.o.Log.Warn("generated columns are not in the change stream, so they are in no record: do not name them in "+
			"settings or rules",
			"table", c.o.Table, "columns", join(generated))
	}
}

// columnsChanged names columns that are gone, new or of another type.
func columnsChanged(before, now []catalogColumn) string {
	var said []string
	types := map[string]catalogColumn{}
	for _, c := range before {
		types[c.name] = c
	}
	for _, c := range now {
		was, known := types[c.name]
		delete(types, c.name)
		switch {
		case !known:
			said = append(said, c.name+" is new")
		case was != c:
			said = append(said, c.name+" has another type")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(types)) {
		said = append(said, name+" is gone")
	}
	return strings.Join(said, ", ")
}
