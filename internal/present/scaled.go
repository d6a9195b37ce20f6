package present

import (
	"math/big"

	"github.com/brimline/brimline"
)

// Scaled is part/whole·size, cut off towards zero and bounded so that it is
// always a number that can be drawn; 0 when whole is zero.
func Scaled(part, whole brimline.Total, size int) int {
	if whole.Sign() == 0 {
		return 0
	}
	n := integer(part)
	n.Mul(n, big.NewInt(int64(size)))
	n.Quo(n, integer(whole))
	const bound = 1_000_000
	switch {
	case n.Cmp(big.NewInt(bound)) > 0:
		return bound
	case n.Cmp(big.NewInt(-bound)) < 0:
		return -bound
	}
	return int(n.Int64())
}

func integer(t brimline.Total) *big.Int {
	hi, lo := t.Words()
	n := big.NewInt(hi)
	return n.Lsh(n, 64).Add(n, new(big.Int).SetUint64(lo))
}
