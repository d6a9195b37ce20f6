package ledger

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/brimline/brimline"
)

// alike: all rows of the table, which are user u's, have the checksum that PostgreSQL gives them. Any other value of
// any column gives another.
func alike(t *testing.T, l *Ledger, rows []brimline.Transaction) {
	t.Helper()
	differs := func(rows []brimline.Transaction) bool {
		t.Helper()
		found, lsn, err := l.Differing(t.Context(), []Holding{{User: "u", From: brimline.MinTime, Rows: rows}})
		if err != nil || lsn == 0 {
			t.Fatal(lsn, err)
		}
		return len(found) > 0
	}
	if !differs(rows) {
		return
	}
	for i := range rows[0].Columns { // one of them alone, to name it
		o := l.o
		o.Extra = o.Extra[i : i+1]
		one, err := Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		l = one
		some := slices.Clone(rows)
		for n := range some {
			some[n].Columns = some[n].Columns[i : i+1]
		}
		if differs(some) {
			t.Errorf("column %s (%s): %v has another checksum in PostgreSQL", o.Extra[0].Name, o.Extra[0].Type,
				rows[0].Columns[i].Value)
		}
		one.Close()
	}
	t.Error("the checksums differ")
}

// comparisons: users whose rows are not PostgreSQL's are told from the others, whatever differs.
func comparisons(t *testing.T, s *server) {
	s.exec(t, `CREATE TABLE streaming.compared (LIKE streaming.transactions INCLUDING ALL)`)
	s.exec(t, `INSERT INTO streaming.compared SELECT u * 100 + n, u, n + 0.25, timestamptz 'epoch' + n * interval '1 s',
		CASE n WHEN 3 THEN NULL ELSE 'k' || n END FROM generate_series(1, 9) u, generate_series(1, 5) n`)
	s.exec(t, `INSERT INTO streaming.compared VALUES (1, 1, NULL, 'epoch', 'x'), (2, 2, 5, '-infinity', 'x'),
		(3, 3, 5, 'infinity', 'x')`)
	o := transactions()
	o.Table = "streaming.compared"
	l := s.open(t, o)
	hold := func(user string) Holding {
		rows, _, err := l.Rows(t.Context(), user, 0, brimline.MaxTime)
		if err != nil || len(rows) != 5 {
			t.Fatal(rows, err)
		}
		return Holding{User: user, Rows: rows}
	}
	of := []Holding{}
	for u := range 9 {
		of = append(of, hold(fmt.Sprint(u+1)))
	}
	of[1].Rows = of[1].Rows[1:]                                         // a row less
	of[2].Rows[0].Amount++                                              // another amount
	of[3].Rows[0].Time++                                                // another time
	of[4].Rows[0].ID = "77"                                             // another id
	of[5].Rows[0].Columns = []brimline.Field{{Name: "kind"}}            // NULL
	of[6].From, of[6].Rows = of[6].Rows[2].Time, of[6].Rows[2:]         // from a time on
	of[7].Rows = append(of[7].Rows, of[7].Rows[0])                      // a row more
	of[8].Rows[2].Columns = []brimline.Field{{Name: "kind", Value: ""}} // not NULL
	of = append(of, Holding{User: "1000"}, Holding{User: "1001", Rows: of[0].Rows},
		Holding{User: "no number"}, Holding{User: "nor this", Rows: of[0].Rows})
	differ, _, err := l.Differing(t.Context(), of)
	if want := []int{1, 2, 3, 4, 5, 7, 8, 10, 12}; err != nil || !slices.Equal(differ, want) {
		t.Errorf("%v, %v; want %v", differ, err, want)
	}

	l.userByUser.Store(true) // the other way to read them
	if differ, _, err = l.Differing(t.Context(), of); err != nil || len(differ) != 9 {
		t.Errorf("user by user: %v, %v", differ, err)
	}

	// A row that no stream can hold is read all the same.
	s.exec(t, `ALTER TABLE streaming.compared ALTER amount TYPE numeric`)
	s.exec(t, `UPDATE streaming.compared SET amount = 'NaN' WHERE id = 101`)
	s.exec(t, `UPDATE streaming.compared SET amount = 2.2501 WHERE id = 102`)
	var found []string
	_, err = l.Present(t.Context(), []Holding{of[11], {User: "1", From: 1_000_000}, of[6]}, func() { found = nil },
		func(i int, f *Found) {
			found = append(found, fmt.Sprintf("%d %s/%s %s %v", i, f.User, f.ID, f.Text, f.Bad != nil))
		})
	slices.Sort(found)
	want := "1 1/101 NaN true, 1 1/102 2.2501 true, 1 1/103 3.25 false, 1 1/104 4.25 false, 1 1/105 5.25 false, " +
		"2 7/703 3.25 false, 2 7/704 4.25 false, 2 7/705 5.25 false"
	if got := strings.Join(found, ", "); err != nil || got != want {
		t.Errorf("%v\n%s\n%s", err, got, want)
	}
	if differ, _, err = l.Differing(t.Context(), of[:1]); err != nil || len(differ) != 1 {
		t.Errorf("amounts that the stream cannot hold: %v, %v", differ, err)
	}

	var users []string
	if _, err := l.Users(t.Context(), 5_000_000, func() { users = nil }, func(some []string) error {
		users = append(users, some...)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(users)
	if want := strings.Fields("1 2 3 4 5 6 7 8 9"); !slices.Equal(users, want) {
		t.Errorf("users %q", users)
	}
	if slot, err := l.Slot(t.Context(), "none"); err != nil || slot != nil {
		t.Errorf("a slot that is not there: %+v, %v", slot, err)
	}
}
