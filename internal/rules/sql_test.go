package rules_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/embedded"
	"github.com/brimline/brimline/internal/rules"
)

// fromSQL are conditions as PostgreSQL takes them, and what they are in a rule. at is the place of the first word or
// sign that is SQL, counted from 1; says is what is said of it, where that is more than the condition itself.
var fromSQL = []struct {
	sql, rule string
	at        int
	says      string
}{
	{`country not in ('NO')`, `country not in ["NO"]`, 9, "not in (…) is SQL: write `country not in [\"NO\"]`"},
	{`country IN ('NO', 'SE','DK')`, `country in ["NO", "SE", "DK"]`, 9, ""},
	{`country NOT IN ('NO')`, `country not in ["NO"]`, 9, ""},
	{`attempts in (1, -2, 3)`, `attempts in [1, -2, 3]`, 10, ""},
	{`lower(country) in ('no')`, `lower(country) in ["no"]`, 16, ""},
	{`LOWER(country) = 'no'`, `lower(country) == "no"`, 1, "LOWER is SQL: write `lower`"},
	{`fee is not null`, `fee != nil`, 5, "is not null is SQL: write `fee != nil`"},
	{`fee IS NULL`, `fee == nil`, 5, "IS NULL is SQL: write `fee == nil`"},
	{`fee isnull`, `fee == nil`, 5, ""},
	{`fee NOTNULL`, `fee != nil`, 5, ""},
	{`merchant like '%afe'`, `merchant endsWith "afe"`, 10, "like is SQL: write `merchant endsWith \"afe\"`"},
	{`merchant LIKE 'C%'`, `merchant startsWith "C"`, 10, ""},
	{`merchant like '%af%'`, `merchant contains "af"`, 10, ""},
	{`merchant like 'Cafe'`, `merchant == "Cafe"`, 10, ""},
	{`merchant not like 'Cafe'`, `merchant != "Cafe"`, 10, ""},
	{`merchant not like '%afe'`, `merchant not endsWith "afe"`, 10, ""},
	{`merchant like 'C_f%'`, `merchant matches "(?s)^C.f.*$"`, 10, ""},
	{`merchant like 'C%e'`, `merchant matches "(?s)^C.*e$"`, 10, ""},
	{`merchant not like 'a+_(%'`, `merchant not matches "(?s)^a\\+.\\(.*$"`, 10, ""},
	{`merchant like '100\%'`, `merchant == "100%"`, 10, ""},
	{`merchant like '%'`, `merchant != nil`, 10, ""},
	{`merchant like '%%'`, `merchant != nil`, 10, ""},
	{`merchant like ''`, `merchant == ""`, 10, ""},
	{`merchant ilike '%AF%'`, `lower(merchant) contains "af"`, 10, ""},
	{`merchant ILIKE 'c_FE'`, `merchant matches "(?is)^c.FE$"`, 10, ""},
	{`merchant not ilike 'cafe'`, `lower(merchant) != "cafe"`, 10, ""},
	{`merchant ~ '^C'`, `merchant matches "^C"`, 10, ""},
	{`merchant ~* '^c'`, `merchant matches "(?i)^c"`, 10, ""},
	{`merchant !~ '^C'`, `merchant not matches "^C"`, 10, ""},
	{`amount = -12.50`, `amount == -12.50`, 8, "= is SQL: write `amount == -12.50`"},
	{`amount <> -12.5`, `amount != -12.5`, 8, "<> is SQL: write `amount != -12.5`"},
	{`amount < 0 AND flag`, `amount < 0 and flag`, 12, "AND is SQL: write `and`"},
	{`amount > 0 OR flag`, `amount > 0 or flag`, 12, "OR is SQL: write `or`"},
	{`NOT flag`, `not flag`, 1, "NOT is SQL: write `not`"},
	{`NOT country = 'NO'`, `not (country == "NO")`, 1, ""},
	{`not country = 'NO'`, `not (country == "NO")`, 13, ""},
	{`not (country = 'NO')`, `not (country == "NO")`, 14, ""},
	{`NOT country is null and flag`, `not (country == nil) and flag`, 1, ""},
	{`amount between -20 and -10`, `-20 <= amount <= -10`, 8, "between is SQL: write `-20 <= amount <= -10`"},
	{`amount NOT BETWEEN -20 AND -10`, `not (-20 <= amount <= -10)`, 8, ""},
	{`abs(amount) BETWEEN 10 AND 20 AND flag`, `10 <= abs(amount) <= 20 and flag`, 13, ""},
	{`true = flag`, `true == flag`, 6, "= is SQL: write `true == flag`"},
	{`flag = TRUE`, `flag == true`, 6, ""},
	{`flag is true`, `(flag ?? false)`, 6, ""},
	{`flag is not true`, `not (flag ?? false)`, 6, ""},
	{`flag IS FALSE`, `not (flag ?? true)`, 6, ""},
	{`flag is not false`, `(flag ?? true)`, 6, ""},
	{`flag is unknown`, `flag == nil`, 6, ""},
	{`country is distinct from 'NO'`, `(country == nil or country != "NO")`, 9, ""},
	{`country is not distinct from 'NO'`, `(country != nil and country == "NO")`, 9, ""},
	{`not (country is not distinct from 'NO')`, `not ((country != nil and country == "NO"))`, 14, ""},
	{`coalesce(fee, 0) > 0.1`, `(fee ?? 0) > 0.1`, 1, ""},
	{`COALESCE(country, merchant, 'x') = 'x'`, `(country ?? merchant ?? "x") == "x"`, 1, ""},
	{`length(merchant) = 4`, `len(merchant) == 4`, 1, "length is SQL: write `len`"},
	{`merchant = 'O''Brien'`, `merchant == "O'Brien"`, 10, ""},
	{`merchant = 'say "x"'`, `merchant == "say \"x\""`, 10, ""},
	{`"country" = 'NO'`, `country == "NO"`, 1, `"country" in quotes is text here, not a name: write ` + "`country == \"NO\"`"},
	{`'NO' = "country"`, `"NO" == country`, 6, ""},
	{`"country" in ('NO')`, `country in ["NO"]`, 1, ""},
	{`"country" is null`, `country == nil`, 1, ""},
	{`r.country = 'NO'`, `country == "NO"`, 1, "r. is SQL: write `country`"},
	{`country = any (array['NO', 'SE'])`, `country in ["NO", "SE"]`, 9, ""},
	{`country <> ALL (ARRAY['NO'])`, `country not in ["NO"]`, 9, ""},
	{`fee::numeric > 0.1`, `fee > 0.1`, 4, "::numeric is SQL: write `fee`"},
	{`cast(fee as numeric(12, 2)) > 0.1`, `fee > 0.1`, 1, ""},
	{`(country = 'NO' OR country = 'SE') AND amount < 0 AND fee IS NOT NULL`,
		`(country == "NO" or country == "SE") and amount < 0 and fee != nil`, 10, ""},
	{`amount < 0 -- payments`, `amount < 0`, 12, "-- is SQL: write `// payments`"},
	{"-- payments\namount < 0", `amount < 0`, 1, "-- is SQL: write `// payments`"},
	{`booked >= timestamptz '2026-01-01T00:00:00Z'`, `booked >= "2026-01-01T00:00:00Z"`, 11, ""},
}

