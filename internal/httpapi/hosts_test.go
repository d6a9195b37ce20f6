package httpapi

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// serveAt serves the fakes at an address, and gives where to dial.
func serveAt(t *testing.T, address string, allowed ...string) (dial string) {
	t.Helper()
	s, err := Listen(Door{Address: address, Hosts: allowed, Probes: ProbePaths("")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, New(newFakes().options())) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return strings.TrimPrefix(s.URL(), "http://")
}

// raw sends a request as it stands and gives status and body.
func raw(t *testing.T, address, request string) (status int, body string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, strings.ReplaceAll(request, "\n", "\r\n")); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ")
	r, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(text)
}

const anyInterface, loopback = "0.0.0.0:0", "127.0.0.1:0"

// A page on the internet can give a name of its own the address of this server, and then read it through the browser
// of whoever looks at that page: also where a container listens on every interface and is published on loopback.
func TestForeignHostsAreRefused(t *testing.T) {
	allowed := []string{"risk.example.com", "*.Desk.example.com"}
	listeners := map[string]string{
		"loopback": serveAt(t, loopback, allowed...), "every interface": serveAt(t, anyInterface, allowed...),
	}
	for host, want := range map[string]int{
		"localhost": 200, "localhost:1": 200, "LocalHost:8480": 200, "localhost.": 200, "localhost.:8480": 200,
		"127.0.0.1": 200, "127.0.0.1:8480": 200, "127.8.0.1": 200, "192.0.2.1:80": 200, "10.1.2.3": 200,
		"127.0.0.1.": 200,
		"[::1]:8480": 200, "[::1]": 200, "[2001:DB8::7]:80": 200, "[::ffff:127.0.0.1]": 200, "[fe80::1%eth0]:80": 200,
		"risk.example.com": 200, "Risk.Example.Com:443": 200, "risk.example.com.": 200,
		"a.desk.example.com": 200, "b.a.DESK.example.com.:8480": 200,

		"evil.example": 421, "evil.example:8480": 421, "127.0.0.1.evil.example:80": 421,
		"localhost.evil.example": 421, "evil.localhost": 421,
		"xrisk.example.com": 421, "www.risk.example.com": 421, "risk.example.com.evil.example": 421,
		"risk.example.co":  421,
		"desk.example.com": 421, "xdesk.example.com": 421, ".desk.example.com": 421, "a..desk.example.com": 421,
		"*.desk.example.com": 421,
		"localhost..":        421, "risk.example.com..": 421, "": 421, ":8480": 421, ".": 421, "::1": 421, "[]": 421,
		"[localhost]": 421, "[127.0.0.1": 421,
		"[127.0.0.1]": 421, "[::1": 421, "[::1]8480": 421, "[::1]:": 200, "localhost:": 200, "localhost:http": 421,
		"localhost:1:2": 421,
		"127.1":         421, "2130706433": 421, "0x7f.0.0.1": 421, "0177.0.0.1": 421, "127.0.0.1..": 421, "user@localhost": 400,
	} {
		for name, address := range listeners {
			status, body := raw(t, address, "GET /api/v1/status HTTP/1.1\nHost: "+host+"\nConnection: close\n\n")
			if status != want {
				t.Errorf("%s, host %q: status %d, want %d: %s", name, host, status, want, body)
			}
			var v map[string]any
			if status != 421 {
				continue
			}
			if err := json.Unmarshal([]byte(body), &v); err != nil {
				t.Errorf("%s, host %q: %v", name, host, err)
			}
			remedy := fmt.Sprint(at(v, "remedy"))
			if at(v, "type") != problemType+"foreign_host" || !strings.Contains(remedy, "--allowed-hosts") {
				t.Errorf("%s, host %q: the answer does not name the setting: %s", name, host, body)
			}
		}
	}
}

