package codecs_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
)

func validate(t *testing.T, schema *jsonschema.Schema, record []byte) error {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(record))
	if err != nil {
		t.Fatal(err)
	}
	return schema.Validate(v)
}

func TestAlertsMatchTheirSchema(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile("../docs/alert.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	old := exampleAlert(t)
	old.Candidate.Edge = at(t, "-0043-03-15T12:00:00Z")
	old.Candidate.Newest[0].Time = at(t, "+12026-01-02T03:04:05Z")
	early, earlyUnverified := exampleAlert(t), exampleUnverified(t)
	early.Reason, earlyUnverified.Reason = brimline.ReasonBeforeAlertsFrom, brimline.ReasonBeforeAlertsFrom
	for name, record := range map[string][]byte{
		"early":            encode(t, codecs.Alert{}, early),
		"early unverified": encode(t, codecs.Alert{}, earlyUnverified),
		"verified":         encode(t, codecs.Alert{}, exampleAlert(t)),
		"dismissed":        encode(t, codecs.Alert{}, exampleDismissed(t)),
		"quiet":            encode(t, codecs.Alert{}, exampleQuiet(t)),
		"unarmed":          encode(t, codecs.Alert{}, exampleUnarmed(t)),
		"unverified":       encode(t, codecs.Alert{}, exampleUnverified(t)),
		"superseding":      encode(t, codecs.Alert{}, exampleSuperseded(t)),
		"other years":      encode(t, codecs.Alert{}, old),
	} {
		if err := validate(t, schema, record); err != nil {
			t.Errorf("%s: %v\n%s", name, err, record)
		}
	}

	good := string(encode(t, codecs.Alert{}, exampleAlert(t)))
	for _, change := range [][2]string{
		{`"version":1`, `"version":2`},
		{`"limit":"3000.00"`, `"limit":3000.00`},
		{`"total":"3441.50"`, `"total":"$3,441.50"`},
		{`"window":"7d"`, `"window":"168h0m0.5s"`},
		{`"window":"7d"`, `"window":""`},
		{`"measure":"sum_abs"`, `"measure":"avg"`},
		{`"status":"verified"`, `"status":"maybe"`},
		{`"status":"verified"`, `"status":"dismissed"`},
		{`"status":"verified"`, `"status":"verified","reason":"not_above"`},
		{`"status":"verified"`, `"status":"dismissed","reason":"before_alerts_from"`},
		{`"edge_time":"2026-01-08T12:00:00.123456Z"`, `"edge_time":"2026-01-08T12:00:00Z"`},
		{`"lsn":"16/B374D848"`, `"lsn":97504000000`},
		{`"database":`, `"data_base":`},
		{`"user_id":"27956157"`, `"user_id":27956157`},
		{`"count":12`, `"count":"12"`},
		{`"duration_us":1234`, `"duration_us":1.5`},
		{`"type":"text"`, `"type":"jsonb"`},
	} {
		bad := strings.Replace(good, change[0], change[1], 1)
		if bad == good || !json.Valid([]byte(bad)) {
			t.Fatalf("%s is not in the example", change[0])
		}
		if validate(t, schema, []byte(bad)) == nil {
			t.Errorf("the schema accepts %s", change[1])
		}
	}
}
