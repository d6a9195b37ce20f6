package e2e

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/brimline/brimline/internal/testkit"
)

// TestDatabaseAwayIsTold: an outage of PostgreSQL stands in /readyz, page, status and log before there is any
// candidate, by an instance that stays ready, and goes when PostgreSQL answers.
func TestDatabaseAwayIsTold(t *testing.T) {
	t.Parallel()
	j := newJob(t, parts(t), 1, "rules: [{id: r, window: 7d, limit: 1000}]")
	to, err := url.Parse(j.url)
	if err != nil {
		t.Fatal(err)
	}
	host := to.Host
	proxy := testkit.NewProxy(t, func() string { return host }, false)
	to.Host = proxy.Addr()
	j.url = to.String()
	p := j.start(t, 0, "--listen", "127.0.0.1:0")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	address := regexp.MustCompile(`msg=listening url=http://(\S+)`)
	var at, body string
	await := func(path string, status int, want string) {
		t.Helper()
		err := testkit.Eventually(ctx, func() (bool, error) {
			m := address.FindStringSubmatch(p.Output())
			if m == nil {
				return false, nil
			}
			at = m[1]
			r, err := http.Get("http://" + at + path)
			if err != nil {
				return false, err
			}
			defer r.Body.Close()
			b, err := io.ReadAll(r.Body)
			body = string(b)
			return r.StatusCode == status && regexp.MustCompile(want).MatchString(body), err
		})
		if err != nil {
			t.Fatalf("%s never was %d with %s: %v\n%s\n%s", path, status, want, err, body, p.Output())
		}
	}
	ask := func(args ...string) string {
		t.Helper()
		args = append(args, "--listen", at, "--group", j.names.Group)
		out, err := exec.CommandContext(ctx, binary, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("brimline %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	const waits = `stage verify is waiting: for PostgreSQL since 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC: `
	await("/readyz", 200, `"ready":true,"reasons":\[\],"degraded":\[\]`)
	proxy.Set(testkit.Weather{Shut: true})
	await("/readyz", 200, `"ready":true,"reasons":\[\],"degraded":\["`+waits)
	await("/", 200, "<strong>Degraded.</strong>.*"+waits)
	await("/metrics", 200, `(?m)^brimline_verify_waiting 1$`)
	if out := ask("ready"); !strings.Contains(out, "; degraded: stage verify is waiting: for PostgreSQL since ") {
		t.Errorf("ready says %s", out)
	}
	out := ask("status", "--every", "10ms", "--brokers", strings.Join(j.Brokers, ","), "--source", j.names.Source,
		"--alerts", j.names.Alerts)
	for _, want := range []string{`(?m)^verify .* waiting$`, `(?m)^route .* running$`,
		`(?m)^instance \S+ at \S+: verify: waiting: for PostgreSQL since 20`} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("status lacks %s:\n%s", want, out)
		}
	}
	if !strings.Contains(p.Output(), "PostgreSQL does not answer") {
		t.Error("the log does not say it")
	}
	proxy.Set(testkit.Weather{})
	await("/readyz", 200, `"ready":true,"reasons":\[\],"degraded":\[\]`)
	if !strings.Contains(p.Output(), "PostgreSQL answers again") {
		t.Error("the log does not say that it is over")
	}
	p.Signal(syscall.SIGTERM)
	j.mustEnd(t, p)
}
