package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/present"
)

func get(t *testing.T, h http.Handler, target string) *http.Response {
	t.Helper()
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, target, nil)
	h.ServeHTTP(w, r)
	response := w.Result()
	if strings.HasPrefix(target, "/api/v1/") {
		keepsContract(t, r, response)
	}
	return response
}

// getJSON decodes an answer of the wanted status.
func getJSON(t *testing.T, h http.Handler, target string, status int) map[string]any {
	t.Helper()
	r := get(t, h, target)
	body, _ := io.ReadAll(r.Body)
	if r.StatusCode != status {
		t.Errorf("%s: status %d, want %d: %s", target, r.StatusCode, status, body)
	}
	var v map[string]any
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("%s: %v in %s", target, err, body)
	}
	return v
}

// at walks into decoded JSON: at(v, "rules", 0, "total").
func at(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}

func want(t *testing.T, v any, value any, path ...any) {
	t.Helper()
	if got := at(v, path...); got != value {
		t.Errorf("%v is %v, want %v", path, got, value)
	}
}

func wantProblem(t *testing.T, v any, kind string) {
	t.Helper()
	want(t, v, problemType+kind, "type")
}

func TestUser(t *testing.T) {
	h := New(newFakes().options())
	v := getJSON(t, h, "/api/v1/users/27956157", 200)
	want(t, v, true, "found")
	want(t, v, "3441.50", "rules", 0, "total")
	want(t, v, 12.0, "rules", 0, "count")
	want(t, v, "-441.50", "rules", 0, "distance")
	want(t, v, true, "rules", 0, "above")
	want(t, v, "7d", "rules", 0, "window")
	want(t, v, "announced", "rules", 0, "edges", 0, "status")
	want(t, v, "10", "rules", 2, "limit")
	want(t, v, "2026-03-08T12:00:00.000000Z", "now")
	want(t, v, 199.0, "as_of", "input_offset")
	want(t, v, "841.50", "rows", 0, "amount")
	want(t, v, "NL", "rows", 0, "columns", "country")
	want(t, v, 12.0, "rows_total")

	v = getJSON(t, h, "/api/v1/users/27956157?rows=2", 200)
	if n := len(at(v, "rows").([]any)); n != 2 {
		t.Errorf("%d rows, want 2", n)
	}
	v = getJSON(t, h, "/api/v1/users/small", 200)
	want(t, v, false, "rules", 0, "complete")
	want(t, v, "201.00", "rules", 0, "ahead", "total")
	want(t, v, "2026-03-07T12:00:00.000000Z", "dropped_to")
	v = getJSON(t, h, "/api/v1/users/nobody", 200)
	want(t, v, false, "found")
	want(t, v, "0.00", "rules", 0, "total")
	want(t, v, -1.0, "as_of", "input_offset")
}

func TestHostileUserIDs(t *testing.T) {
	h := New(newFakes().options())
	for _, id := range []string{hostile, "a/b", "..", ".", "a//b", "%2F", "?#&", " ", "\x00", "ü", `{"a":1}`} {
		v := getJSON(t, h, "/api/v1/users/"+strings.ReplaceAll(url.PathEscape(id), ".", "%2E"), 200)
		want(t, v, id, "id")
		r := get(t, h, "/?user="+url.QueryEscape(id))
		body, _ := io.ReadAll(r.Body)
		if r.StatusCode != 200 || strings.Contains(string(body), "<script>alert") {
			t.Errorf("page for %q: status %d, or the id is markup", id, r.StatusCode)
		}
	}
	wantProblem(t, getJSON(t, h, "/api/v1/users/"+strings.Repeat("x", maxIDBytes+1), 400), "bad_user_id")
	wantProblem(t, getJSON(t, h, "/api/v1/users/%FF", 400), "bad_user_id")
}

