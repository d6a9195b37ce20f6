package ledger

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/brimline/brimline"
	"github.com/jackc/pgx/v5"
)

// rowScan reads one result row.
type rowScan func(pgx.Rows) (brimline.Transaction, error)

func (l *Ledger) newAmountScan() rowScan {
	var at instant
	var amount string
	return func(rows pgx.Rows) (brimline.Transaction, error) {
		if err := rows.Scan(&at, &amount); err != nil {
			return brimline.Transaction{}, err
		}
		a, err := l.amount(amount)
		return brimline.Transaction{Amount: a, Time: at.at}, err
	}
}

// newRowScan reads what statements.rows selects: time, amount, the key's columns, the further ones.
func (l *Ledger) newRowScan(user string) rowScan {
	var at instant
	var amount string
	ids := make([]string, len(l.o.Columns.ID))
	texts := make([]*string, len(l.o.Extra))
	times := make([]instant, len(l.o.Extra))
	into := []any{&at, &amount}
	for i := range ids {
		into = append(into, &ids[i])
	}
	for i, c := range l.o.Extra {
		if c.Type == brimline.Timestamp {
			into = append(into, &times[i])
		} else {
			into = append(into, &texts[i])
		}
	}
	return func(rows pgx.Rows) (brimline.Transaction, error) {
		if err := rows.Scan(into...); err != nil {
			return brimline.Transaction{}, err
		}
		a, err := l.amount(amount)
		if err != nil {
			return brimline.Transaction{}, err
		}
		row := brimline.Transaction{ID: brimline.JoinID(ids...), User: user, Amount: a, Time: at.at}
		for i, c := range l.o.Extra {
			var v any
			switch {
			case c.Type == brimline.Timestamp && times[i].valid:
				v = times[i].at
			case c.Type != brimline.Timestamp && texts[i] != nil:
				if v, err = fieldOf(*texts[i], c.Type); err != nil {
					return brimline.Transaction{}, l.badValue("postgres_column", "correct the row, or the column's type in the rules file",
						fmt.Errorf("row %s, column %q: %w", row.ID, c.Name, err))
				}
			}
			row.Columns = append(row.Columns, brimline.Field{Name: c.Name, Value: v})
		}
		return row, nil
	}
}

// fieldOf reads PostgreSQL's text of a value.
func fieldOf(s string, t brimline.ColumnType) (any, error) {
	switch t {
	case brimline.Integer:
		return strconv.ParseInt(s, 10, 64)
	case brimline.Numeric:
		return decimal(s)
	case brimline.Boolean:
		return strconv.ParseBool(s)
	default:
		return s, nil
	}
}

var errDecimal = errors.New("not a finite decimal number")

// decimal brings a number as PostgreSQL prints it (numeric plainly, floats also
// with an exponent) into the canonical text of brimline.Decimal.
func decimal(s string) (brimline.Decimal, error) {
	rest, neg := strings.CutPrefix(s, "-")
	mantissa, exponent, scientific := strings.Cut(rest, "e")
	whole, frac, _ := strings.Cut(mantissa, ".")
	if strings.Trim(whole+frac, "0123456789") != "" || whole+frac == "" {
		return "", fmt.Errorf("%q: %w", s, errDecimal)
	}
	if scientific {
		// No PostgreSQL float is beyond 1e±324.
		shift, err := strconv.Atoi(exponent)
		if err != nil || shift < -400 || shift > 400 {
			return "", fmt.Errorf("%q: %w", s, errDecimal)
		}
		point := len(whole) + shift
		digits := whole + frac
		if point < 0 {
			digits, point = strings.Repeat("0", -point)+digits, 0
		} else if point > len(digits) {
			digits += strings.Repeat("0", point-len(digits))
		}
		whole, frac = digits[:point], digits[point:]
	}
	whole, frac = strings.TrimLeft(whole, "0"), strings.TrimRight(frac, "0")
	if whole == "" {
		whole = "0"
	}
	if frac != "" {
		whole += "." + frac
	}
	if neg && whole != "0" {
		whole = "-" + whole
	}
	return brimline.Decimal(whole), nil
}

func sortRows(rows []brimline.Transaction) {
	slices.SortFunc(rows, func(a, b brimline.Transaction) int { return a.Compare(&b) })
}

func (l *Ledger) amount(s string) (brimline.Amount, error) {
	a, err := brimline.ParseAmount(s, l.o.Scale)
	if err != nil {
		return 0, l.badAmount(err)
	}
	return a, nil
}

func (l *Ledger) total(s string, scale int) (brimline.Total, error) {
	t, err := brimline.ParseTotal(s, scale)
	if err != nil {
		return brimline.Total{}, l.badAmount(err)
	}
	return t, nil
}

func (l *Ledger) badAmount(err error) error {
	if errors.Is(err, brimline.ErrAmountScale) {
		return l.badValue("postgres_amount_scale", fmt.Sprintf("configure a scale above %d, or correct the rows", l.o.Scale), err)
	}
	return l.badValue("postgres_amount", "correct the row whose amount is not a number or out of range", err)
}

func (l *Ledger) badValue(kind, remedy string, err error) error {
	return &brimline.Error{Class: brimline.ClassInput, Kind: kind, Where: l.where, Remedy: remedy, Err: err}
}
