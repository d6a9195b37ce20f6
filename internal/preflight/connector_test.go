package preflight

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/brimline/brimline/codecs"
)

// captured are the row events of a real Debezium in one variant.
func captured(t *testing.T, variant string) (samples []Sample) {
	t.Helper()
	file, err := os.Open("../../testdata/debezium/" + variant + ".jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() && len(samples) < 8 { // the plain inserts: oddities come later
		var r struct {
			Topic      string
			Key, Value *string
		}
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		if r.Topic == "postgres.streaming.transactions" && r.Value != nil && !strings.Contains(*r.Value, "infinity") {
			samples = append(samples, Sample{[]byte(*r.Key), []byte(*r.Value)})
		}
	}
	return samples
}

func debezium() codecs.DebeziumOptions {
	return codecs.DebeziumOptions{Table: "streaming.transactions", ID: []string{"id"}, User: "user_id", Amount: "amount", Time: "timestamp", Scale: 2}
}

func TestConnectorEncodings(t *testing.T) {
	two, three := 2, 3
	for _, c := range []struct {
		variant  string
		set      *int // --amount-column-scale
		table    *int
		encoding string
		level    Level // of the worst finding
	}{
		{"string-full", nil, &two, "envelopes, amounts are string", OK},
		{"precise-full", &two, &two, "envelopes, amounts are precise (base64)", OK},
		{"precise-full", &two, nil, "envelopes, amounts are precise (base64)", Warning},
		{"precise-full", &two, &three, "envelopes, amounts are precise (base64)", Error},
		{"precise-full", nil, nil, "envelopes, amounts are precise (base64)", Error},
		{"precise-full", nil, &two, "envelopes, amounts are precise (base64)", Error},
		{"schemas-full", nil, nil, "envelopes with inline schema, amounts are precise (base64)", Note},
		{"unwrap-full", &two, &two, "flattened rows, amounts are precise (base64)", OK},
		{"unwrap-rewrite-full", nil, &two, "flattened rows, amounts are string", OK},
		{"double-full", nil, &two, "envelopes, amounts are double", Error},
	} {
		o := ConnectorOptions{Debezium: debezium(), TableScale: c.table}
		o.Debezium.AmountColumnScale = c.set
		findings := Connector(captured(t, c.variant), o)
		expectFinding(t, findings, OK, "connector_encoding", c.encoding)
		if got := Worst(findings); got != c.level {
			t.Errorf("%s: worst is %s, want %s: %+v", c.variant, got, c.level, findings)
		}
	}
}

func TestConnectorFindings(t *testing.T) {
	two := 2
	o := ConnectorOptions{Debezium: debezium(), TableScale: &two}
	findings := Connector(captured(t, "double-full"), o)
	expectFinding(t, findings, Error, "connector_records", "float_amount", "decimal.handling.mode=string")

	good := captured(t, "string-full")
	expectFinding(t, Connector(good, o), OK, "connector_records", "all of the 8 newest records can be read")
	broken := append(captured(t, "string-full"), Sample{[]byte(`{"id":1}`), []byte(`{"before"`)})
	expectFinding(t, Connector(broken, o), Warning, "connector_records", "1 of 9 newest records", "broken_json")

	other := o
	other.Debezium.Table = "streaming.payments"
	expectFinding(t, Connector(good, other), Error, "connector_records", "8 of 8 newest records", "other_table")

	avro := []Sample{{[]byte("k"), []byte("\x00\x00\x00\x00\x07abc")}}
	expectFinding(t, Connector(avro, o), Error, "connector_format", "JsonConverter")
	for _, none := range [][]Sample{nil, {{[]byte("k"), nil}}} {
		expectFinding(t, Connector(none, o), Note, "connector_records", "no records")
	}
	wrong := ConnectorOptions{Debezium: debezium(), TableScale: new(4)}
	expectFinding(t, Connector(captured(t, "precise-full"), wrong), Error, "connector_scale", "no setting says it",
		"--amount-column-scale=4")
	wrong.Debezium.AmountColumnScale = &two
	expectFinding(t, Connector(captured(t, "precise-full"), wrong), Error,
		"connector_scale", "every total would be wrong", "--amount-column-scale=4")
	expectFinding(t, Connector(captured(t, "schemas-full"), o), Note, "connector_encoding", "schemas.enable=false")
}