func TestAlerts(t *testing.T) {
	h := New(newFakes().withTopics(t))
	v := getJSON(t, h, "/api/v1/alerts?limit=3", 200)
	if n := len(at(v, "alerts").([]any)); n != 3 {
		t.Errorf("%d alerts, want 3", n)
	}
	want(t, v, "27956157", "alerts", 0, "user_id")
	want(t, v, "3441.50", "alerts", 0, "database", "total")
	v = getJSON(t, h, "/api/v1/users/27956157/alerts", 200)
	if n := len(at(v, "alerts").([]any)); n != 2 {
		t.Errorf("%d alerts of the user, want 2", n)
	}
	v = getJSON(t, h, "/api/v1/users/nobody/alerts", 200)
	if n := len(at(v, "alerts").([]any)); n != 0 {
		t.Errorf("%d alerts of nobody", n)
	}
	for _, limit := range []string{"x", "-1", "501", "1e2", "0"} {
		wantProblem(t, getJSON(t, h, "/api/v1/alerts?limit="+limit, 400), "bad_parameter")
	}
}

// What is asked for and not understood is refused: else the answer is taken for what was asked.
func TestParameters(t *testing.T) {
	h := New(newFakes().withTopics(t))
	v := getJSON(t, h, "/api/v1/alerts?user=27956157", 200)
	if n := len(at(v, "alerts").([]any)); n != 2 {
		t.Errorf("%d alerts of the user, want 2", n)
	}
	for i := range 2 {
		want(t, v, "27956157", "alerts", i, "user_id")
	}
	want(t, v, false, "more")
	v = getJSON(t, h, "/api/v1/alerts?user=27956157&limit=1", 200)
	want(t, v, nil, "alerts", 1)
	want(t, v, true, "more")
	want(t, getJSON(t, h, "/api/v1/alerts?user=nobody", 200), nil, "alerts", 0)
	v = getJSON(t, h, "/api/v1/alerts?limit=3", 200)
	want(t, v, true, "more") // of eight
	want(t, getJSON(t, h, "/api/v1/alerts?limit=8", 200), false, "more")
	want(t, getJSON(t, h, "/api/v1/alerts", 200), false, "more")

	for target, named := range map[string]string{
		"/api/v1/alerts?usr=27956157": `"usr"`, "/api/v1/alerts?limit=1&User=1&reason=high": `"User", "reason"`,
		"/api/v1/alerts?limit=1&limit=2": `"limit"`,
		"/api/v1/alerts?user=a&user=b":   `"user"`, "/api/v1/alerts?user=": "user", "/api/v1/alerts?limit=": "limit",
		"/api/v1/alerts?limit":  "limit",
		"/api/v1/alerts?rows=1": `"rows"`, "/api/v1/users/1?limit=1": `"limit"`, "/api/v1/users/1?rows=": "rows",
		"/api/v1/users/1/alerts?limit=1": `"limit"`,
		"/api/v1/users/1/alerts?user=2":  `"user"`, "/api/v1/status?stage=route": `"stage"`,
		"/api/v1/rules?id=r": `"id"`, "/api/v1/topology?x": `"x"`,
		"/api/v1/alerts?limit=1;user=2": "query", "/api/v1/alerts?user=%zz": "query", "/api/v1/status?%zz=1": "query",
	} {
		v := getJSON(t, h, target, 400)
		wantProblem(t, v, "bad_parameter")
		if got := fmt.Sprint(at(v, "detail")); !strings.Contains(got, named) || at(v, "remedy") == nil {
			t.Errorf("%s: %v, which should name %s", target, v, named)
		}
	}
	wantProblem(t, getJSON(t, h, "/api/v1/alerts?user="+strings.Repeat("x", maxIDBytes+1), 400), "bad_user_id")

	// The page says it to people.
	for _, target := range []string{"/?usr=27956157", "/?user=1&rule=r", "/?user=1&user=2"} {
		r := get(t, h, target)
		body, _ := io.ReadAll(r.Body)
		text := string(body)
		if r.StatusCode != 400 || !strings.Contains(text, "<!doctype html>") || !strings.Contains(text, "Remedy: ") {
			t.Errorf("%s: status %d, and the page does not say why", target, r.StatusCode)
		}
	}
	if r := get(t, h, "/?user="); r.StatusCode != 200 { // the form, sent empty by a browser that lets it
		t.Errorf("an empty search: status %d", r.StatusCode)
	}
	// Probes and scrapes may say what they like: Prometheus has parameters of its own.
	for _, target := range []string{
		"/healthz?verbose", "/readyz?x=1", "/metrics?name[]=brimline_test_gauge", "/assets/page.js?v=2",
	} {
		if r := get(t, h, target); r.StatusCode != 200 {
			t.Errorf("%s: status %d", target, r.StatusCode)
		}
	}
}

