package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/urls"
	"github.com/jackc/pgx/v5"
)

// KindURL is the kind of every error of Parse.
const KindURL = "postgres_url"

const remedyURL = "write postgres://user@host:port/database, with special characters escaped as %XX, and the " +
	"password in PGPASSWORD or ~/.pgpass"

func badURL(remedy, format string, args ...any) error {
	return &brimline.Error{
		Class:  brimline.ClassInput,
		Kind:   KindURL,
		Where:  "PostgreSQL URL",
		Remedy: remedy,
		Err:    fmt.Errorf(format, args...),
	}
}

func unreadable() error { return badURL(remedyURL, "%w", urls.ErrUnreadable) }

// settings are those of a connection string, by the driver's names.
type settings map[string]string

// read takes a connection string apart and checks every setting that it has.
func read(text string) (settings, error) {
	text = strings.TrimSpace(text) // files and variables often end in a newline
	if !strings.Contains(text, "://") && !strings.HasPrefix(strings.ToLower(text), "jdbc:") {
		return readKeywords(text)
	}
	return readURL(text)
}

func readURL(text string) (settings, error) {
	if strings.HasPrefix(strings.ToLower(text), "jdbc:") {
		return nil, badURL(remedyURL, "it is a JDBC URL, and begins with jdbc:")
	}
	scheme, _, _ := strings.Cut(text, "://")
	switch scheme = strings.ToLower(scheme); {
	case scheme == "postgres" || scheme == "postgresql":
	case strings.HasPrefix(scheme, "postgresql+") || strings.HasPrefix(scheme, "postgres+"):
		return nil, badURL("begin it with postgres://", "it names a driver after the +, as SQLAlchemy's URLs do")
	case slices.Contains(otherSchemes, scheme):
		return nil, badURL(remedyURL, "it begins with %s://", scheme)
	default:
		return nil, unreadable()
	}
	u, err := urls.Parse(text)
	if err != nil || strings.ContainsAny(u.RawPath, "/:") {
		return nil, unreadable()
	}
	s := settings{}
	s.put("user", u.User)
	s.put("password", u.Password)
	s.put("database", u.Path)
	var hosts, ports []string
	for _, h := range u.Hosts {
		hosts, ports = append(hosts, h.Name), append(ports, h.Port)
	}
	s.put("host", list(hosts))
	s.put("port", list(ports))
	for i, p := range u.Parameters {
		if err := s.add(i, p.Name, p.Value); err != nil {
			return nil, err
		}
	}
	return s, s.check()
}

// otherSchemes are named in an error; any other might be a piece of a password.
var otherSchemes = strings.Fields(`
	postgis pgsql psql pg prisma prisma+postgres cockroach cockroachdb crdb redshift timescale timescaledb mysql mariadb
	sqlite sqlserver mssql oracle mongodb mongodb+srv redis http https tcp unix file ecto odbc kafka`)

// list joins the elements of a list, all of which may be empty.
func list(elements []string) string {
	if strings.Join(elements, "") == "" {
		return ""
	}
	return strings.Join(elements, ",")
}

// put sets what is not left out.
func (s settings) put(name, value string) {
	if value != "" {
		s[name] = value
	}
}

// readKeywords reads `host=… user=…` as libpq does.
func readKeywords(text string) (settings, error) {
	s := settings{}
	if strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && !unicode.IsSpace(r) }) {
		return nil, unreadable()
	}
	rest := strings.TrimSpace(text)
	for i := 0; rest != ""; i++ {
		name, after, ok := strings.Cut(rest, "=")
		name = strings.TrimSpace(name)
		if !ok || !keyword.MatchString(name) {
			return nil, unreadable()
		}
		value, after, ok := cutValue(strings.TrimSpace(after))
		if !ok {
			return nil, unreadable()
		}
		rest = strings.TrimSpace(after)
		if err := s.add(i, name, value); err != nil {
			return nil, err
		}
	}
	return s, s.check()
}

var keyword = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_.]*$`)

// cutValue reads a value, in quotes or up to a space; a backslash takes the next character as it is.
func cutValue(s string) (value, rest string, ok bool) {
	quoted := strings.HasPrefix(s, "'")
	s = strings.TrimPrefix(s, "'")
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			if i++; i == len(s) {
				return "", "", false
			}
			b.WriteByte(s[i])
		case quoted && c == '\'':
			rest = s[i+1:]
			return b.String(), rest, rest == "" || unicode.IsSpace(rune(rest[0]))
		case !quoted && unicode.IsSpace(rune(c)):
			return b.String(), s[i:], true
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), "", !quoted
}

// keywords writes settings down so that the driver reads them as they are.
func (s settings) keywords() string {
	var b strings.Builder
	for name, value := range s {
		fmt.Fprintf(&b, "%s='%s' ", name, escapes.Replace(value))
	}
	return b.String()
}

var escapes = strings.NewReplacer(`\`, `\\`, `'`, `\'`)

