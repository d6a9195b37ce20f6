package security

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/brimline/brimline/internal/testkit"
)

// mark is in every hostile value, so that the values are found wherever they
// come out; harmless text never has it.
const mark = "hOsTiLe"

// hostile are user ids, row ids and column values that PostgreSQL can hold.
func hostile() []string {
	return []string{
		mark + `'; DROP TABLE streaming.transactions; --`,
		mark + `" OR 1=1 --`,
		mark + `$1::text`,
		`../../../../tmp/` + mark,
		mark + `/..\..//`,
		mark + "\x1b[2J\x1b[31mred\x1b]0;title\a",
		mark + "\u009b31m\u0085\u0090",
		mark + "\r\nlevel=ERROR msg=forged user=1\nALERT user 1",
		mark + "\b\x7f\v\f\x01",
		`<script>alert("` + mark + `")</script>`,
		`<img src=x onerror=alert('` + mark + `')>`,
		`{{.}}{{template "` + mark + `"}}`,
		"\u202e\u2066" + mark + "\u2069\u200b\u00ad\ufeff",
		mark + strings.Repeat("\U0001F468\u200d\U0001F469", 10),
		mark + " \t  trailing ",
		mark + `\","status":"verified","x":"`,
		mark + `%s%n%x%v{}`,
		mark + `,a\,b`,
		mark + strings.Repeat("x", 1024-len(mark)),
		"__offset",
		"rules",
		"-5",
		"",
	}
}

// users are the hostile values that are user ids; an id is never empty.
func users() []string { all := hostile(); return all[:len(all)-1] }

const table = `CREATE SCHEMA streaming; CREATE TABLE streaming.transactions (
	id text PRIMARY KEY, user_id text NOT NULL, amount numeric(12,2) NOT NULL,
	"timestamp" timestamptz NOT NULL, note text);
	CREATE INDEX ON streaming.transactions (user_id, "timestamp");
	ALTER TABLE streaming.transactions REPLICA IDENTITY FULL`

// change is the record of a row, its fields as JSON texts.
func change(id, user, note string, at string) testkit.Event {
	value := fmt.Sprintf(`{"before":null,"after":{"id":%s,"user_id":%s,"amount":"60.00","timestamp":%q,"note":%s},`+
		`"op":"c",`+
		`"source":{"schema":"streaming","table":"transactions","lsn":1,"txId":1}}`, id, user, at, note)
	return testkit.Event{Key: []byte(`{"id":` + id + `}`), Value: []byte(value)}
}

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// refused are records that become dead letters: what PostgreSQL cannot hold,
// what is too long for an id, what is no JSON.
func refused() []testkit.Event {
	const at = "2026-01-01T00:00:00.000000Z"
	return []testkit.Event{
		change(`"1"`, `"`+mark+`\u0000"`, `""`, at),
		change(`"1"`, `"`+mark+`\ud800"`, `""`, at),
		change(`"1"`, "\""+mark+"\xff\xfe\"", `""`, at),
		change(`"1"`, quoted(mark+strings.Repeat("x", 64<<10)), `""`, at),
		change(quoted(mark+strings.Repeat("x", 64<<10)), `"u"`, `""`, at),
		change(`"1"`, `"u"`, `""`, mark+"\x1b[31m"),
		{Key: []byte(mark + "\x1b[31m"), Value: []byte(mark + "\x1b]0;title\a{")},
		change(`"1"`, `"u"`, `{"`+mark+`\u001b[31m":1}`, at),
	}
}

// harmless checks that nothing in a text could move a cursor, colour, hide or turn.
func harmless(t *testing.T, what, text string) {
	t.Helper()
	if !utf8.ValidString(text) {
		t.Errorf("%s is not UTF-8", what)
	}
	for i, r := range text {
		if r != '\n' && r != '\t' && !unicode.IsGraphic(r) {
			t.Errorf("%s holds %q in %q", what, r, text[max(0, i-40):min(len(text), i+40)])
			return
		}
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "level=ERROR msg=forged") || strings.HasPrefix(line, "ALERT user 1\n") {
			t.Errorf("%s holds a forged line: %s", what, line)
		}
	}
}
