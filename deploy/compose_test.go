// Package deploy_test holds docker-compose.yml and the Dockerfile against the stack scripts, which are run for real by
// the suites of internal/e2e. Where no Docker engine is, this is what keeps the two the same picture.
package deploy_test

import (
	"encoding/json"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

type service struct {
	Image    string
	Profiles []string
	Build    struct {
		Context string
		Args    map[string]string
	}
	Command     []string
	Entrypoint  []string
	Environment map[string]string
	Ports       []string
	Volumes     []string
	DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
	Healthcheck struct {
		Test              []string
		Interval, Timeout string
		Retries           int
	}
	Restart         string
	StopGracePeriod string `yaml:"stop_grace_period"`
}

type compose struct {
	Name     string
	Services map[string]service
	Volumes  map[string]any
}

func readCompose(t *testing.T) compose {
	t.Helper()
	var c compose
	// Nothing is set outside.
	text := regexp.MustCompile(`\$\{\w+:-([^}]*)\}`).ReplaceAllString(read(t, "../docker-compose.yml"), "$1")
	d := yaml.NewDecoder(strings.NewReader(text))
	d.KnownFields(true) // a misspelt key is an error, not silence
	if err := d.Decode(&c); err != nil {
		t.Fatal(err)
	}
	return c
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// find returns what the first group of the pattern matches.
func find(t *testing.T, text, pattern string) string {
	t.Helper()
	m := regexp.MustCompile("(?m)" + pattern).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("nothing matches %s", pattern)
	}
	return m[1]
}

func properties(text string) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if key, value, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") {
			m[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	return m
}

func same(t *testing.T, what, compose, stack string) {
	t.Helper()
	if compose != stack {
		t.Errorf("%s: %q in compose, %q in the stack", what, compose, stack)
	}
}

// setting is the default that lib.sh gives to a setting of the stack.
func setting(t *testing.T, name string) string {
	t.Helper()
	return find(t, read(t, "stack/lib.sh"), `^setting `+name+` (\S+)`)
}

// stackConnector is the configuration that the stack's default variant gives to Connect, at the addresses that
// compose uses.
func stackConnector(t *testing.T) map[string]string {
	t.Helper()
	m := properties(read(t, "stack/connectors/common.properties"))
	for variant := range strings.SplitSeq(setting(t, "VARIANT"), ",") {
		maps.Copy(m, properties(read(t, "stack/connectors/"+variant+".properties")))
	}
	m["database.hostname"] = "postgres"
	m["database.password"] = "${env:CDC_PASSWORD}"
	for key, value := range m {
		m[key] = strings.NewReplacer("${PG_PORT}", "5432", "${KAFKA_PARTITIONS}",
			setting(t, "KAFKA_PARTITIONS")).Replace(value)
	}
	return m
}

func TestConnectorIsTheStacks(t *testing.T) {
	var got map[string]string
	if err := json.Unmarshal([]byte(read(t, "compose/connector.json")), &got); err != nil {
		t.Fatal(err)
	}
	want := stackConnector(t)
	for _, key := range slices.Sorted(maps.Keys(want)) {
		same(t, key, got[key], want[key])
	}
	for key := range got {
		if _, ok := want[key]; !ok {
			t.Errorf("connector.json sets %s, the stack does not", key)
		}
	}

	c := readCompose(t)
	name := find(t, read(t, "stack/lib.sh"), `^CONNECTOR=(\S+)`)
	same(t, "connector name", got["name"], name)
	args := c.Services["connector"].Command
	same(t, "URL of the registration", args[len(args)-1], "http://connect:8083/connectors/"+name+"/config")
	if c.Services["connect"].Environment["CDC_PASSWORD"] != c.Services["postgres"].Environment["CDC_PASSWORD"] {
		t.Error("connect and postgres do not have the same CDC_PASSWORD")
	}
	same(t, "config provider env", c.Services["connect"].Environment["CONNECT_CONFIG_PROVIDERS"], "env")
}

func TestTableRolesAndPublication(t *testing.T) {
	c, connector := readCompose(t), stackConnector(t)
	schema, roles, up := read(t, "stack/sql/schema.sql"), read(t, "stack/sql/roles.sql"), read(t, "stack/up.sh")
	initScript := read(t, "compose/postgres-init.sh")

	table := find(t, schema, `^CREATE TABLE IF NOT EXISTS (\S+) `)
	same(t, "table", connector["table.include.list"], table)
	same(t, "publication", connector["publication.name"],
		find(t, schema, `CREATE PUBLICATION (\S+) FOR TABLE `+regexp.QuoteMeta(table)))
	same(t, "replica identity", find(t, schema, `^ALTER TABLE `+regexp.QuoteMeta(table)+` REPLICA IDENTITY (\w+)`),
		setting(t, "REPLICA_IDENTITY"))
	same(t, "slot dropped by switch.sh", connector["slot.name"],
		find(t, read(t, "stack/switch.sh"), `slot_name = '(\w+)'`))
	find(t, roles, `^(CREATE ROLE `+connector["database.user"]+` LOGIN REPLICATION)`)
	find(t, schema, `^(GRANT SELECT ON `+regexp.QuoteMeta(table)+` TO `+connector["database.user"]+`, brimline;)`)

	database := find(t, up, `CREATE DATABASE (\w+)`)
	postgres := c.Services["postgres"].Environment
	same(t, "database", postgres["POSTGRES_DB"], database)
	same(t, "connector's database", connector["database.dbname"], database)
	u, err := url.Parse(c.Services["brimline"].Environment["BRIMLINE_DATABASE_URL"])
	if err != nil {
		t.Fatal(err)
	}
	same(t, "brimline's database", u.Path, "/"+database)
	same(t, "brimline's server", u.Host, "postgres:5432")
	find(t, roles, `^(CREATE ROLE `+u.User.Username()+` LOGIN PASSWORD)`)
	find(t, up, `BRIMLINE_DATABASE_URL='\$\(database_url (`+u.User.Username()+`)\)'`)
	password, _ := u.User.Password()
	same(t, "brimline's password", password, postgres["BRIMLINE_PASSWORD"])

	for _, m := range regexp.MustCompile(`:'(\w+)'`).FindAllStringSubmatch(roles, -1) {
		variable := strings.ToUpper(m[1])
		find(t, initScript, `-v (`+m[1]+`="\$`+variable+`")`)
		find(t, up, `-v (`+m[1]+`=\w+)`)
		if postgres[variable] == "" {
			t.Errorf("postgres has no %s", variable)
		}
	}

	prefix := connector["topic.prefix"]
	source := c.Services["brimline"].Environment["BRIMLINE_SOURCE"]
	same(t, "source topic", source, prefix+"."+table)
	same(t, "source topic of the stack", source, find(t, up, `export BRIMLINE_SOURCE='(\S+)'`))
}

func TestPostgreSQLSettings(t *testing.T) {
	command := readCompose(t).Services["postgres"].Command
	for key, value := range properties(read(t, "stack/conf/postgresql.conf")) {
		switch key {
		case "listen_addresses", "unix_socket_directories", "fsync": // of a local, short-lived server
			continue
		}
		if want := "-c" + key + "=" + strings.Trim(value, "'"); !slices.Contains(command, want) {
			t.Errorf("postgres is started without %s", want)
		}
	}
	if !slices.Contains(command, "-cwal_level=logical") {
		t.Error("without wal_level=logical there is no change stream")
	}
}

func TestBrokerSettings(t *testing.T) {
	environment := readCompose(t).Services["kafka"].Environment
	server := find(t, read(t, "stack/up.sh"), `(?s)server\.properties" <<END\n(.*?)\nEND$`)
	addresses := []string{"node.id", "controller.quorum.voters", "listeners",
		"advertised.listeners", "controller.listener.names",
		"listener.security.protocol.map", "log.dirs", "inter.broker.listener.name"}
	known := map[string]bool{}
	variable := func(key string) string { return "KAFKA_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_")) }
	for _, key := range addresses {
		known[variable(key)] = true
	}
	oneBroker := strings.NewReplacer("$copies", "1", "$((copies < 3 ? 1 : 2))", "1",
		"$KAFKA_PARTITIONS", setting(t, "KAFKA_PARTITIONS"))
	for key, value := range properties(server) {
		known[variable(key)] = true
		if !slices.Contains(addresses, key) {
			same(t, key, environment[variable(key)], oneBroker.Replace(value))
		}
	}
	for name := range environment {
		if !known[name] {
			t.Errorf("kafka has %s, the stack's broker has not", name)
		}
	}
}