func TestReady(t *testing.T) {
	f := newFakes()
	h := New(f.options())
	want(t, getJSON(t, h, "/healthz", 200), true, "alive")
	want(t, getJSON(t, h, "/readyz", 200), true, "ready")

	f.status.Stages[1].Partitions[7].State = Recovering // another instance's
	f.status.Stages[3].Here, f.status.Stages[3].State = false, Stopped
	want(t, getJSON(t, h, "/readyz", 200), true, "ready")

	offset, end := int64(1199), int64(5000)
	p := &f.status.Stages[1].Partitions[2]
	p.State, p.TableOffset, p.TableEnd = Recovering, &offset, &end
	v := getJSON(t, h, "/readyz", 503)
	want(t, v, "stage window: partition 2 of brimline-changes is recovering, at 1200 of 5000", "reasons", 0)
	want(t, v, "recovering", "stages", 1, "partitions", 2, "state")

	f.status.Views[0].Recovered = false
	v = getJSON(t, h, "/readyz", 503)
	want(t, v, "the view of brimline-window-table is still reading its table", "reasons", 1)
	// Being alive is another question.
	want(t, getJSON(t, h, "/healthz", 200), true, "alive")
}

// An instance is taken out of traffic only where another one would do better, or where nothing can be asked of it.
func TestWhatIsDegradedIsReady(t *testing.T) {
	for _, c := range []struct {
		what     string
		change   func(*Status)
		ready    bool
		said     string // in degraded or reasons
		degraded int
	}{
		{"in order", func(*Status) {}, true, "", 0},
		{"PostgreSQL away", func(s *Status) { s.Stages[2].State, s.Stages[2].Reason = Waiting, "for PostgreSQL since noon" },
			true, "stage verify is waiting: for PostgreSQL since noon", 1},
		{"other rules", func(s *Status) {
			for i := range s.Stages {
				s.Stages[i].State, s.Stages[i].Reason, s.Stages[i].Served = Waiting, "for one", false
			}
		}, true, "stages route, window, verify and index are waiting: for one", 1},
		{"a stage that ended", func(s *Status) {
			s.Stages[0].State, s.Stages[0].Reason, s.Stages[0].Served = Failed, "after no", true
		}, true, "stage route is failed: after no", 1},
		{"a stage that never ran", func(s *Status) { s.Stages[0].State, s.Stages[0].Reason = Failed, "after no" },
			false, "stage route is failed: after no", 0},
		{"no partitions yet", func(s *Status) { s.Stages[1].State, s.Stages[1].Served = Starting, true },
			false, "stage window is starting", 0},
		{"recovering", func(s *Status) { s.Stages[1].State, s.Stages[1].Served = Recovering, true },
			false, "stage window is recovering", 0},
		{"stopping", func(s *Status) { s.Stopping = true }, false, "the instance is stopping", 0},
		{"a warning", func(s *Status) {
			s.Notices = []Notice{{Level: Note, Message: "all is well"},
				{Level: Warning, Message: "3 dead letters", Remedy: "list"}}
		}, true, "3 dead letters (remedy: list)", 1},
		{"recovering, and PostgreSQL away", func(s *Status) {
			s.Stages[2].State, s.Stages[1].Partitions[0].State = Waiting, Recovering
		}, false, "stage window: partition 0 of brimline-changes is recovering", 1},
	} {
		t.Run(c.what, func(t *testing.T) {
			f := newFakes()
			c.change(&f.status)
			code := map[bool]int{true: 200, false: 503}[c.ready]
			v := getJSON(t, New(f.options()), "/readyz", code)
			want(t, v, c.ready, "ready")
			list := "degraded"
			if !c.ready {
				list = "reasons"
			}
			if c.said == "" {
				want(t, v, nil, list, 0)
			} else {
				want(t, v, c.said, list, 0)
			}
			if got := len(v["degraded"].([]any)); got != c.degraded {
				t.Errorf("%d degraded, want %d", got, c.degraded)
			}
			body, _ := io.ReadAll(get(t, New(f.options()), "/").Body)
			if !strings.Contains(string(body), html.EscapeString(strings.TrimSuffix(c.said, " (remedy: list)"))) {
				t.Errorf("the page does not say %q", c.said)
			}
		})
	}
}

