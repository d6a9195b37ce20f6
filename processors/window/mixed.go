package window

import (
	"github.com/lovoo/goka"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/table"
	"github.com/brimline/brimline/processors"
)

// wakeMixed writes a message to each user who may have rows that the TRUNCATE at hand takes, and others. Those have
// come before it from another partition of the source, although they are newer, and their edges show only when the rest
// is gone: with the user's next message, which may be long in coming. A TRUNCATE is rare enough for a walk through the
// partition's table.
func (t *task) wakeMixed(ctx goka.Context, states *partitionStates) {
	k := t.Markers.get(ctx.Partition())
	if k.Truncation == nil || k.Truncation.Whole || k.TruncatedAt != ctx.Offset()+1 {
		return
	}
	values, err := states.table.Iterator()
	if err != nil {
		table.Fail(ctx, err)
	}
	defer values.Release()
	for values.Next() {
		user := string(values.Key())
		if _, _, segment := processors.ParseSegmentKey(user); segment || processors.IsMarker(user) {
			continue
		}
		value, err := values.Value()
		if err != nil {
			table.Fail(ctx, err)
		}
		if last, ok := codecs.WindowLast(value); !ok || last > k.TruncatedAt {
			continue
		}
		decoded, err := codecs.WindowPart{}.Decode(value)
		// What cannot be read is told with its next message.
		if err != nil || !isMixed(decoded.(*brimline.Window), k.Truncation) {
			continue
		}
		wake, err := codecs.Change{}.Encode(&brimline.Change{Kind: brimline.AskAgain, User: user})
		if err != nil {
			table.Fail(ctx, err)
		}
		ctx.Emit(t.changes, user, wake)
	}
	if err := values.Err(); err != nil {
		table.Fail(ctx, err)
	}
}

// isMixed reports whether a user may have rows that a TRUNCATE takes, and others. It does not look at older segments.
func isMixed(w *brimline.Window, t *brimline.Truncation) bool {
	spared := 0
	for i := range w.Rows {
		if t.Spares(&w.Rows[i], w.Changed) {
			spared++
		}
	}
	return spared < len(w.Rows) && spared > 0 || w.Older.Len() > 0
}