func TestAddresses(t *testing.T) {
	c := readCompose(t)
	kafka := c.Services["kafka"].Environment
	advertised := map[string]string{}
	for listener := range strings.SplitSeq(kafka["KAFKA_ADVERTISED_LISTENERS"], ",") {
		name, address, _ := strings.Cut(listener, "://")
		advertised[name] = address
		_, port, _ := net.SplitHostPort(address)
		if !strings.Contains(kafka["KAFKA_LISTENERS"]+",", name+"://:"+port+",") {
			t.Errorf("%s is advertised at %s, where nothing listens", name, address)
		}
	}
	same(t, "inside address of Kafka, Connect", c.Services["connect"].Environment["BOOTSTRAP_SERVERS"],
		advertised["INTERNAL"])
	same(t, "inside address of Kafka, brimline", c.Services["brimline"].Environment["BRIMLINE_BROKERS"],
		advertised["INTERNAL"])
	same(t, "outside address of Kafka", advertised["HOST"], "localhost:9092")

	_, listen, err := net.SplitHostPort(c.Services["brimline"].Environment["BRIMLINE_LISTEN"])
	if err != nil {
		t.Fatal(err)
	}
	same(t, "EXPOSE", find(t, read(t, "../Dockerfile"), `^EXPOSE (\d+)`), listen)
	image := find(t, read(t, "../Dockerfile"), `BRIMLINE_LISTEN=(\S+)`)
	same(t, "the image listens at", image, c.Services["brimline"].Environment["BRIMLINE_LISTEN"])
	run := c.Services["brimline"].Environment
	for name, own := range map[string]string{"brimline": listen, "serve": "8481"} {
		e := c.Services[name].Environment
		same(t, name+" listens at", e["BRIMLINE_LISTEN"], "0.0.0.0:"+own)
		if e["BRIMLINE_ALLOW_ANONYMOUS"] != "true" && e["BRIMLINE_TOKENS_FILE"] == "" {
			t.Errorf("%s listens on every interface and would not start: it knows no tokens, and is not told to need none", name)
		}
		for _, key := range []string{"BROKERS", "DATABASE_URL", "GROUP", "SOURCE", "ALERTS", "STATE_DIR"} {
			same(t, name+"'s "+key, e["BRIMLINE_"+key], run["BRIMLINE_"+key])
		}
	}
	help := read(t, "../cmd/brimline/testdata/help/run.txt")
	same(t, "port of brimline", listen, find(t, help, `--listen="127\.0\.0\.1:(\d+)"`))
	published := map[string]string{
		"kafka": "9092", "postgres": "5432", "connect": "8083", "brimline": listen, "serve": "8481",
	}
	for name, s := range c.Services {
		for _, p := range s.Ports {
			want := "127.0.0.1:" + published[name] + ":" + published[name]
			if p != want {
				t.Errorf("%s publishes %s, want %s", name, p, want)
			}
		}
		if published[name] != "" && len(s.Ports) != 1 {
			t.Errorf("%s publishes %q", name, s.Ports)
		}
	}
}

