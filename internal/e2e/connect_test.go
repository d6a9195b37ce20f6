package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/brimline/brimline/internal/testkit"
)

// connector is a Debezium connector of its own for one table, with a slot, a publication and topics of its own.
type connector struct {
	stack *stack
	name  string // of connector, slot, publication and topic prefix
	table string // schema.name
}

// connect registers a connector with the given settings beside the usual ones, and waits until it runs.
func (s *stack) connect(t *testing.T, name, table string, settings map[string]string) *connector {
	t.Helper()
	c := &connector{s, name, table}
	database, err := url.Parse(s.Env["DATABASE_URL"])
	if err != nil {
		t.Fatal(err)
	}
	config := map[string]string{
		"connector.class": "io.debezium.connector.postgresql.PostgresConnector", "tasks.max": "1", "plugin.name": "pgoutput",
		"slot.name": name, "publication.name": name, "publication.autocreate.mode": "disabled", "slot.drop.on.stop": "true",
		"database.hostname": "127.0.0.1", "database.port": database.Port(), "database.user": "cdc",
		"database.password": "cdc", "database.dbname": "app", "topic.prefix": name, "table.include.list": table,
		"snapshot.mode": "initial", "poll.interval.ms": "10",
		"topic.creation.default.partitions": "2", "topic.creation.default.replication.factor": "-1",
		"key.converter": "org.apache.kafka.connect.json.JsonConverter", "key.converter.schemas.enable": "false",
		"value.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter.schemas.enable": "false",
	}
	maps.Copy(config, settings)
	testkit.OpenTable(t, s.Env["DATABASE_URL"], "streaming", "transactions").
		Exec(t, fmt.Sprintf("CREATE PUBLICATION %s FOR TABLE %s", name, table))
	body, err := json.Marshal(map[string]any{"name": name, "config": config})
	if err != nil {
		t.Fatal(err)
	}
	if code, answer := c.rest(t, http.MethodPost, "connectors", body); code/100 != 2 {
		t.Fatalf("connector %s: %d %s", name, code, answer)
	}
	c.wait(t, "run", func(status string) bool { return strings.Count(status, `"RUNNING"`) == 2 })
	return c
}

// remove ends the connector; its topic stays.
func (c *connector) remove(t *testing.T) {
	t.Helper()
	c.rest(t, http.MethodDelete, "connectors/"+c.name, nil)
	conn := testkit.Connect(t, c.stack.Env["DATABASE_URL"])
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := testkit.Eventually(ctx, func() (bool, error) {
		var slots int
		err := conn.QueryRow(ctx, "SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1", c.name).Scan(&slots)
		return slots == 0, err
	})
	if err != nil {
		t.Fatalf("the slot of connector %s does not go: %v", c.name, err)
	}
}

func (c *connector) wait(t *testing.T, what string, done func(status string) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var status string
	err := testkit.Eventually(ctx, func() (bool, error) {
		_, status = c.rest(t, http.MethodGet, "connectors/"+c.name+"/status", nil)
		return done(status), nil
	})
	if err != nil {
		t.Fatalf("connector %s does not %s: %s", c.name, what, status)
	}
}

// rest asks Kafka Connect. A rebalance of its workers (409) is asked again by whoever waits.
func (c *connector) rest(t *testing.T, method, path string, body []byte) (code int, answer string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, c.stack.Env["CONNECT_URL"]+"/"+path,
		bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}
