package security

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/brimline/brimline/internal/testkit"
)

// closed is an address where no server answers.
func closed(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// commands are all that take credentials, so that each is seen failing.
func commands(rules string) [][]string {
	return [][]string{
		{
			"run",
			"--rules",
			rules,
			"--listen",
			"off",
		}, {"capture"}, {"user", "7"}, {"alerts"}, {"status"}, {"doctor", "--rules", rules},
		{"reset", "--yes"}, {"deadletter", "list"}, {"deadletter", "retry", "--yes"},
	}
}

// TestCredentialsInFailures: whatever fails, at the most talkative level, no password shows.
func TestCredentialsInFailures(t *testing.T) {
	t.Parallel()
	nobody := closed(t)
	plain, login := broker(t), broker(t, kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "brimline", "right"))
	tls := broker(t, kfake.TLS(newAuthority(t, "ours").server(t, nil, "127.0.0.1")))
	rules := write(t, "rules.yaml", "rules: [{id: r, window: 7d, limit: 100}]")
	url := "postgres://brimline:" + canary + "@" + nobody + "/app"
	settings := write(
		t,
		"brimline.yaml",
		fmt.Sprintf(
			"database_url: %q\nkafka_sasl_password: %q\nkafka_sasl_user: brimline\nbrokers: %q\n",
			url,
			canary,
			nobody,
		),
	)
	wrong := write(
		t,
		"wrong.yaml",
		fmt.Sprintf("database_url: [%q]\nkafka_sasl_password: {a: %q}\nkafka_sasl_pasword: %q\n", url, canary, canary),
	)
	broken := write(t, "broken.yaml", "database_url: \""+url+"\n  kafka_sasl_password: "+canary)
	environment := []string{
		"BRIMLINE_DATABASE_URL=" + url,
		"BRIMLINE_KAFKA_SASL_USER=brimline",
		"BRIMLINE_KAFKA_SASL_PASSWORD=" + canary,
	}
	for name, c := range map[string]struct {
		env, args []string
	}{
		"nobody there":      {environment, []string{"--brokers", nobody}},
		"no login wanted":   {environment, []string{"--brokers", plain}},
		"wrong password":    {environment, []string{"--brokers", login}},
		"a TLS port":        {environment, []string{"--brokers", tls}},
		"TLS":               {environment, []string{"--brokers", tls, "--kafka-tls"}},
		"libpq's password":  {[]string{"BRIMLINE_DATABASE_URL=postgres://brimline@" + nobody, "PGPASSWORD=" + canary}, []string{"--brokers", plain}},
		"keywords":          {[]string{"BRIMLINE_DATABASE_URL=host=" + nobody + " password='" + canary}, []string{"--brokers", plain}},
		"unescaped":         {[]string{"BRIMLINE_DATABASE_URL=postgres://brimline:" + canary + "%/#?@" + nobody + "/app"}, []string{"--brokers", plain}},
		"only the password": {[]string{"BRIMLINE_DATABASE_URL=" + canary}, []string{"--brokers", plain}},
		"settings file":     {nil, []string{"--config", settings}},
		"wrong settings":    {nil, []string{"--config", wrong}},
		"broken settings":   {nil, []string{"--config", broken}},
		"bad flags":         {environment, []string{"--group", "a b", "--session-timeout", "0s", "--brokers", "x"}},
		"unknown flag":      {environment, []string{"--nonsense"}},
		"both":              {environment, []string{"--kafka-sasl-password-file", settings, "--database-url-file", settings, "--brokers", plain}},
		"help":              {environment, []string{"--help"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var all sync.WaitGroup // they mostly wait for answers that do not come
			for _, command := range commands(rules) {
				all.Go(func() {
					args := append(command, c.args...)
					if name != "help" {
						args = append(args, "--log-level", "debug")
					}
					s := brimline(t, c.env, args...)
					if good := name == "help" || name == "no login wanted" || command[0] == "reset"; !good &&
						s.code == 0 {
						t.Errorf("%q: code 0\n%s", args, s.all())
					}
					if strings.Contains(s.all(), canary) {
						t.Errorf("%q: the password shows:\n%s", args, s.all())
					}
				})
			}
			all.Wait()
		})
	}
}