// One reason that keeps several stages is said once, and so is its remedy; the stages stay in the order of the flow.
func TestOneReasonIsSaidOnce(t *testing.T) {
	f := newFakes()
	for i := range f.status.Stages {
		s := &f.status.Stages[i]
		s.State, s.Reason, s.Remedy = Waiting, "other rules than ours", "start them with the same file"
	}
	f.status.Stages[2].Reason = "PostgreSQL does not answer"
	f.status.Notices = []Notice{{Kind: "rules_disagree", Level: Warning, Message: "they differ"}}
	v := getJSON(t, New(f.options()), "/readyz", 200)
	const remedy = " (remedy: start them with the same file)"
	want(t, v, "stages route, window and index are waiting: other rules than ours"+remedy, "degraded", 0)
	want(t, v, "stage verify is waiting: PostgreSQL does not answer"+remedy, "degraded", 1)
	want(t, v, "they differ", "degraded", 2)
	want(t, v, nil, "degraded", 3)
	want(t, v, "start them with the same file", "stages", 0, "remedy")
	want(t, v, "they differ", "notices", 0, "message")
	body, _ := io.ReadAll(get(t, New(newFakes().options()), "/api/v1/status").Body)
	if !strings.Contains(string(body), `"notices":[]`) {
		t.Errorf("no list of notices: %s", body)
	}
}

func TestErrors(t *testing.T) {
	f := newFakes()
	f.err = errNotYet
	h := New(f.options())
	for _, target := range []string{"/api/v1/users/1", "/api/v1/users/1/alerts", "/api/v1/users/27956157/alerts"} {
		v := getJSON(t, h, target, 503)
		wantProblem(t, v, "view_not_recovered")
		want(t, v, "view: 2 of 8 partitions are complete", "detail")
		want(t, v, "ask again in a moment", "remedy")
	}
	r := get(t, h, "/?user=1")
	body, _ := io.ReadAll(r.Body)
	if r.StatusCode != 503 || !strings.Contains(string(body), "2 of 8 partitions are complete") {
		t.Errorf("the page does not say why: status %d", r.StatusCode)
	}
	f.err = errors.New("odd")
	wantProblem(t, getJSON(t, h, "/api/v1/users/1", 500), "internal")

	o := f.options()
	o.Users, o.Alerts = nil, nil
	h = New(o)
	for _, target := range []string{"/api/v1/users/1", "/api/v1/users/1/alerts", "/api/v1/users/27956157/alerts"} {
		wantProblem(t, getJSON(t, h, target, 503), "no_view")
	}
	if r := get(t, h, "/"); r.StatusCode != 200 {
		t.Errorf("the page without views: status %d", r.StatusCode)
	}
	for _, target := range []string{"/nothing", "/api/v1/users/", "/api/v2/status", "/assets/", "/assets/page.html"} {
		wantProblem(t, getJSON(t, h, target, 404), "not_found")
	}
}

func TestRulesAndTopology(t *testing.T) {
	h := New(newFakes().options())
	v := getJSON(t, h, "/api/v1/rules", 200)
	want(t, v, "3000.00", "rules", 0, "limit")
	want(t, v, "14d", "retention")
	want(t, v, `amount < -500 && country != "DE"`, "rules", 1, "where")
	v = getJSON(t, h, "/api/v1/topology", 200)
	want(t, v, "route", "stages", 0, "name")
	want(t, v, "brimline-window-table", "stages", 1, "table", "topic")
	v = getJSON(t, h, "/api/v1/status", 200)
	want(t, v, 1284.0, "stages", 2, "lag")
}

