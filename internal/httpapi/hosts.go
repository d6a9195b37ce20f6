package httpapi

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/brimline/brimline"
)

// OnlyOwnHosts refuses requests whose Host is a name that this server was not given. A page on the internet can point
// a name of its own at the address of this server and then read this API through the analyst's browser (DNS
// rebinding): whatever the listener, since a port that a container opens to all may be published on loopback alone.
// An address is no such name, and neither is localhost. probes are the paths that are answered under any name:
// Prometheus and orchestrators come by names of services.
func OnlyOwnHosts(allowed, probes []string, next http.Handler) http.Handler {
	names := make([]string, len(allowed))
	for i, name := range allowed {
		names[i] = canonical(name)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !own(r.Host, names) && !slices.Contains(probes, r.URL.Path) {
			secure(w.Header())
			writeError(w, http.StatusMisdirectedRequest, &brimline.Error{
				Class: brimline.ClassInput, Kind: "foreign_host",
				Remedy: "ask by IP address or as localhost, or name this host in --allowed-hosts " +
					"(BRIMLINE_ALLOWED_HOSTS, allowed_hosts)",
				Err: fmt.Errorf("this server does not answer to %s", named(r.Host)),
			})
			return
		}
		next.ServeHTTP(w, r)
	})
}

func named(host string) string {
	const most = 253 // bytes of a name in DNS
	if host == "" {
		return "requests that name no host"
	}
	if len(host) > most {
		host = host[:most] + "…"
	}
	return fmt.Sprintf("the name %q", host)
}

// own tells whether a Host header names this server. names are canonical.
func own(host string, names []string) bool {
	if rest, bracketed := strings.CutPrefix(host, "["); bracketed {
		address, port, closed := strings.Cut(rest, "]")
		ip, err := netip.ParseAddr(address)
		return closed && err == nil && ip.Is6() && (port == "" || port[0] == ':' && isPort(port[1:]))
	}
	name, port, _ := strings.Cut(host, ":")
	name = canonical(name)
	if !isPort(port) {
		return false
	}
	if ip, err := netip.ParseAddr(name); err == nil && ip.Is4() || name == "localhost" {
		return true
	}
	for _, allowed := range names {
		if domain, wildcard := strings.CutPrefix(allowed, "*."); wildcard {
			if below, ok := strings.CutSuffix(name, "."+domain); ok && isName(below) {
				return true
			}
		} else if name == allowed {
			return true
		}
	}
	return false
}

// canonical is a name as it is compared: case does not count, nor the dot of the root.
func canonical(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

func isPort(s string) bool {
	return strings.Trim(s, "0123456789") == ""
}

// isName tells whether s is labels, none of them empty or a star.
func isName(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || strings.Contains(label, "*") {
			return false
		}
	}
	return true
}
