package window

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/brimline/brimline"
)

// from is a place of a change in the source: life, partition, offset, LSN, transaction, and commit time in seconds.
func from(life uint32, partition int32, offset int64, lsn uint64, txid, commit int64) brimline.Source {
	return brimline.Source{Life: life, Partition: partition, Offset: offset, LSN: lsn, TxID: txid,
		Commit: brimline.Time(commit * 1e6)}
}

// ofSnapshot is the place of a row that a snapshot has shown.
func ofSnapshot(partition int32, offset int64, lsn uint64, at int64) brimline.Source {
	s := from(0, partition, offset, lsn, 0, at)
	s.Snapshot = true
	return s
}

// TestOrderOfChanges folds a row's changes and looks at what the row is in the end. The row's id is 1 in all; a change
// is "amount@minute", "-minute" a deletion of the row as it was then, "-" one that does not say when that was.
func TestOrderOfChanges(t *testing.T) {
	type change struct {
		what string
		at   brimline.Source
	}
	for _, test := range []struct {
		name    string
		changes []change
		want    string // amount@minute, nothing for no row
		stands  brimline.Order
	}{
		{"in order", []change{{"1@1", from(0, 0, 0, 10, 1, 1)}, {"2@1", from(0, 0, 1, 20, 2, 2)}}, "2@1", brimline.Newer},
		{"written again by a thawed instance", []change{{"1@1", from(0, 0, 0, 10, 1, 1)}, {"2@1", from(0, 0, 1, 20, 2, 2)},
			{"1@1", from(0, 0, 0, 10, 1, 1)}}, "2@1", brimline.Older},
		{"the same without LSNs", []change{{"1@1", from(0, 0, 0, 0, 0, 0)}, {"2@1", from(0, 0, 1, 0, 0, 0)},
			{"1@1", from(0, 0, 0, 0, 0, 0)}}, "2@1", brimline.Older},
		{"the same, of one LSN for all", []change{{"1@1", from(0, 0, 0, 100, 1, 0)}, {"2@1", from(0, 0, 1, 100, 1, 0)},
			{"1@1", from(0, 0, 0, 100, 1, 0)}}, "2@1", brimline.Older},
		{"deleted, and written again", []change{{"1@1", from(0, 0, 0, 10, 1, 1)}, {"-1", from(0, 0, 1, 20, 2, 2)},
			{"1@1", from(0, 0, 0, 10, 1, 1)}}, "", brimline.Older},
		{"redelivered by the connector at a higher offset", []change{{"1@1", from(0, 0, 0, 10, 1, 1)},
			{"2@1", from(0, 0, 1, 20, 2, 2)}, {"1@1", from(0, 0, 2, 10, 1, 1)}}, "2@1", brimline.Older},
		{"redelivered after a deletion", []change{{"1@1", from(0, 0, 0, 10, 1, 1)}, {"-1", from(0, 0, 1, 20, 2, 2)},
			{"1@1", from(0, 0, 2, 10, 1, 1)}}, "", brimline.Older},
		{"inserted and deleted at one LSN", []change{{"1@1", from(0, 0, 0, 100, 1, 0)}, {"-1", from(0, 0, 1, 100, 1, 0)}},
			"", brimline.Same},
		{"updated and deleted at one LSN", []change{{"1@1", from(0, 0, 0, 100, 1, 0)}, {"2@1", from(0, 0, 1, 100, 1, 0)},
			{"-1", from(0, 0, 2, 100, 1, 0)}}, "", brimline.Same},
		{"two partitions, the later first", []change{{"2@1", from(0, 1, 0, 20, 2, 2)}, {"1@1", from(0, 0, 7, 10, 1, 1)}},
			"2@1", brimline.Older},
		{"two partitions, the deletion first", []change{{"-2", from(0, 1, 0, 30, 3, 3)}, {"2@2", from(0, 0, 7, 10, 1, 1)}},
			"", brimline.Older},
		{"two partitions, in order", []change{{"1@1", from(0, 0, 7, 10, 1, 1)}, {"2@1", from(0, 1, 0, 20, 2, 2)}}, "2@1",
			brimline.Newer},
		{"an update that changes nothing counts", []change{{"1@1", from(0, 0, 7, 10, 1, 1)},
			{"1@1", from(0, 1, 0, 30, 3, 3)}, {"2@1", from(0, 0, 8, 20, 2, 2)}}, "1@1", brimline.Older},
		{"a topic made anew, without LSNs", []change{{"1@1", from(0, 0, 0, 0, 0, 0)}, {"2@1", from(0, 0, 9, 0, 0, 0)},
			{"2@1", from(1, 0, 0, 0, 0, 0)}, {"3@1", from(1, 0, 2, 0, 0, 0)}}, "3@1", brimline.Newer},
		{"a topic made anew, of one LSN for all", []change{{"1@1", from(0, 0, 0, 100, 7, 0)},
			{"2@1", from(0, 0, 9, 100, 7, 0)}, {"2@1", from(1, 0, 0, 100, 0, 0)}, {"3@1", from(1, 0, 2, 100, 7, 0)}}, "3@1",
			brimline.Same},
		{"its earlier life comes late", []change{{"3@1", from(1, 0, 0, 10, 1, 1)}, {"2@1", from(0, 0, 9, 20, 2, 2)}},
			"3@1", brimline.Older},
		{"its earlier life comes late, the row unchanged since", []change{{"1@1", from(0, 0, 0, 0, 0, 0)},
			{"1@1", from(1, 0, 0, 0, 0, 0)}, {"2@1", from(0, 0, 9, 0, 0, 0)}}, "1@1", brimline.Older},
		{"its earlier life comes late, the row changed since", []change{{"1@1", from(0, 0, 0, 0, 0, 0)},
			{"2@1", from(1, 0, 0, 0, 0, 0)}, {"3@1", from(0, 0, 9, 0, 0, 0)}}, "2@1", brimline.Older},
		{"its later life brings old changes", []change{{"1@1", from(0, 0, 0, 10, 1, 1)}, {"2@1", from(0, 0, 9, 20, 2, 2)},
			{"1@1", from(1, 0, 0, 10, 1, 1)}}, "2@1", brimline.Older},
		{"failover", []change{{"1@1", from(0, 0, 0, 50, 1, 5)}, {"2@1", from(0, 0, 1, 20, 2, 10)}}, "2@1",
			brimline.Elsewhere},
		{"failover, the same row twice in one transaction", []change{{"1@1", from(0, 0, 0, 50, 1, 5)},
			{"2@1", from(0, 0, 1, 20, 2, 10)}, {"3@1", from(0, 0, 2, 25, 2, 10)}}, "3@1", brimline.Newer},
		{"failover, and the lost timeline's change comes once more", []change{{"1@1", from(0, 0, 0, 50, 1, 5)},
			{"2@1", from(0, 0, 1, 20, 2, 10)}, {"1@1", from(0, 0, 2, 50, 1, 5)}}, "2@1", brimline.Older},
		{"failover, and the new timeline passes the old one", []change{{"1@1", from(0, 0, 0, 50, 1, 5)},
			{"2@1", from(0, 0, 1, 20, 2, 10)}, {"3@1", from(0, 0, 2, 60, 3, 11)}}, "3@1", brimline.Newer},
		{"failover, deleted", []change{{"1@1", from(0, 0, 0, 50, 1, 5)}, {"-1", from(0, 0, 1, 20, 2, 10)}}, "",
			brimline.Elsewhere},
		{"restored, and the snapshot finds the row as it was", []change{{"1@1", from(0, 0, 0, 50, 1, 5)},
			{"1@1", from(1, 0, 0, 20, 0, 10)}, {"2@1", from(1, 0, 1, 25, 2, 10)}}, "2@1", brimline.Newer},
		{"the clock was set back", []change{{"1@1", from(0, 0, 0, 50, 1, 9)}, {"2@1", from(0, 0, 1, 60, 2, 5)}}, "2@1",
			brimline.Newer},
		{"no commit time", []change{{"2@1", from(0, 1, 0, 50, 1, 0)}, {"1@1", from(0, 0, 1, 20, 2, 5)}}, "2@1",
			brimline.Older},
		{"a key that holds the time, its insert first", []change{{"1@1", from(0, 0, 0, 10, 1, 1)},
			{"1@2", from(0, 1, 0, 20, 2, 2)}, {"-1", from(0, 0, 1, 20, 2, 2)}}, "1@2", brimline.Older},
		{"the same, what it was never seen", []change{{"1@2", from(0, 1, 0, 20, 2, 2)}, {"-1", from(0, 0, 1, 20, 2, 2)}},
			"1@2", brimline.Older},
		{"the same, its deletion first", []change{{"1@1", from(0, 0, 0, 10, 1, 1)}, {"-1", from(0, 0, 1, 20, 2, 2)},
			{"1@2", from(0, 1, 0, 20, 2, 2)}}, "1@2", brimline.Same},
		{"ids that move on in one transaction", []change{{"1@1", from(0, 0, 0, 10, 1, 1)}, {"2@2", from(0, 0, 1, 20, 2, 2)},
			{"-1", from(0, 0, 2, 30, 2, 2)}}, "2@2", brimline.Older},
		{"changed and deleted in one transaction", []change{{"1@1", from(0, 0, 0, 10, 1, 1)},
			{"2@2", from(0, 0, 1, 20, 2, 2)}, {"-2", from(0, 0, 2, 30, 2, 2)}}, "", brimline.Newer},
		{"a snapshot's row, then older changes", []change{{"2@1", ofSnapshot(1, 0, 40, 4000)},
			{"1@1", from(0, 0, 0, 10, 1, 1)}, {"-1", from(0, 0, 1, 20, 2, 2)}}, "2@1", brimline.Older},
		{"changed by a transaction that was open when a snapshot began", []change{{"1@1", ofSnapshot(0, 0, 40, 4000)},
			{"2@1", from(0, 0, 1, 30, 2, 3999)}}, "2@1", brimline.Elsewhere},
		{"changed twice by it", []change{{"1@1", ofSnapshot(0, 0, 40, 4000)}, {"2@1", from(0, 0, 1, 30, 2, 3999)},
			{"3@1", from(0, 0, 2, 35, 2, 3999)}}, "3@1", brimline.Newer},
		{"changed by it, and by the next", []change{{"1@1", ofSnapshot(0, 0, 40, 4000)}, {"2@1", from(0, 0, 1, 30, 2, 3999)},
			{"3@1", from(0, 0, 2, 45, 3, 4001)}}, "3@1", brimline.Newer},
		{"deleted by it", []change{{"1@1", ofSnapshot(0, 0, 40, 4000)}, {"-1", from(0, 0, 1, 30, 2, 3999)}}, "",
			brimline.Elsewhere},
		{"changed by it, where the row was known", []change{{"1@1", from(0, 0, 0, 10, 1, 1)},
			{"2@1", ofSnapshot(0, 1, 40, 4000)}, {"3@1", from(0, 0, 2, 30, 2, 3999)}}, "3@1", brimline.Elsewhere},
		{"changed by it, where the row had changed", []change{{"1@1", from(0, 0, 0, 10, 1, 1)},
			{"2@1", from(0, 0, 1, 20, 1, 2)}, {"2@1", ofSnapshot(0, 2, 40, 4000)}, {"3@1", from(0, 0, 3, 30, 2, 3999)}}, "3@1",
			brimline.Elsewhere},
		{"changed by it, the row seen in another life", []change{{"1@1", ofSnapshot(0, 0, 40, 4000)},
			{"1@1", from(1, 0, 0, 0, 0, 0)}, {"2@1", from(1, 0, 1, 30, 2, 3999)}}, "2@1", brimline.Elsewhere},
		{"changed by it, no commit time of the snapshot", []change{{"1@1", ofSnapshot(0, 0, 40, 0)},
			{"2@1", from(0, 0, 1, 30, 2, 3999)}}, "2@1", brimline.Newer},
		{"the snapshot once more, after it", []change{{"1@1", ofSnapshot(0, 0, 40, 4000)},
			{"2@1", from(0, 0, 1, 30, 2, 3999)}, {"1@1", ofSnapshot(0, 0, 40, 4000)}}, "2@1", brimline.Older},
		{"and at a higher offset", []change{{"1@1", ofSnapshot(0, 0, 40, 4000)}, {"2@1", from(0, 0, 1, 30, 2, 3999)},
			{"1@1", ofSnapshot(0, 2, 40, 4000)}}, "2@1", brimline.Older},
		{"the snapshot after what came right after it, from another partition", []change{{"2@2", from(0, 1, 0, 45, 2, 3999)},
			{"1@1", ofSnapshot(0, 0, 40, 4000)}, {"-1", from(0, 0, 1, 45, 2, 3999)}}, "2@2", brimline.Older},
		{"the clock was read before the snapshot, within a tick", []change{{"1@1", ofSnapshot(0, 0, 40, 4000)},
			{"2@1", func() brimline.Source { s := from(0, 0, 1, 30, 2, 4000); s.Commit += 10; return s }()}}, "2@1",
			brimline.Elsewhere},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := NewFolder(&brimline.RuleSet{Lateness: 1000 * time.Hour}, nil, time.Hour)
			table := newTable()
			state := table.load(t, f)
			for i, c := range test.changes {
				in := Input{Offset: int64(i), Change: &brimline.Change{Kind: brimline.Upsert, User: "u", Source: c.at,
					Row: brimline.Transaction{ID: "1", User: "u"}}}
				var minute int
				switch n, _ := fmt.Sscanf(c.what, "%d@%d", &in.Change.Row.Amount, &minute); {
				case n == 2:
				case c.what == "-":
					in.Change.Kind, in.Change.Row.Time = brimline.Delete, brimline.MinTime
				default:
					in.Change.Kind, minute, in.Change.Whole = brimline.Delete, -int(in.Change.Row.Amount), true
					in.Change.Row.Amount = 0
				}
				if c.what != "-" {
					in.Change.Row.Time = minutes(minute)
				}
				_, write := f.Fold(state, in)
				stands := state.stands
				if write {
					table.write(t, state)
					state = table.load(t, f) // what the table does not keep is not there
					state.stands = stands
				}
			}
			got := ""
			for _, r := range state.rows.Rows() {
				got += fmt.Sprintf("%d@%d", r.Amount, r.Time/minutes(1))
			}
			if got != test.want || state.stands != test.stands {
				t.Errorf("the row is %q, want %q; the last change stands %d, want %d", got, test.want, state.stands, test.stands)
			}
		})
	}
}