func TestMetrics(t *testing.T) {
	r := get(t, New(newFakes().options()), "/metrics")
	body, _ := io.ReadAll(r.Body)
	if !strings.Contains(string(body), "brimline_test_gauge 0") {
		t.Errorf("metrics: %s", body)
	}
}

func TestHeadersAndMethods(t *testing.T) {
	h := New(newFakes().options())
	for _, target := range []string{"/", "/healthz", "/metrics", "/api/v1/status", "/nothing", "/assets/page.js"} {
		r := get(t, h, target)
		for header, part := range map[string]string{
			"Content-Security-Policy": "default-src 'none'", "X-Content-Type-Options": "nosniff",
			"X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "no-store",
		} {
			if !strings.Contains(r.Header.Get(header), part) {
				t.Errorf("%s: %s is %q", target, header, r.Header.Get(header))
			}
		}
		for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "TRACE"} {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(method, target, nil))
			if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: status %d", method, target, w.Code)
			}
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodHead, target, nil))
		if w.Code != r.StatusCode {
			t.Errorf("HEAD %s: status %d", target, w.Code)
		}
	}
}

// The policy forbids what a browser would otherwise run or load from the page itself.
func TestPageKeepsItsPolicy(t *testing.T) {
	f := newFakes()
	f.status.Stages[1].Reason = hostile
	f.rules.Rules[0].Description, f.rules.Rules[0].Severity, f.rules.Rules[0].ID = hostile, hostile, hostile
	row := f.windows["27956157"].Rows[3].Transaction("")
	row.ID, row.Columns[0].Value, row.Columns[1].Name = hostile, hostile, hostile
	f.windows["27956157"].Rows[3] = brimline.RowOf(&row)
	f.status.Group, f.status.Instance = hostile, hostile
	h := New(f.options())
	for _, target := range []string{"/", "/?user=27956157", "/?user=" + url.QueryEscape(hostile)} {
		body, _ := io.ReadAll(get(t, h, target).Body)
		for _, forbidden := range []string{`(?i)<script>`, `(?i)\sstyle\s*=`, `(?i)<[^>]*\son[a-z]+\s*=`,
			`(?i)javascript:`, `(?:src|href)="(?:https?:)?//`} {
			if m := regexp.MustCompile(forbidden).Find(body); m != nil {
				t.Errorf("%s: %s", target, m)
			}
		}
	}
}

func TestPageWithoutScript(t *testing.T) {
	h := New(newFakes().options())
	body, _ := io.ReadAll(get(t, h, "/?user=27956157").Body)
	for _, part := range []string{"3,441.50", "441.50 above the limit", "of 3,000.00 in 7d", "-640.00",
		"input offset 199 of partition 3", "1,284", `<form action="/" method="get"`, "verified"} {
		if !strings.Contains(string(body), part) {
			t.Errorf("the page lacks %q", part)
		}
	}
	// Parts that the script exchanges are found by their ids in both pages.
	if n := len(regexp.MustCompile(`<section id="[a-z]+"[^>]* data-live`).FindAll(body, -1)) +
		strings.Count(string(body), `id="recent" data-live`); n < 3 {
		t.Errorf("%d live parts, want 3", n)
	}
}

