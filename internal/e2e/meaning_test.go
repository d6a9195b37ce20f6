package e2e

import (
	"context"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/brimline/brimline/internal/testkit"
)

// What a number, a text or a column means is known before anything is read, or nothing starts: a stream that is read in
// another unit than it is written has other edges than PostgreSQL, and says nothing.

// redefine gives the job's table other columns.
func (j *job) redefine(t *testing.T, columns string) {
	t.Helper()
	j.table.Exec(t, "SET timezone = 'UTC'")
	j.table.Exec(t, "DROP TABLE streaming.transactions")
	j.table.Exec(t, "CREATE TABLE streaming.transactions (id bigint PRIMARY KEY, user_id bigint NOT NULL, "+columns+")")
	j.table.Exec(t, "ALTER TABLE streaming.transactions REPLICA IDENTITY FULL")
}

// event is Debezium's record of an insert; values are JSON.
func event(id int, amount, at string, more ...string) testkit.Event {
	after := fmt.Sprintf(`"id":%d,"user_id":5,"amount":%s,"timestamp":%s%s`, id, amount, at, strings.Join(more, ""))
	return testkit.Event{Key: fmt.Appendf(nil, `{"id":%d}`, id), Value: fmt.Appendf(nil, `{"before":null,"after":{%s},`+
		`"source":{"version":"3.7.0.Final","schema":"streaming","table":"transactions","txId":0,"lsn":%d},"op":"c"}`, after, id)}
}

// refuse expects that a run does not start, with an exit code and words.
func (j *job) refuse(t *testing.T, code int, words ...string) {
	t.Helper()
	p := j.start(t, 0, "--until-caught-up")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	got, err := p.Wait(ctx)
	if err != nil || got != code {
		t.Errorf("run ended with code %d, %v; want %d", got, err, code)
	}
	for _, word := range append(words, "remedy: ") {
		if !strings.Contains(p.Output(), word) {
			t.Errorf("the refusal does not say %q:\n%s", word, p.Output())
		}
	}
}

// one expects one alert, with PostgreSQL's figure in the stream as well, and no dead letter.
func (j *job) one(t *testing.T, total string) {
	t.Helper()
	alerts := j.alerts(t)
	if len(alerts) != 1 || alerts[0].Database == nil || alerts[0].Database.Total.Format(2) != total ||
		alerts[0].Candidate.Stream.Total.Format(2) != total {
		t.Errorf("alerts %+v, want one of %s", alerts, total)
	}
	for _, d := range j.deadLetters(t) {
		t.Errorf("dead letter %s: %s", d.Kind, d.Error)
	}
}

// precise is a decimal as decimal.handling.mode=precise writes it.
func precise(unscaled int64) string {
	b := big.NewInt(unscaled).Bytes()
	if b[0] > 127 {
		b = append([]byte{0}, b...)
	}
	return `"` + base64.StdEncoding.EncodeToString(b) + `"`
}

const (
	monday, tuesday = "2026-11-23 01:02:03.456789", "2026-11-24 01:00:00.0003"
	usMonday        = "1795395723456789"
	usTuesday       = "1795482000000300"
	msMonday        = "1795395723456"
	msTuesday       = "1795482000000"
	isoMonday       = `"2026-11-23T01:02:03.456789Z"`
	isoTuesday      = `"2026-11-24T01:00:00.000300Z"`
)

