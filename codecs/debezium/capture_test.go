package debezium_test

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs/debezium"
)

// captured is one line of a file in testdata/debezium.
type captured struct {
	Topic      string
	Key, Value *string
}

func (c captured) bytes() (key, value []byte) {
	if c.Key != nil {
		key = []byte(*c.Key)
	}
	if c.Value != nil {
		value = []byte(*c.Value)
	}
	return key, value
}

func capture(t testing.TB, name string) []captured {
	t.Helper()
	text, err := os.ReadFile("../../testdata/debezium/" + name + ".jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var all []captured
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var c captured
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		t.Fatalf("%s is empty", name)
	}
	return all
}

// step is one change that the captures' SQL makes, and what its records decode to:
//
//	+ID user AMOUNT TIME    an upsert
//	-ID user AMOUNT TIME    a delete; several changes of one record are joined by " & "
//	nothing                 no change and no error
//	KIND                    bad input of that kind; changes that are made all the same follow after " & "
type step struct {
	sql      string
	identity []string // records under the default replica identity
	full     []string // with REPLICA IDENTITY FULL, where that differs
}

// steps are the statements that were made for each capture, in order.
var steps = []step{
	{"snapshot: card payment", []string{"+1 1 12.34 2026-01-02T03:04:05.123456Z"}, nil},
	{"snapshot: negative, whole second", []string{"+2 1 -3441.50 2026-01-02T03:04:06.000000Z"}, nil},
	{"snapshot: zero, trailing zeros, another zone", []string{"+3 2 0.00 2026-01-02T03:04:07.120000Z"}, nil},
	{"snapshot: before 1970", []string{"+4 2 99999999.99 1969-12-31T23:59:59.999999Z"}, nil},
	{"snapshot: lowest amount, infinity", []string{debezium.KindInfiniteTime + " & -5 3 -9999999999.99 ?"}, nil},
	{"snapshot: highest amount, -infinity", []string{debezium.KindInfiniteTime + " & -6 3 9999999999.99 ?"}, nil},
	{"snapshot: unicode", []string{"+7 4 0.01 2026-01-02T03:04:05.000001Z"}, nil},
	{"snapshot: before year 1", []string{"+8 4 128.00 -0043-03-15T12:00:00.000000Z"}, nil},
	{"snapshot: last microsecond of 9999", []string{"+9 4 -0.01 9999-12-31T23:59:59.999999Z"}, nil},
	{"snapshot: five-digit year", []string{"+10 4 1.28 +12026-01-02T03:04:05.000000Z"}, nil},
	{"INSERT single", []string{"+11 1 12.34 2026-02-01T00:00:00.000001Z"}, nil},
	{"INSERT three in one transaction", []string{
		"+12 1 -3441.50 2026-02-01T00:00:01.500000Z",
		"+13 2 99999999.99 2026-02-01T00:00:02.000000Z",
		"+14 1 0.00 2026-02-01T00:00:03.999999Z"}, nil},
	{"UPDATE amount = 56.78 WHERE id = 11", []string{"+11 1 56.78 2026-02-01T00:00:00.000001Z"}, nil},
	{"UPDATE user_id = 7 WHERE id = 11", []string{"+11 7 56.78 2026-02-01T00:00:00.000001Z"},
		[]string{"-11 1 56.78 2026-02-01T00:00:00.000001Z & +11 7 56.78 2026-02-01T00:00:00.000001Z"}},
	{"UPDATE description = NULL WHERE id = 11", []string{"+11 7 56.78 2026-02-01T00:00:00.000001Z"}, nil},
	{"UPDATE timestamp WHERE id = 11", []string{"+11 7 56.78 2026-02-02T00:00:00.250000Z"}, nil},
	{"UPDATE amount = amount WHERE id = 11", []string{"+11 7 56.78 2026-02-02T00:00:00.250000Z"}, nil},
	{"UPDATE id = 1000 WHERE id = 12", []string{debezium.KindMadeUpBefore, "nothing", "+1000 1 -3441.50 2026-02-01T00:00:01.500000Z"},
		[]string{"-12 1 -3441.50 2026-02-01T00:00:01.500000Z", "nothing", "+1000 1 -3441.50 2026-02-01T00:00:01.500000Z"}},
	{"DELETE WHERE id = 13", []string{debezium.KindMadeUpBefore, "nothing"},
		[]string{"-13 2 99999999.99 2026-02-01T00:00:02.000000Z", "nothing"}},
	{"INSERT infinity", []string{debezium.KindInfiniteTime}, nil},
	{"INSERT -infinity", []string{debezium.KindInfiniteTime}, nil},
	{"INSERT, UPDATE, DELETE 2000 in one transaction",
		[]string{"+2000 5 1.00 2026-02-03T00:00:01.000000Z", "+2000 5 2.00 2026-02-03T00:00:01.000000Z", debezium.KindMadeUpBefore, "nothing"},
		[]string{"+2000 5 1.00 2026-02-03T00:00:01.000000Z", "+2000 5 2.00 2026-02-03T00:00:01.000000Z", "-2000 5 2.00 2026-02-03T00:00:01.000000Z", "nothing"}},
	{"INSERT large text", []string{"+3000 6 10.00 2026-02-03T00:00:02.000000Z"}, nil},
	{"UPDATE amount beside an unchanged large text", []string{"+3000 6 20.00 2026-02-03T00:00:02.000000Z"}, nil},
	{"COPY", []string{"+5000 1 1.00 2026-02-03T00:00:02.100000Z", "+5001 2 2.00 2026-02-03T00:00:02.200000Z", "+5002 3 3.00 2026-02-03T00:00:02.300000Z"}, nil},
	{"INSERT after ALTER TABLE ADD COLUMN", []string{"+4000 6 1.10 2026-02-03T00:00:03.000000Z"}, nil},
	{"UPDATE of the added columns to infinity", []string{"+4000 6 1.10 2026-02-03T00:00:03.000000Z"}, nil},
	{"UPDATE amount = 57.00 WHERE id = 11", []string{"+11 7 57.00 2026-02-02T00:00:00.250000Z"}, nil},
	{"TRUNCATE, of which Debezium says nothing", nil, nil},
	{"INSERT end of capture", []string{"+9999 9 9.99 2026-02-03T00:00:04.000000Z"}, nil},
	{"pg_logical_emit_message, on its own topic", []string{"nothing"}, nil},
}

