package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestReady(t *testing.T) {
	for _, c := range []struct {
		what, body  string
		status      int
		code        int
		out, errOut string
	}{
		{"serving", `{"ready":true,"reasons":[],"group":"g","instance":"one"}`, 200, 0, "ready: instance one of group g\n", ""},
		{"degraded", `{"ready":true,"reasons":[],"degraded":["PostgreSQL \u001b does not answer","two"],"group":"g","instance":"one"}`, 200, 0,
			"ready: instance one of group g; degraded: PostgreSQL \"\\x1b\" does not answer; two\n", ""},
		{"recovering", `{"ready":false,"reasons":["stage window: partition 2 is recovering","stage verify is waiting"]}`, 503,
			1, "", "not ready: stage window: partition 2 is recovering; stage verify is waiting"},
		{"another program", `<html>`, 200, 3, "", "remedy: start it"},
		{"another API", `{"ok":true}`, 200, 3, "", "no brimline"},
		{"refused", `{"error":{"kind":"host_not_allowed"}}`, 421, 3, "", "refuses: 421"},
	} {
		t.Run(c.what, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/readyz" {
					t.Errorf("asked for %s", r.URL)
				}
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
			}))
			defer server.Close()
			code, out, errOut := run(t, "ready", "--listen", strings.TrimPrefix(server.URL, "http://"))
			if code != c.code || out != c.out || !strings.Contains(errOut, c.errOut) {
				t.Errorf("code %d, %q, %q", code, out, errOut)
			}
		})
	}
	// Whose instance answers is asked where a group is named: another group's readiness is not this one's.
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"ready":true,"reasons":[],"group":"other","instance":"one"}`))
	}))
	defer other.Close()
	at := strings.TrimPrefix(other.URL, "http://")
	for group, want := range map[string]int{"other": 0, "payments": 3, "a b": 2} {
		code, out, errOut := run(t, "ready", "--listen", at, "--group", group)
		if code != want || want == 3 && !strings.Contains(errOut, `an instance of group other answers, not of payments`) {
			t.Errorf("--group %s: code %d, %q, %q", group, code, out, errOut)
		}
	}
	t.Setenv("BRIMLINE_GROUP", "payments")
	if code, out, errOut := run(t, "ready", "--listen", at); code != 3 {
		t.Errorf("with BRIMLINE_GROUP: code %d, %q, %q", code, out, errOut)
	}
	server := httptest.NewServer(http.NotFoundHandler())
	address := strings.TrimPrefix(server.URL, "http://")
	server.Close()
	_, port, _ := strings.Cut(address, ":")
	for listen, want := range map[string]int{address: 3, "0.0.0.0:" + port: 3, "[::]:" + port: 3, "off": 2, "8480": 2} {
		code, _, errOut := run(t, "ready", "--listen", listen)
		if code != want || want == 3 && !strings.Contains(errOut, "asking the instance at") {
			t.Errorf("--listen %s: code %d, %s", listen, code, errOut)
		}
	}
}