// TestOrderIsTheSource: rows of a database are inserted, changed, deleted and inserted again. The connector writes the
// changes into several partitions and lives of a topic, so that one row's lie in many of them, writes stretches of
// them a second time, as after a restart, and a thawed instance a third time. The order of each partition and life is
// kept, nothing else is. In the end the rows are those of the database.
func TestOrderIsTheSource(t *testing.T) {
	f := NewFolder(&brimline.RuleSet{Lateness: 1000 * time.Hour}, nil, time.Hour)
	rapid.Check(t, func(t *rapid.T) {
		partitions := rapid.IntRange(1, 3).Draw(t, "partitions")
		var (
			rows    = map[string]brimline.Transaction{}
			history []brimline.Change
			lsn     uint64
			commit  brimline.Time
		)
		for n := range rapid.IntRange(1, 30).Draw(t, "changes") {
			id := fmt.Sprint(rapid.IntRange(0, 3).Draw(t, "row"))
			lsn += rapid.Uint64Range(1, 500).Draw(t, "wal")
			commit += brimline.Time(rapid.Int64Range(0, 200_000).Draw(t, "later")) // may be within one tick
			c := brimline.Change{Kind: brimline.Upsert, User: "u", Source: brimline.Source{LSN: lsn, Commit: 1e15 + commit,
				TxID: int64(n + 1)}}
			was, there := rows[id]
			if there && rapid.IntRange(0, 2).Draw(t, "delete") == 0 {
				c.Kind, c.Row, c.Whole = brimline.Delete, was, true
				delete(rows, id)
			} else {
				c.Row = brimline.Transaction{ID: id, User: "u", Amount: brimline.Amount(rapid.Int64Range(0, 3).Draw(t, "amount")),
					Time: brimline.Time(rapid.Int64Range(0, 3).Draw(t, "hour")) * hour}
				c.Update = there
				rows[id] = c.Row
			}
			history = append(history, c)
		}
		queues := make([][]brimline.Change, partitions) // as read; per partition in order
		write := func(c brimline.Change, p int) {
			c.Source.Partition, c.Source.Offset = int32(p), int64(len(queues[p]))
			queues[p] = append(queues[p], c)
		}
		for i := range history {
			write(history[i], rapid.IntRange(0, partitions-1).Draw(t, "partition"))
			if rapid.IntRange(0, 5).Draw(t, "restart") == 0 { // the connector writes again what it has not confirmed
				for back := max(0, i-rapid.IntRange(0, 5).Draw(t, "unconfirmed")); back <= i; back++ {
					write(history[back], rapid.IntRange(0, partitions-1).Draw(t, "its partition"))
				}
			}
		}
		var stream []brimline.Change
		next := make([]int, partitions)
		for {
			open := slices.DeleteFunc(rangeOf(partitions), func(p int) bool { return next[p] == len(queues[p]) })
			if len(open) == 0 {
				break
			}
			p := rapid.SampledFrom(open).Draw(t, "read")
			stream = append(stream, queues[p][next[p]])
			next[p]++
		}
		if to := rapid.IntRange(0, len(stream)).Draw(t, "to"); to > 0 { // an instance that thaws
			begin := rapid.IntRange(0, to).Draw(t, "from")
			stream = slices.Insert(slices.Clone(stream), rapid.IntRange(to, len(stream)).Draw(t, "thawed"), stream[begin:to]...)
		}
		if rapid.Bool().Draw(t, "made anew") { // with a snapshot of all rows, which may be met before the rest is
			at := rapid.IntRange(0, len(stream)).Draw(t, "snapshot")
			for id := range 4 {
				if row, there := rows[fmt.Sprint(id)]; there {
					c := brimline.Change{Kind: brimline.Upsert, User: "u", Row: row, Source: brimline.Source{
						Life: 1, Offset: int64(id),
						LSN: lsn + 1, Commit: 1e15 + commit + 1}}
					stream = slices.Insert(stream, min(at+id, len(stream)), c)
				}
			}
		}
		table := newTable()
		state := table.load(t, f)
		for i := range stream {
			c := stream[i]
			if _, write := f.Fold(state, Input{Change: &c, Offset: int64(i)}); write {
				table.write(t, state)
			}
			if rapid.IntRange(0, 9).Draw(t, "reload") == 0 {
				state = table.load(t, f)
			}
		}
		var want []brimline.Row
		for _, row := range rows {
			want = append(want, brimline.RowOf(&row))
		}
		slices.SortFunc(want, func(a, b brimline.Row) int {
			return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.ID(), b.ID()))
		})
		if got := state.rows.Rows(); !slices.EqualFunc(got, want, func(a, b brimline.Row) bool { return a.SameRow(&b) }) {
			t.Fatalf("rows %v, want %v after %+v", got, want, stream)
		}
	})
}

