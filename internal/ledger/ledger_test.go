package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/sliding"
	"pgregory.net/rapid"
)

// TestLedger groups what needs a server, so that one start serves all.
func TestLedger(t *testing.T) {
	s := startServer(t, nil)
	t.Run("judge/numeric and timestamptz", func(t *testing.T) { judged(t, s, transactions()) })
	t.Run("judge/bigint and timestamp", func(t *testing.T) { judged(t, s, oddTable()) })
	t.Run("extreme times", func(t *testing.T) { extremeTimes(t, s) })
	t.Run("amounts", func(t *testing.T) { amounts(t, s) })
	t.Run("columns", func(t *testing.T) { columnTypes(t, s) })
	s.exec(t, typesSQL)
	t.Run("values of columns", func(t *testing.T) { columnValues(t, s) })
	t.Run("refused columns", func(t *testing.T) { refusedColumns(t, s) })
	t.Run("keys", func(t *testing.T) { keys(t, s) })
	t.Run("user columns", func(t *testing.T) { userColumns(t, s) })
	t.Run("encodings", func(t *testing.T) { encodings(t, s) })
	t.Run("data exceptions", func(t *testing.T) { dataExceptions(t, s) })
	t.Run("minor units", func(t *testing.T) { minorUnits(t, s) })
	t.Run("scales", func(t *testing.T) { scales(t, s) })
	t.Run("whole rows", func(t *testing.T) { wholeRows(t, s) })
	t.Run("altered", func(t *testing.T) { altered(t, s) })
	t.Run("altered while asked", func(t *testing.T) { alteredWhileAsked(t, s) })
	t.Run("partitions", func(t *testing.T) { partitions(t, s) })
	t.Run("not visible yet", func(t *testing.T) { notVisibleYet(t, s) })
	t.Run("user types", func(t *testing.T) { userTypes(t, s) })
	t.Run("rights", func(t *testing.T) { rights(t, s) })
	t.Run("long questions", func(t *testing.T) { longQuestions(t, s) })
	t.Run("heavy user", func(t *testing.T) { heavyUser(t, s) })
	t.Run("many together", func(t *testing.T) { manyTogether(t, s) })
	t.Run("rows of a user", func(t *testing.T) { rowsOfAUser(t, s) })
	t.Run("walks", func(t *testing.T) { walks(t, s) })
	t.Run("comparisons", func(t *testing.T) { comparisons(t, s) })
	t.Run("looks again", func(t *testing.T) { looksAgain(t, s) })
	t.Run("walks again", func(t *testing.T) { walksAgain(t, s) })
	t.Run("indexes", func(t *testing.T) { indexes(t, s) })
	t.Run("index", func(t *testing.T) { usesIndex(t, s) })
	t.Run("opening errors", func(t *testing.T) { openErrors(t, s) })
	t.Run("session", func(t *testing.T) { session(t, s) })
	t.Run("pooler mode", func(t *testing.T) { poolerMode(t, s) })
	t.Run("outage", func(t *testing.T) { outage(t, s) })
}

