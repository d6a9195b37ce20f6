package preflight

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/brimline/brimline/internal/urls"
)

// ConnectOptions say where Kafka Connect is asked about the connector.
type ConnectOptions struct {
	// URL of the REST interface, http://connect:8083; a user and password in it are sent.
	URL string
	// Table that a connector is looked for by, schema.name.
	Table string
	// Client is nil for one that gives up after 5 s.
	Client *http.Client
}

// Connect asks Kafka Connect for the connectors that watch the table, whether
// they run, and for settings that surprise: decimals as floats, a poll
// interval that delays every alert, operations that are left out.
func Connect(ctx context.Context, o ConnectOptions) []Finding {
	c := &connect{ConnectOptions: o}
	if c.Client == nil {
		c.Client = &http.Client{Timeout: 5 * time.Second}
	}
	c.all(ctx)
	return c.findings
}

type connect struct {
	ConnectOptions
	report
}

type connectorState struct {
	State string `json:"state"`
	Trace string `json:"trace"`
}

type connectorInfo struct {
	Info struct {
		Config map[string]string `json:"config"`
	} `json:"info"`
	Status struct {
		Connector connectorState   `json:"connector"`
		Tasks     []connectorState `json:"tasks"`
	} `json:"status"`
}

func (c *connect) all(ctx context.Context) {
	const check = "connect"
	var connectors map[string]connectorInfo
	if err := c.get(ctx, "connectors?expand=info&expand=status", &connectors); err != nil {
		c.add(Error, check, "check the URL of Kafka Connect's REST interface", "Kafka Connect does not answer: %v", err)
		return
	}
	var names []string
	for name, info := range connectors {
		if strings.HasSuffix(info.Info.Config["connector.class"], ".PostgresConnector") && c.watches(info.Info.Config) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if len(names) == 0 {
		c.add(Warning, check, "register a Debezium connector whose table.include.list has "+c.Table, "none of the %s watches %s",
			counted(len(connectors), "connector", "connectors"), c.Table)
	}
	for _, name := range names {
		info := connectors[name]
		c.state(name, info)
		c.settings(name, info.Info.Config)
	}
}

// get reads a path; errors name the server without its password.
func (c *connect) get(ctx context.Context, path string, to any) error {
	strict, err := urls.Parse(c.URL)
	if err != nil || strict.Scheme != "http" && strict.Scheme != "https" || len(strict.Hosts) != 1 ||
		strict.Hosts[0].Name == "" {
		return errors.New("not a URL such as http://connect:8083, with special characters of a password escaped as %XX; " +
			"it is not repeated here")
	}
	base, err := url.Parse(c.URL)
	if err != nil {
		return urls.ErrUnreadable
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(base.String(), "/")+"/"+path, nil)
	if err != nil {
		return urls.ErrUnreadable
	}
	response, err := c.Client.Do(request)
	if said, ok := errors.AsType[*url.Error](err); ok {
		return said.Err // without the URL
	}
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", base.Redacted(), response.Status)
	}
	return json.NewDecoder(io.LimitReader(response.Body, 16<<20)).Decode(to)
}

// watches reads the include list's plain names and patterns no further than
// literally: a pattern that does not show the name counts as watching.
func (c *connect) watches(config map[string]string) bool {
	list := config["table.include.list"]
	if list == "" {
		return true
	}
	for _, entry := range strings.Split(list, ",") {
		entry = strings.ReplaceAll(strings.TrimSpace(entry), `\.`, ".")
		if strings.EqualFold(entry, c.Table) || strings.ContainsAny(entry, `*+?[(|\`) {
			return true
		}
	}
	return false
}

func (c *connect) state(name string, info connectorInfo) {
	const check = "connect_state"
	for _, s := range append([]connectorState{info.Status.Connector}, info.Status.Tasks...) {
		if s.State == "RUNNING" {
			continue
		}
		cause, _, _ := strings.Cut(s.Trace, "\n")
		if cause != "" {
			cause = ": " + cause
		}
		c.add(Error, check, fmt.Sprintf("mend the cause, then POST /connectors/%s/restart?includeTasks=true", url.PathEscape(name)),
			"connector %q is %s%s", name, strings.ToLower(s.State), cause)
		return
	}
	if len(info.Status.Tasks) == 0 {
		c.add(Error, check, "see the log of Kafka Connect", "connector %q has no task", name)
		return
	}
	c.ok(check, "connector %q is running", name)
}

const (
	standardPoll = 500 // Debezium's default, in ms
	slowPoll     = 100
)

func (c *connect) settings(name string, config map[string]string) {
	const check = "connect_settings"
	before := len(c.findings)
	if config["decimal.handling.mode"] == "double" {
		c.add(Error, check, "set decimal.handling.mode=string", "connector %q sends amounts as floats, which are not exact", name)
	}
	poll := standardPoll
	if n, err := strconv.Atoi(config["poll.interval.ms"]); err == nil {
		poll = n
	}
	if poll > slowPoll {
		c.add(Note, check, "set poll.interval.ms=10 where alerts should come sooner", "connector %q looks for changes every %d ms: alerts come up to that much later", name, poll)
	}
	skipped, set := config["skipped.operations"]
	if !set {
		skipped = "t"
	}
	for _, op := range strings.Split(skipped, ",") {
		switch strings.TrimSpace(op) {
		case "t":
			c.add(Note, check, "set skipped.operations=none, and TRUNCATE in the publication", "connector %q leaves out TRUNCATE: totals would not follow one", name)
		case "c", "u", "d":
			c.add(Warning, check, "set skipped.operations=none", "connector %q leaves out operation %q: totals drift from the table", name, strings.TrimSpace(op))
		}
	}
	for _, key := range []string{"key.converter", "value.converter"} {
		if converter := config[key]; converter != "" && !strings.HasSuffix(converter, ".JsonConverter") {
			c.add(Error, check, fmt.Sprintf("set %s=org.apache.kafka.connect.json.JsonConverter", key), "connector %q writes with %s, and brimline reads JSON", name, converter)
		}
	}
	switch mode := config["snapshot.mode"]; mode {
	case "never", "no_data", "schema_only":
		c.add(Note, check, "set snapshot.mode=initial before the first start", "connector %q takes no snapshot (%s): rows from before its start are not in the stream", name, mode)
	}
	if len(c.findings) == before {
		c.ok(check, "the settings of connector %q suit brimline", name)
	}
}
