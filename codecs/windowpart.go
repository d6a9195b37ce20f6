package codecs

import (
	"fmt"

	"github.com/brimline/brimline"
)

// KindWindowInSegments is of a value of the window table that shows a part of a user's state.
const KindWindowInSegments = "window_in_segments"

// WindowPart is Window for those who put parts together, as views and the window stage do: a record of the window
// table as it is, be it all that there is of a user, the newest part of it, or a segment (see AssembleWindow).
type WindowPart struct{}

// Encode takes a *brimline.Window.
func (WindowPart) Encode(v any) ([]byte, error) { return Window{}.Encode(v) }

// Decode gives a *brimline.Window that is all there is of a user. A value that has segments under other keys is
// refused: what it holds itself are the newest rows of many, and would be taken for all of them.
func (Window) Decode(b []byte) (any, error) {
	v, err := WindowPart{}.Decode(b)
	if err != nil {
		return nil, err
	}
	if n := v.(*brimline.Window).Older.Len(); n > 0 {
		return nil, &brimline.Error{
			Class: brimline.ClassInput, Kind: KindWindowInSegments, Where: "a value of the window table",
			Remedy: "read the table with views.Open of github.com/brimline/brimline/views, which puts the parts together",
			Err:    fmt.Errorf("it is a part: the older rows of this user are in %d segments under keys of their own", n),
		}
	}
	return v, nil
}
