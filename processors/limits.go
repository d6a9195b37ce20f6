package processors

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/brimline/brimline"
)

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

// CheckUser says why no row that is taken in can have such a user; nil where one can.
func CheckUser(id string) error {
	switch {
	case id == "":
		return errors.New("no user has this id: it is empty")
	case len(id) > MaxID:
		return fmt.Errorf("no user has this id: it has %d bytes, and rows with more than %d are not taken in", len(id), MaxID)
	case strings.IndexByte(id, 0) >= 0 || !utf8.ValidString(id):
		return errors.New("no user has this id: it is not text")
	}
	return nil
}
