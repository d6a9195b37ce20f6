package e2e

import (
	"context"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/testkit"
)

// TestDistrustsAreTold: the stream lacks a row's deletion for more users than may be distrusted at once. The log, the
// metrics, /readyz, the page, the API and `brimline status` tell of those who are, and of those who wait.
func TestDistrustsAreTold(t *testing.T) {
	t.Parallel()
	const users = 130
	j := newJob(t, parts(t), 2, "rules: [{id: week, window: 7d, limit: 3000}]")
	began := brimline.TimeOf(time.Now().Add(-72 * time.Hour).Truncate(time.Hour))
	var events []testkit.Event
	var stay []testkit.Row
	for i := range int64(2 * users) {
		row := testkit.Row{ID: 1 + i, User: 1 + i%users, Amount: 2500_00, Time: began.Add(time.Duration(i) * time.Minute)}
		if i >= users {
			stay = append(stay, row)
		}
		e := testkit.Envelope("transactions", "c", nil, &row, 1+i)
		e.Partition = int32(i % 2)
		events = append(events, e)
	}
	j.table.Insert(t, stay)
	j.Produce(t, j.names.Source, events)

	p := j.start(t, 0, "--listen", "127.0.0.1:0")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	address := regexp.MustCompile(`msg=listening url=http://(\S+)`)
	var at, body string
	await := func(path, want string) {
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
			return r.StatusCode == http.StatusOK && regexp.MustCompile(want).MatchString(body), err
		})
		if err != nil {
			t.Fatalf("%s never had %s: %v\n%s\n%s", path, want, err, body, p.Output())
		}
	}
	await("/metrics", `(?m)^brimline_window_distrusts_total\{reason="refuted"\} 1[0-9]{2}$`)
	await("/metrics", `(?m)^brimline_verify_asked_again_total\{outcome="distrust"\} 1[0-9]{2}$`)
	await("/metrics", `(?m)^brimline_verify_asked_again_total\{outcome="no_budget"\} [1-9]`)
	await("/metrics", `(?m)^brimline_verify_asked_again_total\{outcome="edge"\} 0$`)
	const (
		distrusted = `1[0-9]{2} users are distrusted, the newest \S+ since 20\d\d-.* \(reason: refuted\)`
		wait       = `PostgreSQL has less than the stream for more than 100 users`
	)
	await("/api/v1/status", `"kind":"distrusted_users","level":"note","message":"`+distrusted)
	await("/api/v1/status", `"kind":"distrusts_wait","level":"warning","message":"`+wait)
	await("/readyz", `"ready":true,"reasons":\[\],"degraded":\["`+wait)
	await("/", `(?s)`+wait)
	await("/", `(?s)users are distrusted`)
	out, err := exec.CommandContext(ctx, binary, "status", "--every", "10ms", "--brokers", strings.Join(j.Brokers, ","),
		"--listen", at, "--group", j.names.Group, "--source", j.names.Source, "--alerts", j.names.Alerts).CombinedOutput()
	if err != nil {
		t.Fatalf("brimline status: %v\n%s", err, out)
	}
	for _, want := range []string{
		`(?m)^instance \S+ at \S+: note: ` + distrusted, `(?m)^instance \S+ at \S+: warning: ` + wait,
		`(?m)^  remedy: so many have one cause`, `(?m)^verify +` + j.names.Again + ` `,
	} {
		if !regexp.MustCompile(want).Match(out) {
			t.Errorf("status lacks %s:\n%s", want, out)
		}
	}
	out, err = exec.CommandContext(ctx, binary, "doctor", "--verify", "off", "--brokers", strings.Join(j.Brokers, ","),
		"--listen", at, "--group", j.names.Group, "--source", j.names.Source, "--alerts", j.names.Alerts).CombinedOutput()
	for _, want := range []string{
		`(?m)^note +instance_distrusted_users +instance \S+ at \S+: ` + distrusted,
		`(?m)^warning +instance_distrusts_wait +instance \S+ at \S+: ` + wait, `(?m)^ +remedy: so many have one cause`,
	} {
		if !regexp.MustCompile(want).Match(out) {
			t.Errorf("doctor lacks %s: %v\n%s", want, err, out)
		}
	}
	said := regexp.MustCompile(`level=WARN msg="PostgreSQL goes on dismissing an edge, .*rule=week edge=\S+ ` +
		`stream=5000.00 postgresql=2500.00 rows_stream=2 rows_postgresql=1 remedy=`)
	if n := len(said.FindAllString(p.Output(), -1)); n == 0 || n > 3 {
		t.Errorf("the log has %d examples:\n%s", n, p.Output())
	}
	p.Signal(syscall.SIGTERM)
	j.mustEnd(t, p)
}
