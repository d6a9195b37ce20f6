package window

import (
	"container/list"
	"fmt"
	"testing"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/sliding"
)

// A heavy user whose rows are asked for again and again stays, whatever
// passes by in this partition or another.
func TestHeavyUsersAreKept(t *testing.T) {
	all := NewStates(1000)
	var parts []*partitionStates
	for n := range int32(2) {
		p := &partitionStates{all: all, users: map[string]*list.Element{}}
		all.of[n] = p
		parts = append(parts, p)
	}
	state := func(user string, rows int) *State {
		s := &State{user: user, rows: sliding.NewHistory(nil, make([]brimline.Transaction, rows)), tail: &brimline.Window{}}
		return s
	}
	parts[0].keep(state("heavy", 900))
	for i := range 500 {
		if parts[0].get("heavy") == nil {
			t.Fatalf("gone after %d others", i)
		}
		parts[i%2].keep(state(fmt.Sprint(i), 20))
	}
	if all.rows > all.maxRows || len(parts[0].users)+len(parts[1].users) != all.used.Len() {
		t.Errorf("%d rows of %d states, and %d and %d users", all.rows, all.used.Len(), len(parts[0].users), len(parts[1].users))
	}
	parts[0].forget("heavy")
	if parts[0].get("heavy") != nil || all.rows > 100 {
		t.Errorf("forgotten, and %d rows are left", all.rows)
	}
	parts[1].keep(&State{user: "499", rows: sliding.NewHistory(nil, nil)})
	if parts[1].get("499") != nil {
		t.Error("a user without segments is kept")
	}
}
