package ledger

import (
	"fmt"
	"slices"
	"strings"

	"github.com/brimline/brimline"
)

// column describes a column as the catalog has it. Domains are resolved to the type beneath.
type column struct {
	kind     string // pg_type.typname; "enum", "array" or "composite" for these
	cast     string // the type in SQL, without length or precision: a cast to varchar(3) would cut
	shown    string // the column's own type, for people
	schema   string // of the type, where its operators are, quoted
	output   string // the function that writes its values as the change stream has them, quoted
	scale    int    // decimals of a numeric; may be negative
	anyScale bool   // a numeric without declared scale
	loose    bool   // its collation takes different texts for equal
}

// Types by pg_type.typname. The lists hold the types whose values the change
// stream and PostgreSQL give in texts that can be made to agree. Others are
// written in a form of Debezium's own (hstore, interval, bytea, time, arrays),
// or not at all (name).
var (
	integers = []string{"int8", "int4", "int2"}
	plain    = []string{"text", "varchar", "bpchar", "enum", "uuid", "inet", "cidr", "macaddr", "macaddr8"}
	moments  = []string{"timestamptz", "timestamp"}

	// Two spellings in a citext column are one user to PostgreSQL, and two in the stream.
	userKinds   = slices.Concat(integers, []string{"oid", "numeric"}, plain)
	keyKinds    = slices.Concat(userKinds, []string{"citext"}, moments, []string{"date"})
	amountKinds = slices.Concat([]string{"numeric"}, integers)

	declarable = map[brimline.ColumnType][]string{
		brimline.Text:      slices.Concat(plain, []string{"citext", "json", "jsonb", "xml", "ltree"}),
		brimline.Integer:   integers,
		brimline.Numeric:   slices.Concat(amountKinds, []string{"float4", "float8"}),
		brimline.Boolean:   {"bool"},
		brimline.Timestamp: slices.Concat(moments, []string{"date"}),
	}
)

// sqlNames are types whose names in SQL are not those in pg_type.
var sqlNames = map[string]string{
	"int8":        "bigint",
	"int4":        "integer",
	"int2":        "smallint",
	"float8":      "double precision",
	"float4":      "real",
	"bool":        "boolean",
	"varchar":     "character varying",
	"bpchar":      "character",
	"timestamptz": "timestamp with time zone",
	"timestamp":   "timestamp without time zone",
}

func alternatives(kinds []string) string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		if names[i] = sqlNames[k]; names[i] == "" {
			names[i] = k
		}
	}
	return strings.Join(names, " or ")
}

// advice says what to do about a column of a rules file that has another type than it is declared with.
func advice(declared brimline.ColumnType, kind string) string {
	all := []brimline.ColumnType{brimline.Integer, brimline.Numeric, brimline.Boolean, brimline.Timestamp, brimline.Text}
	for _, other := range all {
		if other != declared && slices.Contains(declarable[other], kind) {
			return fmt.Sprintf("; declare it %s", other)
		}
	}
	return "; a rule cannot ask about it"
}

// text is the column in SQL as the change stream writes it: by the type's
// output function, since some types have a cast to text that says more
// (inet) or other things. char(n) is without the blanks that fill it up, which
// mean nothing in SQL either.
func (c *column) text(name string) string {
	switch c.kind {
	case "text", "varchar", "bpchar", "numeric", "bool", "int8", "int4", "int2":
		return quote(name) + "::pg_catalog.text"
	}
	return fmt.Sprintf("pg_catalog.textin(%s(%s::%s))", c.output, quote(name), c.cast)
}

// is compares the column with a text in a parameter. The cast stands at the
// parameter and never at the column, so that an index serves. Users are told
// apart by their text in the stream, byte by byte; where the type's own
// equality is wider (a collation that ignores case, 1.0 and 1.00) the text is
// compared as well.
func (c *column) is(name, parameter string) string {
	column := quote(name)
	if c.kind == "enum" { // whose = does not look beneath a domain
		column += "::" + c.cast
	}
	same := fmt.Sprintf("%s OPERATOR(%s.=) %s::pg_catalog.text::%s", column, c.schema, parameter, c.cast)
	if !c.loose && !(c.kind == "numeric" && c.anyScale) {
		return same
	}
	text := parameter + "::pg_catalog.text"
	if c.kind == "bpchar" {
		text += "::pg_catalog.bpchar::pg_catalog.text"
	}
	return fmt.Sprintf(`%s AND %s OPERATOR(pg_catalog.=) %s COLLATE pg_catalog."C"`, same, c.text(name), text)
}
