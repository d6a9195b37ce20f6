package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/embedded"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/processors"
)

// user inserts a row of a user.
func (g *ground) user(t *testing.T, user, id int) {
	t.Helper()
	err := g.retry.Send(&brimline.DeadLetter{
		Topic: g.config.Source, Partition: int32(id % 2), Key: fmt.Appendf(nil, `{"id":%d}`, id),
		Value: fmt.Appendf(nil, `{"before":null,"after":{"id":%d,"user_id":%d,"amount":"101.00",`+
			`"timestamp":"2026-01-01T01:00:00.000000Z"},"op":"c","source":{"schema":"streaming","table":"transactions"}}`,
			id, user),
	})
	if err != nil {
		t.Fatal(err)
	}
}

// rowsOf asks an instance for a user's rows; false when it says that it cannot tell yet.
func rowsOf(t *testing.T, a *App, user int) (rows int, ok bool) {
	t.Helper()
	u, err := usersNow{a.serving}.User(t.Context(), fmt.Sprint(user), brimline.TimeOf(time.Now()))
	if e, known := errors.AsType[*brimline.Error](err); known && e.Kind == "view_not_recovered" {
		return 0, false
	}
	if err != nil {
		t.Errorf("user %d: %v", user, err)
	}
	return len(u.Rows), true
}

func within(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in %v: %s", limit, what)
		}
	}
}

// staged is how many partitions of the window table the stage of an instance has.
func staged(a *App) (n int) {
	for p := range int32(a.partitions.users) {
		if a.shared[processors.Window].Staged(p) {
			n++
		}
	}
	return n
}

// TestUsersAreAnsweredWhoeverHasThem: an instance answers for all users from one state per partition, which it reads
// once, whether its stage or another instance has the partition: from the start, while partitions move, when the other
// instance is gone, while Kafka is away, without its state, and when its table was created anew.
func TestUsersAreAnsweredWhoeverHasThem(t *testing.T) {
	const users = 12
	dir := t.TempDir()
	g := newGroundIn(t, dir)
	defer g.close(t)
	g.createSource(t)
	g.config.SessionTimeout = 6 * time.Second
	for i := range users {
		g.user(t, i+1, i+1)
	}
	start := func(state string) *App {
		t.Helper()
		before := g.config.StateDir
		g.config.StateDir = state
		a := g.app(t)
		g.config.StateDir = before
		if err := a.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		return a
	}
	stop := func(a *App) {
		t.Helper()
		if err := a.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
	// all users have so many rows at an instance, or are not told of.
	all := func(a *App, rows int) bool {
		t.Helper()
		known := true
		for i := range users {
			n, ok := rowsOf(t, a, i+1)
			known = known && ok && n >= rows
		}
		return known
	}
	never := func(a *App, rows int) {
		t.Helper()
		for i := range users {
			if n, ok := rowsOf(t, a, i+1); ok && n < rows {
				t.Errorf("user %d has %d rows, of %d that were told before", i+1, n, rows)
			}
		}
	}

	first := start(g.config.StateDir)
	within(t, time.Minute, "the first has all", func() bool {
		return all(first, 1) && staged(first) == first.partitions.users
	})
	if found, _ := filepath.Glob(filepath.Join(first.place.Dir, "views")); len(found) > 0 {
		t.Errorf("there is a second copy: %v", found)
	}
	alerts := func(a *App) int {
		found, err := alertsNow{a.serving}.Recent(t.Context(), 100)
		if err != nil {
			return -1
		}
		return len(found)
	}
	within(t, time.Minute, "the alerts of all", func() bool { return alerts(first) == users })

	// Partitions move to another instance: both answer, and neither forgets what it told.
	second := start(g.config.StateDir + "-2")
	within(t, time.Minute, "the second has some", func() bool {
		never(first, 1)
		n := staged(second)
		return n > 0 && staged(first)+n == first.partitions.users
	})
	within(t, time.Minute, "both have all", func() bool { never(first, 1); return all(first, 1) && all(second, 1) })
	for i := range users {
		g.user(t, i+1, 100+i)
	}
	within(t, time.Minute, "both have what came since", func() bool { return all(first, 2) && all(second, 2) })
	stop(first)
	within(t, time.Minute, "the second has all partitions", func() bool {
		never(second, 2)
		return staged(second) == second.partitions.users && all(second, 2)
	})
	if n := alerts(second); n != users {
		t.Errorf("%d alerts, want %d", n, users)
	}
	stop(second)

	// With its state, and without it.
	for _, without := range []bool{false, true} {
		if without {
			if err := os.RemoveAll(g.config.StateDir); err != nil {
				t.Fatal(err)
			}
		}
		first = start(g.config.StateDir)
		within(t, time.Minute, "it has all again", func() bool { never(first, 2); return all(first, 2) })
		stop(first)
	}

	// Its table is created anew.
	table := first.streams.WindowTable
	if err := g.cluster.Delete(t.Context(), table); err != nil {
		t.Fatal(err)
	}
	_, err := g.cluster.Ensure(t.Context(),
		[]kafka.Topic{{Name: table, Partitions: first.partitions.users, Kind: kafka.Table}}, kafka.Durability{})
	if err != nil {
		t.Fatal(err)
	}
	first = start(g.config.StateDir)
	within(t, time.Minute, "the new table is read, which is empty", func() bool {
		n, ok := rowsOf(t, first, 1)
		if ok && n != 0 {
			t.Fatalf("%d rows of the table that is gone", n)
		}
		return ok && staged(first) == first.partitions.users
	})
	g.user(t, 1, 201)
	within(t, time.Minute, "a row that comes then", func() bool { n, ok := rowsOf(t, first, 1); return ok && n == 1 })

	// Kafka goes away, and comes back.
	g.broker.Close()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if n, ok := rowsOf(t, first, 1); ok && n != 1 {
			t.Fatalf("%d rows while Kafka is away", n)
		}
	}
	within(t, 10*time.Second, "an answer while Kafka is away", func() bool { _, ok := rowsOf(t, first, 1); return ok })
	broker, err := embedded.StartBroker(t.Context(), embedded.BrokerOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	g.broker = broker
	within(t, time.Minute, "the stage goes on", func() bool { return staged(first) == first.partitions.users })
	stop(first)
}
