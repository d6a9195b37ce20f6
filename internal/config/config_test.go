package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/brimline/brimline"
)

// grammar is a command line with every setting.
type grammar struct {
	Config Config `embed:""`
}

// parse reads a command line as the program does, with a settings file if text is not empty.
func parse(t *testing.T, text string, args ...string) (Config, error) {
	t.Helper()
	var g grammar
	options := []kong.Option{
		Durations(), kong.Vars{"stages": ""}, kong.Exit(func(int) { t.Fatal("exit") }),
		kong.Writers(io.Discard, io.Discard),
	}
	if text != "" {
		f, err := Find(file(t, text), nil)
		if err != nil {
			return Config{}, err
		}
		options = append(options, kong.Resolvers(f))
	}
	p, err := kong.New(&g, options...)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Parse(args)
	return g.Config, err
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "brimline.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPrecedence(t *testing.T) {
	const yaml = "group: file\nbrokers: [a:1, b:2]\nstop_timeout: 3s\nverify: off\nuser_column: owner"
	t.Setenv("BRIMLINE_GROUP", "environment")
	t.Setenv("BRIMLINE_STOP_TIMEOUT", "4s")
	c, err := parse(t, yaml, "--stop-timeout=5s")
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct{ what, got, want string }{
		{"flag over environment and file", c.StopTimeout.String(), "5s"},
		{"environment over file", c.Group, "environment"},
		{"file over default", strings.Join(c.Brokers, " "), "a:1 b:2"},
		{"a word that YAML takes for a boolean", c.Verify, "off"},
		{"underscores in the file", c.UserColumn, "owner"},
		{"default", c.Source, "postgres.streaming.transactions"},
	} {
		if x.got != x.want {
			t.Errorf("%s: %q, want %q", x.what, x.got, x.want)
		}
	}
}

func TestFileProblems(t *testing.T) {
	_, err := Find(file(t,
		"group: x\nuser_colum: owner\nhot_standby: maybe\nstop_timeout: soon\nid-column: id\npartitions: [1]\ngroup: y\n"), nil)
	e, ok := errors.AsType[*brimline.Error](err)
	if !ok || e.Class != brimline.ClassInput {
		t.Fatalf("%v is not an error of what the user wrote", err)
	}
	for _, want := range []string{
		`:2: unknown setting "user_colum"; did you mean "user_column"?`,
		`:3: hot_standby: expected a value such as true, not "maybe"`,
		`:4: stop_timeout: "soon" is not a duration such as 7d, 24h or 1d12h`,
		`:5: unknown setting "id-column"; in a file it is written "id_column"`,
		`:6: partitions: expected a plain value`,
		`:7: "group" is set twice`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q lacks %q", err, want)
		}
	}
	if _, err := Find(file(t, "- a list"), nil); err == nil {
		t.Error("a list was taken")
	}
	if _, err := Find(file(t, "a: ["), nil); err == nil {
		t.Error("broken YAML was taken")
	}
	if f, err := Find(file(t, "# nothing\n"), nil); err != nil || len(f.values) != 0 {
		t.Errorf("an empty file: %v", err)
	}
}

