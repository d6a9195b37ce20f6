package rulestest

import (
	"context"
	"testing"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/embedded"
	"github.com/brimline/brimline/internal/reference"
)

// PostgreSQL says the same as the fold after every step of every scenario; where one does not, that is told.
func TestScenariosAgainstPostgres(t *testing.T) {
	pg, err := embedded.StartPostgres(t.Context(), embedded.PostgresOptions{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pg.Stop(context.WithoutCancel(t.Context())) })
	session, err := reference.Open(t.Context(), pg.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(session.Close)
	cases := scenarios(t)
	mustPass(t, NewFold(), cases, Options{Judge: session})

	one, _ := brimline.ParseTotal("1", 0)
	for name, lie := range map[string]func([]Alert) []Alert{
		"an alert is missing":  func(a []Alert) []Alert { return a[1:] },
		"an alert comes twice": func(a []Alert) []Alert { return append(a, a[0]) },
		"an alert is no edge":  func(a []Alert) []Alert { a[0].At++; return a },
		"a total is wrong":     func(a []Alert) []Alert { a[0].Total = a[0].Total.Add(one); return a },
		"a count is wrong":     func(a []Alert) []Alert { a[0].Count++; return a },
	} {
		t.Run(name, func(t *testing.T) {
			l := &liar{Fold: NewFold(), lie: lie, lied: map[*Case]bool{}}
			results, err := Play(t.Context(), l, cases, Options{Judge: session})
			if err != nil {
				t.Fatal(err)
			}
			for i := range results {
				c := results[i].Case
				if told := len(results[i].Disagreements) > 0; told != l.lied[c] {
					t.Errorf("%s: told %t", c.Name, told)
				}
			}
			if sum := Summarize(results); sum.Disagreed != len(l.lied) || sum.Disagreed == 0 {
				t.Errorf("%+v, %d lies", sum, len(l.lied))
			}
		})
	}
}

// liar changes what a fold has sent.
type liar struct {
	*Fold
	lie  func([]Alert) []Alert
	lied map[*Case]bool
}

func (l *liar) Sent(ctx context.Context, c *Case) ([]Alert, error) {
	sent, err := l.Fold.Sent(ctx, c)
	if len(sent) > 0 {
		sent, l.lied[c] = l.lie(sent), true
	}
	return sent, err
}