func TestServices(t *testing.T) {
	c := readCompose(t)
	pom := read(t, "stack/jars/pom.xml")
	debezium := "quay.io/debezium/connect:" + find(t, pom, `<debezium.version>(.*)</`)
	same(t, "Kafka image", c.Services["kafka"].Image, "apache/kafka:"+find(t, pom, `<kafka.version>(.*)</`))
	same(t, "Connect image", c.Services["connect"].Image, debezium)
	same(t, "image that registers", c.Services["connector"].Image, debezium)

	for name, s := range c.Services {
		for other, on := range s.DependsOn {
			dependency, ok := c.Services[other]
			if !ok {
				t.Errorf("%s depends on %s, which is no service", name, other)
			}
			if on.Condition == "service_healthy" && len(dependency.Healthcheck.Test) == 0 {
				t.Errorf("%s waits for the health of %s, which has no check", name, other)
			}
		}
		if len(s.Healthcheck.Test) == 0 && name != "connector" {
			t.Errorf("%s has no health check", name)
		}
		for _, v := range s.Volumes {
			from, to, _ := strings.Cut(v, ":")
			if !strings.HasPrefix(from, "./") {
				if _, ok := c.Volumes[from]; !ok {
					t.Errorf("%s mounts the volume %s, which is not declared", name, from)
				}
				continue
			}
			info, err := os.Stat(filepath.Join("..", from))
			if err != nil {
				t.Errorf("%s mounts %v", name, err)
			} else if strings.HasSuffix(from, ".sh") && info.Mode()&0o111 == 0 {
				t.Errorf("%s is not executable", from)
			}
			if !strings.HasSuffix(to, ":ro") {
				t.Errorf("%s may write to %s", name, from)
			}
		}
	}
	mounts := strings.Join(c.Services["postgres"].Volumes, " ")
	for _, m := range regexp.MustCompile(`-f /sql/(\S+)`).FindAllStringSubmatch(read(t, "compose/postgres-init.sh"), -1) {
		read(t, "stack/sql/"+m[1])
	}
	if !strings.Contains(mounts, "./deploy/stack/sql:/sql:ro") {
		t.Error("postgres does not see the SQL of the stack at /sql")
	}
}

