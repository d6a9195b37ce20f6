package httpapi

import (
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/views"
)

func judged(limit string, hours ...int) views.User {
	w := &brimline.Window{Last: 1, Floor: brimline.MinTime, Scale: 2}
	for i, h := range hours {
		w.Rows = append(w.Rows, brimline.RowOf(&brimline.Transaction{ID: strconv.Itoa(i), Amount: amountOf("1000.00"),
			Time: noon.Add(time.Duration(h) * time.Hour)}))
	}
	r := brimline.Rule{ID: "r", Window: 24 * time.Hour, Limit: total(limit)}
	return views.UserAt("u", w, compiled(&brimline.RuleSet{Scale: 2, Rules: []brimline.Rule{r}}), noon)
}

func TestChart(t *testing.T) {
	u := judged("1500.00", -36, -14, -12)
	c := chartOf(&u, 0)
	// Two days and the one ahead wide: a rise after 12 h, its fall and a rise 22 and 24 h later, one more rise; then what
	// counts now leaves.
	if c == nil || c.From != noon.Add(-48*time.Hour) || c.To != noon.Add(24*time.Hour) ||
		c.Now != chartWidth*2/3 || !c.Ahead {
		t.Fatalf("%+v", c)
	}
	// At -12 h the first row is still in, for [-36 h, -12 h] is closed: a peak of three for a microsecond.
	if want := "M0 160H166V114H472V67H500V20V67H805V114H833V160H1000"; c.Line != want || c.Area != want+"V160H0Z" {
		t.Errorf("line %s, want %s", c.Line, want)
	}
	if c.Limit != 90 {
		t.Errorf("limit at %d, want 90: the middle between 0 and 3,000 at 20", c.Limit)
	}
	if c.Peak != "3,000.00" {
		t.Errorf("peak %s, want 3,000.00: three rows are within 24 h, both ends counting", c.Peak)
	}
	if c.Count != 3 || c.Rows != "M166 26v-26M472 26v-26M500 26v-26" {
		t.Errorf("%d transactions are drawn as %s", c.Count, c.Rows)
	}
	for _, number := range regexp.MustCompile(`V(-?\d+)`).FindAllStringSubmatch(c.Line+c.Area, -1) {
		if y, _ := strconv.Atoi(number[1]); y < 0 || y > chartHeight {
			t.Errorf("drawn outside: %s", c.Line)
		}
	}

	u.Rules[0].Edges = []brimline.Edge{{Time: noon.Add(-14 * time.Hour), Status: brimline.EdgeDismissed},
		{Time: noon.Add(-13 * time.Hour), Status: brimline.Unjudged}, {Time: noon.Add(-12 * time.Hour)}}
	if c := chartOf(&u, 0); len(c.Edges) != 1 || c.Edges[0].Time != noon.Add(-12*time.Hour) {
		t.Errorf("marked as alerts: %+v", c.Edges)
	}
	if u := judged("1500.00"); chartOf(&u, 0) != nil {
		t.Error("a chart of nothing")
	}
	old := judged("1500.00", -24*30)
	if c := chartOf(&old, 0); c == nil || c.To > noon.Add(-28*24*time.Hour) || c.Now != -1 {
		t.Errorf("old rows are shown where they are: %+v", c)
	}
	far := judged("1500.00", -1, 24*30)
	if c := chartOf(&far, 0); c == nil || c.From <= noon || c.Now != -1 || c.Ahead {
		t.Errorf("a chart that begins after now shows it: %+v", c)
	}
	ahead := judged("1500.00", -1, 5)
	if c := chartOf(&ahead, 0); c == nil || c.To <= noon.Add(5*time.Hour) || c.Now < 0 || c.Now >= chartWidth || !c.Ahead {
		t.Errorf("a row ahead is shown: %+v", c)
	}
}

func TestChartOfManyRowsIsSmall(t *testing.T) {
	hours := make([]int, 0, 20000)
	for i := range 20000 {
		hours = append(hours, -40+i/500)
	}
	u := judged("1500.00", hours...)
	for i := range u.Rows {
		u.Rows[i].Time = noon.Add(-47 * time.Hour).Add(time.Duration(i) * 8 * time.Second)
	}
	if c := chartOf(&u, 0); len(c.Line) > 24*chartWidth {
		t.Errorf("a path of %d bytes", len(c.Line))
	}
}

func TestBar(t *testing.T) {
	for _, c := range []struct {
		limit string
		rows  int
		want  bar
	}{
		{"2000.00", 0, bar{0, 800}}, {"2000.00", 1, bar{400, 800}}, {"2000.00", 2, bar{800, 800}},
		{"1000.00", 4, bar{1000, 250}}, {"0.00", 1, bar{1000, 0}}, {"0.00", 0, bar{0, 0}},
	} {
		u := judged(c.limit, []int{-1, -2, -3, -4}[4-c.rows:]...)
		if got := barOf(&u.Rules[0]); got != c.want {
			t.Errorf("%d rows of a limit of %s: %+v, want %+v", c.rows, c.limit, got, c.want)
		}
	}
}

// What ages out ahead: each fall of the total, and the one after which it is above the limit no more, however far.
func TestLeaving(t *testing.T) {
	u := judged("1500.00", -14, -12)
	got := leavingOf(&u, 0)
	want := []leaving{
		{noon.Add(10*time.Hour + time.Microsecond), "1,000.00", true}, {noon.Add(12*time.Hour + time.Microsecond), "0.00", false},
	}
	if !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	u = judged("1500.00", -20, -19, -18, -17, -16, -15, -14)
	got = leavingOf(&u, 0)
	if len(got) != mostLeaving+1 || !got[mostLeaving].Below ||
		got[mostLeaving].At != noon.Add(9*time.Hour+time.Microsecond) {
		t.Errorf("%+v", got)
	}
	if *u.Rules[0].ClearsAt != got[mostLeaving].At {
		t.Errorf("it clears at %s, and the page says %s", u.Rules[0].ClearsAt, got[mostLeaving].At)
	}
	if got := leavingOf(new(judged("1500.00", -40)), 0); len(got) != 0 {
		t.Errorf("of nothing: %+v", got)
	}
}