// expectation is a record of a capture as it is decoded, with the statement behind it.
type expectation struct{ sql, want string }

// expect lists the records of steps; change, if it is there, says how a variant
// lays out the records of one step.
func expect(full bool, change func(sql string, records []string) []string) []expectation {
	var all []expectation
	for _, s := range steps {
		records := s.identity
		if full && s.full != nil {
			records = s.full
		}
		if change != nil {
			records = change(s.sql, slices.Clone(records))
		}
		for _, want := range records {
			all = append(all, expectation{s.sql, want})
		}
	}
	return all
}

const moved = "UPDATE user_id = 7 WHERE id = 11"

// flattened: an update has no before.
func flattened(sql string, records []string) []string {
	if sql == moved {
		return []string{"+11 7 56.78 2026-02-01T00:00:00.000001Z"}
	}
	return records
}

// rewritten: flattened, and deletes have no tombstones.
func rewritten(sql string, records []string) []string {
	if strings.HasPrefix(sql, "pg_logical") {
		return records
	}
	return slices.DeleteFunc(flattened(sql, records), func(s string) bool { return s == "nothing" })
}

// bare: flattened, and a delete is a tombstone and no more.
func bare(sql string, records []string) []string {
	records = rewritten(sql, records)
	for i, r := range records {
		if strings.HasPrefix(sql, "INSERT") && r == debezium.KindInfiniteTime { // it could be an update
			records[i] += " & " + map[string]string{"INSERT infinity": "-15 3 1.00 ?",
				"INSERT -infinity": "-16 3 1.00 ?"}[sql]
		}
		if strings.HasPrefix(r, "-") || r == debezium.KindMadeUpBefore {
			records[i] = debezium.KindFlatTombstone
		}
	}
	return records
}

// keyedByUser: with REPLICA IDENTITY FULL it is the change of the user that
// becomes a delete and an insert, and not that of the id.
func keyedByUser(sql string, records []string) []string {
	switch {
	case sql == moved && strings.HasPrefix(records[0], "-"):
		del, ins, _ := strings.Cut(records[0], " & ")
		return []string{del, "nothing", ins}
	case strings.HasPrefix(sql, "UPDATE id = 1000") && strings.HasPrefix(records[0], "-"):
		return []string{records[0] + " & " + records[2]}
	}
	return records
}

