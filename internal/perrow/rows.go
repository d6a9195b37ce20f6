// Package perrow has what windows need beside their rows: how much room one takes, and a map by its id.
package perrow

import "github.com/brimline/brimline"

// Memory is about how many bytes of memory a row takes: 48, with texts as ids and columns on top.
func Memory(r *brimline.Row) int {
	const row, more, field = 48, 48, 32
	if r.IsPlain() {
		return row
	}
	columns := r.Columns()
	n := row + more + len(r.ID()) + field*len(columns)
	for i := range columns {
		switch v := columns[i].Value.(type) { // what an interface leads to
		case string:
			n += 16 + len(v)
		case brimline.Decimal:
			n += 16 + len(v)
		case nil, bool:
		default:
			n += 8
		}
	}
	return n
}

// Bytes is about the most bytes that a row takes in a record.
func Bytes(r *brimline.Row) int {
	const numbers = 48 // time, amount, an integer id and the stamp
	if r.IsPlain() {
		return numbers
	}
	columns := r.Columns()
	n := numbers + len(r.ID())
	for i := range columns {
		switch v := columns[i].Value.(type) {
		case string:
			n += 4 + len(v)
		case brimline.Decimal:
			n += 4 + len(v)
		default:
			n += 12
		}
	}
	return n
}