// TestCredentialsWhileRunning: a running instance never shows them: not in
// its logs, its API, its command line, nor in a file that others may read.
func TestCredentialsWhileRunning(t *testing.T) {
	t.Parallel()
	p := parts(t)
	name := testkit.Unique(t)
	db := p.Database(t, "db_"+name)
	conn := testkit.Connect(t, db)
	testkit.CreateTable(t, conn, "streaming", "transactions")
	p.CreateTopic(t, "src_"+name, 1)
	withPassword := strings.Replace(db, "@", ":"+canary+"@", 1)
	if at, password := strings.LastIndex(db, "@"), strings.LastIndex(db[:strings.LastIndex(db, "@")], ":"); password > len(
		"postgres:",
	) {
		withPassword = db[:password] + ":" + canary + db[at:] // loopback is trusted, so any password will do
	}
	state := t.TempDir()
	run := testkit.Start(
		t,
		binary,
		append(clean(t.TempDir()), "BRIMLINE_DATABASE_URL="+withPassword),
		"run",
		"--brokers",
		strings.Join(p.Brokers, ","),
		"--group",
		"g_"+name,
		"--source",
		"src_"+name,
		"--alerts",
		"alerts_"+name,
		"--listen",
		"127.0.0.1:0",
		"--log-level",
		"debug",
		"--state-dir",
		state,
		"--rules",
		write(t, "rules.yaml", "rules: [{id: r, window: 7d, limit: 100}]"),
	)
	base := awaitReady(t, run)
	for _, path := range []string{"/", "/metrics", "/readyz", "/healthz", "/api/v1/alerts", "/api/v1/status",
		"/api/v1/rules", "/api/v1/topology", "/api/v1/users/7", "/api/v1/users/7/explain",
		"/debug/pprof/", "/debug/vars", "/api/v1/config"} {
		if strings.Contains(get(t, base+path), canary) {
			t.Errorf("the password shows at %s", path)
		}
	}
	for _, r := range p.Records(t, "g_"+name+"-rules") {
		if strings.Contains(string(r.Value), canary) {
			t.Error("the password is in the topic of rules")
		}
	}
	var sessions int
	if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
		WHERE application_name || query LIKE '%' || $1 || '%'
		AND pid <> pg_backend_pid()`, canary).Scan(&sessions); err != nil ||
		sessions > 0 {
		t.Errorf("the password shows in %d sessions, %v", sessions, err)
	}
	run.Signal(syscall.SIGTERM)
	if code, err := run.Wait(t.Context()); code != 0 || err != nil {
		t.Errorf("code %d, %v", code, err)
	}
	if strings.Contains(run.Output(), canary) || !strings.Contains(run.Output(), "level=DEBUG") {
		t.Error("the password shows in the log, or the log does not talk")
	}
	err := filepath.WalkDir(state, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if strings.Contains(string(text), canary) {
			t.Errorf("the password is in %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestCredentialsWronglyWritten: a password with a character that a URL takes
// for the end of something is not shown, nor what stands before and behind that character.
func TestCredentialsWronglyWritten(t *testing.T) {
	t.Parallel()
	const before, behind = "cAnArYbEfOrE", "cAnArYbEhInD"
	addr, nobody := broker(t), closed(t)
	rules := write(t, "rules.yaml", "rules: [{id: r, window: 7d, limit: 100}]")
	cases := map[string][]string{ // what is wrongly written, and the environment or the flags with it
		"keywords": {"BRIMLINE_DATABASE_URL=host=127.0.0.1 user=u password=" + before + " " + behind + "=1"},
		"keyword":  {"BRIMLINE_DATABASE_URL=host=127.0.0.1 user=u password=" + before + " " + behind},
		"quotes":   {"BRIMLINE_DATABASE_URL=host=127.0.0.1 user=u password='" + before + "'" + behind + "'"},
		"host": {"BRIMLINE_DATABASE_URL=postgres:///app", "PGHOST=postgres://u:" + before + "@" + nobody +
			"/" + behind},
		"database": {"BRIMLINE_DATABASE_URL=postgres://u@" + nobody, "PGDATABASE=postgres://u:" + before + "@" +
			behind + "/app"},
		"JDBC": {"BRIMLINE_DATABASE_URL=jdbc:postgresql://" + nobody + "/app?user=u&password=" + before + "&" +
			behind},
		"another scheme": {"BRIMLINE_DATABASE_URL=" + before + "://" + behind},
		"parameter": {
			"BRIMLINE_DATABASE_URL=postgres://u@" + nobody + "/app?password=" + before + "&" + behind + "=1",
		},
		"URL as file": {"BRIMLINE_DATABASE_URL_FILE=postgres://u:" + before + behind + "@" + nobody + "/app"},
		"secret as file": {"BRIMLINE_DATABASE_URL=postgres://u@" + nobody, "BRIMLINE_KAFKA_SASL_USER=u",
			"BRIMLINE_KAFKA_SASL_PASSWORD_FILE=" + before + behind},
		"passfile":     {"BRIMLINE_DATABASE_URL=postgres://u@" + nobody + "/app?passfile=" + before + behind},
		"argument":     {"--brokers", addr, "postgres://u:" + before + behind + "@" + nobody + "/app"},
		"unknown flag": {"--brokers", addr, "--databse-url=postgres://u:" + before + behind + "@" + nobody + "/app"},
		"brokers":      {"--brokers", "u:" + before + "," + behind + "@" + nobody},
		"brokers' URL": {"--brokers", "kafka://u:" + before + "@" + nobody + "/" + behind},
	}
	for _, special := range []string{"@", "#", "/", "?", ":@", "@,", "#@", "@/", "/@", "%", "%4", " ", "?a=", "1?a=/"} {
		cases["password with "+special] = []string{"BRIMLINE_DATABASE_URL=postgres://brimline:" + before + special +
			behind + "@" + nobody + "/app"}
		cases["Connect's password with "+special] = []string{"--connect-url", "http://brimline:" + before + special +
			behind + "@" + nobody}
	}
	for name, given := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var env, args []string
			if strings.HasPrefix(given[0], "--") {
				args = given
			} else {
				env = given
			}
			if name != "brokers" && name != "brokers' URL" {
				args = append(args, "--brokers", addr)
			}
			commands := [][]string{{"doctor", "--rules", rules, "--json"}}
			if env != nil || args[0] == "--brokers" {
				commands = append(
					commands,
					[]string{"doctor", "--rules", rules},
					[]string{"capture", "--log-level", "debug"},
					[]string{"run", "--rules", rules, "--listen", "off", "--log-level", "debug", "--log-format", "json",
						"--group", testkit.Unique(t)},
				)
			}
			for _, command := range commands {
				s := brimline(t, env, append(command, args...)...)
				if s.code == 0 {
					t.Errorf("%q: code 0\n%s", command, s.all())
				}
				if strings.Contains(s.all(), before) || strings.Contains(s.all(), behind) {
					t.Errorf("%q: the password shows:\n%s", command, s.all())
				}
			}
		})
	}
}