// floats: a binary float is refused, whatever else there may be to say about its row, which then must not stay.
func floats(sql string, records []string) []string {
	zeroed := func(change string) string { // +ID user AMOUNT TIME as a deletion whose amount cannot be read
		parts := strings.Fields(change)
		return fmt.Sprintf("-%s %s 0.00 %s", parts[0][1:], parts[1], parts[3])
	}
	for i, r := range records {
		first, _, _ := strings.Cut(strings.TrimPrefix(r, debezium.KindInfiniteTime+" & "), " & ")
		inserted := strings.HasPrefix(sql, "INSERT") || strings.HasPrefix(sql, "COPY") || strings.HasPrefix(sql,
			"UPDATE id")
		switch {
		case r == "nothing" || r == debezium.KindMadeUpBefore:
		case strings.HasPrefix(r, "-") && first == r:
			records[i] = zeroed(r)
		case inserted && !(i == 1 && strings.Contains(sql, "UPDATE, DELETE")):
			records[i] = debezium.KindFloatAmount
		default:
			records[i] = debezium.KindFloatAmount + " & " + zeroed(first)
		}
	}
	return records
}

// fullFloats: with REPLICA IDENTITY FULL what must not stay is the row as it was.
func fullFloats(sql string, records []string) []string {
	records = floats(sql, records)
	if strings.HasPrefix(sql, "UPDATE timestamp") {
		records[0] = strings.Replace(records[0], "2026-02-02T00:00:00.250000Z", "2026-02-01T00:00:00.000001Z", 1)
	}
	return records
}

func listed(records ...string) []expectation {
	all := make([]expectation, len(records))
	for i, want := range records {
		all[i].want = want
	}
	return all
}

func TestCaptures(t *testing.T) {
	for _, test := range []struct {
		file string
		set  func(*debezium.Options)
		want []expectation
	}{
		{"precise", columnScale(2), expect(false, nil)},
		{"precise-full", columnScale(2), expect(true, nil)},
		{"string", nil, expect(false, nil)},
		{"string-full", nil, expect(true, nil)},
		{"schemas", nil, expect(false, nil)},
		{"schemas-full", nil, expect(true, nil)},
		{"connect-time", columnScale(2), expect(false, nil)},
		{"connect-time-full", columnScale(2), expect(true, nil)},
		{"transactions", nil, expect(false, nil)},
		{"transactions-full", nil, expect(true, nil)},
		{"double", nil, expect(false, floats)},
		{"double-full", nil, expect(true, fullFloats)},
		{"double", allowFloats, expect(false, nil)},
		{"double-full", allowFloats, expect(true, nil)},
		{"user-key", nil, expect(false, keyedByUser)},
		{"user-key-full", nil, expect(true, keyedByUser)},
		{"unwrap", columnScale(2), expect(false, bare)},
		{"unwrap-full", columnScale(2), expect(true, bare)},
		{"unwrap-rewrite", nil, expect(false, rewritten)},
		{"unwrap-rewrite-full", nil, expect(true, rewritten)},
		{"nan-string", nil, listed("+1 1 12.34 2026-01-02T03:04:05.123456Z",
			debezium.KindAmountNaN+" & -11 1 0.00 2026-01-01T00:00:00.000000Z", debezium.KindAmountNaN,
			"+12 1 1.00 2026-01-01T00:00:00.000000Z")},
		{"nan-double", allowFloats, listed("+1 1 12.34 2026-01-02T03:04:05.123456Z",
			debezium.KindAmountNaN+" & -11 1 0.00 2026-01-01T00:00:00.000000Z", debezium.KindAmountNaN,
			"+12 1 1.00 2026-01-01T00:00:00.000000Z")},
		{"crash-duplicates", nil, listed(
			"+895660 648 426.48 2026-11-23T10:28:28.383709Z", "+895660 648 426.48 2026-11-23T10:28:28.383709Z",
			"+895661 649 426.49 2026-11-23T10:28:28.383709Z", "+895661 649 426.49 2026-11-23T10:28:28.383709Z",
			"+895662 650 426.50 2026-11-23T10:28:28.383709Z", "+895662 650 426.50 2026-11-23T10:28:28.383709Z")},
	} {
		for _, format := range []debezium.Format{debezium.FormatAuto, debezium.FormatEnvelope, debezium.FormatFlat} {
			isFlat := strings.HasPrefix(test.file, "unwrap")
			if format != debezium.FormatAuto && isFlat != (format == debezium.FormatFlat) {
				continue
			}
			t.Run(fmt.Sprintf("%s/%s/floats=%v", test.file, format, test.set != nil), func(t *testing.T) {
				opt := options()
				opt.Format = format
				if test.set != nil {
					test.set(&opt)
				}
				compare(t, decoder(t, opt), capture(t, test.file), test.want)
			})
		}
	}
}

