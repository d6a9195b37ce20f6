package preflight

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
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
	// Table that a connector is looked for by, schema.name, and Source, the topic that it must write to.
	Table  string
	Source string
	// Columns are those that are read.
	Columns []string
	// Client is nil for one that gives up after 5 s.
	Client *http.Client
}

// Connector describes the connector that writes the source topic, by Kafka Connect's answer.
type Connector struct {
	Name        string
	Slot        string
	Publication string
	// TimeMode and DecimalMode are its time.precision.mode and decimal.handling.mode.
	TimeMode, DecimalMode string
	// Nulls says whether a NULL stays one in a column with a default.
	Nulls Nulls
}

// Connect asks Kafka Connect for the connectors that watch the table, whether they run, and for settings that surprise:
// a poll interval that delays every alert, operations and columns that are left out, transforms. The connector is nil
// where there is none, or more than one.
func Connect(ctx context.Context, o ConnectOptions) ([]Finding, *Connector) {
	c := &connect{ConnectOptions: o}
	if c.Client == nil {
		c.Client = &http.Client{Timeout: 5 * time.Second}
	}
	found := c.all(ctx)
	return c.findings, found
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

func (c *connect) all(ctx context.Context) *Connector {
	base, err := c.base()
	if err != nil {
		c.add("connect_url", "correct --connect-url", "the URL of Kafka Connect: %v", err)
		return nil
	}
	var connectors map[string]connectorInfo
	if err := c.get(ctx, base, "connectors?expand=info&expand=status", &connectors); err != nil {
		c.add("connect_unreachable", "check the URL of Kafka Connect's REST interface", "Kafka Connect does not answer: %v",
			err)
		return nil
	}
	var names, others []string
	for name, info := range connectors {
		config := info.Info.Config
		if !strings.HasSuffix(config["connector.class"], ".PostgresConnector") || !c.watches(config) {
			continue
		}
		if c.writesElsewhere(config) {
			others = append(others, name)
			continue
		}
		names = append(names, name)
	}
	slices.Sort(names)
	slices.Sort(others)
	if len(names) == 0 {
		c.add("connect_none", "register a Debezium connector whose table.include.list has "+c.Table+", and whose records "+
			"go to "+
			c.Source, "none of the %s watches %s for topic %s", counted(len(connectors), "connector", "connectors"), c.Table,
			c.Source)
	}
	for _, name := range others {
		c.add("connect_other", "", "connector %q watches %s, too, and writes to topic %s", name, c.Table,
			prefix(connectors[name].Info.Config)+"."+c.Table)
	}
	if len(names) > 1 {
		c.add("connect_several", "give each connector a topic of its own (topic.prefix)",
			"the connectors %s may all write to topic %s: which of them does is not known, and none was looked at",
			strings.Join(names, ", "), c.Source)
	}
	if len(names) != 1 {
		return nil
	}
	c.state(names[0], connectors[names[0]])
	c.settings(names[0], connectors[names[0]].Info.Config)
	return connectorOf(names[0], connectors[names[0]].Info.Config)
}

func connectorOf(name string, config map[string]string) *Connector {
	return &Connector{
		Name: name, Slot: cmp.Or(config["slot.name"], "debezium"),
		Publication: cmp.Or(config["publication.name"], "dbz_publication"),
		TimeMode:    cmp.Or(word(config["time.precision.mode"]), "adaptive"),
		DecimalMode: cmp.Or(word(config["decimal.handling.mode"]), "precise"),
		Nulls:       nullsOf(config),
	}
}

// word is the value of a setting with few choices, of which Debezium takes any spelling.
func word(value string) string { return strings.ToLower(strings.TrimSpace(value)) }

// Nulls says what the change stream has in place of a NULL in a column with a default.
type Nulls int

// The answers.
const (
	NullsUnknown  Nulls = iota // the worker's settings decide, which are not shown
	NullsKept                  // NULL
	NullsReplaced              // the default
)

func nullsOf(config map[string]string) Nulls {
	switch {
	case strings.EqualFold(config["value.converter.replace.null.with.default"], "false"):
		return NullsKept
	case config["value.converter"] != "":
		return NullsReplaced
	}
	return NullsUnknown
}

// prefix begins the names of a connector's topics; Debezium before 2 had another name for it.
func prefix(config map[string]string) string {
	return cmp.Or(config["topic.prefix"], config["database.server.name"])
}

// writesElsewhere reports whether a connector's records are known to go to another topic than the source.
func (c *connect) writesElsewhere(config map[string]string) bool {
	for _, name := range transforms(config) {
		if strings.HasSuffix(config["transforms."+name+".type"], "Router") {
			return false // it may send them anywhere
		}
	}
	p := prefix(config)
	return p != "" && config["topic.naming.strategy"] == "" && c.Source != "" && p+"."+c.Table != c.Source
}

func transforms(config map[string]string) (names []string) {
	for _, name := range strings.Split(config["transforms"], ",") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// base is the URL to ask at; the error does not repeat it, because it may hold a password.
func (c *connect) base() (*url.URL, error) {
	strict, err := urls.Parse(c.URL)
	if err != nil || strict.Scheme != "http" && strict.Scheme != "https" || len(strict.Hosts) != 1 ||
		strict.Hosts[0].Name == "" || len(strict.Parameters) > 0 {
		return nil, errors.New("not a URL such as http://connect:8083, with special characters of a password escaped as " +
			"%XX; it is not repeated here")
	}
	base, err := url.Parse(c.URL)
	if err != nil {
		return nil, urls.ErrUnreadable
	}
	return base, nil
}

// get reads a path; errors name the server without its password.
func (c *connect) get(ctx context.Context, base *url.URL, path string, to any) error {
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
		return fmt.Errorf("%s://%s answered %s", base.Scheme, base.Host, response.Status)
	}
	return json.NewDecoder(io.LimitReader(response.Body, 16<<20)).Decode(to)
}

// watches reports whether the connector's filters let the table through.
func (c *connect) watches(config map[string]string) bool {
	schema, _ := SplitTable(c.Table)
	for kind, name := range map[string]string{"schema": schema, "table": c.Table} {
		if list := config[kind+".include.list"]; list != "" && !named(list, name, true) {
			return false
		}
		if list := config[kind+".exclude.list"]; list != "" && named(list, name, false) {
			return false
		}
	}
	return true
}

func (c *connect) state(name string, info connectorInfo) {
	for _, s := range append([]connectorState{info.Status.Connector}, info.Status.Tasks...) {
		if s.State == "RUNNING" {
			continue
		}
		cause, _, _ := strings.Cut(s.Trace, "\n")
		if cause != "" {
			cause = ": " + cause
		}
		c.add("connect_state_down", fmt.Sprintf("mend the cause, then POST /connectors/%s/restart?includeTasks=true",
			url.PathEscape(name)),
			"connector %q is %s%s", name, strings.ToLower(s.State), cause)
		return
	}
	if len(info.Status.Tasks) == 0 {
		c.add("connect_state_down", "see the log of Kafka Connect", "connector %q has no task", name)
		return
	}
	c.ok("connect_state", "connector %q is running", name)
}

const (
	standardPoll = 500 // Debezium's default, in ms
	slowPoll     = 100
)

func (c *connect) settings(name string, config map[string]string) {
	before := len(c.findings)
	poll := standardPoll
	if n, err := strconv.Atoi(config["poll.interval.ms"]); err == nil {
		poll = n
	}
	if poll > slowPoll {
		c.add("connect_settings_poll", "set poll.interval.ms=10 where alerts should come sooner",
			"connector %q looks for changes every %d ms: alerts come up to that much later", name, poll)
	}
	skipped, set := config["skipped.operations"]
	if !set {
		skipped = "t"
	}
	for _, op := range strings.Split(skipped, ",") {
		switch strings.TrimSpace(op) {
		case "t":
			c.add("connect_settings_truncate", "set skipped.operations=none, and TRUNCATE in the publication",
				"connector %q leaves out TRUNCATE: totals would not follow one", name)
		case "c", "u", "d":
			c.add("connect_settings_operations", "set skipped.operations=none",
				"connector %q leaves out operation %q: totals drift from the table", name, strings.TrimSpace(op))
		}
	}
	for setting, id := range map[string]string{
		"key.converter": "connect_settings_key", "value.converter": "connect_settings_converter",
	} {
		if converter := config[setting]; converter != "" && !strings.HasSuffix(converter, ".JsonConverter") {
			c.add(id, fmt.Sprintf("set %s=org.apache.kafka.connect.json.JsonConverter", setting),
				"connector %q writes with %s (%s), and brimline reads JSON", name, converter, setting)
		}
	}
	switch mode := word(config["snapshot.mode"]); mode {
	case "never", "no_data", "schema_only":
		c.add("connect_settings_snapshot", "set snapshot.mode=initial before the first start",
			"connector %q takes no snapshot (%s): rows from before its start are not in the stream", name, mode)
	}
	if text := config["unavailable.value.placeholder"]; text != "" && text != usualPlaceholder {
		c.add("connect_settings_placeholder", "take unavailable.value.placeholder out of the connector's settings",
			"connector %q writes %q for large values that an update left as they were: it would be taken for the value", name,
			text)
	}
	c.losses(name, config)
	c.columns(name, config)
	for _, t := range transforms(config) {
		c.transform(name, t, config)
	}
	if len(c.findings) == before {
		c.ok("connect_settings", "the settings of connector %q suit brimline", name)
	}
}

// usualPlaceholder is Debezium's.
const usualPlaceholder = "__debezium_unavailable_value"

// losses looks for settings by which rows are left out, or are not what the table has.
func (c *connect) losses(name string, config map[string]string) {
	for _, s := range []struct{ setting, safe string }{
		{"errors.tolerance", "none"}, {"event.processing.failure.handling.mode", "fail"},
	} {
		if value := word(config[s.setting]); value != "" && value != s.safe {
			c.add("connect_settings_errors", fmt.Sprintf("set %s=%s", s.setting, s.safe),
				"connector %q goes on when it cannot write a change (%s=%s): that change is lost", name, s.setting, value)
		}
	}
	if named(config["snapshot.select.statement.overrides"], c.Table, false) {
		c.add("connect_settings_part", "see that the statement leaves no row out that the rules' windows have, or take "+
			"snapshot.select.statement.overrides out",
			"connector %q takes its snapshot of %s by a statement of its own (snapshot.select.statement.overrides): rows "+
				"that it leaves out are not in the stream", name, c.Table)
	}
	for _, converter := range strings.Split(config["converters"], ",") {
		if converter = strings.TrimSpace(converter); converter != "" {
			c.add("connect_settings_custom", "see that it leaves the columns that brimline reads as they are, or take it out",
				"connector %q has a converter of its own, %s (%s), which may write columns in another form", name, converter,
				cmp.Or(config[converter+".type"], "of no class"))
		}
	}
}

// columns looks for settings that leave out, mask, cut or convert a column that is read.
func (c *connect) columns(name string, config map[string]string) {
	for setting, list := range config {
		keeps := setting == "column.include.list"
		cuts := strings.HasPrefix(setting, "column.truncate.")
		changes := setting == "column.exclude.list" || strings.HasPrefix(setting, "column.mask.")
		if !keeps && !cuts && !changes || list == "" {
			continue
		}
		var hit []string
		for _, column := range c.Columns {
			if named(list, c.Table+"."+column, false) != keeps {
				hit = append(hit, column)
			}
		}
		switch {
		case len(hit) == 0:
		case cuts: // text alone, and only what is longer
			c.add("connect_settings_shortened", "see that no text of theirs is longer, or correct "+setting+" in the connector",
				"connector %q cuts texts of %s by %s, which brimline reads", name, plural(hit, "column"), setting)
		default:
			c.add("connect_settings_columns", "correct "+setting+" in the connector",
				"connector %q leaves out or changes %s by %s, which brimline reads", name, plural(hit, "column"), setting)
		}
	}
}

// named reports whether a list of patterns, each of which must match whole, has a name. What is no pattern that Go
// reads counts as having it where that is to be assumed.
func named(list, name string, assumed bool) bool {
	for _, pattern := range strings.Split(list, ",") {
		re, err := regexp.Compile("(?i)^(?:" + strings.TrimSpace(pattern) + ")$")
		if err != nil && assumed || err == nil && re.MatchString(name) {
			return true
		}
	}
	return false
}

// Transforms that leave rows as they are, by the end of their class. What a transform of another class does is not
// known.
var harmless = []string{"Router", "ByLogicalTableRouter", "HeaderFrom", "HeaderToValue", "InsertHeader", "DropHeaders",
	"HasHeaderKey", "PartitionRouting", "ExtractNewRecordState"}

func (c *connect) transform(name, transform string, config map[string]string) {
	class := config["transforms."+transform+".type"]
	short := class[strings.LastIndexByte(class, '.')+1:]
	short, _, _ = strings.Cut(short, "$")
	if short == "ExtractNewRecordState" {
		c.flattens(name, transform, config)
	}
	if slices.ContainsFunc(harmless, func(s string) bool { return strings.HasSuffix(short, s) }) {
		return
	}
	what := "may change what brimline reads, or leave records out"
	switch short {
	case "Filter":
		what = "leaves records out: totals drift from the table"
	case "TimestampConverter", "ReplaceField", "MaskField", "Cast", "ValueToKey", "ExtractField", "HoistField", "Flatten":
		what = "changes the records"
	case "TimezoneConverter":
		what = "moves times of columns without time zone"
	}
	c.add("connect_settings_transform", "take the transform out, or see that the columns that brimline reads stay as "+
		"they are",
		"transform %q (%s) of connector %q %s", transform, cmp.Or(class, "of no class"), name, what)
}

// flattens looks at the settings of ExtractNewRecordState.
func (c *connect) flattens(name, transform string, config map[string]string) {
	of := func(setting string) (string, bool) {
		value, set := config["transforms."+transform+"."+setting]
		return strings.TrimSpace(value), set
	}
	for _, setting := range []string{"delete.tombstone.handling.mode", "delete.handling.mode"} {
		if mode, _ := of(setting); word(mode) == "drop" {
			c.add("connect_settings_operations", "set delete.tombstone.handling.mode=rewrite",
				"transform %q of connector %q leaves out deletes (%s=drop): totals drift from the table", transform, name, setting)
		}
	}
	fields, _ := of("add.fields")
	prefix, set := of("add.fields.prefix")
	if fields != "" && (set && prefix != "__" || strings.Contains(fields, ":")) {
		c.add("connect_settings_transform", "leave add.fields.prefix out, and write add.fields without names of your own",
			"transform %q of connector %q gives the fields that it adds other names (add.fields, add.fields.prefix): "+
				"operations are not known, and a row of another table is taken for one of this", transform, name)
	}
}
