package sliding

import "github.com/brimline/brimline"

// Values counts how many rows have each value. The zero Values is empty.
type Values struct{ rows map[any]int }

// Total is how many different values there are.
func (v *Values) Total() brimline.Total { return brimline.Count(int64(len(v.rows))) }

// Enter takes a row with a value in, which can be compared and is not nil.
func (v *Values) Enter(value any) {
	if v.rows == nil {
		v.rows = map[any]int{}
	}
	v.rows[value]++
}

// Leave takes a row with the value out, which is there.
func (v *Values) Leave(value any) {
	if v.rows[value]--; v.rows[value] == 0 {
		delete(v.rows, value)
	}
}
