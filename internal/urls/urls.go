// Package urls takes apart URLs that may hold a password, strictly. A parser
// that makes the best of an unescaped character takes a piece of the password
// for a host, a port or a path, and whoever reports "cannot reach host" then
// shows it. Here a URL is either proven to mean one thing alone, so that its
// host may be shown, or it is refused without a word of it.
package urls

import (
	"errors"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ErrUnreadable is the one error of this package; it repeats nothing.
var ErrUnreadable = errors.New("it cannot be read, and is not repeated here: it may hold a password")

// URL is one that means one thing alone. All but RawPath is unescaped.
type URL struct {
	Scheme      string // in lower case
	User        string
	Password    string
	HasPassword bool
	Hosts       []Host // at least one; its Name may be empty
	Path        string // without its first slash
	RawPath     string // as it was written
	Parameters  []Parameter
}

// Host is a server in a URL; Port is empty where it has none.
type Host struct {
	Name string // a name, an address without brackets, or the path of a Unix socket's directory
	Port string
}

// Parameter is one of the query.
type Parameter struct{ Name, Value string }

// Parse takes a URL apart. What could be read in two ways is unreadable: more
// than one unescaped @, or one outside of the authority; a #; a host of other
// characters than hosts have; a port of other characters than digits; a space
// or control character anywhere; a % that escapes nothing; a parameter without
// a value.
func Parse(text string) (*URL, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok || !isScheme(scheme) || !utf8.ValidString(text) || strings.Contains(rest, "#") ||
		strings.Count(rest, "@") > 1 ||
		strings.ContainsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return nil, ErrUnreadable
	}
	u := &URL{Scheme: strings.ToLower(scheme)}
	authority, path, query := rest, "", ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, path = rest[:i], rest[i:]
		path, query, _ = strings.Cut(path, "?")
		path = strings.TrimPrefix(path, "/")
	}
	if strings.Contains(path+query, "@") || strings.Contains(query, "?") {
		return nil, ErrUnreadable
	}
	u.RawPath = path
	if userinfo, hosts, ok := strings.Cut(authority, "@"); ok {
		authority = hosts
		user, password, has := strings.Cut(userinfo, ":")
		var ok1, ok2 bool
		u.User, ok1 = unescape(user)
		u.Password, ok2 = unescape(password)
		u.HasPassword = has
		if !ok1 || !ok2 {
			return nil, ErrUnreadable
		}
	}
	for part := range strings.SplitSeq(authority, ",") {
		host, ok := parseHost(part)
		if !ok {
			return nil, ErrUnreadable
		}
		u.Hosts = append(u.Hosts, host)
	}
	if u.Path, ok = unescape(path); !ok || hasControl(u.Path) {
		return nil, ErrUnreadable
	}
	if query == "" {
		return u, nil
	}
	for pair := range strings.SplitSeq(query, "&") {
		name, value, ok := strings.Cut(pair, "=")
		name, ok1 := unescape(name)
		value, ok2 := unescape(value)
		if !ok || !ok1 || !ok2 || name == "" {
			return nil, ErrUnreadable
		}
		u.Parameters = append(u.Parameters, Parameter{name, value})
	}
	return u, nil
}

func isScheme(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("+-.", r))
	})
}

func parseHost(text string) (h Host, ok bool) {
	if inside, after, bracket := strings.Cut(strings.TrimPrefix(text, "["), "]"); strings.HasPrefix(text, "[") {
		if !bracket || after != "" && after[0] != ':' || !isAddress(inside) {
			return h, false
		}
		return Host{Name: inside, Port: strings.TrimPrefix(after, ":")}, after == "" || IsPort(after[1:])
	}
	name, port, found := strings.Cut(text, ":")
	if found && !IsPort(port) {
		return h, false
	}
	if name, ok = unescape(name); !ok || name != "" && !IsHost(name) {
		return h, false
	}
	return Host{name, port}, true
}

// IsHost reports whether s is made like a host's name or address, without
// brackets, or is the path of a directory with a Unix socket.
func IsHost(s string) bool {
	if strings.HasPrefix(s, "/") {
		return !strings.ContainsFunc(s, func(r rune) bool { return !isHostRune(r) && r != '/' })
	}
	return s != "" && (isAddress(s) || !strings.ContainsFunc(s, func(r rune) bool { return !isHostRune(r) }))
}

func isHostRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(".-_", r)
}

// isAddress reports whether s is made like an address of IPv6, perhaps with a zone.
func isAddress(s string) bool {
	address, zone, zoned := strings.Cut(s, "%")
	return strings.Count(address, ":") >= 2 && strings.Trim(address, "0123456789abcdefABCDEF:.") == "" &&
		(!zoned || zone != "" && !strings.ContainsFunc(zone, func(r rune) bool { return !isHostRune(r) }))
}

// IsPort reports whether s is empty or a port's number.
func IsPort(s string) bool {
	if s == "" {
		return true
	}
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0 && len(s) <= 5 && s[0] != '+'
}

// IsHostPort reports whether s is host:port, as brokers are named.
func IsHostPort(s string) bool {
	h, ok := parseHost(s)
	return ok && h.Name != "" && h.Port != "" && !strings.HasPrefix(h.Name, "/") && !strings.Contains(s, "%")
}

func hasControl(s string) bool { return strings.ContainsFunc(s, unicode.IsControl) }

// unescape replaces %XX; ok is false for a % that escapes nothing, and for an escaped NUL.
func unescape(s string) (string, bool) {
	if !strings.Contains(s, "%") {
		return s, true
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		c, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil || c == 0 {
			return "", false
		}
		b.WriteByte(byte(c))
		i += 2
	}
	return b.String(), true
}

// Shown quotes a value for an error that refuses it, unless it looks as if it held a password, as a URL or a list of
// keywords does that was given to the wrong setting.
func Shown(value string) string {
	if MayHoldSecret(value) {
		return "what is given (not repeated here: it may hold a password)"
	}
	return strconv.Quote(value)
}

// MayHoldSecret reports whether a value has a sign of a URL, or of keywords with values.
func MayHoldSecret(value string) bool {
	return strings.ContainsAny(value, "@=?#%") || strings.Contains(value, "//")
}