func TestFind(t *testing.T) {
	t.Chdir(t.TempDir())
	if f, err := Find("", nil); f != nil || err != nil {
		t.Errorf("nothing there: %v, %v", f, err)
	}
	if _, err := Find("missing.yaml", nil); brimline.ExitCode(err) != int(brimline.ClassInput) {
		t.Errorf("a named file that is missing: %v", err)
	}
	if err := os.MkdirAll(filepath.Dir(FileDemo), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{FileDemo, FileHere} { // the second wins
		if err := os.WriteFile(path, []byte("group: x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if f, err := Find("", nil); err != nil || f == nil || f.Path != path {
			t.Errorf("%s: %v, %v", path, f, err)
		}
	}
}

// Every setting has one name in three spellings, and a default that kong and Default agree on.
func TestSettings(t *testing.T) {
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "BRIMLINE_") {
			t.Setenv(name, "") // restored at the end
			os.Unsetenv(name)
		}
	}
	var visit func(reflect.Type)
	visit = func(part reflect.Type) {
		for i := range part.NumField() {
			f := part.Field(i)
			if f.Anonymous {
				visit(f.Type)
				continue
			}
			want := "BRIMLINE_" + strings.ToUpper(strings.ReplaceAll(flagName(f), "-", "_"))
			if got := f.Tag.Get("env"); got != want {
				t.Errorf("--%s has the environment name %q, want %q", flagName(f), got, want)
			}
			if f.Type == reflect.TypeFor[Secret]() && f.Tag.Get("default") != "" {
				t.Errorf("--%s shows a secret as its default", flagName(f))
			}
		}
	}
	visit(reflect.TypeFor[Config]())
	c, err := parse(t, "")
	if err != nil {
		t.Fatal(err)
	}
	if d := Default(); !reflect.DeepEqual(c, d) {
		t.Errorf("defaults differ:\n%+v\n%+v", c, d)
	}
	c.Verify = "off" // all else has a default that is valid
	if err := c.Valid(); err != nil {
		t.Error(err)
	}
}

func TestValidateTellsEverything(t *testing.T) {
	c := Default()
	c.Brokers, c.Group, c.Table, c.Format, c.Verify = []string{"nowhere"}, "a b", "transactions", "xml", "maybe"
	c.Stages, c.Listen, c.LogLevel, c.StopTimeout, c.SweepEvery = []string{"verify", "nap"},
		"8480", "loud", 0, -time.Second
	c.Pprof = ":6060"
	c.KafkaCertFile, c.KafkaSASLUser, c.AsOf, c.AmountColumnScale, c.Partitions = "cert.pem", "me", "later", -2, -1
	c.AmountMinorUnits, c.OtherTables, c.AlertsFrom = 19, "drop", "yesterday"
	c.DistrustAfter = -1
	c.Alerts, c.AlertsPerUser, c.UserColumn, c.UntilCaughtUp = c.Source, 0, " ", true
	err := c.Valid()
	if brimline.ExitCode(err) != int(brimline.ClassInput) {
		t.Fatalf("%v is not an error of what the user wrote", err)
	}
	for _, flag := range []string{
		"brokers", "group", "table", "format", "verify", "stages", "listen", "pprof", "log-level", "stop-timeout", "sweep-every", "kafka-cert-file",
		"kafka-sasl-password", "as-of", "distrust-after", "amount-column-scale", "amount-minor-units", "other-tables", "partitions", "alerts-from",
		"alerts", "alerts-per-user", "user-column", "until-caught-up", "database-url",
	} {
		if !strings.Contains(err.Error(), "--"+flag+": ") {
			t.Errorf("--%s is not named in\n%v", flag, err)
		}
	}
}

// Another machine cannot ask for profiles, however the address is written.
func TestPprofIsOnLoopback(t *testing.T) {
	for address, says := range map[string]string{
		"off": "", "127.0.0.1:6060": "", "localhost:0": "", "[::1]:6060": "", "127.1.2.3:1": "",
		"6060": "neither host:port nor off", "": "neither host:port nor off", "127.0.0.1:": "neither host:port nor off",
		":6060": "not on loopback", "0.0.0.0:6060": "not on loopback", "[::]:6060": "not on loopback",
		"192.0.2.1:6060": "not on loopback", "db.example:6060": "not on loopback", "127.0.0.1.example:6060": "not on loopback",
	} {
		c := Default()
		c.Verify, c.Pprof = "off", address
		err := c.Valid()
		text := fmt.Sprint(err)
		named := strings.Contains(text, "--pprof: ") && strings.Contains(text, says)
		if says == "" && err != nil || says != "" && !named {
			t.Errorf("%q: %v, want %q", address, err, says)
		}
	}
}

