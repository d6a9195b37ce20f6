package route

import (
	"slices"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/lovoo/goka"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs/debezium"
	"github.com/brimline/brimline/processors"
)

// Decoder turns one record of the source topic into changes. Its errors are
// *brimline.Error of ClassInput. Changes beside an error are made all the same: a
// row that cannot be taken as it is now must not stay as it was.
type Decoder interface {
	Read(key, value []byte) (debezium.Decoded, error)
}

// record is one input message.
type record struct {
	source  brimline.Source // topic, partition, offset
	key     []byte
	value   []byte
	headers func() goka.Headers // asked for when they are kept: goka makes a map of them
	at      brimline.Time       // when it was met
}

// outcome is the output of one record: changes, a dead letter, both, or nothing for a reason.
type outcome struct {
	changes []brimline.Change
	dead    *brimline.DeadLetter
	passed  debezium.Passed
}

// route decides what becomes of a record. Partitions is the number of
// partitions of the changes stream.
func route(d Decoder, partitions int, r record) outcome {
	read, err := d.Read(r.key, r.value)
	out := outcome{changes: read.Changes, passed: read.Passed}
	if bad := out.fit(&read); err == nil {
		err = bad
	}
	out.address(partitions, r.source)
	if err != nil {
		out.dead = deadLetter(r, err)
		out.dead.User, out.dead.Row = read.Whose()
	}
	return out
}

// fit takes out the changes that cannot be keyed or kept, and says why. A deletion that cannot is of a row that was not
// kept either, and so is only worth mentioning where it is all that the record says.
func (o *outcome) fit(read *debezium.Decoded) error {
	bad := error(nil)
	for i := range o.changes {
		c := &o.changes[i]
		if err := unfit(c); err != nil && (c.Kind == brimline.Upsert || len(o.changes) == 1) {
			bad = err
		}
	}
	if bad != nil {
		o.changes = read.Refused()
	}
	o.changes = slices.DeleteFunc(o.changes, func(c brimline.Change) bool { return unfit(&c) != nil })
	return bad
}

// unfit says why a change cannot be written; nil where it can.
func unfit(c *brimline.Change) error {
	switch {
	case c.Kind == brimline.Truncate:
	case len(c.User) > processors.MaxID || len(c.Row.ID) > processors.MaxID:
		return brimline.BadInput(kindIDTooLong, "shorten the id, or watch another column",
			"an id of %d bytes; at most %d are kept", max(len(c.User), len(c.Row.ID)), processors.MaxID)
	case processors.ColumnBytes(c.Row.Columns) > processors.MaxColumns:
		return brimline.BadInput(kindColumnsTooLong, "declare only short columns in the rules file: their values "+
			"are kept with every row",
			"the columns that rules use hold %d bytes; at most %d are kept with a row", processors.ColumnBytes(c.Row.Columns),
			processors.MaxColumns)
	case strings.IndexByte(c.User, 0) >= 0 || !utf8.ValidString(c.User):
		return brimline.BadInput(kindBadUser, "repair the user column: PostgreSQL itself cannot hold such a text",
			"the user id %q is not text", c.User)
	}
	return nil
}

// address completes the changes with their coordinates, and spreads a truncation over all partitions.
func (o *outcome) address(partitions int, source brimline.Source) {
	for i := range o.changes {
		c := &o.changes[i]
		c.Source.Topic, c.Source.Partition, c.Source.Offset = source.Topic, source.Partition, source.Offset
		c.Source.Life = source.Life
		if c.Kind == brimline.Truncate {
			o.changes = truncation(*c, partitions)
			return
		}
	}
}

// Kinds of what is refused here; the decoder has its own.
const (
	kindIDTooLong      = "id_too_long"
	kindColumnsTooLong = "columns_too_long"
	kindBadUser        = "bad_user"
	kindUnknown        = "unknown" // an error that does not say its kind
)

func truncation(c brimline.Change, partitions int) []brimline.Change {
	all := make([]brimline.Change, partitions)
	for p := range all {
		all[p] = c
		all[p].User = processors.MarkerKey(int32(p), partitions)
	}
	return all
}

func deadLetter(r record, err error) *brimline.DeadLetter {
	d := processors.NewDeadLetter(brimline.DeadLetter{
		Topic: r.source.Topic, Partition: r.source.Partition, Offset: r.source.Offset,
		Key: r.key, Value: r.value, Kind: kindUnknown, At: r.at,
	}, err)
	for key, value := range r.headers() {
		d.Headers = append(d.Headers, brimline.Header{Key: key, Value: value})
	}
	sort.Slice(d.Headers, func(i, j int) bool { return d.Headers[i].Key < d.Headers[j].Key })
	return d
}
