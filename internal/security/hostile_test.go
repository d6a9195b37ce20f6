package security

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/brimline/brimline/internal/testkit"
)

const hostileRules = `columns: {note: text}
rules:
  - id: r
    window: 7d
    limit: "100.00"
    severity: "\u202e<b>hOsTiLe"
    description: "<script>alert('hOsTiLe')</script>\u200b\u2066"
    where: note != "'; DROP TABLE streaming.transactions; --\u202e<i>hOsTiLe"
`

// TestHostileRules: what a rules file must not hold is refused, harmlessly.
func TestHostileRules(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"\x1b[31mhOsTiLe: 1", "rules: [{id: \"\\e[31m'; DROP\", window: 7d, limit: 1}]", "rules: [{id: ../../x, window: 7d, limit: 1}]",
		"rules: [{id: r, window: \"\\e]0;t\\a\", limit: \"\\e[2J\"}]", "rules: [{id: r, window: 7d, limit: 1, severity: \"\\e[31m\"}]",
		"rules: [{id: r, window: 7d, limit: 1, where: \"id == '\\e[31m' +\"}]", "\"\\u202ex\\e\": 1", "columns: {\"\\e\": text}\nrules: [{id: r, window: 7d, limit: 1}]",
		"rules: [{id: r, window: 7d, limit: 1, measure: \"\\u009b31m\"}]", "\xff\xfe", strings.Repeat("x", 2<<20),
	} {
		s := brimline(t, nil, "rules", "check", write(t, "rules.yaml", text))
		if s.code != 2 || len(s.all()) > 8<<10 {
			t.Errorf("%.80q: code %d, %d bytes", text, s.code, len(s.all()))
		}
		harmless(t, fmt.Sprintf("rules check of %.80q", text), s.all())
	}
}

// TestHostileValues: rows whose ids, users and columns are chosen by an enemy
// are judged like any others, and every output of theirs is harmless.
func TestHostileValues(t *testing.T) {
	t.Parallel()
	p := parts(t)
	name := testkit.Unique(t)
	db, topic, alerts := p.Database(t, "db_"+name), "src_"+name, "alerts_"+name
	conn := testkit.Connect(t, db)
	if _, err := conn.Exec(t.Context(), table); err != nil {
		t.Fatal(err)
	}
	var events []testkit.Event
	note := hostile()
	for i, user := range users() {
		for n := range 2 {
			id, at := fmt.Sprintf("%s#%d", user, n), fmt.Sprintf("2026-01-0%dT00:00:00.000000Z", n+1)
			if len(id) > 1024 {
				id = id[len(id)-1024:]
			}
			if _, err := conn.Exec(t.Context(), "INSERT INTO streaming.transactions VALUES ($1, $2, 60, $3, $4)", id, user, at,
				note[(i+n)%len(note)]); err != nil {
				t.Fatalf("%q: %v", user, err)
			}
			events = append(events, change(quoted(id), quoted(user), quoted(note[(i+n)%len(note)]), at))
		}
	}
	dead := refused()
	p.CreateTopic(t, topic, 3)
	p.Produce(t, topic, append(events, dead...))

	rules := write(t, "rules.yaml", hostileRules)
	state := t.TempDir()
	group := []string{"--brokers", strings.Join(p.Brokers, ","), "--group", "g_" + name,
		"--source", topic, "--alerts", alerts}
	run := append([]string{"run", "--rules", rules, "--state-dir", filepath.Join(state, "s"), "--log-level", "debug"},
		group...)
	env := []string{"BRIMLINE_DATABASE_URL=" + db}

	first := brimline(t, env, append(run, "--until-caught-up", "--listen", "off", "--log-format", "json")...)
	if first.code != 0 {
		t.Fatalf("code %d\n%s", first.code, first.all())
	}
	for line := range strings.Lines(first.err) {
		if !json.Valid([]byte(line)) {
			t.Errorf("a log line is no JSON: %s", line)
		}
	}
	// Again over local state, under which __offset must not have been overwritten.
	again := testkit.Start(t, binary, append(clean(t.TempDir()), env...), append(run, "--listen", "127.0.0.1:0")...)
	base := awaitReady(t, again)

	outputs := map[string]string{"JSON log": first.all()}
	show := func(what string, args ...string) said {
		s := brimline(t, env, append(args, group...)...)
		if s.code != 0 {
			t.Errorf("%s: code %d\n%s", what, s.code, s.all())
		}
		outputs[what] = s.all()
		return s
	}
	show("alerts", "alerts", "--limit", "0")
	checkAlerts(t, show("alerts --json", "alerts", "--json", "--limit", "0").out)
	show("status", "status")
	show("doctor", "doctor", "--rules", rules)
	if s := show("deadletter list", "deadletter", "list"); strings.Count(s.out, "remedy: ") != len(dead) {
		t.Errorf("%d records are dead letters, these are shown:\n%s", len(dead), s.out)
	}
	show("deadletter list --json", "deadletter", "list", "--json")
	show("deadletter retry", "deadletter", "retry", "--dry-run")
	outputs["rules check"] = brimline(t, nil, "rules", "check", rules).all()
	view := t.TempDir()
	for _, user := range users() {
		if strings.HasPrefix(user, "-") {
			continue // a flag to the command line; HTTP is asked below
		}
		s := show("user "+user, "user", "--rows", "--state-dir", view, user)
		show("explain "+user, "explain", "--rows", "--state-dir", view, user)
		show("dismissed "+user, "dismissed", "list", "--user", user)
		show("deadletter "+user, "deadletter", "list", "--user", user)
		if !strings.Contains(s.out, "2 transactions retained") || strings.Count(s.out, " 60.00 ") != 2 || len(s.out) > 8000 {
			t.Errorf("user %q:\n%s", user, s.out)
		}
	}
	for _, path := range []string{"/", "/metrics", "/readyz", "/healthz", "/api/v1/alerts", "/api/v1/status",
		"/api/v1/rules", "/api/v1/topology"} {
		outputs[path] = get(t, base+path)
	}
	for _, user := range users() {
		body := get(t, base+"/api/v1/users/"+url.PathEscape(user))
		var answer struct {
			ID    string                   `json:"id"`
			Rules []struct{ Total string } `json:"rules"`
		}
		if user == ".." || json.Unmarshal([]byte(body), &answer) != nil || answer.ID != user ||
			len(answer.Rules) != 1 || answer.Rules[0].Total != "0.00" {
			t.Errorf("the API about %q: %.300s", user, body)
		}
		outputs["API "+user] = body
		outputs["API alerts "+user] = get(t, base+"/api/v1/users/"+url.PathEscape(user)+"/alerts")
		outputs["API explain "+user] = get(t, base+"/api/v1/users/"+url.PathEscape(user)+"/explain")
		outputs["page "+user] = get(t, base+"/?user="+url.QueryEscape(user))
	}
	outputs["text log"] = again.Output()
	for what, text := range outputs {
		if what != "/" && !strings.HasPrefix(what, "page ") {
			harmless(t, what, text)
			continue
		}
		for _, tag := range []string{"<script>", "<img src=x", "<b>" + mark, "<i>" + mark} {
			if strings.Contains(text, tag) {
				t.Errorf("%s holds %s", what, tag)
			}
		}
		for _, m := range regexp.MustCompile(`[^>"]*[\x{202e}\x{2066}]`).FindAllStringIndex(text, -1) {
			if before := text[max(0, m[0]-5):m[0]]; before != "<bdi>" && !strings.HasSuffix(before, `="`) {
				t.Errorf("%s turns what follows: %q", what, text[max(0, m[0]-60):m[1]])
			}
		}
	}
	checkMetrics(t, outputs["/metrics"])
	checkFiles(t, state, view)
	var n int
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM streaming.transactions").Scan(&n); err != nil ||
		n != len(events) {
		t.Errorf("%d rows, %v", n, err)
	}
}

