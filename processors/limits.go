package processors

import "github.com/brimline/brimline"

// What a row may have, in bytes. Whatever has more is a dead letter.
const (
	// MaxID bounds ids of users and rows: they are keys of records and parts of alert ids.
	MaxID = 1024
	// MaxColumns bounds the values of a row's further columns: they are kept in the user's window, and alerts carry
	// those of a few rows.
	MaxColumns = 16 << 10
)

// ColumnBytes is how many bytes of text the values of columns hold.
func ColumnBytes(columns []brimline.Field) (n int) {
	for i := range columns {
		switch v := columns[i].Value.(type) {
		case string:
			n += len(v)
		case brimline.Decimal:
			n += len(v)
		}
	}
	return n
}
