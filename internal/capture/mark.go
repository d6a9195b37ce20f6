package capture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/brimline/brimline"
	"github.com/jackc/pglogrepl"
)

// Memory is a place beside the topic. The replication slot says how far the
// stream has come and cannot say of what: which table had the name, how it was
// published, which life of the topic the rows went to. That is kept here, so
// that an exchange is noticed although no capture ran.
type Memory interface {
	// TopicID changes when the source topic is created anew; "" if that cannot be known.
	TopicID(ctx context.Context) (string, error)
	// Load returns what was stored last, nil if nothing was.
	Load(ctx context.Context) ([]byte, error)
	Store(ctx context.Context, value []byte) error
}

// mark describes what the topic holds, or will hold once the pending snapshot is taken.
type mark struct {
	TopicID     string          `json:"topic_id,omitempty"`
	Table       uint32          `json:"table"`
	Publication markPublication `json:"publication"`
	Partitions  []uint32        `json:"partitions,omitempty"`
	Key         []string        `json:"key,omitempty"`
	// Covered is where the last snapshot was taken: of what the stream brings from before, only deletes are new.
	Covered uint64 `json:"covered,omitempty"`
	// Owed is why a new snapshot is to be taken; empty when none is.
	Owed string `json:"owed,omitempty"`
}

type markPublication struct {
	OID      uint32   `json:"oid"`
	Version  string   `json:"version"`
	Owner    uint32   `json:"owner"`
	Truncate bool     `json:"truncate"`
	ViaRoot  bool     `json:"via_root"`
	Member   uint32   `json:"member"`
	Filter   string   `json:"filter,omitempty"`
	Columns  []string `json:"columns,omitempty"`
}

func (l *look) mark(topicID, owed string) *mark {
	p := &l.publication
	return &mark{
		TopicID: topicID, Table: l.oid, Partitions: slices.Sorted(maps.Keys(l.leaves)), Key: l.key, Owed: owed,
		Publication: markPublication{
			OID: p.oid, Version: p.version, Owner: p.owner, Truncate: p.truncate, ViaRoot: p.viaRoot, Member: p.member,
			Filter: p.filter, Columns: p.columns,
		},
	}
}

// look is as much of the look that made the mark as changed compares.
func (m *mark) look() *look {
	p := &m.Publication
	l := &look{oid: m.Table, leaves: map[uint32]leaf{}, publication: publication{
		oid: p.OID, version: p.Version, owner: p.Owner, truncate: p.Truncate, viaRoot: p.ViaRoot, member: p.Member,
		filter: p.Filter, columns: p.Columns,
	}}
	for _, oid := range m.Partitions {
		l.leaves[oid] = leaf{name: fmt.Sprintf("with oid %d", oid)}
	}
	return l
}

// recall reads the mark, once per Run.
func (c *Capture) recall(ctx context.Context) error {
	if c.o.Memory == nil || c.mark != nil {
		return nil
	}
	value, err := c.o.Memory.Load(ctx)
	if err != nil || value == nil {
		return err
	}
	m := &mark{}
	if err := json.Unmarshal(value, m); err != nil {
		// Another version wrote it: a new snapshot is what is right in any case.
		m = &mark{Owed: fmt.Sprintf("what was remembered of the table cannot be read (%v)", err)}
	}
	c.mark, c.covered = m, pglogrepl.LSN(m.Covered)
	c.knowKey(m.Key)
	return nil
}

// remember stores what the topic holds from now on.
func (c *Capture) remember(ctx context.Context, l *look, owed string) error {
	if c.o.Memory == nil {
		return nil
	}
	id, err := c.o.Memory.TopicID(ctx)
	if err != nil {
		return err
	}
	return c.storeMark(ctx, l.mark(id, owed))
}

func (c *Capture) storeMark(ctx context.Context, m *mark) error {
	m.Covered = uint64(c.covered)
	value, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if c.mark != nil {
		if before, err := json.Marshal(c.mark); err == nil && string(before) == string(value) {
			return nil
		}
	}
	if err := c.o.Memory.Store(ctx, value); err != nil {
		return err
	}
	c.mark = m
	return nil
}

// owe remembers that rows are missing from the topic because of a fault of the
// table or its publication, so that the next start takes a new snapshot,
// whatever the two look like by then.
func (c *Capture) owe(ctx context.Context, fault error) {
	e, ok := errors.AsType[*brimline.Error](fault)
	if !ok || c.mark == nil || !slices.Contains(keepsRowsBack, e.Kind) {
		return
	}
	m := *c.mark
	m.Owed = e.Err.Error()
	ctx, cancel := context.WithTimeout(ctx, drainTimeout) // the fault must be heard of without Kafka, too
	defer cancel()
	if err := c.storeMark(ctx, &m); err != nil {
		c.o.Log.Warn("cannot remember that a new snapshot is needed: start the capture with --resnapshot", "table", c.o.Table,
			"err", err)
	}
}

func anew(topic string) string { return fmt.Sprintf("topic %q was created anew", topic) }

// keepsRowsBack are the kinds of faults under which PostgreSQL takes changes and
// does not report them to us.
var keepsRowsBack = []string{
	"postgres_table", "postgres_unlogged", "postgres_inheritance", "postgres_publication", "postgres_table_replaced",
	"postgres_table_renamed",
	"postgres_publication_changed", "postgres_publication_filter", "postgres_partition_attached", kindNoPublication,
}

// owed says why the slot that there is does not suffice, and a new snapshot is
// to be taken before streaming goes on; empty when it does.
func (c *Capture) owed(ctx context.Context, l *look) (string, error) {
	if c.o.Resnapshot && !c.resnapshot {
		return "it was asked for", nil
	}
	if c.o.Memory == nil {
		return "", nil
	}
	if c.mark == nil {
		return fmt.Sprintf("nothing is known of what was written from slot %q", c.o.Slot), nil
	}
	id, err := c.o.Memory.TopicID(ctx)
	if err != nil {
		return "", err
	}
	if id != c.mark.TopicID {
		return anew(c.topic), nil
	}
	err = c.changed(c.mark.look(), l)
	if err == nil {
		return c.mark.Owed, nil
	}
	e, _ := errors.AsType[*brimline.Error](err)
	if e.Kind == "postgres_publication_filter" {
		return "", err
	}
	return e.Err.Error(), nil
}