// judged compares random histories with PostgreSQL's own window query.
func judged(t *testing.T, s *server, o Options) {
	l := s.open(t, o)
	pieces := s.open(t, o)
	start := brimline.TimeOf(time.Date(2026, 3, 29, 0, 30, 0, 0, time.UTC)) // near a change of clocks in many zones
	measures := map[brimline.Measure]string{
		brimline.SumAbs: "abs(a)", brimline.Max: "abs(a)", brimline.Avg: "abs(a)", brimline.Sum: "a", brimline.CountAll: "1",
		brimline.SumIn: "CASE WHEN a > 0 THEN a ELSE 0 END", brimline.SumOut: "CASE WHEN a < 0 THEN -a ELSE 0 END",
		brimline.Distinct: quote(o.Extra[0].Name),
	}
	for _, m := range brimline.Measures() {
		if measures[m] == "" {
			t.Errorf("measure %v is not compared", m)
		}
	}
	var users atomic.Int64
	rapid.Check(t, func(t *rapid.T) {
		user := fmt.Sprint(users.Add(1))
		some := func(label string) int { return rapid.IntRange(1, 12).Draw(t, label) }
		pieces.sizes = sizes{page: some("page"), piece: some("piece"), span: some("span")}
		long := pieces.Long()
		n := rapid.IntRange(1, 40).Draw(t, "rows")
		var ids, amounts []int64
		var stamps []time.Time
		var kinds []*string
		for i := range n {
			ids = append(ids, users.Load()*1000+int64(i))
			amounts = append(amounts, rapid.Int64Range(-8, 10).Draw(t, "amount"))
			stamps = append(stamps, start.Add(time.Duration(rapid.IntRange(0, 30).Draw(t, "time"))*time.Hour).Std())
			possible := []*string{new("card"), new("wire"), new("cash")}
			if o.Columns.User == "user_id" { // the other table is divided by it
				possible = append(possible, nil)
			}
			kinds = append(kinds, rapid.SampledFrom(possible).Draw(t, "kind"))
		}
		insert := fmt.Sprintf(
			`INSERT INTO %s (%s, %s, %s, %s, %s) SELECT *, $5::text FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[], $4::text[])`,
			quoteTable(
				o.Table,
			),
			quote(o.Columns.ID[0]),
			quote(o.Columns.Amount),
			quote(o.Columns.Time),
			quote(o.Extra[0].Name),
			quote(o.Columns.User),
		)
		if o.Columns.User == "user_id" {
			insert = strings.Replace(insert, "$5::text", "$5::text::bigint", 1)
		}
		if _, err := s.admin.Exec(context.Background(), "SET timezone = 'UTC'; "); err != nil {
			t.Fatal(err)
		}
		if _, err := s.admin.Exec(context.Background(), insert, ids, amounts, stamps, kinds, user); err != nil {
			t.Fatal(err)
		}
		rule := &sliding.Rule{Rule: brimline.Rule{
			Window:  time.Duration(rapid.IntRange(1, 12).Draw(t, "window")) * time.Hour,
			Measure: rapid.SampledFrom(brimline.Measures()).Draw(t, "measure"),
		}}
		if rapid.Bool().Draw(t, "is quiet") {
			rule.Quiet = time.Duration(rapid.IntRange(1, 12).Draw(t, "quiet")) * time.Hour
		}
		limit := rapid.Int64Range(-5, 40).Draw(t, "limit")
		aggregate := "sum"
		if rule.Measure == brimline.Max {
			aggregate, limit = "max", (limit+5)%11
		}
		bar, earlier := "$3::text::numeric", "$3::text::numeric"
		if rule.Measure == brimline.Avg {
			limit = (limit + 5) % 8
			rule.MinCount = rapid.SampledFrom([]int64{0, 2, 3}).Draw(t, "min count")
			bar, earlier = bar+" * n", bar+" * before_n"
		}
		if rule.Measure == brimline.Distinct {
			limit, rule.Column = (limit+5)%4, o.Extra[0].Name
			rule.Value = func(row *brimline.Transaction) any { v, _ := row.Column(o.Extra[0].Name); return v }
		}
		total, before, none := "total", "before", "0"
		if rule.Measure == brimline.Distinct { // no window function of PostgreSQL's counts different values
			aggregate, none = "array_agg", "'{}'"
			total = "(SELECT count(DISTINCT v) FROM unnest(total) v)"
			before = "(SELECT count(DISTINCT v) FROM unnest(before) v)"
		}
		above := fmt.Sprintf("(total > %s AND n >= %d)", bar, rule.MinCount)
		edge := fmt.Sprintf("(%s AND NOT (before > %s AND before_n >= %d))", above, earlier, rule.MinCount)
		rule.Limit, _ = brimline.ParseTotal(fmt.Sprint(limit), rule.Measure.Scale(2))
		rule.Rearm = rule.Limit
		if rule.Quiet == 0 && limit >= 0 && !rule.Measure.Shrinks() && rapid.Bool().Draw(t, "rearms") {
			rule.Rearms = true
			rule.Rearm, _ = brimline.ParseTotal(fmt.Sprint(rapid.Int64Range(0, limit).Draw(t, "rearm")), rule.Measure.Scale(2))
		}
		filter := "true"
		if rapid.Bool().Draw(t, "where") {
			filter = quote(o.Extra[0].Name) + " = 'card'"
			rule.Takes = func(row *brimline.Transaction) bool { v, _ := row.Column(o.Extra[0].Name); return v == "card" }
		}
		judge := fmt.Sprintf(
			`SELECT at, total::text, before::text, before_n, %[8]s
			  AND (NOT $5 OR total > $3::text::numeric AND low IS NOT NULL AND (high IS NULL OR low > high))
			  AND count(*) FILTER (WHERE %[8]s)
			    OVER (ORDER BY at RANGE BETWEEN $4::interval PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW) = 0
			FROM (SELECT *, max(at) FILTER (WHERE before <= $6::text::numeric) OVER (ORDER BY at) AS low,
			  max(at) FILTER (WHERE total > $3::text::numeric)
			    OVER (ORDER BY at ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS high
			FROM (SELECT DISTINCT at, %[9]s AS total, %[10]s AS before, n, before_n FROM (
			SELECT at, %[6]s(m) OVER (ORDER BY at RANGE BETWEEN $2::interval PRECEDING AND CURRENT ROW) AS total,
			  coalesce(%[6]s(m) OVER (ORDER BY at
			    RANGE BETWEEN $2::interval PRECEDING AND CURRENT ROW EXCLUDE GROUP),
			    %[11]s) AS before,
			  count(*) OVER (ORDER BY at RANGE BETWEEN $2::interval PRECEDING AND CURRENT ROW) AS n,
			  count(*) OVER (ORDER BY at RANGE BETWEEN $2::interval PRECEDING AND CURRENT ROW EXCLUDE GROUP) AS before_n
			FROM (SELECT %[1]s::timestamptz AS at, %[2]s AS m FROM (SELECT *, %[3]s::numeric AS a FROM %[4]s) r
			WHERE %[5]s::text = $1 AND %[7]s) w) x) tb) tb ORDER BY at`,
			quote(
				o.Columns.Time,
			),
			measures[rule.Measure],
			quote(o.Columns.Amount),
			quoteTable(o.Table),
			quote(o.Columns.User),
			aggregate,
			filter,
			edge,
			total, before, none,
		)
		rows, err := s.admin.Query(context.Background(), judge, user, rule.Window,
			rule.Limit.Format(rule.Measure.Scale(2)), rule.Quiet, rule.Rearms, rule.Rearm.Format(rule.Measure.Scale(2)))
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		from := start.Add(time.Duration(rapid.IntRange(-1, 20).Draw(t, "from")) * time.Hour)
		to := from.Add(time.Duration(rapid.IntRange(0, 31).Draw(t, "span")) * time.Hour)
		var want []brimline.Time
		for rows.Next() {
			var at time.Time
			var total, before string
			var earlier int64
			var loud bool
			if err := rows.Scan(&at, &total, &before, &earlier, &loud); err != nil {
				t.Fatal(err)
			}
			var f brimline.Figures
			scale := rule.Measure.Scale(2)
			f.Total, _ = brimline.ParseTotal(total, scale)
			f.Before, _ = brimline.ParseTotal(before, scale)
			got, lsn, err := l.Figures(context.Background(), user, rule, brimline.TimeOf(at))
			if err != nil || lsn == 0 {
				t.Fatal(lsn, err)
			}
			f.Count = got.Count
			if rule.Measure == brimline.Avg {
				f.Earlier = earlier
			}
			if got != f {
				t.Fatalf("figures at %v: %v, PostgreSQL says %v", at, got, f)
			}
			if got, lsn, err := long.Figures(context.Background(), user, rule, brimline.TimeOf(at)); err != nil ||
				lsn == 0 ||
				got != f {
				t.Fatalf("figures in pieces at %v: %v, PostgreSQL says %v; %v", at, got, f, err)
			}
			for _, d := range []interface {
				Crossing(context.Context, string, *sliding.Rule, brimline.Time, ...brimline.Source) (
					brimline.Figures, bool, uint64, error)
			}{l, long} {
				got, silent, lsn, err := d.Crossing(context.Background(), user, rule, brimline.TimeOf(at))
				if err != nil || lsn == 0 || got != f || silent != (rule.IsEdge(f) && !loud) {
					t.Fatalf(
						"%T: crossing at %v: %v, silent %v; PostgreSQL says %v, an alert %v; %v",
						d,
						at,
						got,
						silent,
						f,
						loud,
						err,
					)
				}
			}
			if moment := brimline.TimeOf(at); loud && from <= moment && moment <= to {
				want = append(want, moment)
			}
		}
		got, _, err := l.Edges(context.Background(), user, rule, from, to)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("edges %v, PostgreSQL says %v", got, want)
		}
		got, lsn, err := long.Edges(context.Background(), user, rule, from, to)
		if err != nil || lsn == 0 || !slices.Equal(got, want) {
			t.Fatalf("edges in pieces %v, PostgreSQL says %v; %v", got, want, err)
		}
		spans := []sliding.Span{{Rule: rule, From: from, To: to}}
		wants := [][]brimline.Time{want}
		for range rapid.IntRange(0, 4).Draw(t, "more spans") {
			other := *rule
			other.Window = time.Duration(rapid.IntRange(1, 12).Draw(t, "other window")) * time.Hour
			if rapid.Bool().Draw(t, "without where") {
				other.Takes = nil
			}
			from := start.Add(time.Duration(rapid.IntRange(-20, 40).Draw(t, "other from")) * time.Hour)
			s := sliding.Span{
				Rule: &other,
				From: from,
				To:   from.Add(time.Duration(rapid.IntRange(0, 9).Draw(t, "length")) * time.Hour),
			}
			edges, _, err := l.Edges(context.Background(), user, s.Rule, s.From, s.To)
			if err != nil {
				t.Fatal(err)
			}
			spans, wants = append(spans, s), append(wants, edges)
		}
		together, lsn, err := l.EdgesOf(context.Background(), user, spans)
		if err != nil || lsn == 0 || len(together) != len(spans) {
			t.Fatal(together, lsn, err)
		}
		for i := range spans {
			if !slices.Equal(together[i], wants[i]) {
				t.Fatalf("edges of span %d of %d: %v, by itself %v", i, len(spans), together[i], wants[i])
			}
		}
		all, _, err := l.Rows(context.Background(), user, brimline.MinTime, brimline.MaxTime)
		if err != nil || len(all) != n {
			t.Fatalf("%d rows of %d: %v", len(all), n, err)
		}
		if rule.Takes == nil { // counts, by the same definition as in the stream
			f, _, err := l.Figures(context.Background(), user, rule, to)
			if want := sliding.FiguresAt(all, rule, to); err != nil || f != want {
				t.Fatalf("figures at %v: %v, by the stream's arithmetic %v: %v", to, f, want, err)
			}
		}
	})
}

