package capture

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// form is how the values of a column are to be read: the built-in type under
// all domains, or an array of something. Everything else is text.
type form struct {
	oid       uint32 // of the base type
	modifier  int32  // of the base type: precision and scale, fraction digits, length; -1 none
	element   *form  // of an array
	delimiter byte   // between an array's elements: a comma for all but box
}

// catalogType is a row of pg_type, as far as values depend on it.
type catalogType struct {
	base      uint32 // of a domain, else 0
	modifier  int32  // that a domain gives its base
	element   uint32 // of an array, else 0
	delimiter byte   // of this type as an element
}

// types are those that are not built in, and arrays, by oid. The stream names
// types by oid alone and a domain by its own, so what is under it is looked up.
type types map[uint32]catalogType

// form resolves a column's type. A type that the catalog does not have any more
// is text, for its values come as such.
func (t types) form(oid uint32, modifier int32) form {
	for range len(t) + 1 { // no chain is longer
		domain := t[oid]
		if domain.base == 0 {
			break
		}
		oid, modifier = domain.base, domain.modifier
	}
	f := form{oid: oid, modifier: modifier}
	if of := t[oid].element; of != 0 {
		element := t.form(of, modifier)
		f.element, f.delimiter = &element, t[of].delimiter
	}
	return f
}

// read looks types up, with all that they are made of. What was known stays, for
// a stream that is behind may name a type that has been dropped.
func (t types) read(ctx context.Context, conn *pgx.Conn, oids []uint32) error {
	rows, err := conn.Query(ctx, `WITH RECURSIVE need AS (
			SELECT oid, typtype, typbasetype, typtypmod, typelem, typcategory, typdelim FROM pg_catalog.pg_type WHERE oid =
				ANY($1::oid[])
		UNION
			SELECT t.oid, t.typtype, t.typbasetype, t.typtypmod, t.typelem, t.typcategory, t.typdelim FROM need n
			JOIN pg_catalog.pg_type t ON t.oid = n.typbasetype OR t.oid = n.typelem)
		SELECT oid, CASE typtype WHEN 'd' THEN typbasetype ELSE 0 END, typtypmod,
			CASE WHEN typtype = 'b' AND typcategory = 'A' THEN typelem ELSE 0 END, ascii(typdelim::text)::int4 FROM need`, oids)
	if err != nil {
		return err
	}
	var oid uint32
	var c catalogType
	var delimiter int32
	_, err = pgx.ForEachRow(rows, []any{&oid, &c.base, &c.modifier, &c.element, &delimiter}, func() error {
		c.delimiter = byte(delimiter)
		t[oid] = c
		return nil
	})
	return err
}
