package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/present"
	"github.com/brimline/brimline/internal/urls"
	"github.com/brimline/brimline/processors"
)

// problems collects what is wrong with settings, each by the name of its flag.
type problems []error

func (p *problems) add(flag, format string, args ...any) {
	*p = append(*p, fmt.Errorf("--%s: %w", flag, fmt.Errorf(format, args...)))
}

func (p *problems) oneOf(flag, value string, choices ...string) {
	if !slices.Contains(choices, value) {
		p.add(flag, "%s is not one of %s", urls.Shown(value), strings.Join(choices, ", "))
	}
}

func (p *problems) atLeast(flag string, value, least int) {
	if value < least {
		p.add(flag, "%d is below %d", value, least)
	}
}

func (p *problems) needed(flag, value string) {
	if strings.TrimSpace(value) == "" {
		p.add(flag, "must not be empty")
	}
}

// Part is one of Config's parts.
type Part interface{ check(*problems) }

// Check looks at parts of a configuration and reports everything that is wrong in one error.
func Check(parts ...Part) error {
	var p problems
	for _, part := range parts {
		part.check(&p)
	}
	if len(p) == 0 {
		return nil
	}
	return &brimline.Error{Class: brimline.ClassInput, Kind: "settings", Err: errors.Join(p...)}
}

// Valid checks every part, and what parts must agree on. (kong would call a method named Validate, too early.)
func (c *Config) Valid() error {
	return Check(&c.Kafka, &c.Names, &c.Topics, &c.Watched, &c.Records, &c.Feeding, &c.Judging, &c.Database, &c.Replica,
		&c.State, &c.Running, &c.Serving, &c.Profiling, &c.Logging, together{c})
}

// Runs reports whether this process runs a stage.
func (r *Running) Runs(stage processors.StageName) bool {
	return slices.Contains(r.Stages, string(stage))
}

// together are the checks across parts.
type together struct{ *Config }

func (t together) check(p *problems) {
	if t.Verify != "off" && t.Runs(processors.Verify) && t.DatabaseURL == "" && t.DatabaseURLFile == "" {
		p.add("database-url", "is needed to verify alerts; or set --verify=off")
	}
}

