package demo

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/brimline/brimline"
)

// Scale is the number of decimals of the demo's amounts, those of numeric(12,2).
const Scale = 2

// StoryUser spends StoryTotal in twelve payments within the week before the
// demo's first start: the alert of the README.
const (
	StoryUser  = 27956157
	StoryTotal = brimline.Amount(344150)
)

// Row is one transaction to be inserted. Payments are below zero, income above.
type Row struct {
	User        int64
	Amount      brimline.Amount
	Time        time.Time
	Description string
}

// Generator makes believable transactions: many people with small everyday
// payments, monthly pay, and now and then someone who spends a lot in a short
// time. It is not safe for concurrent use.
type Generator struct {
	rand    *rand.Rand
	pending []Row // of bursts, by time
	begun   bool  // Live was called
}

// NewGenerator makes the same rows for the same seed and the same times of asking.
func NewGenerator(seed uint64) *Generator {
	return &Generator{rand: rand.New(rand.NewPCG(seed, 0x6272696d))}
}

// accounts is how many people there are: enough that everyday payments at any
// rate a demo runs at do not lift them all over the limit within hours.
const accounts = 40_000

func (g *Generator) anyone() int64 {
	for {
		// Spread over eight digits, so that ids look like those of a grown system.
		if id := 10_000_000 + g.rand.Int64N(accounts)*2003; id != StoryUser {
			return id
		}
	}
}

// shop is a kind of payment: how much, in hundredths.
type shop struct {
	name      string
	low, high int64
	weight    int
}

func shops() []shop {
	return []shop{
		{"Groceries", 850, 14_000, 30},
		{"Coffee", 280, 950, 22},
		{"Lunch", 900, 2_400, 14},
		{"Public transport", 250, 1_200, 10},
		{"Fuel", 3_000, 9_500, 7},
		{"Pharmacy", 500, 6_000, 5},
		{"Books", 800, 4_500, 4},
		{"Clothes", 1_900, 18_000, 4},
		{"Streaming subscription", 899, 1_799, 2},
		{"Electricity", 4_500, 15_000, 1},
		{"Rent", 65_000, 165_000, 1},
	}
}

// everyday is an ordinary payment, or once in eighty times a salary.
func (g *Generator) everyday(at time.Time) Row {
	r := Row{User: g.anyone(), Time: at}
	if g.rand.IntN(80) == 0 {
		r.Amount, r.Description = brimline.Amount(180_000+g.rand.Int64N(420_000)), "Salary"
		return r
	}
	all := shops()
	total := 0
	for _, s := range all {
		total += s.weight
	}
	n := g.rand.IntN(total)
	for _, s := range all {
		if n -= s.weight; n < 0 {
			r.Amount, r.Description = -g.between(s.low, s.high), s.name
			break
		}
	}
	return r
}

func (g *Generator) between(low, high int64) brimline.Amount {
	return brimline.Amount(low + g.rand.Int64N(high-low+1))
}

// travel is a journey: a flight, a hotel, and what comes with them.
func (g *Generator) travel(from time.Time, apart time.Duration) []Row {
	user := g.anyone()
	rows := []Row{{user, -g.between(88_000, 175_000), from, "Flight"}, {user, -g.between(92_000, 168_000), from, "Hotel"}}
	for range 4 + g.rand.IntN(4) {
		kind := []shop{{"Restaurant", 4_500, 19_000, 0}, {"Car rental", 22_000, 64_000, 0},
			{"Museum", 1_800, 6_500, 0}, {"Souvenirs", 2_500, 24_000, 0}}
		s := kind[g.rand.IntN(len(kind))]
		rows = append(rows, Row{user, -g.between(s.low, s.high), from, s.name})
	}
	return g.spread(rows, from, apart)
}

// testing is the pattern of a stolen card: many tiny payments in little time.
func (g *Generator) testing(from time.Time, apart time.Duration) []Row {
	user := g.anyone()
	var rows []Row
	for range 24 + g.rand.IntN(8) {
		rows = append(rows, Row{user, -g.between(99, 499), from, "Online payment"})
	}
	return g.spread(rows, from, apart)
}