func extremeTimes(t *testing.T, s *server) {
	rule := &sliding.Rule{Rule: brimline.Rule{Window: time.Hour}}
	year := func(y int) brimline.Time {
		return brimline.TimeOf(time.Date(y, 6, 1, 12, 0, 0, 123456000, time.UTC))
	}
	times := []brimline.Time{
		earliest,
		earliest + 1,
		year(-4000),
		year(-1),
		year(0),
		year(1),
		year(9999),
		year(10001),
		year(294246),
		brimline.MaxTime,
		0,
		-1,
		1,
	}
	for i, o := range []Options{transactions(), oddTable()} {
		l := s.open(t, o)
		user := fmt.Sprint(-1 - i)
		insert := fmt.Sprintf(
			"INSERT INTO %s (%s, %s, %s, %s, %s) VALUES ($1, $2::text::%s, 1, $3, 'x')",
			quoteTable(o.Table),
			quote(
				o.Columns.ID[0],
			),
			quote(o.Columns.User),
			quote(o.Columns.Amount),
			quote(o.Columns.Time),
			quote(o.Extra[0].Name),
			[]string{"bigint", "text"}[i],
		)
		for n, at := range times {
			s.exec(t, insert, -1000*(i+1)-n, user, instant{at: at, valid: true})
		}
		for n, infinity := range []string{"infinity", "-infinity"} {
			s.exec(t, strings.Replace(insert, "$3", "'"+infinity+"'", 1), -5000-1000*(i+1)-n, user)
		}
		for _, at := range times {
			want := int64(1)
			for _, other := range times {
				if other < at && other >= at.Add(-time.Hour) {
					want++
				}
			}
			f, _, err := l.Figures(t.Context(), user, rule, at)
			if err != nil || f.Count != want {
				t.Errorf("at %v: %+v, want %d: %v", at, f, want, err)
			}
			if f, _, err := l.Long().Figures(t.Context(), user, rule, at); err != nil || f.Count != want {
				t.Errorf("in pieces at %v: %+v, want %d: %v", at, f, want, err)
			}
			edges, _, err := l.Edges(t.Context(), user, rule, at, at.Add(time.Hour))
			pieces, _, err2 := l.Long().Edges(t.Context(), user, rule, at, at.Add(time.Hour))
			if err != nil || err2 != nil || !slices.Equal(edges, pieces) {
				t.Errorf("edges from %v: %v, in pieces %v; %v, %v", at, edges, pieces, err, err2)
			}
			rows, _, err := l.Rows(t.Context(), user, at, at)
			if err != nil || len(rows) != 1 || rows[0].Time != at {
				t.Errorf("row at %v came back as %v: %v", at, rows, err)
			}
		}
		for _, at := range []brimline.Time{brimline.MinTime, earliest - 1} {
			if f, _, err := l.Figures(t.Context(), user, rule, at); err != nil || f != (brimline.Figures{}) {
				t.Errorf("at %d: %+v %v", at, f, err)
			}
			if f, _, err := l.Long().Figures(t.Context(), user, rule, at); err != nil || f != (brimline.Figures{}) {
				t.Errorf("in pieces at %d: %+v %v", at, f, err)
			}
			if edges, _, err := l.Long().Edges(t.Context(), user, rule, brimline.MinTime, at); err != nil ||
				edges != nil {
				t.Errorf("in pieces up to %d: %v %v", at, edges, err)
			}
		}
		var spans []sliding.Span
		for _, at := range append(times, brimline.MinTime) {
			spans = append(spans, sliding.Span{Rule: rule, From: at, To: at})
		}
		together, _, err := l.EdgesOf(t.Context(), user, spans)
		for n, at := range times {
			alone, _, err2 := l.Edges(t.Context(), user, rule, at, at)
			if err != nil || err2 != nil || !slices.Equal(together[n], alone) {
				t.Errorf("edges at %v: %v, by itself %v: %v, %v", at, together, alone, err, err2)
			}
		}
		if rows, _, err := l.Rows(t.Context(), user, brimline.MinTime, brimline.MaxTime); err != nil ||
			len(rows) != len(times) {
			t.Errorf("all time: %d rows of %d: %v", len(rows), len(times), err)
		}
	}
}