func TestDockerfile(t *testing.T) {
	file, s := read(t, "../Dockerfile"), readCompose(t).Services["brimline"]
	same(t, "build context", s.Build.Context, ".")
	if _, passed := s.Build.Args[find(t, file, `^ARG (VERSION)=$`)]; !passed {
		t.Error("docker compose build does not say which version it builds")
	}
	goVersion := find(t, read(t, "../go.mod"), `^go (\d+\.\d+)`)
	same(t, "Go version", find(t, file, `^FROM golang:(\d+\.\d+)\.\d+-bookworm AS build`), goVersion)
	find(t, file, `^(ENTRYPOINT \["/brimline"\])$`)
	find(t, file, `^(CMD \["run"\])$`)
	if user := find(t, file, `^USER (\d+)`); user == "0" {
		t.Error("brimline runs as root")
	}
	state := s.Environment["BRIMLINE_STATE_DIR"]
	same(t, "state", state, find(t, file, `^ENV BRIMLINE_STATE_DIR=(\S+)`))
	find(t, file, `(COPY --from=build --chown=65532:65532 /state `+state+`)$`)
	if s.Healthcheck.Test[1] != find(t, file, `^ENTRYPOINT \["(.*)"\]`) {
		t.Error("the health check runs what the image does not hold")
	}
	if !slices.Contains(s.Volumes, "brimline:"+state) {
		t.Errorf("%s is not on a volume", state)
	}
	if rules := s.Environment["BRIMLINE_RULES"]; !slices.Contains(s.Volumes, "./deploy/compose/rules.yaml:"+rules+":ro") {
		t.Errorf("no rules are mounted at %s", rules)
	}

	ignore := read(t, "../.dockerignore")
	var packages []string
	err := filepath.WalkDir("..", func(file string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		hidden := strings.HasPrefix(name, ".") && name != ".."
		if d.IsDir() && (name == "testdata" || name == "deploy" || name == "examples" || hidden) {
			return filepath.SkipDir
		}
		if d.IsDir() && name != ".." { // another module is not built into the image
			if _, err := os.Stat(filepath.Join(file, "go.mod")); err == nil {
				return filepath.SkipDir
			}
		}
		if top, _, inside := strings.Cut(strings.TrimPrefix(filepath.ToSlash(file), "../"), "/"); inside &&
			path.Ext(name) == ".go" && !strings.HasSuffix(name, "_test.go") {
			packages = append(packages, top)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(packages)
	for _, top := range slices.Compact(packages) {
		if !strings.Contains(ignore, "\n!"+top+"/\n") {
			t.Errorf(".dockerignore keeps the Go code in %s out of the image", top)
		}
	}
}

// Every BRIMLINE_* variable must be one that the binary reads: the help of `brimline run`, kept as a golden file by
// cmd/brimline, names them all.
func TestEnvironmentIsKnownToTheBinary(t *testing.T) {
	names := regexp.MustCompile(`\bBRIMLINE_[A-Z_]+\b`)
	for service, command := range map[string]string{"brimline": "run", "serve": "serve"} {
		golden := "../cmd/brimline/testdata/help/" + command + ".txt"
		help, err := os.ReadFile(golden)
		if err != nil {
			t.Fatalf("the names in docker-compose.yml cannot be checked without the golden help of the command: %v", err)
		}
		known := map[string]bool{}
		for _, name := range names.FindAllString(string(help), -1) {
			known[name] = true
		}
		used := slices.Collect(maps.Keys(readCompose(t).Services[service].Environment))
		if command == "run" {
			used = append(used, names.FindAllString(read(t, "../Dockerfile")+read(t, "stack/up.sh"), -1)...)
		}
		slices.Sort(used)
		for _, name := range slices.Compact(used) {
			if !known[name] {
				t.Errorf("%s is not in %s", name, golden)
			}
		}
	}
}

func TestDockerComposeConfig(t *testing.T) {
	if out, err := exec.Command("docker", "compose", "version").CombinedOutput(); err != nil {
		t.Skipf("docker compose is not here: %v %s", err, out)
	}
	check := exec.Command("docker", "compose", "-f", "../docker-compose.yml", "config", "--quiet")
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
