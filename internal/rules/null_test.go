package rules_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/rules"
)

// truth is SQL's: nil is unknown.
type truth = *bool

func is(b bool) truth { return &b }

// sqlNot, sqlAnd and sqlOr are the tables of the SQL standard, written out.
func sqlNot(a truth) truth {
	if a == nil {
		return nil
	}
	return is(!*a)
}

func sqlAnd(a, b truth) truth {
	switch {
	case a != nil && !*a, b != nil && !*b:
		return is(false)
	case a == nil, b == nil:
		return nil
	}
	return is(true)
}

func sqlOr(a, b truth) truth { return sqlNot(sqlAnd(sqlNot(a), sqlNot(b))) }

// formula draws an expression over n (a nullable number) and b (a nullable
// boolean) and what SQL makes of it.
func formula(t *rapid.T, depth int, n *int64, b truth) (string, truth) {
	kinds := 9
	if depth == 0 {
		kinds = 6
	}
	k := rapid.IntRange(0, 99).Draw(t, "limit") % 4
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return "b", b
	case 1:
		return map[bool]string{true: "true", false: "false"}[k%2 == 0], is(k%2 == 0)
	case 2:
		if n == nil {
			return fmt.Sprintf("n < %d", k), nil
		}
		return fmt.Sprintf("n < %d", k), is(*n < int64(k))
	case 3:
		if n == nil {
			return fmt.Sprintf("%d != n", k), nil
		}
		return fmt.Sprintf("%d != n", k), is(*n != int64(k))
	case 4:
		return "n == nil", is(n == nil)
	case 5:
		if n == nil {
			return fmt.Sprintf("n not in [%d, 3]", k), nil
		}
		return fmt.Sprintf("n not in [%d, 3]", k), is(*n != int64(k) && *n != 3)
	case 6:
		x, v := formula(t, depth-1, n, b)
		return "not (" + x + ")", sqlNot(v)
	case 7:
		x, v := formula(t, depth-1, n, b)
		y, w := formula(t, depth-1, n, b)
		return "(" + x + ") and (" + y + ")", sqlAnd(v, w)
	default:
		x, v := formula(t, depth-1, n, b)
		y, w := formula(t, depth-1, n, b)
		return "(" + x + ") or (" + y + ")", sqlOr(v, w)
	}
}

// A row matches exactly where SQL's WHERE would take it.
func TestNullAsInSQL(t *testing.T) {
	columns := []brimline.Column{{Name: "n", Type: brimline.Integer}, {Name: "b", Type: brimline.Boolean}}
	rapid.Check(t, func(t *rapid.T) {
		row := &brimline.Transaction{Columns: []brimline.Field{{Name: "n"}, {Name: "b"}}}
		var n *int64
		var b truth
		if rapid.Bool().Draw(t, "n known") {
			v := rapid.Int64Range(0, 3).Draw(t, "n")
			n, row.Columns[0].Value = &v, v
		}
		if rapid.Bool().Draw(t, "b known") {
			v := rapid.Bool().Draw(t, "b")
			b, row.Columns[1].Value = &v, v
		}
		where, want := formula(t, 5, n, b)
		if len(where) > 4096 {
			t.Skip("longer than an expression may be")
		}
		takes, err := rules.Compile(where, columns, 2)
		if err != nil {
			t.Fatalf("%v", err)
		}
		if got := takes(row); got != (want != nil && *want) {
			t.Fatalf("%s with n %v and b %v: %v", where, row.Columns[0].Value, row.Columns[1].Value, got)
		}
	})
}
