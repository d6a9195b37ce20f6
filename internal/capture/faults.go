package capture

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/brimline/brimline"
)

// everyChange are the operations a publication must publish.
const everyChange = "publish = 'insert, update, delete, truncate'"

func tableError(kind, where, remedy, format string, args ...any) error {
	return &brimline.Error{
		Class: brimline.ClassEnvironment, Kind: kind, Where: where, Remedy: remedy, Err: fmt.Errorf(format, args...),
	}
}

func (c *Capture) whereTable() string { return fmt.Sprintf("table %q", c.o.Table) }
func (c *Capture) wherePublication() string {
	return fmt.Sprintf("publication %q", c.o.Publication)
}

// anyFault refuses what cannot be captured.
func (c *Capture) anyFault(l *look) error {
	if err := c.tableFault(l); err != nil {
		return err
	}
	return c.publicationFault(l)
}

// tableFault refuses a table whose changes PostgreSQL does not report, or not in
// a way that keeps a topic in step.
func (c *Capture) tableFault(l *look) error {
	where, table := c.whereTable(), c.quotedTable()
	if l.oid == 0 {
		return tableError("postgres_table", where, "check the table's name, and create it before the capture starts",
			"there is no such table")
	}
	if l.kind != "r" && l.kind != "p" {
		what := map[string]string{
			"v": "a view", "m": "a materialized view", "f": "a foreign table", "S": "a sequence", "i": "an index",
			"I": "an index", "c": "a composite type",
		}[l.kind]
		return tableError("postgres_table", where, "capture the table that holds the rows: PostgreSQL has no change stream "+
			"for anything else", "it is %s, not a table", what)
	}
	switch l.persistence {
	case "u":
		return tableError("postgres_unlogged", where, fmt.Sprintf("ALTER TABLE %s SET LOGGED", table),
			"it is unlogged: PostgreSQL reports no changes of it")
	case "t":
		return tableError("postgres_table", where, "capture a table that is not temporary",
			"it is temporary: PostgreSQL reports no changes of it")
	}
	if len(l.key) == 0 {
		return tableError("postgres_primary_key", where, fmt.Sprintf("ALTER TABLE %s ADD PRIMARY KEY (…)", table),
			"it has no primary key, by which records are keyed")
	}
	if generated := without(l.key, l.published()); len(generated) > 0 && l.publication.columns == nil {
		return tableError("postgres_primary_key", where,
			fmt.Sprintf("give %s a primary key without generated columns", table),
			"%s of its primary key is generated, and generated columns are not in the change stream", join(generated))
	}
	if len(l.children) > 0 {
		return tableError("postgres_inheritance", where,
			fmt.Sprintf("make a partitioned table of it, or keep its rows out of %s (ALTER TABLE … NO INHERIT %s)",
				join(l.children), table),
			"%s inherit from it: a query of the table counts their rows, and their changes come under their own names",
			join(l.children))
	}
	if err := c.identityFault(l, "", l.identity, l.identifies); err != nil && l.kind == "r" {
		return err
	}
	for _, oid := range slices.Sorted(maps.Keys(l.leaves)) {
		f := l.leaves[oid]
		switch {
		case f.kind == "f":
			return tableError("postgres_table", where, "keep foreign tables out of "+table,
				"its partition %s is a foreign table: PostgreSQL reports no changes of it", f.name)
		case f.persistence == "u":
			return tableError("postgres_unlogged", where, fmt.Sprintf("ALTER TABLE %s SET LOGGED", f.name),
				"its partition %s is unlogged: PostgreSQL reports no changes of it", f.name)
		}
		if err := c.identityFault(l, f.name, f.identity, f.identifies); err != nil {
			return err
		}
	}
	return nil
}

// identityFault refuses a replica identity under which PostgreSQL lets no client
// update or delete a published row, or reports it without its primary key.
func (c *Capture) identityFault(l *look, partition, identity string, columns []string) error {
	table, of := c.quotedTable(), "its replica identity"
	if partition != "" {
		table, of = partition, fmt.Sprintf("the replica identity of its partition %s", partition)
	}
	remedy := fmt.Sprintf("ALTER TABLE %s REPLICA IDENTITY FULL", table)
	where := c.whereTable()
	switch identity {
	case "n":
		return tableError("postgres_identity", where, remedy, "%s is NOTHING: PostgreSQL refuses updates and deletes of a "+
			"published table that has none", of)
	case "d":
		if l.deferrable {
			return tableError("postgres_identity", where, remedy,
				"its primary key is deferrable, which PostgreSQL does not take as replica identity: it refuses updates and "+
					"deletes once the table is published")
		}
	case "i":
		if missing := without(l.key, columns); len(missing) > 0 {
			return tableError("postgres_identity", where, remedy,
				"%s is an index without %s of the primary key: a delete does not say which row it was", of, join(missing))
		}
	}
	return nil
}