// notSQL are not even that, and said as well.
var notSQL = []struct {
	sql, rule string
	at        int
	says      string
}{
	{`fee = NULL`, `fee == nil`, 5, "= NULL is never true in SQL: write `fee == nil`"},
	{`fee <> null`, `fee != nil`, 5, "<> null is never true in SQL: write `fee != nil`"},
	{`fee == NULL`, `fee == nil`, 8, "NULL is SQL: write `fee == nil`"},
	{`null != fee`, `nil != fee`, 1, ""},
	{`where country = 'NO'`, `country == "NO"`, 1, "where is the name of the field: write `country == \"NO\"`"},
	{`country == ‘NO’`, `country == "NO"`, 12, "‘ is no quotation mark here: write `\"NO\"`"},
	{`country == “NO”`, `country == "NO"`, 12, ""},
	{`amount =< 5`, `amount <= 5`, 8, "=< is SQL: write `amount <= 5`"},
	{`amount => 5`, `amount >= 5`, 8, ""},
	{`country IN ["NO"]`, `country in ["NO"]`, 9, "IN is SQL: write `country in [\"NO\"]`"},
	{`country in ("NO")`, `country in ["NO"]`, 9, ""},
	{`"country" == "NO"`, `country == "NO"`, 1, ""},
	{`"merchant" contains "af"`, `merchant contains "af"`, 1, ""},
	{`flag && amount = 1`, `flag && amount == 1`, 16, ""},
	{`amount = 1;`, `amount == 1`, 8, ""},
	{`amount | abs() = 12.5`, `amount | abs() == 12.5`, 16, ""},
}

