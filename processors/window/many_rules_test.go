package window

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/lovoo/goka/storage"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/rules"
	"github.com/brimline/brimline/internal/sliding"
	"github.com/brimline/brimline/processors"
)

// hundredRules are of ten windows and ten limits from a lowest one on, with a condition of their own.
func hundredRules(lowest int) (all []brimline.Rule) {
	for i := range 100 {
		all = append(all, brimline.Rule{
			ID: fmt.Sprint("r", i), Window: time.Duration(1+i/10) * time.Hour,
			Limit: brimline.Amount(lowest * (1 + i%10)).Total(), Where: fmt.Sprintf("amount > 0.%02d", i),
		})
	}
	return all
}

// bareStage is a stage over a table that is a map.
func bareStage(t testing.TB, of map[string][]byte, all ...brimline.Rule) (*task, *writing) {
	t.Helper()
	set := brimline.RuleSet{Scale: 2, Rules: all}
	var compiled []sliding.Rule
	for _, rule := range all {
		r, err := rules.CompileRule(rule, set.Columns, set.Scale)
		if err != nil {
			t.Fatal(err)
		}
		compiled = append(compiled, r)
	}
	markers, states := NewMarkers(1), NewStates(64<<20)
	inner := func(string, int32) (storage.Storage, error) { return mapped{of: of}, nil }
	opened, err := kept(inner, markers, states).Build("table", 0)
	if err != nil {
		t.Fatal(err)
	}
	return newTask(Config{
		Streams: processors.NewStreams("g", "src", "alerts"), Rules: set,
		Seen: NewSeen(&set, 24*time.Hour, time.Now), Compiled: compiled, Keep: 24 * time.Hour,
		Markers: markers, States: states, Clock: time.Now, Metrics: NewMetrics(prometheus.NewRegistry()),
		Log: slog.New(slog.DiscardHandler),
	}), &writing{table: opened}
}

// TestAHundredRulesCostLittle: rules whose limits are far away cost an event no allocation, and no more memory than the
// bytes that are written.
func TestAHundredRulesCostLittle(t *testing.T) {
	if underRace {
		t.Skip("the race detector allocates for itself")
	}
	const events = 2000
	var changes [][]byte
	for i := range events {
		changes = append(changes, encodedRow(t, "u", i, 100, brimline.Time(i)*brimline.Time(time.Hour.Microseconds())))
	}
	cost := func(all ...brimline.Rule) (allocations, bytes uint64) {
		stage, ctx := bareStage(t, map[string][]byte{}, all...)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for i := range changes {
			ctx.key, ctx.offset = "u", int64(i)
			stage.change(ctx, changes[i])
		}
		runtime.ReadMemStats(&after)
		return (after.Mallocs - before.Mallocs) / events, (after.TotalAlloc - before.TotalAlloc) / events
	}
	all := hundredRules(1_000_000)
	one, oneBytes := cost(all[99])
	hundred, hundredBytes := cost(all...)
	const written = 100 * (8 + 1)
	if one > 4 {
		t.Errorf("%d allocations for an event: the row's id, the rows, the value, and the row put in", one)
	}
	if hundred > one+1 || hundredBytes > oneBytes+2*written {
		t.Errorf("a hundred rules: %d allocations and %d bytes for an event, one rule: %d and %d",
			hundred, hundredBytes, one, oneBytes)
	}
}

var underRace bool

func encodedRow(t testing.TB, user string, n int, amount brimline.Amount, at brimline.Time) []byte {
	b, err := codecs.Change{}.Encode(&brimline.Change{Kind: brimline.Upsert, User: user,
		Source: written(int64(n), at, int64(n)),
		Row:    brimline.Transaction{ID: fmt.Sprint(n), User: user, Amount: amount, Time: at}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestUsersShareNothing: what the table has of a user is the same whether other users' changes come between, some of
// whom have segments, and edges of many rules.
func TestUsersShareNothing(t *testing.T) {
	type message struct {
		user  string
		value []byte
	}
	var (
		all      = hundredRules(1000)
		rnd      = rand.New(rand.NewPCG(7, 7))
		messages []message
		users    = []string{"few", "some", "many"}
		at       brimline.Time
	)
	for n := range 600 {
		at = at.Add(time.Duration(rnd.IntN(10)) * time.Minute)
		user := users[[]int{0, 1, 1, 2, 2, 2, 2, 2, 2}[rnd.IntN(9)]]
		messages = append(messages, message{user, encodedRow(t, user, n, brimline.Amount(rnd.IntN(2000)-500), at)})
	}
	through := func(only string) map[string][]byte {
		of := map[string][]byte{}
		stage, ctx := bareStage(t, of, all...)
		for i, m := range messages {
			if only == "" || m.user == only {
				ctx.key, ctx.offset = m.user, int64(i)
				stage.change(ctx, m.value)
			}
		}
		return of
	}
	together := through("")
	segments := 0
	for _, user := range users {
		for key, want := range through(user) {
			if _, _, segment := processors.ParseSegmentKey(key); segment {
				segments++
			}
			if !bytes.Equal(together[key], want) {
				t.Errorf("%s: %q is not what it is alone", user, key)
			}
		}
	}
	if segments == 0 {
		t.Error("no user has segments")
	}
}