func rangeOf(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// TestStampsKeepWhatTheySay: a stamp's commit time is never before the real one, and at most a tick after it.
func TestStampsKeepWhatTheySay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := brimline.Source{LSN: rapid.Uint64Range(1, math.MaxUint64).Draw(t, "lsn"),
			Life:   rapid.Uint32Range(0, 70_000).Draw(t, "life"),
			Commit: brimline.Time(rapid.Int64Range(0, 250_000_000_000_000_000).Draw(t, "commit"))}
		s := brimline.StampOf(&c)
		late := s.Commit() - c.Commit
		if late < 0 || late >= 1<<16 || s.LSN != c.LSN || s.Life() != min(c.Life, math.MaxUint16) {
			t.Fatalf("%+v of %+v", s, c)
		}
	})
}

// TestOrderBesideOpenTransactions: a snapshot is taken while transactions are open, which have changed rows at lower
// LSNs than the snapshot's, and commit after it. The snapshot names a time that is somewhat later than its moment. What
// was committed before it may be sent as well, as to a connector that had its slot before, and stretches are sent
// again. In the end the rows are those of the database.
func TestOrderBesideOpenTransactions(t *testing.T) {
	f := NewFolder(&brimline.RuleSet{Lateness: 1000 * time.Hour}, nil, time.Hour)
	type transaction struct {
		id      int64
		changes []brimline.Change
		rows    map[string]*brimline.Transaction // as they are in it; nil for deleted
	}
	elsewhere := 0
	rapid.Check(t, func(t *rapid.T) {
		var (
			rows   = map[string]brimline.Transaction{}
			open   []*transaction
			before []brimline.Change // committed before the snapshot
			stream []brimline.Change
			lsn    uint64
			clock  = brimline.Time(1e15)
			steps  = rapid.IntRange(1, 40).Draw(t, "steps")
			moment = rapid.IntRange(0, steps-1).Draw(t, "snapshot")
		)
		commit := func(at int) {
			x := open[at]
			open = slices.Delete(open, at, at+1)
			for i := range x.changes {
				x.changes[i].Source.Commit = clock
			}
			if stream == nil {
				before = append(before, x.changes...)
			} else {
				stream = append(stream, x.changes...)
			}
			for id, row := range x.rows {
				if row == nil {
					delete(rows, id)
				} else {
					rows[id] = *row
				}
			}
		}
		for n := range steps {
			lsn += rapid.Uint64Range(1, 500).Draw(t, "wal")
			clock += brimline.Time(rapid.Int64Range(1, 20_000_000).Draw(t, "later"))
			if n == moment {
				found := brimline.Source{LSN: lsn, Snapshot: true,
					Commit: clock + brimline.Time(rapid.Int64Range(0, 50_000_000).Draw(t, "begins to read"))}
				stream = []brimline.Change{}
				for id := range 3 {
					if row, there := rows[fmt.Sprint(id)]; there {
						stream = append(stream, brimline.Change{Kind: brimline.Upsert, User: "u", Row: row, Source: found})
					}
				}
				if rapid.Bool().Draw(t, "had its slot before") {
					stream = append(stream, before[rapid.IntRange(0, len(before)).Draw(t, "from"):]...)
				}
				continue
			}
			if len(open) > 0 && rapid.IntRange(0, 2).Draw(t, "commit") == 0 {
				commit(rapid.IntRange(0, len(open)-1).Draw(t, "which"))
				continue
			}
			id := fmt.Sprint(rapid.IntRange(0, 2).Draw(t, "row"))
			at := slices.IndexFunc(open, func(x *transaction) bool { _, locked := x.rows[id]; return locked })
			if at < 0 {
				if at = rapid.IntRange(0, len(open)).Draw(t, "transaction"); at == len(open) {
					open = append(open, &transaction{int64(n + 1), nil, map[string]*brimline.Transaction{}})
				}
			}
			x := open[at]
			was, changed := x.rows[id]
			if row, there := rows[id]; !changed && there {
				was = &row
			}
			c := brimline.Change{Kind: brimline.Upsert, User: "u", Update: was != nil,
				Source: brimline.Source{LSN: lsn, TxID: x.id}}
			if was != nil && rapid.IntRange(0, 2).Draw(t, "delete") == 0 {
				c.Kind, c.Row, c.Whole, c.Update = brimline.Delete, *was, true, false
				x.rows[id] = nil
			} else {
				c.Row = brimline.Transaction{ID: id, User: "u", Amount: brimline.Amount(n),
					Time: brimline.Time(rapid.Int64Range(0, 3).Draw(t, "hour")) * hour}
				x.rows[id] = &c.Row
			}
			x.changes = append(x.changes, c)
		}
		for len(open) > 0 {
			clock += 1000
			commit(0)
		}
		if len(stream) > 0 && rapid.Bool().Draw(t, "restart") {
			to := rapid.IntRange(1, len(stream)).Draw(t, "to")
			stream = slices.Insert(stream, to, slices.Clone(stream[rapid.IntRange(0, to-1).Draw(t, "again"):to])...)
		}
		table := newTable()
		state := table.load(t, f)
		for i := range stream {
			c := stream[i]
			c.Source.Offset = int64(i)
			if _, write := f.Fold(state, Input{Change: &c, Offset: int64(i)}); write {
				table.write(t, state)
			}
			if state.stands == brimline.Elsewhere {
				elsewhere++
			}
			state = table.load(t, f)
		}
		var want []brimline.Row
		for _, row := range rows {
			want = append(want, brimline.RowOf(&row))
		}
		slices.SortFunc(want, func(a, b brimline.Row) int { return a.Compare(&b) })
		if got := state.rows.Rows(); !slices.EqualFunc(got, want, func(a, b brimline.Row) bool { return a.SameRow(&b) }) {
			t.Fatalf("rows %v, want %v after %+v", got, want, stream)
		}
	})
	if elsewhere == 0 && !t.Failed() {
		t.Error("nothing to see: no change came from beside the snapshot")
	}
}