func compare(t *testing.T, d *debezium.Decoder, records []captured, want []expectation) {
	t.Helper()
	n := 0
	for _, r := range records {
		key, value := r.bytes()
		changes, err := d.Decode(key, value)
		if strings.HasSuffix(r.Topic, ".transaction") {
			if err != nil || len(changes) > 0 {
				t.Errorf("transaction metadata: %v, %v: %s", changes, err, value)
			}
			continue
		}
		if n == len(want) {
			t.Fatalf("more than the expected %d records: %s", n, value)
		}
		if got := describe(t, changes, err); got != want[n].want {
			t.Errorf("record %d, %s:\n got %s\nwant %s\nfrom %s", n, want[n].sql, got, want[n].want, value)
		}
		n++
		for _, c := range changes {
			if wantSource := sourceOf(t, value); c.Source != wantSource {
				t.Errorf("record %d: source %+v, want %+v", n, c.Source, wantSource)
			}
		}
	}
	if n != len(want) {
		t.Errorf("%d records, want %d", n, len(want))
	}
}

// describe writes a result in the words of step.
func describe(t testing.TB, changes []brimline.Change, err error) string {
	t.Helper()
	var all []string
	if err != nil {
		all = append(all, kindOf(t, err))
	} else if len(changes) == 0 {
		return "nothing"
	}
	for _, c := range changes {
		sign := map[brimline.ChangeKind]string{brimline.Upsert: "+", brimline.Delete: "-",
			brimline.Truncate: "truncate"}[c.Kind]
		if c.Kind != brimline.Truncate {
			if c.User != c.Row.User {
				t.Errorf("a change of user %q to a row of user %q", c.User, c.Row.User)
			}
			at := c.Row.Time.String()
			if c.Row.Time == brimline.MinTime { // of a delete whose row's time is not known
				at = "?"
			}
			sign += fmt.Sprintf("%s %s %s %s", c.Row.ID, c.User, c.Row.Amount.Format(2), at)
		}
		all = append(all, sign)
	}
	return strings.Join(all, " & ")
}

// kindOf gives the kind of an error that says all that a dead letter needs.
func kindOf(t testing.TB, err error) string {
	t.Helper()
	e, ok := errors.AsType[*brimline.Error](err)
	if !ok || e.Class != brimline.ClassInput || e.Kind == "" || e.Remedy == "" || e.Err == nil {
		t.Fatalf("not a complete *brimline.Error of bad input: %#v", err)
	}
	if len(e.Error()) > 700 {
		t.Errorf("an error of %d bytes: %.200s…", len(e.Error()), e.Error())
	}
	return e.Kind
}

// sourceOf reads the coordinates in another way than the decoder does.
func sourceOf(t *testing.T, value []byte) brimline.Source {
	t.Helper()
	var v struct {
		Payload json.RawMessage
		Op      string
		FlatOp  string `json:"__op"`
		Source  struct {
			LSN  uint64
			TxID int64 `json:"txId"`
			TsUs int64 `json:"ts_us"`
		}
		LSN  uint64 `json:"__lsn"`
		TxID int64  `json:"__txId"`
		TsMs int64  `json:"__source_ts_ms"`
	}
	if err := json.Unmarshal(value, &v); err != nil {
		t.Fatal(err)
	}
	if v.Payload != nil {
		return sourceOf(t, v.Payload)
	}
	snapshot := v.Op == "r" || v.FlatOp == "r"
	if snapshot { // the connector's own transaction, which is still open
		v.Source.TxID, v.TxID = 0, 0
	}
	return brimline.Source{LSN: cmp.Or(v.Source.LSN, v.LSN), TxID: cmp.Or(v.Source.TxID, v.TxID),
		Snapshot: snapshot, Commit: brimline.Time(cmp.Or(v.Source.TsUs, v.TsMs*1000))}
}

func options() debezium.Options {
	return debezium.Options{
		Table: "streaming.transactions", ID: []string{"id"}, User: "user_id", Amount: "amount", Time: "timestamp", Scale: 2,
	}
}

// fataler is a test of either kind.
type fataler interface {
	Helper()
	Fatal(...any)
}

func decoder(t fataler, opt debezium.Options) *debezium.Decoder {
	t.Helper()
	d, err := debezium.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
