package index

import (
	"errors"
	"slices"
	"testing"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/storage"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/table"
)

func TestAddKeepsTheNewestOnce(t *testing.T) {
	alert := func(edge brimline.Time) *brimline.Alert {
		return &brimline.Alert{Candidate: brimline.Candidate{User: "u", Rule: brimline.Rule{ID: "r"}, Edge: edge}}
	}
	var log []*brimline.Alert
	for _, edge := range []brimline.Time{5, 1, 9, 5, 3, 9, 7} {
		log = add(log, alert(edge), 4)
	}
	var edges []brimline.Time
	for _, a := range log {
		edges = append(edges, a.Candidate.Edge)
	}
	if !slices.Equal(edges, []brimline.Time{9, 7, 5, 3}) {
		t.Errorf("edges %v", edges)
	}
}

type gokaContext = goka.Context

// stopped is goka's context once its partition is told to stop: Fail returns, and so does a SetValue that failed.
type stopped struct {
	gokaContext
	table storage.Storage
}

func (stopped) Key() string      { return "u" }
func (stopped) Partition() int32 { return 0 }
func (stopped) Fail(error)       {}
func (c stopped) SetValue(value any, _ ...goka.ContextOption) {
	b, _ := codecs.AlertLog{}.Encode(value)
	_ = c.table.Set("u", b)
}

var errRefused = errors.New("refused")

// refusing is a table that fails one of its methods.
type refusing struct {
	storage.Storage
	get, set error
}

func (r refusing) Get(key string) ([]byte, error) {
	if r.get != nil {
		return nil, r.get
	}
	return r.Storage.Get(key)
}

func (r refusing) Set(key string, value []byte) error {
	if r.set != nil {
		return r.set
	}
	return r.Storage.Set(key, value)
}

// An alert whose message is marked as done is in the table.
func TestAnAlertThatIsNotInTheTableIsNotDone(t *testing.T) {
	for name, inner := range map[string]refusing{"get": {get: errRefused}, "set": {set: errRefused}, "neither": {}} {
		inner.Storage = storage.NewMemory()
		kept := table.New(table.Options{Open: func(string, int32) (storage.Storage, error) { return inner, nil }})
		watched, err := kept.Build("topic", 0)
		if err != nil {
			t.Fatal(err)
		}
		func() {
			defer func() {
				//nolint:errorlint // the very value
				if r := recover(); (r != nil) != (name != "neither") || r != nil && r != errRefused {
					t.Errorf("%s failed, and the callback ended with %v", name, r)
				}
			}()
			put(stopped{table: watched}, kept, &brimline.Alert{Candidate: brimline.Candidate{User: "u"}}, 3, MostList)
		}()
	}
}