// Settings that name a topic or a group follow Kafka's own rule.
var topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,200}$`)

func (p *problems) topic(flag, name string) {
	if !topicName.MatchString(name) || name == "." || name == ".." {
		p.add(flag, "%s is not a name that Kafka takes: up to 200 of a-z A-Z 0-9 . _ -", urls.Shown(name))
	}
}

func (k *Kafka) check(p *problems) {
	if len(k.Brokers) == 0 {
		p.add("brokers", "must name at least one")
	}
	all := strings.Join(k.Brokers, ",")
	secret := urls.MayHoldSecret(all) || strings.ContainsAny(all, "/; ") // then any entry may be a piece of it
	for i, b := range k.Brokers {
		switch {
		case urls.IsHostPort(b):
		case secret:
			p.add("brokers", "entry %d is not host:port, and is not repeated here: it may hold a password, which belongs in "+
				"--kafka-sasl-password-file", i+1)
		default:
			p.add("brokers", "%q is not host:port", b)
		}
	}
	if (k.KafkaCertFile == "") != (k.KafkaKeyFile == "") {
		p.add("kafka-cert-file", "goes together with --kafka-key-file")
	}
	if k.KafkaSASLMechanism != "" {
		p.oneOf("kafka-sasl-mechanism", k.KafkaSASLMechanism, "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
		if k.KafkaSASLUser == "" {
			p.add("kafka-sasl-user", "is needed with --kafka-sasl-mechanism")
		}
	}
	if k.KafkaSASLPassword != "" && k.KafkaSASLPasswordFile != "" {
		p.add("kafka-sasl-password", "and --kafka-sasl-password-file exclude each other")
	}
	if k.KafkaSASLUser != "" && k.KafkaSASLPassword == "" && k.KafkaSASLPasswordFile == "" {
		p.add("kafka-sasl-password", "is needed with --kafka-sasl-user; better as --kafka-sasl-password-file")
	}
	if k.SessionTimeout < time.Second {
		p.add("session-timeout", "%s is below 1s", present.Duration(k.SessionTimeout))
	}
}

func (n *GroupName) check(p *problems)   { p.topic("group", n.Group) }
func (s *SourceTopic) check(p *problems) { p.topic("source", s.Source) }
func (a *AlertsTopic) check(p *problems) { p.topic("alerts", a.Alerts) }

func (n *Names) check(p *problems) {
	n.GroupName.check(p)
	n.SourceTopic.check(p)
	n.AlertsTopic.check(p)
	if n.Source == n.Alerts {
		p.add("alerts", "is the same topic as --source")
	}
}

func (t *Topics) check(p *problems) {
	p.atLeast("partitions", t.Partitions, 0)
	p.atLeast("replication", t.Replication, 0)
}

func (t *TableName) check(p *problems) {
	if schema, name, ok := strings.Cut(t.Table, "."); !ok || schema == "" || name == "" {
		p.add("table", "%s is not schema.name", urls.Shown(t.Table))
	}
}

func (w *Watched) check(p *problems) {
	w.TableName.check(p)
	if len(w.IDColumn) == 0 {
		p.add("id-column", "must name at least one column")
	}
	for _, c := range w.IDColumn {
		p.needed("id-column", c)
	}
	p.needed("user-column", w.UserColumn)
	p.needed("amount-column", w.AmountColumn)
	p.needed("time-column", w.TimeColumn)
}

func (r *Records) check(p *problems) {
	p.oneOf("format", r.Format, "auto", "envelope", "flat")
	p.oneOf("time-unit", r.TimeUnit, "auto", "ms", "us", "ns")
	p.oneOf("decimals", r.Decimals, "auto", "precise", "string", "numeric")
	if r.AmountColumnScale < -1 || r.AmountColumnScale > 1000 {
		p.add("amount-column-scale", "%d is not between 0 and 1000, or -1", r.AmountColumnScale)
	}
	if r.AmountMinorUnits < -1 || r.AmountMinorUnits > brimline.MaxScale {
		p.add("amount-minor-units", "%d is not between 0 and %d, or -1", r.AmountMinorUnits, brimline.MaxScale)
	}
	if r.AmountMinorUnits > 0 && r.AmountColumnScale > 0 {
		p.add("amount-minor-units", "is for columns of whole numbers, and --amount-column-scale says that the "+
			"column has decimals")
	}
	p.oneOf("other-tables", r.OtherTables, "deadletter", "skip")
	p.atLeast("max-record-bytes", r.MaxRecordBytes, 1)
}

func (f *Feeding) check(*problems) {}

func (j *Judging) check(p *problems) {
	p.needed("rules", j.Rules)
	p.oneOf("verify", j.Verify, "on", "replica", "off")
	if j.DistrustAfter < 0 {
		p.add("distrust-after", "%s is negative", present.Duration(j.DistrustAfter))
	}
	p.oneOf("as-of", j.AsOf, "now", "none")
	if j.AsOf == "now" && j.Verify == "off" {
		p.add("as-of", "now asks PostgreSQL, which --verify=off excludes")
	}
	if _, err := AlertsFrom(j.AlertsFrom, 0); err != nil {
		p.add("alerts-from", "%w", err)
	}
}

// Now is a value of AlertsFrom.
const Now = "now"

// AlertsFrom is the time that a setting of AlertsFrom means at a moment; 0 for none.
func AlertsFrom(setting string, now brimline.Time) (brimline.Time, error) {
	switch setting {
	case "":
		return 0, nil
	case Now:
		return now, nil
	}
	t, err := brimline.ParseTime(setting)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%w, such as 2026-11-26T00:00:00Z or 2026-11-26T01:00:00+01:00; nor is it now", err)
	case t <= 0:
		return 0, fmt.Errorf("%q is not after 1970-01-01T00:00:00Z; without the setting all edges are alerts", setting)
	}
	return t, nil
}

func (d *Database) check(p *problems) {
	if d.DatabaseURL != "" && d.DatabaseURLFile != "" {
		p.add("database-url", "and --database-url-file exclude each other")
	}
}

func (r *Replica) check(p *problems) {
	if r.ReplicaURL != "" && r.ReplicaURLFile != "" {
		p.add("replica-url", "and --replica-url-file exclude each other")
	}
}

func (s *State) check(p *problems) {
	p.needed("state-dir", s.StateDir)
	if s.Instance != "" {
		p.topic("instance", s.Instance)
	}
}

func (r *Running) check(p *problems) {
	names := make([]string, 0, 4)
	for _, s := range processors.StageNames() {
		names = append(names, string(s))
	}
	if len(r.Stages) == 0 {
		p.add("stages", "must name at least one of %s", strings.Join(names, ", "))
	}
	for _, s := range r.Stages {
		p.oneOf("stages", s, names...)
	}
	if r.UntilCaughtUp && len(r.Stages) < len(names) {
		p.add("until-caught-up", "needs all stages in this process")
	}
	if r.StopTimeout <= 0 {
		p.add("stop-timeout", "%s is not above 0", present.Duration(r.StopTimeout))
	}
	if r.SweepEvery < 0 {
		p.add("sweep-every", "%s is below 0", present.Duration(r.SweepEvery))
	}
	if r.CatalogEvery < 0 {
		p.add("catalog-every", "%s is below 0", present.Duration(r.CatalogEvery))
	}
	if r.ProveEvery < 0 || r.ProveEvery > 0 && r.ProveEvery < time.Second {
		p.add("prove-every", "%s is neither 0 nor a second or more", present.Duration(r.ProveEvery))
	}
	if r.AuditEvery < 0 || r.AuditEvery > 0 && r.AuditEvery < time.Second {
		p.add("audit-every", "%v is neither 0 nor a second or more", r.AuditEvery)
	}
	if r.ProveSince <= 0 {
		p.add("prove-since", "%s is not above 0", present.Duration(r.ProveSince))
	}
	if r.KeepEdges < 0 {
		p.add("keep-edges", "%s is below 0", present.Duration(r.KeepEdges))
	}
	p.atLeast("alerts-per-user", r.AlertsPerUser, 1)
	if r.Memory < minMemory || r.Memory > maxMemory {
		p.add("memory", "%d bytes are not from %v to %v", r.Memory, minMemory, maxMemory)
	}
}

func (s *Serving) check(p *problems) {
	s.Listening.check(p)
	for _, host := range s.AllowedHosts {
		if why := notAllowable(host); why != "" {
			p.add("allowed-hosts", "%s %s", urls.Shown(host), why)
		}
	}
}

const hostLabel = `[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?`

var hostName = regexp.MustCompile(`^` + hostLabel + `(\.` + hostLabel + `)*\.?$`)

// notAllowable says why a name cannot be allowed; empty where it can.
func notAllowable(host string) string {
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil || strings.EqualFold(host, "localhost") {
		return "is answered to anyway: this setting is for names, and keeps no address out"
	}
	name, wildcard := strings.CutPrefix(host, "*.")
	switch {
	case host == "*" || wildcard && !strings.Contains(strings.TrimSuffix(name, "."), "."):
		return "would let every web page in: name the hosts, or a domain of your own as *.example.com"
	case len(host) > 253 || !hostName.MatchString(name):
		return "is not a host name such as brimline.example.com or *.example.com: " +
			"no scheme, no port, and xn-- for other letters"
	}
	return ""
}

func (s *Listening) check(p *problems) {
	if s.Listen == "off" {
		return
	}
	if _, port, err := net.SplitHostPort(s.Listen); err != nil || port == "" {
		p.add("listen", "%s is neither host:port nor off", urls.Shown(s.Listen))
	}
}

func (f *Profiling) check(p *problems) {
	if f.Pprof == "off" {
		return
	}
	host, port, err := net.SplitHostPort(f.Pprof)
	if err != nil || port == "" {
		p.add("pprof", "%q is neither host:port nor off", f.Pprof)
	} else if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		p.add("pprof", "%q is not on loopback: choose 127.0.0.1:%s, and a tunnel to ask from elsewhere", f.Pprof, port)
	}
}

func (l *Logging) check(p *problems) {
	p.oneOf("log-format", l.LogFormat, "text", "json")
	p.oneOf("log-level", l.LogLevel, "debug", "info", "warn", "error")
}
