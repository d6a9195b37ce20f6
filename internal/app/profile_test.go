package app

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// Profiles of the running instance can be taken, under loopback's names, and none shows the command line.
func TestProfiles(t *testing.T) {
	defer noLeaks(t)()
	g := newGround(t)
	defer g.close(t)
	g.createSource(t)
	g.config.Pprof = "127.0.0.1:0"
	a := g.app(t)
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := a.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := http.Get(a.profiling.url); err == nil {
			t.Error("a stopped instance still answers")
		}
	}()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for path, want := range map[string]struct {
		host   string
		status int
		says   string
	}{
		"profile?seconds=1": {"localhost", 200, "\x1f\x8b"}, "heap": {"localhost:1", 200, "\x1f\x8b"},
		"goroutine?debug=1": {"127.0.0.1", 200, "brimline/internal/app.(*App)"},
		"trace?seconds=0.1": {"[::1]", 200, "go 1."}, "cmdline": {"localhost", 404, ""},
		"allocs": {"evil.example", 421, "foreign_host"},
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.profiling.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = want.host
		r, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil || r.StatusCode != want.status || !strings.Contains(string(body), want.says) {
			t.Errorf("%s as %s: status %d, %d bytes, %v", path, want.host, r.StatusCode, len(body), err)
		}
	}
}