// TestMeaning: two rows, 2000 and 1500.25, pass the limit of 3000. Where the total is empty the run must not start, and
// must say the word.
func TestMeaning(t *testing.T) {
	t.Parallel()
	const zoned = `"timestamp" timestamptz NOT NULL`
	stamp := func(p int) string { return fmt.Sprintf(`"timestamp" timestamp(%d) NOT NULL`, p) }
	us, ms, iso := [2]string{usMonday, usTuesday}, [2]string{msMonday, msTuesday}, [2]string{isoMonday, isoTuesday}
	ns := [2]string{usMonday + "000", usTuesday + "000"}
	coarse := [2]string{"1795395723000", msTuesday}
	text := [2]string{`"2000.00"`, `"1500.25"`}
	whole := [2]string{`"2000"`, `"1500"`}
	const exact = "amount numeric(12,2) NOT NULL, "
	for _, c := range []struct {
		name    string
		columns string
		amounts [2]string
		times   [2]string
		flags   string
		total   string
		code    int
		word    string
	}{
		{"timestamp(0)", exact + stamp(0), text, coarse, "", "3500.25", 0, ""},
		{"timestamp(1)", exact + stamp(1), text, [2]string{"1795395723500", msTuesday}, "", "3500.25", 0, ""},
		{"timestamp(3)", exact + stamp(3), text, [2]string{"1795395723457", msTuesday}, "", "3500.25", 0, ""},
		{"timestamp(3) in microseconds", exact + stamp(3), text, [2]string{"1795395723457000", msTuesday + "000"}, "", "3500.25", 0, ""},
		{"timestamp(4)", exact + stamp(4), text, [2]string{"1795395723456800", usTuesday}, "", "3500.25", 0, ""},
		{"timestamp(6)", exact + stamp(6), text, us, "", "3500.25", 0, ""},
		{"timestamp(6) in nanoseconds", exact + stamp(6), text, ns, "", "3500.25", 0, ""},
		{"timestamp(6) as text", exact + stamp(6), text, iso, "", "3500.25", 0, ""},
		{"timestamp(6) cut to milliseconds", exact + stamp(6), text, ms, "", "", 3, "time_cut"},
		{"timestamp(6) cut, and so said", exact + stamp(6), text, ms, "--time-unit ms", "", 3, "time_cut"},
		{"mode changed", exact + stamp(6), text, [2]string{usMonday, msTuesday}, "", "", 2, "different units"},
		{"unit said wrongly", exact + stamp(3), text, ms, "--time-unit us", "", 2, "2026-11-23"},
		{"unit said rightly", exact + stamp(3), text, [2]string{"1795395723457", msTuesday}, "--time-unit ms", "3500.25", 0, ""},
		{"unit of a column with zone", exact + zoned, text, iso, "--time-unit ms", "", 2, "--time-unit"},
		{"number for a column with zone", exact + zoned, text, us, "", "", 3, "time_unit"},
		{"date", exact + `"timestamp" date NOT NULL`, text, [2]string{"20780", "20781"}, "", "", 3, "timestamp"},
		{"integer time", exact + `"timestamp" bigint NOT NULL`, text, us, "", "", 3, "bigint"},

		{"numeric(12,4), precise", "amount numeric(12,4) NOT NULL, " + zoned, [2]string{precise(20000000), precise(15002500)}, iso, "", "3500.25", 0, ""},
		{"numeric(12,4), digits", "amount numeric(12,4) NOT NULL, " + zoned, [2]string{`"2000.0000"`, `"1500.2500"`}, iso, "", "3500.25", 0, ""},
		{"numeric(12,4), another scale said", "amount numeric(12,4) NOT NULL, " + zoned, [2]string{precise(20000000), precise(15002500)}, iso, "--amount-column-scale 2", "", 2, "4 decimals"},
		{"numeric(12,0), precise", "amount numeric(12,0) NOT NULL, " + zoned, [2]string{precise(2000), precise(1500)}, iso, "", "3500.00", 0, ""},
		{"numeric(12,0), digits that could be base64", "amount numeric(12,0) NOT NULL, " + zoned, whole, iso, "", "", 2, "--decimals"},
		{"numeric(12,0), digits, said", "amount numeric(12,0) NOT NULL, " + zoned, whole, iso, "--decimals string", "3500.00", 0, ""},
		{"numeric(5,-2), digits", "amount numeric(5,-2) NOT NULL, " + zoned, whole, iso, "--decimals string", "3500.00", 0, ""},
		{"numeric, digits", "amount numeric NOT NULL, " + zoned, text, iso, "", "3500.25", 0, ""},
		{"numeric, precise", "amount numeric NOT NULL, " + zoned, [2]string{`{"scale":0,"value":"B9A="}`, `{"scale":2,"value":"AkoJ"}`}, iso, "", "3500.25", 0, ""},
		{"domain", "amount eur NOT NULL, " + zoned, [2]string{precise(200000), precise(150025)}, iso, "", "3500.25", 0, ""},
		{"integer", "amount integer NOT NULL, " + zoned, [2]string{"2000", "1500"}, iso, "", "3500.00", 0, ""},
		{"integer, a scale said", "amount integer NOT NULL, " + zoned, [2]string{"2000", "1500"}, iso, "--amount-column-scale 2", "", 2, "amount_column_scale"},
		{"cents", "amount bigint NOT NULL, " + zoned, [2]string{"200000", "150025"}, iso, "--amount-minor-units 2", "3500.25", 0, ""},
		{"cents of a numeric", "amount numeric(12,2) NOT NULL, " + zoned, text, iso, "--amount-minor-units 2", "", 2, "amount_minor_units"},
		{"double", exact + zoned, [2]string{"2000.0", "1500.25"}, iso, "", "", 3, "decimal.handling.mode=string"},
		{"exact numbers", exact + zoned, [2]string{"2000.00", "1500.25"}, iso, "--decimals numeric", "3500.25", 0, ""},
		{"float column", "amount double precision NOT NULL, " + zoned, [2]string{"2000.0", "1500.25"}, iso, "", "", 3, "float8"},
		{"decimals said of whole numbers", "amount bigint NOT NULL, " + zoned, [2]string{"2000", "1500"}, iso, "--decimals precise", "", 2, "--decimals"},
		{"decimals said wrongly", exact + zoned, text, iso, "--decimals precise", "", 2, "2000.00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			j := newJob(t, parts(t), 1, "rules: [{id: r, window: 7d, limit: 3000}]")
			j.table.Exec(t, "CREATE DOMAIN money_of_day AS numeric(12,2); CREATE DOMAIN eur AS money_of_day CHECK (VALUE > 0)")
			j.redefine(t, c.columns)
			if c.total != "" {
				amounts := [2]string{"2000", "1500.25"}
				if strings.HasSuffix(c.total, ".00") {
					amounts[1] = "1500"
				}
				if strings.Contains(c.name, "cents") {
					amounts = [2]string{"200000", "150025"}
				}
				for i, at := range []string{monday, tuesday} {
					j.table.Exec(t, fmt.Sprintf("INSERT INTO streaming.transactions VALUES (%d, 5, %s, '%s')", i+1, amounts[i], at))
				}
			}
			j.Produce(t, j.names.Source, []testkit.Event{event(1, c.amounts[0], c.times[0]), event(2, c.amounts[1], c.times[1])})
			j.options = strings.Fields(c.flags)
			if c.total == "" {
				j.refuse(t, c.code, c.word)
				return
			}
			j.finish(t)
			j.finish(t) // a group that has begun finds that it means what it did
			j.one(t, c.total)
		})
	}
}