// checkAlerts: one verified alert a user, with the user's very id.
func checkAlerts(t *testing.T, out string) {
	t.Helper()
	raised := map[string]int{}
	for line := range strings.Lines(out) {
		var a struct {
			Status   string `json:"status"`
			User     string `json:"user_id"`
			Database struct {
				Total string `json:"total"`
			} `json:"database"`
		}
		if err := json.Unmarshal([]byte(line), &a); err != nil || a.Status != "verified" || a.Database.Total != "120.00" {
			t.Errorf("%v: %s", err, line)
		}
		raised[a.User]++
	}
	for _, user := range users() {
		if raised[user] != 1 {
			t.Errorf("user %q: %d alerts", user, raised[user])
		}
	}
	if len(raised) != len(users()) {
		t.Errorf("alerts for %d users, want %d", len(raised), len(users()))
	}
}

// checkMetrics: labels have a few known values, and nothing that a row brought.
func checkMetrics(t *testing.T, text string) {
	t.Helper()
	if strings.Contains(text, mark) || strings.Contains(text, "__offset") || !strings.Contains(text, "brimline_") {
		t.Error("a metric holds what a row brought, or there are none")
	}
	value := regexp.MustCompile(`^[a-zA-Z0-9_.+-]*$`)
	for _, m := range regexp.MustCompile(`(?m)^brimline_[a-z_]+\{([^}]*)\}`).FindAllStringSubmatch(text, -1) {
		for _, label := range regexp.MustCompile(`="((?:[^"\\]|\\.)*)"`).FindAllStringSubmatch(m[1], -1) {
			if !value.MatchString(label[1]) {
				t.Errorf("label %q in %s", label[1], m[0])
			}
		}
	}
}

// checkFiles: no file bears a name that a row brought.
func checkFiles(t *testing.T, dirs ...string) {
	t.Helper()
	n := 0
	for _, dir := range dirs {
		_ = filepath.WalkDir(filepath.Dir(dir), func(path string, _ fs.DirEntry, err error) error {
			n++
			if err == nil && strings.Contains(filepath.Base(path), mark) {
				t.Errorf("there is a file %q", path)
			}
			return nil
		})
	}
	if found, _ := filepath.Glob("/tmp/" + mark + "*"); len(found) > 0 || n < 10 {
		t.Errorf("%q, %d files", found, n)
	}
}

// awaitReady gives the address of a running instance that says it is ready.
func awaitReady(t *testing.T, p *testkit.Process) (base string) {
	t.Helper()
	address := regexp.MustCompile(`msg=listening url=(\S+)`)
	err := testkit.Eventually(t.Context(), func() (bool, error) {
		if m := address.FindStringSubmatch(p.Output()); m != nil {
			base = m[1]
		}
		if base == "" {
			return false, nil
		}
		r, err := http.Get(base + "/readyz")
		if err != nil {
			return false, err
		}
		defer r.Body.Close()
		var answer struct {
			Ready bool                       `json:"ready"`
			Views []struct{ Recovered bool } `json:"views"`
		}
		if err := json.NewDecoder(r.Body).Decode(&answer); err != nil {
			return false, err
		}
		for _, v := range answer.Views {
			answer.Ready = answer.Ready && v.Recovered
		}
		return answer.Ready, nil
	})
	if err != nil {
		t.Fatalf("not ready: %v\n%s", err, p.Output())
	}
	return base
}

func get(t *testing.T, address string) string {
	t.Helper()
	r, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
