package rules

import (
	"fmt"

	"github.com/brimline/brimline"
)

// state says what the evaluation of an expression on a row came to.
type state uint8

const (
	known  state = iota
	null         // SQL's NULL; of a condition, SQL's unknown
	failed       // the row does not fit the declared columns
)

// value is a compiled expression: a pure function in bounded time. What it
// returns beside null and failed is the zero value.
type value[V any] func(*brimline.Transaction) (V, state)

// condition is SQL's three-valued truth.
type condition = value[bool]

func constant[V any](v V) value[V] {
	return func(*brimline.Transaction) (V, state) { return v, known }
}

// column reads a field of type F where the row says it is, and looks for it where it does not.
func column[F, V any](name string, at int, read func(F) (V, bool)) value[V] {
	return func(t *brimline.Transaction) (v V, _ state) {
		var field any
		if at < len(t.Columns) && t.Columns[at].Name == name {
			field = t.Columns[at].Value
		} else if found, ok := t.Column(name); ok {
			field = found
		} else {
			return v, failed
		}
		if field == nil {
			return v, null
		}
		if f, ok := field.(F); ok {
			if v, ok := read(f); ok {
				return v, known
			}
		}
		return v, failed
	}
}

func as[V any](v V) (V, bool) { return v, true }

func apply[A, B any](a value[A], f func(A) B) value[B] {
	return func(t *brimline.Transaction) (b B, _ state) {
		v, s := a(t)
		if s != known {
			return b, s
		}
		return f(v), known
	}
}

// relate is NULL where one side is.
func relate[A, B any](a value[A], b value[B], holds func(A, B) bool) condition {
	return func(t *brimline.Transaction) (bool, state) {
		left, s := a(t)
		if s == failed {
			return false, failed
		}
		right, r := b(t)
		if s = max(s, r); s != known {
			return false, s
		}
		return holds(left, right), known
	}
}

func coalesce[V any](a, b value[V]) value[V] {
	return func(t *brimline.Transaction) (V, state) {
		if v, s := a(t); s != null {
			return v, s
		}
		return b(t)
	}
}

func isNull[V any](a value[V]) condition {
	return func(t *brimline.Transaction) (bool, state) {
		_, s := a(t)
		if s == failed {
			return false, failed
		}
		return s == null, known
	}
}

// junction is `and` with decided false, `or` with decided true. The left side
// alone decides where it can; a failure met on the way stays one.
func junction(a, b condition, decided bool) condition {
	return func(t *brimline.Transaction) (bool, state) {
		left, s := a(t)
		if s == failed || s == known && left == decided {
			return left, s
		}
		right, r := b(t)
		if r == failed || r == known && right == decided {
			return right, r
		}
		if s = max(s, r); s != known {
			return false, s
		}
		return !decided, known
	}
}

func negate(a condition) condition { return apply(a, func(v bool) bool { return !v }) }

// oneOf reports whether a is among list, none of which is NULL.
func oneOf[V any](a value[V], list []V, equal func(V, V) bool) condition {
	return apply(a, func(v V) bool {
		for i := range list {
			if equal(v, list[i]) {
				return true
			}
		}
		return false
	})
}

// explain says why the evaluation of the named columns failed on t.
func explain(t *brimline.Transaction, used []brimline.Column) error {
	for _, c := range used {
		field, ok := t.Column(c.Name)
		if !ok {
			return fmt.Errorf("column %q is not in the row", c.Name)
		}
		if field != nil && !fits(c.Type, field) {
			return fmt.Errorf("column %q is declared %s, and the row holds a %T", c.Name, c.Type, field)
		}
	}
	return fmt.Errorf("the row could not be evaluated")
}

func fits(t brimline.ColumnType, field any) (ok bool) {
	switch t {
	case brimline.Text:
		_, ok = field.(string)
	case brimline.Integer:
		_, ok = field.(int64)
	case brimline.Boolean:
		_, ok = field.(bool)
	case brimline.Timestamp:
		_, ok = field.(brimline.Time)
	case brimline.Numeric:
		var d brimline.Decimal
		if d, ok = field.(brimline.Decimal); ok {
			_, ok = parseNumber(string(d))
		}
	}
	return ok
}