// What the page says in words, where numbers and names are of every kind.
func TestPageWords(t *testing.T) {
	f := newFakes()
	page := func(target string) string {
		body, _ := io.ReadAll(get(t, New(f.options()), target).Body)
		return string(body)
	}
	title := regexp.MustCompile(`<title>(.*)</title>`)
	for _, x := range []struct{ group, target, want string }{
		{"brimline", "/", "brimline"}, {"brimline", "/?user=7", "7 · brimline"},
		{"payments", "/", "brimline · payments"}, {"payments", "/?user=7", "7 · brimline · payments"},
	} {
		f.status.Group = x.group
		if got := title.FindStringSubmatch(page(x.target)); got == nil || got[1] != x.want {
			t.Errorf("%s of group %s has the title %q, want %q", x.target, x.group, got, x.want)
		}
	}

	has := func(target string, parts ...string) {
		t.Helper()
		text := page(target)
		for _, part := range parts {
			if !strings.Contains(text, part) {
				t.Errorf("%s lacks %q", target, part)
			}
		}
	}
	// A row that is dated in the future: that it is there, when it counts, and where now is in the chart.
	has("/?user=small", "1 row is dated in the future", "at the newest row the total is 201.00", `<line class="now"`,
		`counts from <time datetime="2026-03-08T13:00:00.000000Z">2026-03-08 13:00:00</time> on`)
	later := brimline.RowOf(&brimline.Transaction{ID: "3", Amount: amountOf("2.00"), Time: noon.Add(2 * time.Hour)})
	f.windows["small"].Rows = append(f.windows["small"].Rows, later)
	has("/?user=small", "2 rows are dated in the future", "count from their own times on, the first from <time",
		"at the newest row the total is 203.00")
	if text := page("/?user=27956157"); strings.Contains(text, "in the future") {
		t.Error("a user without future rows is told of some")
	}
	f.lag = 1
	has("/?user=small", "1 record unread")
	f.lag = 2000
	has("/?user=small", "2,000 records unread")
	f.status.Stages[0].Partitions = f.status.Stages[0].Partitions[:1]
	has("/", "1 of 1 partition here", "4 of 8 partitions here")
	f.status.Notices = []Notice{
		{Kind: "k", Level: Warning, Message: "PostgreSQL differs", Remedy: "look at <it>"},
		{Kind: "k", Level: Note, Message: "a note"},
	}
	has("/", `<p class="notice warning"><bdi>PostgreSQL differs</bdi>. Remedy: <bdi>look at &lt;it&gt;</bdi>.</p>`,
		`<p class="notice note"><bdi>a note</bdi>.</p>`)
	v := getJSON(t, New(f.options()), "/api/v1/users/small", 200)
	want(t, v, 2.0, "future", "rows")
	want(t, v, "2026-03-08T13:00:00.000000Z", "future", "first")
	want(t, v, "2026-03-08T14:00:00.000000Z", "future", "last")
	want(t, getJSON(t, New(f.options()), "/api/v1/users/27956157", 200), nil, "future")
}

// The page has words for every measure.
func TestMeasuresInWords(t *testing.T) {
	words := map[string]brimline.Measure{}
	for _, m := range brimline.Measures() {
		text := measureText(m.String())
		if other, taken := words[text]; taken || text == m.String() {
			t.Errorf("measure %v is %q, as is %v", m, text, other)
		}
		words[text] = m
	}
}

// TestPageTellsOneStory: beside an alert stands which one supersedes it, and beside that how many it supersedes.
func TestPageTellsOneStory(t *testing.T) {
	f := newFakes()
	late := f.alert("27956157", 0, f.alerts[0].Candidate.Edge-1)
	late.Supersedes = []brimline.Time{f.alerts[0].Candidate.Edge}
	f.alerts = append([]*brimline.Alert{late}, f.alerts...)
	for _, target := range []string{"/", "/?user=27956157"} {
		r := get(t, New(f.options()), target)
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			">superseded by " + present.Time(late.Candidate.Edge) + "<", ">supersedes 1<",
			"what was told at " + f.alerts[1].Candidate.Edge.String() + " began here",
		} {
			if !strings.Contains(string(body), want) {
				t.Errorf("%s does not say %q", target, want)
			}
		}
	}
}

// TestDistrustedUser: figures that only PostgreSQL knows are null, as the document says; what could not be judged is
// not called announced.
func TestDistrustedUser(t *testing.T) {
	f := newFakes()
	w := f.windows["27956157"]
	w.Doubt = brimline.Doubt{Offset: 1, Reason: brimline.ByCommand, At: noon, Floor: noon}
	for i := range w.Rules {
		for j := range w.Rules[i].Edges {
			w.Rules[i].Edges[j].Status = brimline.Unjudged
		}
	}
	v := getJSON(t, New(f.options()), "/api/v1/users/27956157", 200)
	want(t, v, "command", "distrusted", "reason")
	want(t, v, nil, "rules", 0, "total")
	want(t, v, nil, "rules", 0, "count")
	want(t, v, "unjudged", "rules", 0, "edges", 0, "status")
}