// A name that is allowed is one that its owner can vouch for; what this setting cannot do is said, not ignored.
func TestAllowedHosts(t *testing.T) {
	for host, says := range map[string]string{
		"brimline.example.com": "", "Risk-1.EXAMPLE.com.": "", "brimline": "", "my_service": "",
		"*.example.com": "", "*.monitoring.svc": "", "xn--bcher-kva.example": "",
		"*": "let every web page in", "*.com": "let every web page in", "*.com.": "let every web page in",
		"*.local":   "let every web page in",
		"localhost": "answered to anyway", "LOCALHOST": "answered to anyway", "10.0.0.5": "answered to anyway",
		"[::1]": "answered to anyway", "::1": "answered to anyway",
		"": "not a host name", " a.example": "not a host name", "a.example:8480": "not a host name",
		"http://a.example": "not a host name", "a..example": "not a host name",
		"a.*.example": "not a host name", "**.example.com": "not a host name", "*a.example.com": "not a host name",
		"-a.example":     "not a host name",
		"bücher.example": "xn--", "a/b": "not a host name", "*.": "let every web page in",
		".example.com": "not a host name",
	} {
		c := Default()
		c.Verify, c.AllowedHosts = "off", []string{host}
		err := c.Valid()
		if says == "" && err != nil {
			t.Errorf("%q: %v", host, err)
		}
		text := fmt.Sprint(err)
		if says != "" && !(strings.Contains(text, "--allowed-hosts: ") && strings.Contains(text, says)) {
			t.Errorf("%q: %v, want %q", host, err, says)
		}
	}
	c, err := parse(t, "allowed_hosts: [a.example, '*.b.example']")
	if err != nil || strings.Join(c.AllowedHosts, " ") != "a.example *.b.example" {
		t.Errorf("from the file: %q, %v", c.AllowedHosts, err)
	}
}

// TestBrokersAreNotShown: a URL with a password, written where brokers belong, is not repeated.
func TestBrokersAreNotShown(t *testing.T) {
	for _, brokers := range [][]string{{"u:hunter2@kafka:9092"}, {"kafka://u:hunter2@kafka:9092"}, {"u:p",
		"hunter2@kafka:9092"}, {"u:hunter2", "x@kafka:9092"}, {"kafka:9092", "hunter2#kafka:1"}} {
		c := Default()
		c.Brokers = brokers
		err := c.Valid()
		if err == nil || !strings.Contains(err.Error(), "--brokers: entry ") || strings.Contains(err.Error(),
			"hunter2") || strings.Contains(err.Error(), "u:") {
			t.Errorf("%q: %v", brokers, err)
		}
	}
	for _, broker := range []string{"kafka", "kafka:", ":9092", "kafka:http", "kafka:0"} {
		c := Default()
		c.Brokers = []string{broker}
		if err := c.Valid(); err == nil || !strings.Contains(err.Error(), broker) {
			t.Errorf("%q: %v", broker, err)
		}
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	c := Default()
	c.DatabaseURL = "postgres://me:hunter2@db/app"
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "url", c.DatabaseURL, "config", c)
	for _, shown := range []string{
		fmt.Sprint(c.DatabaseURL), fmt.Sprintf("%s %q %x %v %#v %d", c.DatabaseURL, c.DatabaseURL, c.DatabaseURL,
			c.DatabaseURL, c.DatabaseURL, c.DatabaseURL),
		fmt.Sprintf("%+v", c), fmt.Sprintf("%#v", c), log.String(),
	} {
		if strings.Contains(shown, "hunter2") || strings.Contains(shown, fmt.Sprintf("%x", "hunter2")) {
			t.Errorf("shown: %s", shown)
		}
	}
	if c.DatabaseURL.Reveal() != "postgres://me:hunter2@db/app" || Secret("").String() != "" {
		t.Error("Reveal and the empty secret")
	}
}