const running = `"status":{"connector":{"state":"RUNNING"},"tasks":[{"state":"RUNNING"}]}`

func connector(config string) string {
	if config != "" {
		config = "," + config
	}
	return `{"tx":{"info":{"config":{"connector.class":"io.debezium.connector.postgresql.PostgresConnector",
		"table.include.list":"streaming.other, streaming\\.transactions"` + config + `}},` + running + `}}`
}

const suits = `"decimal.handling.mode":"string","poll.interval.ms":"10","skipped.operations":"none","value.converter":"org.apache.kafka.connect.json.JsonConverter"`

func TestConnect(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer string
		level  Level
		check  string
		words  []string
	}{
		{"fine", connector(suits), OK, "connect_settings", []string{"suit"}},
		{"fine", connector(suits), OK, "connect_state", []string{`"tx" is running`}},
		{"floats", connector(`"decimal.handling.mode":"double"`), Error, "connect_settings", []string{"decimal.handling.mode=string"}},
		{"slow", connector(""), Note, "connect_settings", []string{"every 500 ms", "poll.interval.ms=10"}},
		{"no truncate", connector(""), Note, "connect_settings", []string{"leaves out TRUNCATE"}},
		{"no deletes", connector(`"skipped.operations":"t,d"`), Warning, "connect_settings", []string{`operation "d"`}},
		{"avro", connector(`"value.converter":"io.confluent.connect.avro.AvroConverter"`), Error, "connect_settings", []string{"value.converter=org.apache.kafka.connect.json.JsonConverter"}},
		{"no snapshot", connector(`"snapshot.mode":"never"`), Note, "connect_settings", []string{"snapshot.mode=initial"}},
		{"other table", strings.ReplaceAll(connector(""), "transactions", "x"), Warning, "connect", []string{"none of the 1 connector watches streaming.transactions"}},
		{"none", `{}`, Warning, "connect", []string{"none of the 0 connectors"}},
		{"failed", strings.Replace(connector(""), `[{"state":"RUNNING"}]`, `[{"state":"FAILED","trace":"slot is active\n\tat x"}]`, 1), Error, "connect_state", []string{`"tx" is failed: slot is active`, "/connectors/tx/restart"}},
		{"no task", strings.Replace(connector(""), `[{"state":"RUNNING"}]`, `[]`, 1), Error, "connect_state", []string{"no task"}},
		{"not Connect", `<html>`, Error, "connect", []string{"does not answer"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.String() != "/connectors?expand=info&expand=status" {
					t.Errorf("asked for %s", r.URL)
				}
				_, _ = io.WriteString(w, c.answer)
			}))
			defer s.Close()
			expectFinding(t, Connect(t.Context(), ConnectOptions{URL: s.URL, Table: "streaming.transactions"}), c.level, c.check, c.words...)
		})
	}
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	findings := Connect(t.Context(), ConnectOptions{URL: strings.Replace(s.URL, "http://", "http://u:secret@", 1), Table: "streaming.transactions"})
	expectFinding(t, findings, Error, "connect", "refused")
	if strings.Contains(findings[0].What, "secret") {
		t.Error(findings)
	}
	for _, url := range []string{"http://u:hun@ter2@h:1/", "http://u:hun/ter2@h:1/", "http://u:12#ter2@h:1/",
		"http://u:1?hun=ter2@h:1/", "http://u@hun/ter2@h:1/", "hunter2", "ftp://hunter2", "http://", "http://hun,ter2",
		"http://h:ter2"} {
		findings := Connect(t.Context(), ConnectOptions{URL: url, Table: "streaming.transactions"})
		expectFinding(t, findings, Error, "connect", "not a URL such as http://connect:8083")
		if said := fmt.Sprint(findings); strings.Contains(said, "hun") || strings.Contains(said, "ter2") {
			t.Errorf("%s: %s", url, said)
		}
	}
}