func (g *Generator) spread(rows []Row, from time.Time, apart time.Duration) []Row {
	at := from
	for i := range rows {
		rows[i].Time = at
		at = at.Add(apart/2 + time.Duration(g.rand.Int64N(int64(apart))))
	}
	return rows
}

// story is the week of StoryUser: eleven payments of 2,861.50 together, and
// one of 580.00 that lifts the total to 3,441.50 against a limit of 3,000.
func story(now time.Time) []Row {
	week := []struct {
		amount brimline.Amount
		ago    time.Duration
		what   string
	}{
		{18_450, 155 * time.Hour, "Groceries"}, {4_320, 140 * time.Hour, "Fuel"}, {62_000, 121 * time.Hour, "Flight"},
		{9_875, 118 * time.Hour, "Pharmacy"}, {23_640, 97 * time.Hour, "Restaurant"}, {41_200, 93 * time.Hour, "Hotel"},
		{7_415, 70 * time.Hour, "Public transport"}, {31_950, 49 * time.Hour, "Car rental"},
		{15_300, 44 * time.Hour, "Museum"},
		{28_000, 25 * time.Hour, "Souvenirs"}, {44_000, 5 * time.Hour, "Hotel"}, {58_000, 30 * time.Second, "Electronics"},
	}
	rows := make([]Row, len(week))
	for i, p := range week {
		rows[i] = Row{StoryUser, -p.amount, now.Add(-p.ago), p.what}
	}
	return rows
}

// Backlog fills the table before the demo begins: n rows of the ten
// days before now in time order, a few journeys and StoryUser's week among them.
func (g *Generator) Backlog(now time.Time, n int) []Row {
	const span = 10 * 24 * time.Hour
	rows := story(now)
	for range 4 {
		from := now.Add(-time.Duration(g.rand.Int64N(int64(8 * 24 * time.Hour)))).Add(-24 * time.Hour)
		rows = append(rows, g.travel(from, 3*time.Hour)...)
	}
	rows = append(rows, g.testing(now.Add(-30*time.Hour), 40*time.Second)...)
	for len(rows) < n {
		rows = append(rows, g.everyday(now.Add(-time.Duration(g.rand.Int64N(int64(span))))))
	}
	for i := range rows {
		rows[i].Time = rows[i].Time.Truncate(time.Microsecond)
		if rows[i].Time.After(now) {
			rows[i].Time = now.Truncate(time.Microsecond)
		}
	}
	slices.SortStableFunc(rows, func(a, b Row) int { return a.Time.Compare(b.Time) })
	return rows
}

// Live are n transactions of about now. A journey begins with the first call, so
// that whoever starts a demo soon sees an alert come. One in fifty arrives late, by up to an
// hour; every few hundred a journey begins, or a stolen card is tried out.
func (g *Generator) Live(now time.Time, n int) []Row {
	var rows []Row
	if !g.begun {
		g.begun = true
		g.pending = append(g.pending, g.travel(now, time.Second)...)
	}
	for range n {
		if g.rand.IntN(250) == 0 {
			g.pending = append(g.pending, g.travel(now, 4*time.Second)...)
		}
		if g.rand.IntN(1500) == 0 {
			g.pending = append(g.pending, g.testing(now, time.Second)...)
		}
		r := g.everyday(now)
		if g.rand.IntN(50) == 0 {
			r.Time = now.Add(-time.Duration(g.rand.Int64N(int64(time.Hour))))
		}
		rows = append(rows, r)
	}
	due := slices.IndexFunc(g.sorted(), func(r Row) bool { return r.Time.After(now) })
	if due < 0 {
		due = len(g.pending)
	}
	rows = append(rows, g.pending[:due]...)
	g.pending = slices.Clone(g.pending[due:])
	for i := range rows {
		rows[i].Time = rows[i].Time.Truncate(time.Microsecond)
	}
	return rows
}

func (g *Generator) sorted() []Row {
	slices.SortStableFunc(g.pending, func(a, b Row) int { return a.Time.Compare(b.Time) })
	return g.pending
}