func sqlColumns() []brimline.Column {
	return append(columns(), brimline.Column{Name: "country", Type: brimline.Text})
}

// complaint compiles what must not compile, and gives what is said of it.
func complaint(t *testing.T, where string) string {
	t.Helper()
	_, err := rules.Compile(where, sqlColumns(), 2)
	e, ok := errors.AsType[*brimline.Error](err)
	if !ok || e.Class != brimline.ClassInput || e.Kind != "where_invalid" {
		t.Errorf("%s: %v is no input error", where, err)
		return ""
	}
	return e.Err.Error()
}

// Who writes SQL is told, at its place, what to write instead, and that is a rule's condition.
func TestSQLIsAnswered(t *testing.T) {
	for _, x := range append(slices.Clone(fromSQL), notSQL...) {
		said := complaint(t, x.sql)
		if !strings.HasPrefix(said, fmt.Sprintf("at character %d: ", x.at)) ||
			!strings.Contains(said, "`"+x.rule+"`") || !strings.Contains(said, x.says) {
			t.Errorf("%s: %s\n\twant it at character %d, and `%s`; %s", x.sql, said, x.at, x.rule, x.says)
		}
		if _, err := rules.Compile(x.rule, sqlColumns(), 2); err != nil {
			t.Errorf("%s: what is proposed does not compile: %v", x.sql, err)
		}
	}
}

