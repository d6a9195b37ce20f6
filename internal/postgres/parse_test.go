package postgres

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/brimline/brimline"
)

// clean takes away what this machine's environment says about PostgreSQL.
func clean(t *testing.T) {
	t.Helper()
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "PG") {
			t.Setenv(name, "")
		}
	}
	t.Setenv("HOME", t.TempDir())
}

func TestParse(t *testing.T) {
	clean(t)
	for text, want := range map[string]struct{ place, user, password string }{
		"postgres://u:p@h:1/app":               {`PostgreSQL at h:1, database "app"`, "u", "p"},
		"postgresql://u@h/app?sslmode=disable": {`PostgreSQL at h:5432, database "app"`, "u", ""},
		" postgres://u:p@h/app\r\n":            {`PostgreSQL at h:5432, database "app"`, "u", "p"},
		"POSTGRES://u@h/app":                   {`PostgreSQL at h:5432, database "app"`, "u", ""},
		"postgres://u@h1:1,h2:2,[::1]/app": {
			`PostgreSQL at h1:1,h2:2,[::1]:5432, database "app"`, "u", "",
		},
		"postgres://u@h1,h2/app?port=7": {`PostgreSQL at h1:7,h2:7, database "app"`, "u", ""},
		"postgres://a%40b:hun%40t%23er%2F2%25@h/a%2Fb": {`PostgreSQL at h:5432, database "a/b"`, "a@b",
			"hun@t#er/2%"},
		"postgres://u:it's%20%5C'@h/app": {`PostgreSQL at h:5432, database "app"`, "u",
			`it's \'`},
		"postgres://u@%2Fvar%2Frun/app": {`PostgreSQL at /var/run:5432, database "app"`,
			"u", ""},
		"postgres://u@/app?host=/tmp&port=6":                            {`PostgreSQL at /tmp:6, database "app"`, "u", ""},
		"postgres://h/?user=u&password=p%26q&dbname=x":                  {`PostgreSQL at h:5432, database "x"`, "u", "p&q"},
		"host=h user=u dbname=app":                                      {`PostgreSQL at h:5432, database "app"`, "u", ""},
		` host = h  user = u  password = 'a b\'c\\' port=7 dbname=app `: {`PostgreSQL at h:7, database "app"`, "u", `a b'c\`},
		`host=h user=u password=a\ b\\ dbname=app`: {`PostgreSQL at h:5432, database "app"`, "u",
			`a b\`},
		"postgres://u@h/app?sslmode=require&channel_binding=require&connect_timeout=3&application_name=x" +
			"&target_session_attrs=read-write&options=-c%20work_mem%3D8MB" +
			"&statement_timeout=5&TimeZone=CET&my.setting=1&pool_max_conns=3&pool_max_conn_lifetime=1h" +
			"&default_query_exec_mode=cache_describe&ssl=true": {`PostgreSQL at h:5432, database "app"`, "u", ""},
	} {
		target, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := target.config.ConnConfig.Password; target.Place() != want.place || target.User() != want.user ||
			got != want.password {
			t.Errorf("%s: %s, %q, %q", text, target.Place(), target.User(), got)
		}
		if most := map[bool]int{true: 3}[strings.Contains(text, "pool_max_conns=3")]; target.most != most {
			t.Errorf("%s: at most %d connections", text, target.most)
		}
		c := target.Config("brimline g")
		for name, value := range map[string]string{"application_name": "brimline g", "client_encoding": "UTF8",
			"timezone": "UTC"} {
			if c.RuntimeParams[name] != value {
				t.Errorf("%s: %s is %q", text, name, c.RuntimeParams[name])
			}
		}
	}
}

const secret = "hunter2"

// hides wants a complaint of Parse that repeats nothing of the secret, in whatever way it is written.
func hides(t *testing.T, text string, err error) *brimline.Error {
	t.Helper()
	e, ok := errors.AsType[*brimline.Error](err)
	if !ok || e.Kind != KindURL || e.Class != brimline.ClassInput || e.Remedy == "" {
		t.Errorf("%q: %v", text, err)
		return &brimline.Error{Err: errors.New("")}
	}
	said, _ := json.Marshal(err)
	all := fmt.Sprintf("%v %+v %#v %q %+v %#v %s", err, err, err, err, e.Err, e.Err, said)
	for _, piece := range []string{"hun", "ter2", "brimline:", "127.0.0.1"} {
		if strings.Contains(all, piece) {
			t.Errorf("%q shows %q: %s", text, piece, all)
		}
	}
	return e
}

func TestParseUnreadable(t *testing.T) {
	clean(t)
	for _, text := range []string{
		// Every character that ends something, in each place of a password.
		"postgres://brimline:hun@ter2@127.0.0.1:5432/app", "postgres://brimline:hu@n#ter2@127.0.0.1:5432/app",
		"postgres://brimline:hun@ter2/x@127.0.0.1:5432/app",
		"postgres://brimline:hun@ter2,q@127.0.0.1:5432/app", "postgres://brimline:/hunter2@127.0.0.1:5432/app",
		"postgres://brimline:hun/ter2@127.0.0.1:5432/app",
		"postgres://brimline:hun?ter2@127.0.0.1:5432/app", "postgres://brimline:?hun=ter2@127.0.0.1:5432/app",
		"postgres://brimline:hun%ter2@127.0.0.1:5432/app",
		"postgres://brimline:hunter2%@127.0.0.1:5432/app", "postgres://brimline:hun ter2@127.0.0.1:5432/app",
		"postgres://brimline: hunter2@127.0.0.1:5432/app",
		"postgres://brimline:hunter2@127.0.0.1:5432/app#hunter2", "postgres://brimline:12/hun@ter2/app",
		"postgres://brimline:1?a=/hunter2@127.0.0.1/app",
		"postgres://brimline:hun@ter2@h1:1,h2:2/app", "postgres://hun@ter2@127.0.0.1/app", "postgres://brimline:hunter2/app",
		"postgres://brimline:hunter2@127.0.0.1:x/app", "postgres://brimline:hunter2@127.0.0.1:5432:hunter2/app",
		"postgres://brimline:hunter2@h'x/app",
		"postgres://brimline:hunter2@127.0.0.1/app/hunter2", "postgres://brimline:hunter2@127.0.0.1/app:hunter2",
		"postgres://brimline:hunter2@127.0.0.1/app?hunter2",
		"postgres://brimline:hunter2@127.0.0.1/app\nhunter2", "postgres://brimline:hunter2@127.0.0.1/%0Ahunter2",
		"postgres://brimline:hunter2@127.0.0.1/app?sslmode=%",
		// No URL at all, or another kind of one.
		secret, "brimline:hunter2@127.0.0.1/app", "brimline:hun=ter2@127.0.0.1/app", "hunter2://127.0.0.1", "hun://ter2",
		"postgres:/brimline:hunter2@127.0.0.1",
		"postgres//brimline:hunter2@127.0.0.1/app",
		// Keywords.
		"host=127.0.0.1 password=hun ter2", "host=127.0.0.1 password='hun'ter2'", "host=127.0.0.1 password='hunter2",
		"host=127.0.0.1 password='hunter2\\",
		"host=127.0.0.1 password=hunter2\\", "host=127.0.0.1 hunter2", "host=hun@ter2", "host=127.0.0.1 port=hunter2",
		"=hunter2", "host=127.0.0.1 hun-ter2=1",
	} {
		_, err := Parse(text)
		if e := hides(
			t,
			text,
			err,
		); !strings.Contains(e.Remedy, "postgres://user@host:port/database") &&
			!strings.Contains(e.Remedy, "means nothing") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestParseParameters(t *testing.T) {
	clean(t)
	const base = "postgres://brimline:hunter2@127.0.0.1/app?"
	for parameter, words := range map[string][]string{
		"schema=public":                       {"the parameter schema is Prisma's", "--table"},
		"sslmode=require&schema=hunter2":      {"the parameter schema", "--table"},
		"currentSchema=public":                {"currentSchema", "JDBC", "--table"},
		"pgbouncer=true":                      {"pgbouncer", "cache_describe"},
		"connection_limit=5":                  {"connection_limit", "take it out"},
		"pool=5":                              {"parameter pool ", "pool_max_conns"},
		"pool_timeout=5":                      {"pool_timeout", "connect_timeout"},
		"conn_max_age=600":                    {"conn_max_age", "take it out"},
		"encoding=utf8":                       {"encoding", "UTF-8"},
		"sslaccept=strict":                    {"sslaccept", "sslmode="},
		"ssl=require":                         {"parameter ssl ", "sslmode=require"},
		"sslmode=no-verify":                   {"sslmode", "verify-full"},
		"sslmode=hunter2":                     {"sslmode", "verify-full"},
		"SSLMODE=REQUIRED":                    {"sslmode", "verify-full"},
		"target_session_attrs=hunter2":        {"target_session_attrs", "read-write"},
		"channel_binding=yes":                 {"channel_binding", "prefer"},
		"connect_timeout=10s":                 {"connect_timeout", "whole number"},
		"pool_max_conns=0":                    {"pool_max_conns", "whole number"},
		"pool_max_conn_lifetime=hunter2":      {"pool_max_conn_lifetime", "duration"},
		"gssencmode=disable":                  {"gssencmode", "take it out"},
		"hostaddr=127.0.0.1":                  {"hostaddr", "as the host"},
		"replication=database":                {"replication", "capture"},
		"sslmode=require&password=hun&ter2=1": {"parameter 3 ", "%26"},
		"hunter2=1":                           {"parameter 1 ", "%26"},
		"default_query_exec_mode=hunter2":     {"default_query_exec_mode", "cache_describe"},
		"default_query_exec_mode=exec":        {"every year", "cache_describe"},
		"port=1,2":                            {"1 hosts and 2 ports"},
		"sslcert=/nonexistent/x.pem&sslkey=/nonexistent/y.pem": {"/nonexistent/y.pem"},
		"sslrootcert=/nonexistent/ca.pem":                      {"/nonexistent/ca.pem", "may read"},
		"passfile=/nonexistent/pass":                           {"passfile", "may read"},
		"passfile=hunter2":                                     {"passfile", "may read"},
		"service=hunter2":                                      {"service file", "PGSERVICEFILE"},
		"require_auth=hunter2":                                 {"environment"},
	} {
		_, err := Parse(base + parameter)
		e := hides(t, parameter, err)
		for _, w := range words {
			if !strings.Contains(e.Error(), w) {
				t.Errorf("%s: %v lacks %q", parameter, err, w)
			}
		}
	}
	for text, word := range map[string]string{
		"jdbc:postgresql://127.0.0.1:5432/app?user=brimline&password=hunter2": "JDBC",
		"JDBC:postgresql:app":                                "JDBC",
		"postgresql+psycopg://brimline:hunter2@127.0.0.1/a":  "SQLAlchemy",
		"postgres+asyncpg://brimline:hunter2@127.0.0.1/a":    "SQLAlchemy",
		"postgis://brimline:hunter2@127.0.0.1/a":             "postgis://",
		"mysql://brimline:hunter2@127.0.0.1/a":               "mysql://",
		"prisma://accelerate.example.com/?api_key=hunter2":   "prisma://",
		"host=127.0.0.1 password=hunter2 schema=public":      "Prisma",
		"host=127.0.0.1 password=hun ter2=1 sslmode=disable": "parameter 3 ",
	} {
		_, err := Parse(text)
		if e := hides(t, text, err); !strings.Contains(e.Error(), word) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestParseEnvironment(t *testing.T) {
	for name, value := range map[string]string{
		"PGHOST": "postgres://brimline:hunter2@127.0.0.1/app", "PGDATABASE": "postgres://brimline:hunter2@127.0.0.1/app",
		"PGUSER": "postgres://brimline:hunter2@127.0.0.1",
		"PGPORT": secret, "PGSSLMODE": secret, "PGTARGETSESSIONATTRS": secret, "PGCONNECT_TIMEOUT": secret,
		"PGSERVICE": secret, "PGSSLROOTCERT": "/nonexistent/ca.pem",
	} {
		t.Run(name, func(t *testing.T) {
			clean(t)
			t.Setenv(name, value)
			text := "postgres:///"
			if strings.HasPrefix(name, "PGSSL") {
				text = "postgres://db.example.com" // not with a Unix socket
			}
			_, err := Parse(text)
			hides(t, name, err)
		})
	}
	t.Run("taken", func(t *testing.T) {
		clean(t)
		for name, value := range map[string]string{"PGHOST": "h1,h2", "PGPORT": "7", "PGUSER": "u", "PGDATABASE": "d",
			"PGPASSWORD": secret, "PGTARGETSESSIONATTRS": "primary", "PGOPTIONS": "-c work_mem=8MB"} {
			t.Setenv(name, value)
		}
		target, err := Parse("")
		if err != nil || target.Place() != `PostgreSQL at h1:7,h2:7, database "d"` || target.User() != "u" ||
			target.config.ConnConfig.Password != secret {
			t.Error(target, err)
		}
	})
	t.Run("service", func(t *testing.T) {
		clean(t)
		file := filepath.Join(t.TempDir(), "services")
		write := func(text string) {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		t.Setenv("PGSERVICEFILE", file)
		write("[app]\nhost=h\nport=7\ndbname=d\nuser=u\npassword=hunter2\n")
		target, err := Parse("service=app")
		if err != nil || target.Place() != `PostgreSQL at h:7, database "d"` ||
			target.config.ConnConfig.Password != secret {
			t.Error(target, err)
		}
		for _, text := range []string{"[app]\nhost=postgres://u:hunter2@h/d\n", "[app]\nhost=h\nhunter2=x\n",
			"[app]\nhost=h\nsslmode=hunter2\n", "hunter2", "[app]\nhunter2"} {
			write(text)
			_, err := Parse("postgres:///?service=app")
			hides(t, text, err)
		}
	})
	t.Run("passfile", func(t *testing.T) {
		clean(t)
		file := filepath.Join(t.TempDir(), "pass")
		if err := os.WriteFile(file, []byte("h:7:d:u:hunter2\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		target, err := Parse("postgres://u@h:7/d?passfile=" + file)
		if err != nil || target.config.ConnConfig.Password != secret {
			t.Error(err)
		}
	})
}
