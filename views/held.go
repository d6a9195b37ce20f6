package views

import (
	"context"
	"errors"
	"fmt"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/processors"
)

// Held is all that the window table has of one user, as it was folded.
type Held struct {
	User string
	// Window is the user's state, put together, without the rows that a TRUNCATE has taken away. It must not be changed.
	// Nil is a user whom the table does not know.
	Window *brimline.Window
	// Forgotten is the time up to which a user whom the table does not know may have been forgotten; 0 for never.
	Forgotten brimline.Time
}

// Held gives a user's state. An unknown user is no error. The key is the user id's canonical text.
func (w *Windows) Held(id string) (h Held, err error) {
	if err := processors.CheckUser(id); err != nil {
		return h, &brimline.Error{
			Class: brimline.ClassInput, Kind: "bad_user_id", Where: "looking up a user",
			Remedy: "give the user id as it stands in the table", Err: err,
		}
	}
	err = w.read(func() (err error) {
		h, err = w.held(id)
		return err
	})
	return h, err
}

func (w *Windows) held(id string) (h Held, err error) {
	window, err := w.whole(id)
	if err != nil {
		return h, err
	}
	marker, err := w.marker(max(0, w.partition(id)))
	if err != nil {
		return h, err
	}
	h = Held{User: id, Window: Truncated(window, marker)}
	if marker != nil && len(marker.Sweeps) > 0 {
		h.Forgotten = marker.Sweeps[len(marker.Sweeps)-1].Before
	}
	return h, nil
}

// Users calls visit with the ids of all users of the table, at most some at once, in no order that means anything. The
// table may change meanwhile: who is new may be left out.
func (w *Windows) Users(ctx context.Context, most int, visit func(ids []string) error) error {
	if most < 1 {
		return fmt.Errorf("%d users at once", most)
	}
	for _, p := range w.parts {
		for from, over := "", false; !over; {
			var ids []string
			err := w.read(func() error {
				over = true
				// Not held open while others work: a view that ends waits for its readers.
				err := p.each(from, func(key string, _ []byte) bool {
					if ctx.Err() != nil {
						return false
					}
					if len(ids) == most {
						from, over = key, false
						return false
					}
					if _, _, segment := processors.ParseSegmentKey(key); !segment && !processors.IsMarker(key) {
						ids = append(ids, key)
					}
					return true
				})
				return errors.Join(err, ctx.Err())
			})
			if err == nil && len(ids) > 0 {
				err = visit(ids)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}
