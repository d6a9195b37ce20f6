package codecs

import (
	"encoding/binary"
	"fmt"

	"github.com/brimline/brimline"
)

// timeUnits are the units of rows' times, in microseconds. Many tables have times in milliseconds or seconds.
var timeUnits = [...]brimline.Time{1, 10, 100, 1e3, 1e4, 1e5, 1e6}

const (
	unitBits = 3
	farTime  = brimline.Time(1) << 61 // from here on a difference of times may not fit 64 bits
)

// timeUnit gives the number of the largest unit in which the times of all rows are whole.
func timeUnit(w *brimline.Window) (unit int) {
	if w.Floor != brimline.MinTime && (w.Floor <= -farTime || w.Floor >= farTime) {
		return 0
	}
	unit = len(timeUnits) - 1
	for i := range w.Rows {
		t := w.Rows[i].Time
		if t <= -farTime || t >= farTime {
			return 0
		}
		for t%timeUnits[unit] != 0 {
			unit--
		}
		if unit == 0 {
			break
		}
	}
	return unit
}

// firstTime is the time from which the first row's is counted.
func firstTime(floor, unit brimline.Time) brimline.Time {
	if floor == brimline.MinTime {
		return 0
	}
	return floor - (floor%unit+unit)%unit
}

// Rows are their number, times 8, with the unit of their times added: 0 for microseconds, 1 for 10 of them, up to 6 for
// seconds. Column names are kept once: the rows' different lists of names come first, and a row names its list by
// number, 0 for none. A row is the time since the row before it, in units, the id, the amount and its columns. Ids that
// are integers are differences to the integer id before. The first row's time is counted from the floor, if there is
// one, rounded down to the unit.
func appendRows(b []byte, w *brimline.Window, flags uint64) ([]byte, error) {
	var (
		rows     = w.Rows
		number   = timeUnit(w)
		unit     = timeUnits[number]
		lastTime = firstTime(w.Floor, unit)
	)
	b = binary.AppendUvarint(b, uint64(len(rows))<<unitBits|uint64(number))
	var lists columnLists
	if flags&windowColumns != 0 {
		lists = listsOf(rows)
		b = lists.append(b, rows)
	}
	var lastID int64
	for i := range rows {
		row := &rows[i]
		b = binary.AppendUvarint(b, uint64((row.Time-lastTime)/unit))
		lastTime = row.Time
		id, integer := row.IntegerID()
		switch {
		case !integer:
			b = appendText1(b, row.ID())
		case flags&windowIntegerIDs == 0:
			b = append(b, 0)
			fallthrough
		default:
			b = binary.AppendVarint(b, id-lastID)
			lastID = id
		}
		b = appendVarint(b, int64(row.Amount))
		if flags&windowColumns == 0 {
			continue
		}
		b = binary.AppendUvarint(b, uint64(lists.number(rows, i)))
		for _, column := range row.Columns() {
			var err error
			if b, err = appendColumnValue(b, column.Value); err != nil {
				return nil, err
			}
		}
	}
	return b, nil
}

// timedRows reads the rows of a window with this floor.
func (r *wireReader) timedRows(floor brimline.Time, flags uint64) []brimline.Row {
	unit := timeUnits[0]
	n := r.uvarint()
	if number := n & (1<<unitBits - 1); number < uint64(len(timeUnits)) {
		unit = timeUnits[number]
	} else {
		r.fail(fmt.Errorf("unit %d of times", number))
	}
	return r.rows(r.counted(n>>unitBits, minRow), flags, firstTime(floor, unit), unit)
}

// rows reads n rows, whose times are counted in units from time. They share few allocations.
func (r *wireReader) rows(n int, flags uint64, time, unit brimline.Time) []brimline.Row {
	var columns columnReader
	if flags&windowColumns != 0 {
		columns.begin(r)
	}
	if n == 0 || r.err != nil {
		return nil
	}
	var (
		rows  = make([]brimline.Row, n, n+1) // for the one that comes next
		maker = brimline.RowMaker{Expected: n}
		id    int64
		from  = r.b
		texts string // from, of which text ids are parts
	)
	for i := range rows {
		time += brimline.Time(r.uvarint()) * unit
		length := uint64(0)
		if flags&windowIntegerIDs == 0 {
			length = r.uvarint()
		}
		var text string
		if length > 0 {
			if texts == "" {
				texts = string(from)
			}
			size := len(r.bytes(length - 1))
			end := len(from) - len(r.b)
			text = texts[end-size : end]
		} else {
			id += r.varint()
		}
		amount := brimline.Amount(r.varint())
		var fields []brimline.Field
		if flags&windowColumns != 0 {
			fields = columns.row(r)
		}
		switch {
		case r.err != nil:
			return nil
		case length == 0:
			rows[i] = maker.Integer(time, amount, id, fields)
		default:
			if _, integer := brimline.IntegerID(text); integer {
				r.fail(fmt.Errorf("the integer id %s as a text", text))
				return nil
			}
			rows[i] = maker.Text(time, amount, text, fields)
		}
	}
	return rows
}

// columnLists are the different lists of column names, each as the index of the first row that has it.
type columnLists []int

func listsOf(rows []brimline.Row) columnLists {
	var lists columnLists
	for i := range rows {
		if rows[i].Columns() != nil && lists.number(rows, i) == 0 {
			lists = append(lists, i)
		}
	}
	return lists
}

// number gives the number of row i's list, from 1; 0 for a row without columns or with a list not seen yet.
func (l columnLists) number(rows []brimline.Row, i int) int {
	if rows[i].Columns() == nil {
		return 0
	}
	for n, first := range l {
		if sameNames(rows[first].Columns(), rows[i].Columns()) {
			return n + 1
		}
	}
	return 0
}

func sameNames(a, b []brimline.Field) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Name != b[i].Name {
			return false
		}
	}
	return true
}

// append writes the lists, and how many values the rows hold in all.
func (l columnLists) append(b []byte, rows []brimline.Row) []byte {
	b = binary.AppendUvarint(b, uint64(len(l)))
	for _, first := range l {
		columns := rows[first].Columns()
		b = binary.AppendUvarint(b, uint64(len(columns)))
		for i := range columns {
			b = appendText(b, columns[i].Name)
		}
	}
	values := 0
	for i := range rows {
		values += len(rows[i].Columns())
	}
	return binary.AppendUvarint(b, uint64(values))
}

// columnReader reads the columns of a window's rows.
type columnReader struct {
	lists [][]string
	slab  []brimline.Field // what is left of one allocation for all rows
}

func (c *columnReader) begin(r *wireReader) {
	c.lists = make([][]string, r.count(1))
	for i := range c.lists {
		c.lists[i] = make([]string, r.count(1))
		for j := range c.lists[i] {
			c.lists[i][j] = r.text()
		}
	}
	c.slab = make([]brimline.Field, r.count(1))
}

func (c *columnReader) row(r *wireReader) []brimline.Field {
	n := r.uvarint()
	if n == 0 {
		return nil
	}
	if n > uint64(len(c.lists)) || len(c.lists[n-1]) > len(c.slab) {
		r.fail(fmt.Errorf("column list %d", n))
		return nil
	}
	names := c.lists[n-1]
	fields := c.slab[:len(names):len(names)]
	c.slab = c.slab[len(names):]
	for i, name := range names {
		fields[i] = brimline.Field{Name: name, Value: r.columnValue()}
	}
	return fields
}