// add sets the parameter at a place; an unknown one is named by its place
// alone, as it may be what follows an unescaped & in a password.
func (s settings) add(place int, name, value string) error {
	if name == "dbname" {
		name = "database"
	}
	if name == "ssl" { // as JDBC, and libpq for its sake, have it
		if value != "true" {
			return badURL("write sslmode=require, or sslmode=disable", "the parameter ssl is not libpq's")
		}
		name, value = "sslmode", "require"
	}
	for _, f := range foreign {
		for known := range strings.FieldsSeq(f.names) {
			if strings.EqualFold(known, name) {
				return badURL(f.remedy, "the parameter %s %s", known, f.what)
			}
		}
	}
	if slices.Contains(parameters, strings.ToLower(name)) {
		name = strings.ToLower(name) // the server takes any spelling of a setting
	} else if !custom.MatchString(name) {
		return badURL(
			"take it out; a & in a password is written %26, a setting of the server options=-c%20name%3Dvalue",
			"parameter %d of it means nothing to brimline",
			place+1,
		)
	}
	s[name] = value
	return nil
}

// check looks at values that have few choices, before the driver quotes them in an error.
func (s settings) check() error {
	for name, choices := range map[string][]string{
		"sslmode":                 {"disable", "allow", "prefer", "require", "verify-ca", "verify-full"},
		"target_session_attrs":    {"any", "read-write", "read-only", "primary", "standby", "prefer-standby"},
		"channel_binding":         {"disable", "prefer", "require"},
		"sslnegotiation":          {"postgres", "direct"},
		"sslcertmode":             {"disable", "allow", "require"},
		"sslsni":                  {"0", "1"},
		"min_protocol_version":    {"3.0", "3.2", "latest"},
		"max_protocol_version":    {"3.0", "3.2", "latest"},
		"default_query_exec_mode": {"cache_statement", "cache_describe", "describe_exec"},
	} {
		value, set := s[name]
		if !set || slices.Contains(choices, value) {
			continue
		}
		if name == "default_query_exec_mode" && (value == "exec" || value == "simple_protocol") {
			return badURL("use default_query_exec_mode=cache_describe, which works behind poolers as well",
				"query mode %q sends times as text, which does not hold every year", value)
		}
		return badURL(
			"write one of "+strings.Join(choices, ", "),
			"the parameter %s has another value than there are",
			name,
		)
	}
	numbers := []string{"connect_timeout", "pool_max_conns", "statement_cache_capacity", "description_cache_capacity"}
	for _, name := range numbers {
		if value, set := s[name]; set {
			if n, err := strconv.ParseUint(value, 10, 31); err != nil || n == 0 && name == "pool_max_conns" {
				return badURL("write a whole number", "the parameter %s is not a number", name)
			}
		}
	}
	for name := range s {
		if strings.HasPrefix(name, "pool_") && name != "pool_max_conns" && !isDuration(s[name]) {
			return badURL("write a duration such as 30m", "the parameter %s is not a duration", name)
		}
	}
	for host := range strings.SplitSeq(s["host"], ",") {
		if host != "" && !urls.IsHost(host) {
			return unreadable()
		}
	}
	for port := range strings.SplitSeq(s["port"], ",") {
		if !urls.IsPort(port) {
			return unreadable()
		}
	}
	if hosts, ports := strings.Count(s["host"], ","), strings.Count(s["port"], ","); ports > 0 && hosts != ports {
		return badURL("give each host a port, or all of them one", "it has %d hosts and %d ports", hosts+1, ports+1)
	}
	if path := s["passfile"]; path != "" {
		file, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) { // perhaps it is the password itself
			return badURL("name a file that this user may read", "the passfile that it names is not there")
		} else if err != nil {
			return fileError(err)
		}
		_ = file.Close()
	}
	return nil
}

// refused says why the driver refuses settings that are well-formed. Of its
// text nothing is repeated but the name of a file.
func (s settings) refused(err error) error {
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return fileError(err)
	}
	if service := s["service"] + os.Getenv("PGSERVICE"); service != "" {
		return badURL(
			"name a service of ~/.pg_service.conf, or of the file in PGSERVICEFILE",
			"a service is named that the service file does not have, or has with settings that cannot be read",
		)
	}
	return badURL("correct the certificate and the key that it names, and the PG… variables of the environment",
		"a file that it names, or a variable of the environment, has contents that cannot be used")
}

func fileError(err error) error {
	file, _ := errors.AsType[*fs.PathError](err)
	return badURL("name a file that this user may read", "a file that it names: %w", file)
}

// checkConfig looks at what came from the environment and from files, too.
func checkConfig(c *pgx.ConnConfig) error {
	hosts := []string{c.Host}
	for _, f := range c.Fallbacks {
		hosts = append(hosts, f.Host)
	}
	for _, name := range []string{c.User, c.Database} {
		if strings.Contains(name, "://") || strings.ContainsFunc(name, unicode.IsControl) {
			hosts = nil
		}
	}
	if len(hosts) == 0 || slices.ContainsFunc(hosts, func(h string) bool { return !urls.IsHost(h) }) {
		return badURL(
			"correct PGHOST, PGUSER, PGDATABASE and the service file: each takes a plain name, none a URL",
			"its host, user or database, perhaps from the environment, is not one (not repeated: it may hold a password)",
		)
	}
	for name := range c.RuntimeParams {
		if !isParameter(name) {
			return badURL(
				"take it out of the service file",
				"the service file has a setting that means nothing to brimline",
			)
		}
	}
	return nil
}