// publicationFault refuses a publication that keeps changes of the table back.
func (c *Capture) publicationFault(l *look) error {
	p, where := &l.publication, c.wherePublication()
	alter := "ALTER PUBLICATION " + quote(c.o.Publication) + " "
	if p.oid == 0 {
		return tableError("postgres_publication", where, c.createPublication(l), "there is none of this name")
	}
	var remedies, faults []string
	if !p.covers {
		faults = append(faults, fmt.Sprintf("does not publish %s", c.o.Table))
		switch {
		case p.partially && l.kind == "p": // ADD TABLE fails: it is a member
			remedies = append(remedies, alter+"SET (publish_via_partition_root = true)")
			faults[0] = fmt.Sprintf("publishes the partitions of %s under their own names", c.o.Table)
		case p.partially:
			remedies = append(remedies, alter+"SET (publish_via_partition_root = false), or capture the table that this one "+
				"is a partition of")
			faults[0] = fmt.Sprintf("publishes the rows of %s under the name of the table that it is a partition of", c.o.Table)
		default:
			remedies = append(remedies, alter+"ADD TABLE "+c.quotedTable())
			if l.kind == "p" && !p.viaRoot {
				remedies = append(remedies, alter+"SET (publish_via_partition_root = true)")
			}
		}
	}
	var left []string
	for _, op := range []struct {
		name string
		on   bool
	}{{"inserts", p.insert}, {"updates", p.update}, {"deletes", p.delete}} {
		if !op.on {
			left = append(left, op.name)
		}
	}
	if len(left) > 0 {
		remedies = append(remedies, alter+"SET ("+everyChange+")")
		faults = append(faults, "leaves out "+join(left))
	}
	if missing := without(l.key, l.published()); len(missing) > 0 && p.covers {
		remedies = append(remedies, c.republish(l))
		faults = append(faults, fmt.Sprintf("leaves out %s of the primary key, by which records are keyed", join(missing)))
	}
	if len(faults) == 0 {
		return nil
	}
	return tableError("postgres_publication", where, strings.Join(remedies, "; "), "it %s", strings.Join(faults, ", and "))
}

func (c *Capture) createPublication(l *look) string {
	create := fmt.Sprintf("CREATE PUBLICATION %s FOR TABLE %s", quote(c.o.Publication), c.quotedTable())
	if l != nil && l.kind == "p" {
		create += " WITH (publish_via_partition_root = true)"
	}
	return create
}

// republish makes the table a member without row filter and column list. SET
// TABLE would do it in one statement and throw out the other members.
func (c *Capture) republish(l *look) string {
	alter := "ALTER PUBLICATION " + quote(c.o.Publication)
	return fmt.Sprintf("BEGIN; %s DROP TABLE %s; %[1]s ADD TABLE %[2]s; COMMIT", alter, c.quotedTable())
}

// without are the names that are not among others.
func without(names, others []string) (missing []string) {
	for _, name := range names {
		if !slices.Contains(others, name) {
			missing = append(missing, name)
		}
	}
	return missing
}

// again ends every error about a table that was exchanged.
const again = "start the capture again: it takes a new snapshot by itself, which brings the rows that are missing"

// changed says what has happened to the table or the publication since base in
// a way that keeps rows from the topic.
func (c *Capture) changed(base, now *look) error {
	err := c.anyFault(now)
	where := c.whereTable()
	replaced := fmt.Errorf("another table has taken this name (oid %d, before %d): rows that were put into it before "+
		"are not in the topic", now.oid, base.oid)
	if err != nil {
		if e, ok := errors.AsType[*brimline.Error](err); ok && now.oid != 0 && base.oid != now.oid {
			err = tableError("postgres_table_replaced", where, e.Remedy, "%w; %s: %w", replaced, e.Where, e.Err)
		}
		return followedBy(err, again)
	}
	p, q := &base.publication, &now.publication
	switch {
	case base.oid != now.oid:
		return tableError("postgres_table_replaced", where, again, "%w", replaced)
	case p.oid != q.oid:
		return tableError("postgres_publication_changed", c.wherePublication(), again,
			"it was dropped and made again: changes in between are not in the topic")
	case p.filter != q.filter || !slices.Equal(p.columns, q.columns):
		return c.partlyPublished(now)
	case p.member != q.member:
		return tableError("postgres_publication_changed", c.wherePublication(), again,
			"%s was taken out of it and put back: changes in between are not in the topic", c.o.Table)
	case p.version != q.version && p.owner == q.owner && p.truncate == q.truncate && p.viaRoot == q.viaRoot:
		return tableError("postgres_publication_changed", c.wherePublication(), again,
			"it was altered, and altered back: changes in between may not be in the topic")
	}
	if names := now.brought(base.leaves); len(names) > 0 {
		return tableError("postgres_partition_attached", where, again,
			"%s came with rows when attached as a partition: they are not in the topic", join(names))
	}
	return nil
}

// partlyPublished is the error about a row filter or a column list that was not
// there when the topic was begun.
func (c *Capture) partlyPublished(l *look) error {
	p := &l.publication
	if p.filter == "" && p.columns == nil {
		return tableError("postgres_publication_changed", c.wherePublication(), again,
			"its row filter or column list is gone: what these kept back is not in the topic")
	}
	return tableError("postgres_publication_filter", c.wherePublication(),
		c.republish(l)+"; then "+again+". Or accept it with --resnapshot", "it has got %s: the rest of %s no longer comes",
		p.limits(), c.o.Table)
}

// limits names the row filter and the column list.
func (p *publication) limits() string {
	var limits []string
	if p.filter != "" {
		limits = append(limits, "the row filter "+p.filter)
	}
	if p.columns != nil {
		limits = append(limits, "the column list "+join(p.columns))
	}
	return strings.Join(limits, " and ")
}

// brought names partitions that are not in known and came with rows.
func (l *look) brought(known map[uint32]leaf) (names []string) {
	for oid, f := range l.leaves {
		if _, old := known[oid]; !old && f.brought {
			names = append(names, f.name)
		}
	}
	slices.Sort(names)
	return names
}

// followedBy adds to the remedy of an error.
func followedBy(err error, then string) error {
	if e, ok := errors.AsType[*brimline.Error](err); ok {
		more := *e
		more.Remedy += "; then " + then
		return &more
	}
	return err
}