// TestGroupKeepsItsMeaning: what changes the meaning of rows belongs to the group, whoever starts it.
func TestGroupKeepsItsMeaning(t *testing.T) {
	t.Parallel()
	j := newJob(t, parts(t), 1, "rules: [{id: r, window: 7d, limit: 3000}]")
	j.redefine(t, `amount numeric(12,2) NOT NULL, "timestamp" timestamp(3) NOT NULL, other bigint`)
	j.table.Exec(t, "INSERT INTO streaming.transactions VALUES (1, 5, 2000, '2026-11-23 09:00'), (2, 5, 1500, "+
		"'2026-11-24 09:00')")
	j.Produce(t, j.names.Source, []testkit.Event{event(1, `"2000.00"`, "1795424400000", `,"other":1`)})
	j.finish(t)
	j.Produce(t, j.names.Source, []testkit.Event{event(2, `"1500.00"`, "1795510800000", `,"other":2`)})
	for flag, words := range map[string]string{
		"--time-unit us": "", "--time-unit ns": "", "--user-column other": "--user-column was user_id, and is other",
		"--amount-column other":  "--amount-column was amount, and is other",
		"--format flat":          "--format was auto, and is flat",
		"--id-column id,user_id": "--id-column was id, and is id,user_id",
		"--allow-float-amounts":  "--allow-float-amounts was false, and is true",
		"--time-column other":    "--time-column was timestamp, and is other",
	} {
		j.options = append(strings.Fields(flag), "--verify", "off") // the database would refuse some of them first
		url := j.url
		j.url = ""
		if words != "" {
			j.refuse(t, 2, words, "start a new --group")
		} else {
			j.refuse(t, 2)
		}
		j.url = url
	}
	j.options = nil
	j.table.Exec(t, `ALTER TABLE streaming.transactions ALTER "timestamp" TYPE timestamp(6)`)
	j.refuse(t, 2, "column timestamp was timestamp(3) NOT NULL, and is timestamp(6) NOT NULL", "start a new --group")
	j.table.Exec(t, `ALTER TABLE streaming.transactions ALTER "timestamp" TYPE timestamp(3), ALTER id TYPE int`)
	j.finish(t) // a narrower integer reads alike
	j.one(t, "3500.00")
}

