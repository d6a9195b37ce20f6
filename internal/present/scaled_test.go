package present

import (
	"math"
	"testing"

	"github.com/brimline/brimline"
)

func TestScaled(t *testing.T) {
	huge := brimline.TotalOf(math.MaxInt64, math.MaxUint64)
	for _, c := range []struct {
		part, whole brimline.Total
		want        int
	}{
		{huge, huge, 100}, {brimline.TotalOf(math.MinInt64, 0), huge, -100}, {huge, brimline.Count(1), 1_000_000},
		{brimline.TotalOf(math.MinInt64, 0), brimline.Count(1), -1_000_000}, {brimline.Count(1), brimline.Count(3), 33},
		{huge, brimline.Total{}, 0},
	} {
		if got := Scaled(c.part, c.whole, 100); got != c.want {
			t.Errorf("%v of %v: %d, want %d", c.part, c.whole, got, c.want)
		}
	}
}
