package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/ledger"
)

// world is a window table and a watched table that change from look to look.
type world struct {
	at      int // how many looks have begun
	windows []map[string]Window
	tables  []map[string][]ledger.Found // by user
	hidden  []brimline.Source
	slot    bool // what the stream had is known to have come
	settled int
	rests   int
}

func now(of []map[string]Window, at int) map[string]Window { return of[min(at, len(of)-1)] }

func (w *world) table() map[string][]ledger.Found { return w.tables[min(w.at, len(w.tables)-1)] }

func (w *world) Each(_ context.Context, visit func([]Window) error) error {
	for _, u := range now(w.windows, w.at) {
		if err := visit([]Window{u}); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) Get(_ context.Context, user string) (Window, error) {
	if u, there := now(w.windows, w.at)[user]; there {
		return u, nil
	}
	return Window{User: user}, nil
}

func (w *world) Differing(_ context.Context, of []ledger.Holding) (differ []int, _ uint64, _ error) {
	for i := range of { // as a checksum that takes all for different
		differ = append(differ, i)
	}
	return differ, 7, nil
}

func (w *world) Present(
	_ context.Context, of []ledger.Holding, begin func(), take func(int, *ledger.Found),
) (uint64, error) {
	begin()
	for i := range of {
		for _, f := range w.table()[of[i].User] {
			if f.Time >= of[i].From {
				take(i, &f)
			}
		}
	}
	return 8, nil
}

func (w *world) Users(_ context.Context, _ brimline.Time, begin func(), take func([]string) error) (uint64, error) {
	begin()
	for user := range w.table() {
		if err := take([]string{user}); err != nil {
			return 0, err
		}
	}
	return 9, nil
}

func (w *world) Unseen(context.Context, []brimline.Source) ([]brimline.Source, error) {
	return w.hidden, nil
}

func (w *world) run(t *testing.T) *Result {
	t.Helper()
	r, err := Run(t.Context(), Options{
		Windows: w, Table: w, Scale: 2, Clock: func() time.Time { return time.Unix(1, 0) },
		Settle: func(_ context.Context, lsn uint64) (bool, error) {
			if lsn < 9 {
				t.Errorf("waited for what lies below %d", lsn)
			}
			w.at++
			w.settled++
			return w.slot, nil
		},
		Rest: func(context.Context, time.Duration) error { w.rests++; return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func row(id string, amount brimline.Amount, at brimline.Time) brimline.Transaction {
	return brimline.Transaction{ID: id, Amount: amount, Time: at}
}

func found(id string, amount brimline.Amount, at brimline.Time) ledger.Found {
	return ledger.Found{Transaction: row(id, amount, at), Text: amount.Format(2)}
}

func window(user string, last int64, rows ...brimline.Transaction) Window {
	return Window{User: user, Found: true, Last: last, Rows: rows}
}

func texts(of []Finding) string {
	var all []string
	for _, f := range of {
		all = append(all, fmt.Sprintf("%s %s/%s", f.Kind, f.User, f.ID))
	}
	return strings.Join(all, ", ")
}

// TestCompare: each kind of difference has its name and both sides.
func TestCompare(t *testing.T) {
	column := func(f brimline.Transaction, name string, v any) brimline.Transaction {
		f.Columns = []brimline.Field{{Name: name, Value: v}}
		return f
	}
	w := window("u", 1, row("same", 5, 10), row("gone", 5, 10), row("dearer", 5, 10), row("later", 5, 10),
		row("old", 5, 3),
		column(row("named", 5, 10), "kind", "a"), row("lacks", 5, 10), row("nan", 5, 10),
		column(row("asked of no more", 5, 10), "other", "a"))
	w.From = 4
	table := map[string]*ledger.Found{}
	for _, f := range []ledger.Found{
		found("same", 5, 10), found("dearer", 6, 10), found("later", 5, 11), found("new", 7, 12),
		found("asked of no more", 5, 10),
		{Transaction: column(row("named", 5, 10), "kind", "b"), Text: "0.05"},
		{Transaction: column(row("lacks", 5, 10), "kind", "b"), Text: "0.05"}, // the window is older than the column
		{Transaction: row("nan", 0, 10), Text: "NaN", Bad: errors.New("no number")},
	} {
		table[f.ID] = &f
	}
	var got []string
	for _, f := range Compare(&w, table, 2) {
		got = append(got, fmt.Sprintf("%s %s %v %v %s%s", f.Kind, f.ID, f.Stream, f.Table, f.Columns, f.Why))
	}
	slices.Sort(got)
	zero := Row{}
	want := []string{
		fmt.Sprintf("different dearer %v %v ", Row{10, "0.05"}, Row{10, "0.06"}),
		fmt.Sprintf("different later %v %v ", Row{10, "0.05"}, Row{11, "0.05"}),
		fmt.Sprintf("different named %v %v kind", Row{10, "0.05"}, Row{10, "0.05"}),
		fmt.Sprintf("different nan %v %v no number", Row{10, "0.05"}, Row{10, "NaN"}),
		fmt.Sprintf("missing new %v %v ", zero, Row{12, "0.07"}),
		fmt.Sprintf("phantom gone %v %v ", Row{10, "0.05"}, zero),
	}
	if !slices.Equal(got, want) {
		t.Errorf("\n%s\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestOnlyWhatStaysCounts: what differs at the first look and not at the second was on its way, as is what the second
// is the first to see; of a user whose state changes, only what is the same again and again counts.
func TestOnlyWhatStaysCounts(t *testing.T) {
	w := &world{
		slot: true,
		windows: []map[string]Window{
			{"rests": window("rests", 1), "way": window("way", 1), "busy": window("busy", 1), "flips": window("flips", 1)},
			{"rests": window("rests", 1), "way": window("way", 2, row("1", 5, 9)), "busy": window("busy", 2),
				"flips": window("flips", 2)},
			{"rests": window("rests", 1), "busy": window("busy", 3), "flips": window("flips", 3, row("1", 5, 9))},
			{"rests": window("rests", 1), "busy": window("busy", 4), "flips": window("flips", 4)},
		},
		tables: []map[string][]ledger.Found{
			{"rests": {found("1", 5, 9)}, "way": {found("1", 5, 9)}, "busy": {found("1", 5, 9)}, "flips": {found("1", 5, 9)},
				"stranger": {found("1", 5, 9)}},
			{"rests": {found("1", 5, 9), found("2", 5, 9)}, "way": {found("1", 5, 9), found("2", 5, 9)},
				"busy": {found("1", 5, 9)}, "flips": {found("1", 5, 9)}, "stranger": {found("1", 5, 9)}},
		},
	}
	r := w.run(t)
	if got := texts(r.Findings); got != "missing busy/1, missing rests/1, missing stranger/1" || r.Unknown != 1 {
		t.Errorf("%s; %d unknown", got, r.Unknown)
	}
	if len(r.NotYet)+len(r.Unsettled) > 0 || r.Looks != 4 || w.settled != 3 || r.Users != 4 || w.rests == 0 || r.LSN != 9 {
		t.Errorf("%+v, settled %d times, %d rests", r, w.settled, w.rests)
	}
	if r.True() || r.By()[Missing] != 3 || r.By()[Phantom] != 0 {
		t.Errorf("%v", r.By())
	}
	if users := OfUsers(r.Findings); !slices.Equal(users, []string{"busy", "rests", "stranger"}) {
		t.Errorf("users %q", users)
	}
}

// TestWhatIsNotKnownIsNoFinding: what the stream has not had yet, and of a user whose newest change PostgreSQL does not
// show.
func TestWhatIsNotKnownIsNoFinding(t *testing.T) {
	behind := window("behind", 1, row("1", 5, 9))
	behind.Newest = brimline.Source{LSN: 100}
	w := &world{
		windows: []map[string]Window{{"behind": behind, "late": window("late", 1)}},
		tables:  []map[string][]ledger.Found{{"late": {found("1", 5, 9)}}},
		hidden:  []brimline.Source{behind.Newest},
	}
	r := w.run(t)
	if texts(r.Findings) != "" || texts(r.NotYet) != "missing late/1" || texts(r.Unsettled) != "phantom behind/1" ||
		r.Looks != looks {
		t.Errorf("%q, not yet %q, unsettled %q, %d looks", texts(r.Findings), texts(r.NotYet), texts(r.Unsettled), r.Looks)
	}
	if !r.True() {
		t.Error("it is a finding")
	}
	w = &world{windows: w.windows, tables: w.tables, slot: true}
	if r := w.run(t); texts(r.Findings) != "phantom behind/1, missing late/1" || r.Looks != 2 {
		t.Errorf("%q, %d looks", texts(r.Findings), r.Looks)
	}
}