// What is proposed takes the very rows that PostgreSQL takes with what was written, NULL in every place included.
func TestSQLIsAnsweredInItsOwnSense(t *testing.T) {
	p, err := embedded.StartPostgres(t.Context(), embedded.PostgresOptions{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop(context.Background()) })
	db, err := pgx.Connect(t.Context(), p.URL(""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close(context.Background()) })
	if _, err := db.Exec(t.Context(), `CREATE TABLE r (id int, amount numeric(12,2), merchant text, country text,
		fee numeric, attempts int, flag boolean, booked timestamptz)`); err != nil {
		t.Fatal(err)
	}
	var rows []brimline.Transaction
	insert := func(amount string, merchant, country, fee, attempts, flag, booked any) {
		a, err := brimline.ParseAmount(amount, 2)
		if err != nil {
			t.Fatal(err)
		}
		id := len(rows)
		if _, err := db.Exec(t.Context(),
			`INSERT INTO r VALUES ($1, $2::text::numeric, $3, $4, $5::text::numeric, $6, $7, $8::text::timestamptz)`,
			id, amount, merchant, country, fee, attempts, flag, booked); err != nil {
			t.Fatal(err)
		}
		row := brimline.Transaction{ID: fmt.Sprint(id), User: "1", Amount: a, Time: moment(t, "2026-01-02T00:00:00Z")}
		row.Columns = []brimline.Field{
			{Name: "merchant", Value: merchant}, {Name: "fee"}, {Name: "attempts"}, {Name: "flag", Value: flag},
			{Name: "booked"}, {Name: "none"}, {Name: "none_n"}, {Name: "none_b"}, {Name: "none_t"},
			{Name: "country", Value: country},
		}
		if fee != nil {
			row.Columns[1].Value = brimline.Decimal(fee.(string))
		}
		if attempts != nil {
			row.Columns[2].Value = int64(attempts.(int))
		}
		if booked != nil {
			row.Columns[4].Value = moment(t, booked.(string))
		}
		rows = append(rows, row)
	}
	merchants := []any{
		"Cafe", "CAFE", "cafe", "decafe", "Ca\nfe", "C*f", "", "100%", "1000", "a+b(c", "O'Brien", `say "x"`, nil,
	}
	amounts := []string{"-12.50", "5.00", "15.00", "-20.00", "0.00"}
	times := []any{"2026-01-01T00:00:00Z", "2025-12-31T23:59:59.999999Z", nil}
	fees, attempts, flags := []any{"0.3", "0.05", nil}, []any{1, -2, 4, nil}, []any{true, false, nil}
	for i, merchant := range merchants {
		for j, country := range []any{"NO", "SE", "no", "DE", nil} {
			n := i*5 + j
			insert(amounts[n%5], merchant, country, fees[n%3], attempts[n%4], flags[(n/3)%3], times[n%3])
		}
	}
	for _, x := range fromSQL {
		unjudged := rules.OnFailure(func(err error) { t.Errorf("%s: %v", x.rule, err) })
		takes, err := rules.Compile(x.rule, sqlColumns(), 2, unjudged)
		if err != nil {
			t.Error(err)
			continue
		}
		var got, want []string
		for i := range rows {
			if takes(&rows[i]) {
				got = append(got, rows[i].ID)
			}
		}
		found, err := db.Query(t.Context(), "SELECT r.id::text AS found FROM r WHERE "+x.sql+"\nORDER BY r.id")
		if err == nil {
			want, err = pgx.CollectRows(found, pgx.RowTo[string])
		}
		if err != nil {
			t.Errorf("PostgreSQL does not take %s: %v", x.sql, err)
			continue
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s takes %v in PostgreSQL, and %s takes %v", x.sql, want, x.rule, got)
		}
	}
}

