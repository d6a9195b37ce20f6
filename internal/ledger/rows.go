package ledger

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/brimline/brimline"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// rowScan reads one result row.
type rowScan func(pgx.Rows) (brimline.Transaction, error)

func (l *Ledger) newAmountScan(*layout) rowScan { return l.amountScan() }

// amountScan reads time and amount, behind what lead takes.
func (l *Ledger) amountScan(lead ...any) rowScan {
	var at instant
	var amount string
	into := append(lead, &at, &amount)
	return func(rows pgx.Rows) (brimline.Transaction, error) {
		if err := rows.Scan(into...); err != nil {
			return brimline.Transaction{}, err
		}
		a, err := l.amount(amount)
		return brimline.Transaction{Amount: a, Time: at.at}, err
	}
}

// newRowScan reads what statements.rows selects, behind what lead takes: time, amount, the key's columns, the further
// ones.
func (l *Ledger) newRowScan(user string, found *layout, lead ...any) rowScan {
	var at instant
	var amount string
	ids := make([]cell, len(l.o.Columns.ID))
	extra := make([]cell, len(l.o.Extra))
	into := append(lead, &at, &amount)
	for i, name := range l.o.Columns.ID {
		into = append(into, ids[i].of(found.columns[name]))
	}
	for i, c := range l.o.Extra {
		into = append(into, extra[i].of(found.columns[c.Name]))
	}
	parts := make([]string, len(ids))
	return func(rows pgx.Rows) (brimline.Transaction, error) {
		if err := rows.Scan(into...); err != nil {
			return brimline.Transaction{}, err
		}
		a, err := l.amount(amount)
		if err != nil {
			return brimline.Transaction{}, err
		}
		for i := range ids {
			if parts[i], err = ids[i].id(); err != nil {
				return brimline.Transaction{}, l.badValue("postgres_column", "correct the row", fmt.Errorf("key column %q: %w",
					l.o.Columns.ID[i], err))
			}
		}
		row := brimline.Transaction{ID: brimline.JoinID(parts...), User: user, Amount: a, Time: at.at}
		for i, c := range l.o.Extra {
			v, err := extra[i].value(c.Type)
			if err != nil {
				return brimline.Transaction{}, l.badValue("postgres_column",
					"correct the row, or the column's type in the rules file",
					fmt.Errorf("row %s, column %q: %w", row.ID, c.Name, err))
			}
			row.Columns = append(row.Columns, brimline.Field{Name: c.Name, Value: v})
		}
		return row, nil
	}
}

// binary reports whether values of the column travel as they are and not as text.
func (c *column) binary() bool {
	switch c.kind {
	case "timestamptz", "timestamp", "date", "float4", "float8":
		return true
	}
	return false
}

// cell takes a value of a row.
type cell struct {
	kind  string
	text  *string
	time  instant
	float pgtype.Float8
	short pgtype.Float4
}

// of is where a value of the column is read into.
func (c *cell) of(from column) any {
	c.kind = from.kind
	switch c.kind {
	case "timestamptz", "timestamp", "date":
		return &c.time
	case "float4":
		return &c.short
	case "float8":
		return &c.float
	}
	return &c.text
}

// id is the value as a part of a key, which is never NULL; a time is written as in brimline.Time.
func (c *cell) id() (string, error) {
	switch {
	case c.time.valid:
		return c.time.at.String(), c.time.bad
	case c.text != nil:
		return *c.text, nil
	}
	return "", errors.New("it is NULL")
}

// value is the value of a rule's column, nil for NULL.
func (c *cell) value(t brimline.ColumnType) (any, error) {
	var text string
	switch {
	case c.time.valid:
		return c.time.at, c.time.bad
	case c.short.Valid:
		text = strconv.FormatFloat(float64(c.short.Float32), 'e', -1, 32)
	case c.float.Valid:
		text = strconv.FormatFloat(c.float.Float64, 'e', -1, 64)
	case c.text != nil:
		text = *c.text
	default:
		return nil, nil
	}
	return fieldOf(text, t)
}

// fieldOf reads the text of a value.
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

// decimal brings a number (plain as PostgreSQL prints it, or a float with an
// exponent) into the canonical text of brimline.Decimal.
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
		return l.badValue("postgres_amount_scale", fmt.Sprintf("configure a scale above %d, or correct the rows", l.o.Scale),
			err)
	}
	return l.badValue("postgres_amount", "correct the row whose amount is not a number or out of range", err)
}

func (l *Ledger) badValue(kind, remedy string, err error) error {
	return &brimline.Error{Class: brimline.ClassInput, Kind: kind, Where: l.where, Remedy: remedy, Err: err}
}
