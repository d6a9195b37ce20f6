package explain

import (
	"fmt"
	"testing"

	"github.com/brimline/brimline"
)

func TestConcerns(t *testing.T) {
	const envelope = `{"schema":{"x":"7"},"payload":{"before":{"user_id":%s},` +
		`"after":{"id":1,"user_id":%s},"source":{"lsn":7}}}`
	for name, x := range map[string]struct {
		letter brimline.DeadLetter
		want   string
	}{
		"named":             {brimline.DeadLetter{User: "7", Value: []byte("x")}, "{true [] false}"},
		"of another":        {brimline.DeadLetter{User: "8", Value: fmt.Appendf(nil, envelope, "8", "8")}, "{false [] false}"},
		"moved away":        {brimline.DeadLetter{User: "8", Value: fmt.Appendf(nil, envelope, "7", "8")}, "{false [value.before.user_id] false}"},
		"a number":          {brimline.DeadLetter{Value: fmt.Appendf(nil, envelope, "1", "7")}, "{false [value.payload.after.user_id] false}"},
		"text":              {brimline.DeadLetter{Value: fmt.Appendf(nil, envelope, "1", `"7"`)}, "{false [value.payload.after.user_id] false}"},
		"the source only":   {brimline.DeadLetter{Value: fmt.Appendf(nil, envelope, "1", "8")}, "{false [] false}"},
		"a row's key":       {brimline.DeadLetter{Key: []byte(`{"id":7}`), Value: []byte(`{}`)}, "{false [key.id] false}"},
		"broken":            {brimline.DeadLetter{Value: []byte(`{"after":{"user_id":7}`)}, "{false [] true}"},
		"broken, but keyed": {brimline.DeadLetter{Key: []byte(`{"id":7}`), Value: []byte("\x00\x01")}, "{false [key.id] false}"},
		"another's, broken": {brimline.DeadLetter{User: "8", Value: []byte(`{`)}, "{false [] false}"},
		"a tombstone":       {brimline.DeadLetter{Key: []byte(`{"id":1}`)}, "{false [] false}"},
		"an exact number":   {brimline.DeadLetter{Value: []byte(`{"id":70,"x":7.0,"y":"07"}`)}, "{false [] false}"},
	} {
		if got := fmt.Sprint(ConcernOf(&x.letter, "7")); got != x.want {
			t.Errorf("%s: %s, want %s", name, got, x.want)
		}
	}
}