// What has no counterpart is named, and everything else that is wrong is said beside it.
func TestSQLWithoutCounterpart(t *testing.T) {
	for where, parts := range map[string][]string{
		`country in (select code from c)`:         {"at character 13: select", "list the values"},
		`country not in ('NO', NULL)`:             {"at character 23: NULL in a list", "== nil"},
		`merchant like country`:                   {"at character 10: like", "startsWith"},
		`merchant like 'a!%' escape '!'`:          {"at character 21: escape"},
		`merchant similar to 'a|b'`:               {"at character 10: similar", "matches"},
		`case when flag then true else false end`: {"at character 1: case"},
		`exists (select 1)`:                       {"at character 1: exists"},
		`timestamp > now() - interval '1 day'`:    {"the clock cannot be asked"},
		`timestamp > current_timestamp`:           {"at character 13: ", "the clock cannot be asked"},
		`timestamp > date '2026-01-01'`:           {"at character 13: date", "at character 18: ", "2026-01-31T12:00:00Z"},
		`amount between symmetric 1 and 2`:        {"at character 16: symmetric"},
		`country is 'NO'`:                         {"at character 9: is asks for NULL, TRUE and FALSE", "=="},
		`country IS NOT 'NO'`:                     {"at character 9: IS NOT asks for NULL, TRUE and FALSE", "!="},
		`country='NO'`:                            {"at character 8: = is SQL: write `country == \"NO\"`"},
		`country in 'NO'`:                         {"in needs a list to its right"},
		`(country, merchant) = ('NO', 'x')`:       {"at character 9: "},
		`user_id = 42`:                            {"at character 9: = is SQL: write `user_id == 42`", "write the number in quotes"},
		`nope = 1 AND countri = 'NO'`: {
			"at character 6: = is SQL", `at character 1: there is no column "nope"`,
			`at character 14: there is no column "countri"; did you mean "country"?`,
		},
		`COUNTRY = 'NO'`:                            {`there is no column "COUNTRY"; did you mean "country"?`},
		`amount = 1 AND`:                            {"at character 8: = is SQL", "at character 15: the expression ends too early"},
		`amount = `:                                 {"the expression ends too early"},
		`amount = 1 2`:                              {"at character 8: = is SQL", `at character 12: unexpected "2"`},
		`amount + 1 = 2`:                            {"at character 12: = is SQL", "arithmetic (+)"},
		`merchant = 'a`:                             {"at character 12: literal not terminated"},
		`amount # 2`:                                {`at character 8: unexpected "#"`},
		strings.Repeat("(", 1000) + `amount = 1`:    {"the expression ends too early"},
		strings.Repeat("NOT ", 1000) + `flag`:       {"at character 1: NOT is SQL"},
		strings.Repeat("amount = 1 or ", 290) + "1": {"at character 8: = is SQL"},
		"country" + strings.Repeat(" is distinct from 'a'", 180):                                       {"at character 30: is distinct from"},
		strings.Repeat("(", 120) + "country" + strings.Repeat(" is distinct from 'a')", 120):           {"is distinct from is SQL"},
		strings.Repeat("(", 500) + "flag" + strings.Repeat(" = true)", 400) + strings.Repeat(")", 100): {"at character 506: = is SQL"},
	} {
		said := complaint(t, where)
		if len(said) > 64<<10 {
			t.Errorf("%.60s: %d bytes are said of it", where, len(said))
		}
		for _, part := range parts {
			if !strings.Contains(said, part) {
				t.Errorf("%.60s: %.300s\n\tlacks %s", where, said, part)
			}
		}
		if strings.Contains(said, "unexpected token") {
			t.Errorf("%.60s: %.300s\n\tis said in the words of a parser", where, said)
		}
	}
}

// Words of SQL that name columns are names.
func TestColumnsNamedLikeSQL(t *testing.T) {
	var named []brimline.Column
	for _, name := range []string{
		"like", "between", "is", "null", "any", "select", "date", "case", "isnull", "where", "AND", "NULL",
	} {
		named = append(named, brimline.Column{Name: name, Type: brimline.Boolean})
	}
	for _, c := range named {
		if _, err := rules.Compile(c.Name+" == true", named, 2); err != nil {
			t.Error(err)
		}
		_, err := rules.Compile(c.Name+" = true", named, 2)
		if err == nil || !strings.Contains(err.Error(), "= is SQL: write `"+c.Name+" == true`") {
			t.Errorf("%s: %v", c.Name, err)
		}
	}
}

func FuzzSQL(f *testing.F) {
	for _, x := range append(slices.Clone(fromSQL), notSQL...) {
		f.Add(x.sql)
	}
	f.Fuzz(func(t *testing.T, where string) {
		_, err := rules.Compile(where, sqlColumns(), 2)
		e, ok := errors.AsType[*brimline.Error](err)
		if err != nil && (!ok || e.Kind != "where_invalid") {
			t.Fatal(err)
		}
		if err == nil {
			return
		}
		// What is proposed as a whole compiles.
		if _, whole, found := strings.Cut(e.Err.Error(), "; the whole expression: `"); found &&
			!strings.Contains(where, "`") {
			whole, _, _ = strings.Cut(whole, "`")
			if _, err := rules.Compile(whole, sqlColumns(), 2); err != nil {
				t.Fatalf("%q: %v", where, err)
			}
		}
	})
}