func TestReadSecrets(t *testing.T) {
	c := Default()
	c.DatabaseURLFile = file(t, "postgres://db/app\n")
	c.KafkaSASLUser, c.KafkaSASLPasswordFile = "me", file(t, "hunter2")
	if err := c.ReadSecrets(); err != nil || c.DatabaseURL.Reveal() != "postgres://db/app" ||
		c.KafkaSASLPassword.Reveal() != "hunter2" {
		t.Errorf("%q, %q, %v", c.DatabaseURL.Reveal(), c.KafkaSASLPassword.Reveal(), err)
	}
	if err := c.Valid(); err != nil {
		t.Errorf("no longer valid: %v", err)
	}
	c.DatabaseURLFile = file(t, "\n")
	if err := c.ReadSecrets(); brimline.ExitCode(err) != int(brimline.ClassInput) {
		t.Errorf("an empty file: %v", err)
	}
	c.KafkaSASLPasswordFile = filepath.Join(t.TempDir(), "none")
	if err := c.ReadSecrets(); brimline.ExitCode(err) != int(brimline.ClassInput) ||
		!strings.Contains(err.Error(), "--kafka-sasl-password-file") {
		t.Error(err)
	}
}

func TestBytes(t *testing.T) {
	for text, want := range map[string]Bytes{"256MiB": 256 << 20, "1GB": 1e9,
		"1.5 GiB": 3 << 29, "100000000": 100_000_000} {
		var b Bytes
		if err := b.UnmarshalText([]byte(text)); err != nil || b != want {
			t.Errorf("%q: %d, %v", text, b, err)
		}
	}
	var b Bytes
	if err := b.UnmarshalText([]byte("much")); err == nil ||
		!strings.Contains(err.Error(), `"much" is not a size like 256MiB`) {
		t.Errorf("%v", err)
	}
	c := Default()
	if c.Memory != 256<<20 {
		t.Errorf("the default is %v", c.Memory)
	}
	for _, wrong := range []Bytes{minMemory - 1, maxMemory + 1} {
		c.Memory = wrong
		if err := c.Valid(); err == nil || !strings.Contains(err.Error(),
			"--memory: "+strconv.FormatUint(uint64(wrong), 10)+" bytes are not from 64 MiB to 1.0 TiB") {
			t.Errorf("%v", err)
		}
	}
}

// TestAlertsFrom: a time without its offset is no time, and neither is a word.
func TestAlertsFrom(t *testing.T) {
	const now = brimline.Time(77)
	for setting, want := range map[string]brimline.Time{
		"": 0, "now": now, "1970-01-01T00:00:00.000001Z": 1, "1970-01-01T01:00:00.000001+01:00": 1, "+12026-01-02T03:04:05Z": 317336843045000000,
	} {
		if got, err := AlertsFrom(setting, now); err != nil || got != want {
			t.Errorf("%q: %d, %v, want %d", setting, got, err, want)
		}
	}
	for setting, want := range map[string]string{
		"2026-01-01": "offset", "2026-01-01T00:00:00": "offset", "2026-01-01 00:00:00Z": "offset", "Now": "offset", "yesterday": "nor is it now",
		" now": "offset", "1767225600": "offset", "2026-13-01T00:00:00Z": "offset", "2026-01-01T00:00:00.0000001Z": "finer",
		"1970-01-01T00:00:00Z": "not after 1970", "1969-12-31T23:59:59Z": "not after 1970", "-0043-03-15T12:00:00Z": "not after 1970",
	} {
		if got, err := AlertsFrom(setting, now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %d, %v", setting, got, err)
		}
		c := Default()
		c.Verify, c.AlertsFrom = "off", setting
		err := c.Valid()
		if brimline.ExitCode(err) != int(brimline.ClassInput) || !strings.Contains(err.Error(), "--alerts-from: ") {
			t.Errorf("%q: %v", setting, err)
		}
	}
	read, err := Find(file(t, "alerts_from: 2026-11-27T00:00:00+01:00\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if value, ok := read.Value("alerts-from"); !ok || value != "2026-11-27T00:00:00+01:00" {
		t.Errorf("the file says %q", value)
	}
}

func TestLogDurations(t *testing.T) {
	var b strings.Builder
	(&Logging{LogFormat: "text", LogLevel: "info"}).Logger(&b).Info("pause", "for", 36*time.Hour)
	if !strings.Contains(b.String(), "for=1d12h\n") {
		t.Error(b.String())
	}
}