func amounts(t *testing.T, s *server) {
	s.exec(t, `CREATE TABLE amounts (id int, u text, a numeric, t timestamptz)`)
	o := Options{Table: "amounts", Scale: 2, Columns: Columns{ID: []string{"id"}, User: "u", Amount: "a", Time: "t"}}
	l := s.open(t, o)
	at := brimline.TimeOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	rule := &sliding.Rule{Rule: brimline.Rule{Window: time.Hour}}
	count := &sliding.Rule{Rule: brimline.Rule{Window: time.Hour, Measure: brimline.CountAll}}
	for _, c := range []struct {
		user    string
		amounts []string
		total   string
		err     error
	}{
		{"big", []string{"92233720368547758.07", "-92233720368547758.07", "92233720368547758.07"}, "276701161105643274.21", nil},
		{"zeros", []string{"1.500000", "0", "-0.25"}, "1.75", nil},
		{"null", []string{"NULL", "3"}, "3.00", nil},
		{"none", nil, "0.00", nil},
		{"fine", []string{"0.001"}, "", brimline.ErrAmountScale},
		{"nan", []string{"'NaN'", "1"}, "", brimline.ErrAmountSyntax},
		{"infinite", []string{"'Infinity'"}, "", brimline.ErrAmountSyntax},
		{"range", []string{"1e60"}, "", brimline.ErrAmountRange},
	} {
		for i, a := range c.amounts {
			s.exec(
				t,
				fmt.Sprintf("INSERT INTO amounts VALUES ($1, $2, %s, $3)", a),
				i,
				c.user,
				instant{at: at, valid: true},
			)
		}
		f, _, err := l.Figures(t.Context(), c.user, rule, at)
		_, _, err2 := l.Edges(t.Context(), c.user, rule, at, at)
		pieces, _, err3 := l.Long().Figures(t.Context(), c.user, rule, at)
		_, _, err4 := l.Long().Edges(t.Context(), c.user, rule, at, at)
		_, _, err5 := l.Long().Edges(t.Context(), c.user, rule, at.Add(time.Minute), at.Add(time.Minute))
		if c.err != nil {
			for _, err := range []error{err, err2, err3, err4} {
				e, ok := errors.AsType[*brimline.Error](err)
				if !ok || e.Class != brimline.ClassInput || e.Remedy == "" || !errors.Is(err, c.err) || temporary(err) {
					t.Errorf("%s: %v, want %v", c.user, err, c.err)
				}
			}
		} else if err != nil || err2 != nil || err3 != nil || err4 != nil || err5 != nil ||
			pieces != f || f.Total.Format(2) != c.total {
			t.Errorf("%s: %s, want %s: %v %v", c.user, f.Total.Format(2), c.total, err, err2)
		}
		if f, _, err := l.Figures(t.Context(), c.user, count, at); err != nil || f.Total != brimline.Count(f.Count) {
			t.Errorf("%s: counting: %v %v", c.user, f, err)
		}
	}
	if a, err := l.AsOf(t.Context(), "zeros", rule, at); err != nil || a.Total.Format(2) != "1.75" || a.Count != 3 ||
		a.At != at {
		t.Errorf("as of: %v %v", a, err)
	}
}