// TestColumnsThatChange: a watched column of another type stops stage route, which goes on when it is back; what
// leaves the meaning as it is does not.
func TestColumnsThatChange(t *testing.T) {
	t.Parallel()
	j := newJob(t, parts(t), 1, "columns: {country: text}\nrules: [{id: r, window: 7d, limit: 3000, where: 'country != "+
		"nil'}]")
	j.redefine(t, `amount numeric(12,2) NOT NULL, "timestamp" timestamptz NOT NULL, country text, other text`)
	j.table.Exec(t, "INSERT INTO streaming.transactions VALUES (1, 5, 2000, '"+monday+"', 'NO'), (2, 5, 1500.25, "+
		"'"+tuesday+"', 'NO')")
	j.options = []string{"--catalog-every", "100ms", "--log-level", "debug"}
	p := j.start(t, 0)
	waitOutput(t, p, "stage route: partition")
	j.Produce(t, j.names.Source, []testkit.Event{event(1, `"2000.00"`, isoMonday, `,"country":"NO"`)})
	j.waitHandled(t, 1)
	for i, change := range []struct{ away, back, word string }{
		{`ALTER amount TYPE numeric(12,3)`, `ALTER amount TYPE numeric(12,2)`, "column amount was numeric(…,2) NOT NULL, and is numeric(…,3) NOT NULL"},
		{`RENAME country TO land`, `RENAME land TO country`, "column country is not there (dropped or renamed)"},
		{`RENAME TO elsewhere`, ``, "table streaming.transactions is not there"},
	} {
		j.table.Exec(t, "ALTER TABLE streaming.transactions "+change.away)
		waitOutput(t, p, change.word)
		waitOutput(t, p, "stage ended and is started again")
		back := "ALTER TABLE streaming.transactions " + change.back
		if change.back == "" {
			back = "ALTER TABLE streaming.elsewhere RENAME TO transactions"
		}
		j.table.Exec(t, back)
		waitTimes(t, p, "the table is again what it was", i+1)
	}
	j.table.Exec(t, "ALTER TABLE streaming.transactions ALTER country SET DEFAULT 'NO', DROP other")
	waitOutput(t, p, "column country was text, and is text DEFAULT 'NO'")
	j.Produce(t, j.names.Source, []testkit.Event{event(2, `"1500.25"`, isoTuesday, `,"country":"NO"`)})
	j.waitHandled(t, 2)
	p.Signal(syscall.SIGTERM)
	j.mustEnd(t, p)
	j.options = nil
	j.finish(t)
	j.one(t, "3500.25")
}

func waitTimes(t *testing.T, p *testkit.Process, text string, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := testkit.Eventually(ctx, func() (bool, error) {
		return strings.Count(p.Output(), text) >= n, nil
	}); err != nil {
		t.Fatalf("waiting for %q, %d times: %v", text, n, err)
	}
}

// TestInstancesWithoutDatabase: they wait for what the columns are, and read by it.
func TestInstancesWithoutDatabase(t *testing.T) {
	t.Parallel()
	j := newJob(t, parts(t), 1, "rules: [{id: r, window: 7d, limit: 3000}]")
	j.redefine(t, `amount numeric(12,4) NOT NULL, "timestamp" timestamp(3) NOT NULL`)
	j.table.Exec(t, "INSERT INTO streaming.transactions VALUES (1, 5, 2000, '2026-11-23 09:00'), (2, 5, 1500.25, "+
		"'2026-11-24 09:00')")
	j.Produce(t, j.names.Source, []testkit.Event{event(1, precise(20000000), "1795424400000"),
		event(2, precise(15002500), "1795510800000")})
	url := j.url
	j.url = ""
	reader := j.start(t, 1, "--stages", "route,window,index")
	waitOutput(t, reader, "no instance has written down yet what the columns of streaming.transactions are")
	waitOutput(t, reader, "--database-url")
	j.url = url
	verifier := j.start(t, 2, "--stages", "verify")
	j.waitHandled(t, 2)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := testkit.Eventually(ctx, func() (bool, error) { return len(j.Records(t, j.names.Alerts)) > 0, nil })
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []*testkit.Process{reader, verifier} {
		p.Signal(syscall.SIGTERM)
		j.mustEnd(t, p)
	}
	j.one(t, "3500.25")
}

// TestNothingIsKnown: without a database, a connector to ask and a schema, a bare number or base64 is refused.
func TestNothingIsKnown(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ amount, time, flags, word string }{
		{`"2000.00"`, usMonday, "", "--time-unit"},
		{precise(200000), isoMonday, "", "--amount-column-scale"},
		{`"2000"`, isoMonday, "", "--decimals"},
		{`"2000.00"`, usMonday, "--time-unit us", ""},
		{precise(200000), isoMonday, "--amount-column-scale 2", ""},
		{`"2000.00"`, isoMonday, "", ""},
	} {
		j := newJob(t, parts(t), 1, "rules: [{id: r, window: 7d, limit: 1000}]")
		j.url = ""
		j.options = append(strings.Fields(c.flags), "--verify", "off")
		j.Produce(t, j.names.Source, []testkit.Event{event(1, c.amount, c.time)})
		if c.word != "" {
			p := j.start(t, 0, "--until-caught-up")
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			code, err := p.Wait(ctx)
			cancel()
			if err != nil || code == 0 || !strings.Contains(p.Output(), c.word) {
				t.Errorf("%+v: code %d, %v:\n%s", c, code, err, p.Output())
			}
			continue
		}
		j.finish(t)
		if alerts := j.alerts(t); len(alerts) != 1 || alerts[0].Candidate.Stream.Total.Format(2) != "2000.00" {
			t.Errorf("%+v: alerts %+v", c, alerts)
		}
	}
}