// What names the host is what the request line says, where it says one, and one header else.
func TestHostsInEveryForm(t *testing.T) {
	at := serveAt(t, anyInterface, "risk.example.com")
	for request, want := range map[string]int{
		"GET http://risk.example.com/api/v1/status HTTP/1.1\nHost: risk.example.com\nConnection: close\n\n":   200,
		"GET http://evil.example/api/v1/status HTTP/1.1\nHost: localhost\nConnection: close\n\n":              421,
		"GET http://evil.example/metrics HTTP/1.1\nHost: localhost\nConnection: close\n\n":                    200, // exempt here
		"GET /api/v1/status HTTP/1.1\nHost: localhost\nHost: evil.example\nConnection: close\n\n":             400,
		"GET /api/v1/status HTTP/1.1\nHost: evil.example\nHost: localhost\nConnection: close\n\n":             400,
		"GET /api/v1/status HTTP/1.1\nConnection: close\n\n":                                                  400,
		"GET /api/v1/status HTTP/1.0\n\n":                                                                     421,
		"GET /api/v1/status HTTP/1.0\nHost: evil.example\n\n":                                                 421,
		"GET /api/v1/status HTTP/1.0\nHost: 127.0.0.1:8480\n\n":                                               200,
		"GET /api/v1/status HTTP/1.1\nHost: evil.example\nX-Forwarded-Host: localhost\nConnection: close\n\n": 421,
		"HEAD / HTTP/1.1\nHost: evil.example\nConnection: close\n\n":                                          421,
		"GET /?user=27956157 HTTP/1.1\nHost: evil.example\nConnection: close\n\n":                             421,
		"GET /assets/page.js HTTP/1.1\nHost: evil.example\nConnection: close\n\n":                             421,
		"OPTIONS * HTTP/1.1\nHost: evil.example\nConnection: close\n\n":                                       421,
		"POST /readyz HTTP/1.1\nHost: evil.example\nContent-Length: 0\nConnection: close\n\n":                 405,
	} {
		if status, body := raw(t, at, request); status != want {
			t.Errorf("%q: status %d, want %d: %s", request, status, want, body)
		}
	}
}

// Prometheus and probes come by the names of services; what they ask holds neither users nor totals. Where only this
// machine can ask, they need no other name than its own.
func TestProbesComeByAnyName(t *testing.T) {
	open, closed := serveAt(t, anyInterface), serveAt(t, loopback)
	for path, exempt := range map[string]bool{
		"/metrics": true, "/healthz": true, "/readyz": true, "/metrics?name[]=go_goroutines": true,
		"/metrics/": false, "/readyz/x": false, "/": false, "/api/v1/status": false, "//metrics": false,
		"/x/../metrics": false,
	} {
		for _, head := range []string{" HTTP/1.1\nHost: brimline:8480\nConnection: close\n\n", " HTTP/1.0\n\n"} {
			want := 421
			if exempt {
				want = 200
			}
			if status, body := raw(t, open, "GET "+path+head); status != want {
				t.Errorf("every interface, %s%q: status %d, want %d: %s", path, head, status, want, body)
			}
			if status, body := raw(t, closed, "GET "+path+head); status != 421 {
				t.Errorf("loopback, %s%q: status %d, want 421: %s", path, head, status, body)
			}
		}
	}
}

// Nothing can be changed here yet. What ever will be is refused to pages of other origins before it is looked at.
func TestOtherOriginsChangeNothing(t *testing.T) {
	h := New(newFakes().options())
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "QUERY"} {
		for _, x := range []struct {
			header, value string
			want          int
		}{
			{"", "", 405}, // no browser
			{"Sec-Fetch-Site", "same-origin", 405}, {"Sec-Fetch-Site", "none", 405},
			{"Sec-Fetch-Site", "cross-site", 403}, {"Sec-Fetch-Site", "same-site", 403}, {"Sec-Fetch-Site", "odd", 403},
			{"Origin", "http://example.com", 405}, {"Origin", "http://evil.example", 403}, {"Origin", "null", 403},
			{"Origin", "http://example.com:81", 403}, {"Origin", "http://example.com.evil.example", 403},
		} {
			r := httptest.NewRequest(method, "http://example.com/api/v1/alerts", nil)
			if x.header != "" {
				r.Header.Set(x.header, x.value)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != x.want {
				t.Errorf("%s with %s %s: status %d, want %d", method, x.header, x.value, w.Code, x.want)
			}
			if w.Code == 403 && !strings.Contains(w.Body.String(), "cross_origin") {
				t.Errorf("%s with %s %s: %s", method, x.header, x.value, w.Body)
			}
		}
	}
}

// What a page of another origin may embed or link to, it cannot read: the answer says so, and no origin is let in.
func TestReadingStaysWithTheOwnOrigin(t *testing.T) {
	h := New(newFakes().options())
	r := httptest.NewRequest(http.MethodGet, "/api/v1/users/27956157", nil)
	r.Header.Set("Origin", "http://evil.example")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if got := w.Header().Get("Access-Control-Allow-Origin"); got != "" {
		t.Errorf("Access-Control-Allow-Origin %q", got)
	}
	if got := w.Header().Get("Cross-Origin-Resource-Policy"); got != "same-origin" {
		t.Errorf("Cross-Origin-Resource-Policy %q", got)
	}
}