func columnTypes(t *testing.T, s *server) {
	s.exec(
		t,
		`CREATE TABLE wide (id uuid, u uuid, a int, t timestamptz, txt varchar(9), n int, d numeric, f float8, b bool, z timestamptz, w timestamp)`,
	)
	id, user := "6f1c0de8-29c5-4a1e-8d4c-0a52c29d1b10", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
	at := brimline.TimeOf(time.Date(2026, 1, 1, 0, 0, 0, 1000, time.UTC))
	s.exec(
		t,
		`INSERT INTO wide VALUES ($1, $2, -7, $3, 'é "x"', 42, 001.500, 1e-7, false, $3, $4)`,
		id,
		user,
		instant{at: at, valid: true},
		instant{at: -1, valid: true},
	)
	s.exec(
		t,
		`INSERT INTO wide (id, u, a, t) VALUES ($1, $2, 0, $3)`,
		strings.Replace(id, "6", "7", 1),
		user,
		instant{at: at, valid: true},
	)
	o := Options{
		Table:   "public.wide",
		Scale:   3,
		Columns: Columns{ID: []string{"id"}, User: "u", Amount: "a", Time: "t"},
		Extra: []brimline.Column{
			{
				Name: "txt",
				Type: brimline.Text,
			}, {Name: "n", Type: brimline.Integer}, {Name: "d", Type: brimline.Numeric}, {Name: "f", Type: brimline.Numeric},
			{
				Name: "b",
				Type: brimline.Boolean,
			}, {Name: "z", Type: brimline.Timestamp}, {Name: "w", Type: brimline.Timestamp}, {Name: "u", Type: brimline.Text},
		},
	}
	rows, _, err := s.open(t, o).Rows(t.Context(), user, at, at)
	if err != nil || len(rows) != 2 {
		t.Fatal(rows, err)
	}
	want := brimline.Transaction{ID: id, User: user, Amount: -7000, Time: at, Columns: []brimline.Field{
		{
			Name:  "txt",
			Value: `é "x"`,
		}, {Name: "n", Value: int64(42)}, {Name: "d", Value: brimline.Decimal("1.5")}, {Name: "f", Value: brimline.Decimal("0.0000001")},
		{
			Name:  "b",
			Value: false,
		}, {Name: "z", Value: at}, {Name: "w", Value: brimline.Time(-1)}, {Name: "u", Value: user},
	}}
	if !rows[0].SameRow(&want) {
		t.Errorf("%+v\nwant %+v", rows[0], want)
	}
	for _, c := range rows[1].Columns[:7] {
		if c.Value != nil {
			t.Errorf("NULL %s came as %v", c.Name, c.Value)
		}
	}
	s.exec(t, `UPDATE wide SET z = 'infinity'`)
	_, _, err = s.open(t, o).Rows(t.Context(), user, at, at)
	if err == nil || !strings.Contains(err.Error(), "infinite") {
		t.Errorf("an infinite column: %v", err)
	}
	o.Extra = []brimline.Column{{Name: "day", Type: brimline.Timestamp}}
	s.exec(t, "ALTER TABLE wide ADD day date")
	for _, infinity := range []string{"infinity", "-infinity", "5874897-12-31"} {
		s.exec(t, "UPDATE wide SET day = '"+infinity+"'")
		_, _, err := s.open(t, o).Rows(t.Context(), user, at, at)
		e, ok := errors.AsType[*brimline.Error](err)
		if !ok || e.Kind != "postgres_column" || e.Class != brimline.ClassInput {
			t.Errorf("the date %s: %v", infinity, err)
		}
	}
}

func userTypes(t *testing.T, s *server) {
	for i, c := range []struct{ kind, user string }{
		{"varchar(5)", "abcde"}, {"char(5)", "ab"}, {"text", "Ünï 'q'"}, {"int", "7"}, {"numeric", "12345678901234567890"}, {"uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
	} {
		table := fmt.Sprintf("users%d", i)
		s.exec(t, fmt.Sprintf("CREATE TABLE %s (id int, u %s, a int, t timestamptz)", table, c.kind))
		s.exec(t, fmt.Sprintf("INSERT INTO %s VALUES (1, $1::text::%s, 1, 'epoch')", table, c.kind), c.user)
		l := s.open(t, Options{Table: table, Columns: Columns{ID: []string{"id"}, User: "u", Amount: "a", Time: "t"}})
		rule := &sliding.Rule{Rule: brimline.Rule{Window: time.Hour}}
		if f, _, err := l.Figures(t.Context(), c.user, rule, 0); err != nil || f.Count != 1 {
			t.Errorf("%s: %v %v", c.kind, f, err)
		}
		if f, _, err := l.Figures(t.Context(), c.user+"9", rule, 0); err == nil && f.Count != 0 {
			t.Errorf("%s: another user: %v", c.kind, f)
		}
	}
}
