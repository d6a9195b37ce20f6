package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/access"
	"github.com/brimline/brimline/internal/explain"
	"github.com/brimline/brimline/internal/rules"
	"github.com/brimline/brimline/views"
)

const (
	reader   = "the-token-of-a-reader"
	operator = "the-token-of-an-operator"
)

// guardedTokens are those of a file that changes.
type guardedTokens struct{ atomic.Pointer[access.Tokens] }

func (g *guardedTokens) set(t *testing.T, text string) {
	t.Helper()
	tokens, err := access.Parse("tokens", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	g.Store(tokens)
}

// retries stands in for the app, which TestRetryByHTTP there has for real.
type retries struct {
	mu  sync.Mutex
	all []string
	err error
}

func (r *retries) Retry(_ context.Context, partition int32, offset int64) (Retried, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, fmt.Sprintf("%d/%d", partition, offset))
	return Retried{Topic: "postgres.streaming.transactions", Partition: 1, Offset: 7, Into: "source"}, r.err
}

// house is a server with tokens, and its log.
type house struct {
	t       *testing.T
	url     string
	tokens  *guardedTokens
	retries *retries
	log     *lines
}

// lines is a log that may be read while it is written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newHouse(t *testing.T, change func(*Options)) *house {
	t.Helper()
	f := newFakes()
	o, x := f.onTopics(t)
	x.follow(&o)
	asker := &explain.Asker{Users: f, Log: x.reader, Streams: o.Streams, Now: o.Now}
	for _, rule := range f.rules.Rules {
		compiled, err := rules.CompileRule(rule, f.rules.Columns, f.rules.Scale)
		if err != nil {
			t.Fatal(err)
		}
		asker.Rules = append(asker.Rules, compiled)
	}
	h := &house{t: t, tokens: &guardedTokens{}, retries: &retries{}, log: &lines{}}
	h.tokens.set(t, "ada read "+reader+"\nbob operate "+operator)
	o.Explain, o.Operator, o.Admission.Tokens = asker, h.retries, h.tokens.Load
	o.Events, o.LogRequests = slog.New(slog.NewTextHandler(h.log, nil)), true
	if change != nil {
		change(&o)
	}
	h.url, _ = serve(t, New(o))
	return h
}

// ask sends a request with a token, and gives the answer with its body read.
func (h *house) ask(method, target, token, body string, headers ...string) (*http.Response, string) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, h.url+target, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	response, err := client.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer response.Body.Close()
	if strings.HasPrefix(response.Header.Get("Content-Type"), "text/event-stream") {
		return response, "" // has no end
	}
	text, err := io.ReadAll(response.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	if strings.HasPrefix(target, "/api/") {
		response.Body = io.NopCloser(bytes.NewReader(text))
		keepsContract(h.t, r, response)
	}
	return response, string(text)
}

// Each address that the description has asks who is there: 401 without a token, 403 for a reader where something is
// changed, 200 with the role that it takes.
func TestEveryAddressAsksWhoIsThere(t *testing.T) {
	h := newHouse(t, nil)
	c, err := theContract()
	if err != nil {
		t.Fatal(err)
	}
	alert := url.QueryEscape(newFakes().alerts[0].Candidate.ID())
	targets := map[string]string{
		"/api/v1/users/{id}": "/api/v1/users/27956157", "/api/v1/users/{id}/alerts": "/api/v1/users/27956157/alerts",
		"/api/v1/users/{id}/explain": "/api/v1/users/27956157/explain", "/api/v1/alerts/by-id": "/api/v1/alerts/by-id?id=" + alert,
	}
	bodies := map[string]string{retryPath: `{"partition":0,"offset":3}`}
	operations := 0
	for path, item := range c.model.Paths.PathItems.FromOldest() {
		target := path
		if t, ok := targets[path]; ok {
			target = t
		}
		for method, operation := range item.GetOperations().FromOldest() {
			operations++
			method = strings.ToUpper(method)
			role := access.Read
			if len(operation.Security) > 0 {
				role = access.Operate
			}
			if role == access.Operate != (method != http.MethodGet) {
				t.Errorf("%s %s is described with the role %s", method, path, role)
			}
			for _, x := range []struct {
				what, token string
				status      int
			}{
				{"no token", "", 401}, {"a wrong token", reader + "x", 401}, {"a reader", reader, 200}, {"an operator", operator, 200},
			} {
				if x.what == "a reader" && role == access.Operate {
					x.status = 403
				}
				response, body := h.ask(method, target, x.token, bodies[path])
				if response.StatusCode != x.status {
					t.Errorf("%s %s with %s: %d, want %d: %s", method, target, x.what, response.StatusCode, x.status, body)
				}
				if x.status == 401 && response.Header.Get("WWW-Authenticate") == "" {
					t.Errorf("%s %s with %s: no WWW-Authenticate", method, target, x.what)
				}
				if strings.Contains(body, "the-token") {
					t.Errorf("%s %s repeats the token: %s", method, target, body)
				}
			}
		}
	}
	if operations != len((&handler{}).routes()) {
		t.Errorf("%d operations are described, %d addresses served", operations, len((&handler{}).routes()))
	}
	if got := strings.Join(h.retries.all, " "); got != "0/3" {
		t.Errorf("retried: %q", got)
	}
	log := h.log.String()
	if !strings.Contains(
		log,
		`msg=audit what="dead letter retried" who=bob role=operate from=127.0.0.1 letter=0/3 done=true`,
	) {
		t.Errorf("what the operator did is not in the log:\n%s", log)
	}
	for _, secret := range []string{"27956157", "the-token", alert} {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds %s:\n%s", secret, log)
		}
	}
	if !strings.Contains(log, "method=GET route=/api/v1/users/{id} status=200 ") ||
		!strings.Contains(log, "who=ada from=127.0.0.1") ||
		!strings.Contains(log, "status=401") ||
		!strings.Contains(log, "who=anonymous") {
		t.Errorf("requests are not in the log:\n%s", log)
	}
}

// What is beside the API: probes come without a token and learn what they need, metrics and the page do not.
func TestOtherAddressesAskWhoIsThere(t *testing.T) {
	h := newHouse(t, nil)
	for _, x := range []struct {
		target, token string
		status        int
	}{
		{"/healthz", "", 200}, {"/readyz", "", 200}, {"/metrics", "", 401}, {"/metrics", reader, 200}, {"/", "", 303}, {"/", reader, 200},
		{"/?user=27956157", "", 303}, {"/assets/style.css", "", 200}, {"/nothing", "", 404}, {"/login", "", 200}, {"/logout", "", 405},
		{"/readyz", reader + "x", 200}, {"/", reader + "x", 401},
	} {
		response, body := h.ask(http.MethodGet, x.target, x.token, "")
		if response.StatusCode != x.status {
			t.Errorf("%s: %d, want %d: %s", x.target, response.StatusCode, x.status, body)
		}
		if x.target == "/readyz" && (strings.Contains(body, "stages") || !strings.Contains(body, `"group":"brimline"`)) {
			t.Errorf("%s: %s", x.target, body)
		}
		if x.status == 303 && !strings.HasPrefix(response.Header.Get("Location"), "/login") {
			t.Errorf("%s leads to %s", x.target, response.Header.Get("Location"))
		}
	}
	if _, body := h.ask(http.MethodGet, "/readyz", reader, ""); !strings.Contains(body, "stages") {
		t.Errorf("a reader is told less: %s", body)
	}
	for name, header := range map[string]string{
		"Basic": "Basic " + reader, "no scheme": reader, "no token": "Bearer", "an empty token": "Bearer ", "two": "Bearer a b",
	} {
		response, _ := h.ask(http.MethodGet, "/api/v1/status", "", "", "Authorization", header)
		if response.StatusCode != 401 {
			t.Errorf("%s: %d", name, response.StatusCode)
		}
	}
	response, _ := h.ask(http.MethodGet, "/api/v1/status", "", "", "Authorization", "bearer  "+reader)
	if response.StatusCode != 200 {
		t.Errorf("a scheme in small letters: %d", response.StatusCode)
	}
}

// Without a file of tokens everybody who comes may read, and none may change anything. With --allow-anonymous, too, and
// tokens do the rest.
func TestAnonymous(t *testing.T) {
	const letter = `{"partition":0,"offset":3}`
	h := newHouse(t, func(o *Options) { o.Admission = Admission{} })
	for token, status := range map[string]int{"": 403, operator: 403} {
		if response, _ := h.ask(http.MethodGet, "/api/v1/rules", token, ""); response.StatusCode != 200 {
			t.Errorf("reading: %d", response.StatusCode)
		}
		response, body := h.ask(http.MethodPost, retryPath, token, letter)
		if response.StatusCode != status || !strings.Contains(body, "--tokens-file") {
			t.Errorf("changing: %d, %s", response.StatusCode, body)
		}
	}
	if response, _ := h.ask(http.MethodGet, "/login", "", ""); response.StatusCode != 404 {
		t.Errorf("there is a login without tokens: %d", response.StatusCode)
	}
	h = newHouse(t, func(o *Options) { o.Admission.Anonymous = true })
	for _, x := range []struct {
		token        string
		read, change int
	}{{"", 200, 401}, {reader, 200, 403}, {operator, 200, 200}, {"the-token-of-nobody", 401, 401}} {
		if response, _ := h.ask(http.MethodGet, "/api/v1/rules", x.token, ""); response.StatusCode != x.read {
			t.Errorf("%q reads: %d", x.token, response.StatusCode)
		}
		if response, _ := h.ask(http.MethodPost, retryPath, x.token, letter); response.StatusCode != x.change {
			t.Errorf("%q changes: %d", x.token, response.StatusCode)
		}
	}
}

// browser keeps cookies, and sends forms as pages do.
type browser struct {
	*house
	http.Client
}

func (h *house) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return &browser{h, http.Client{Jar: jar}}
}

func (b *browser) get(target string) (int, string) {
	b.t.Helper()
	response, err := b.Get(b.url + target)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(text)
}

var hiddenForm = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

func (b *browser) form(page string) string {
	b.t.Helper()
	m := hiddenForm.FindStringSubmatch(page)
	if m == nil {
		b.t.Fatalf("no form in\n%s", page)
	}
	return m[1]
}

func (b *browser) send(target string, fields ...string) (int, string) {
	b.t.Helper()
	values := url.Values{}
	for i := 0; i+1 < len(fields); i += 2 {
		values.Set(fields[i], fields[i+1])
	}
	response, err := b.PostForm(b.url+target, values)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(text)
}

// post sends JSON with the cookies.
func (b *browser) post(target, body, form string) int {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.url+target, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if form != "" {
		r.Header.Set("X-CSRF-Token", form)
	}
	response, err := b.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode
}

// A person logs in with a token, looks, changes something, and logs out.
func TestLogin(t *testing.T) {
	h := newHouse(t, nil)
	b := h.browser()
	status, page := b.get("/?user=27956157")
	if status != 200 || !strings.Contains(page, `action="/login"`) || strings.Contains(page, "3,441.50") {
		t.Fatalf("%d\n%s", status, page)
	}
	form := b.form(page)
	if status, page = b.send("/login", "token", operator, "csrf", "made-up"); status != 403 ||
		!strings.Contains(page, "csrf") {
		t.Errorf("a form of another page: %d\n%s", status, page)
	}
	if status, page = b.send("/login", "token", operator+"x", "csrf", form); status != 401 ||
		!strings.Contains(page, "not known here") {
		t.Errorf("a wrong token: %d\n%s", status, page)
	}
	if strings.Contains(page, operator) {
		t.Error("the page repeats a token")
	}
	if status, _ = h.browser().send("/login", "token", operator, "csrf", form); status != 403 {
		t.Errorf("a form of another visit: %d", status)
	}
	status, page = b.send("/login", "token", " "+operator+"\n", "csrf", form, "user", "27956157")
	if status != 200 || !strings.Contains(page, "bob") || !strings.Contains(page, `27956157</bdi></h2>`) {
		t.Fatalf("%d\n%s", status, page)
	}
	session := b.form(page)
	if status, _ = b.get("/api/v1/users/27956157"); status != 200 {
		t.Errorf("the API with the cookie: %d", status)
	}
	const letter = `{"partition":0,"offset":4}`
	for form, want := range map[string]int{"": 403, "made-up": 403, access.NewSessions().Form("x"): 403, session: 200} {
		if got := b.post(retryPath, letter, form); got != want {
			t.Errorf("a change with the form %q: %d, want %d", form, got, want)
		}
	}
	at, _ := url.Parse(b.url)
	kept := b.Jar.Cookies(at)
	if status, _ = b.send("/logout"); status != 403 {
		t.Errorf("a logout that the page did not send: %d", status)
	}
	if status, page = b.send("/logout", "csrf", session); status != 200 || !strings.Contains(page, `action="/login"`) {
		t.Errorf("%d\n%s", status, page)
	}
	if status, _ = b.get("/api/v1/users/27956157"); status != 401 {
		t.Errorf("after the logout: %d", status)
	}
	b.Jar.SetCookies(at, kept)
	if status, _ = b.get("/api/v1/users/27956157"); status != 401 {
		t.Errorf("with the cookie of before the logout: %d", status)
	}
	log := h.log.String()
	for _, want := range []string{
		`msg="login refused" from=127.0.0.1`, `msg="logged in" who=bob role=operate from=127.0.0.1`,
		`msg="logged out" who=bob`, `msg=audit what="dead letter retried" who=bob role=operate from=127.0.0.1 letter=0/4 done=true`,
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %s:\n%s", want, log)
		}
	}
	if strings.Contains(log, "the-token") || strings.Contains(log, "27956157") {
		t.Errorf("the log holds a token or a user:\n%s", log)
	}
}

// The cookie is out of reach of scripts, of other sites, and of other ports' servers.
func TestCookies(t *testing.T) {
	for _, by := range []struct {
		tls   bool
		proxy string // the scheme by which a proxy was asked
	}{{}, {tls: true}, {proxy: "https"}, {proxy: "http"}} {
		secure := by.tls || by.proxy == "https"
		h := newHouse(t, func(o *Options) { o.Admission.TLS, o.Base = by.tls, "/risk" })
		response, page := h.ask(http.MethodGet, "/risk/login", "", "", "X-Forwarded-Proto", by.proxy)
		visit := response.Cookies()
		if len(visit) != 1 {
			t.Fatalf("%v", response.Header)
		}
		body := url.Values{"token": {reader}, "csrf": {hiddenForm.FindStringSubmatch(page)[1]}}.Encode()
		response, page = h.ask(http.MethodPost, "/risk/login", "", body, "Content-Type", "application/x-www-form-urlencoded",
			"Cookie", visit[0].Name+"="+visit[0].Value, "X-Forwarded-Proto", by.proxy)
		if response.StatusCode != 303 || response.Header.Get("Location") != "/risk/" || len(response.Cookies()) != 1 {
			t.Fatalf("%d %v %s", response.StatusCode, response.Header, page)
		}
		for _, c := range append(visit, response.Cookies()...) {
			if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/risk/" || c.Secure != secure ||
				c.MaxAge <= 0 ||
				strings.Contains(c.Value, reader) || !strings.HasPrefix(c.Name, "brimline-") {
				t.Errorf("%+v: %s", by, c)
			}
		}
	}
}

// A token that is taken out of the file ends what it opened: requests, logins, and streams at their next sign of life.
func TestTokensThatEnd(t *testing.T) {
	h := newHouse(t, nil)
	b := h.browser()
	_, page := b.get("/login")
	b.send("/login", "token", reader, "csrf", b.form(page))
	if status, _ := b.get("/api/v1/rules"); status != 200 {
		t.Fatalf("%d", status)
	}
	h.tokens.set(t, "ada operate "+reader)
	if got := b.post(retryPath, `{"partition":0,"offset":1}`, ""); got != 403 {
		t.Errorf("with another role, without the form: %d", got)
	}
	h.tokens.set(t, "bob operate "+operator)
	if status, _ := b.get("/api/v1/rules"); status != 401 {
		t.Errorf("the login of a token that is gone: %d", status)
	}
	if response, _ := h.ask(http.MethodGet, "/api/v1/rules", reader, ""); response.StatusCode != 401 {
		t.Errorf("a token that is gone: %d", response.StatusCode)
	}
	v := &visit{tokens: h.tokens.Load}
	v.who, _ = h.tokens.Load().Of(operator)
	s := &streaming{visit: v}
	if !v.still() {
		t.Error("a stream ends that need not")
	}
	h.tokens.set(t, "ada operate "+reader)
	if err := s.deliver(nil, "x"); !errors.Is(err, errTokenGone) {
		t.Errorf("a stream goes on: %v", err)
	}
}

// Who comes by a link of another site brings no cookie along; the page asks once more from here.
func TestLinksFromElsewhere(t *testing.T) {
	h := newHouse(t, nil)
	response, body := h.ask(http.MethodGet, "/?user=a%26b%22", "", "", "Sec-Fetch-Site", "cross-site")
	if response.StatusCode != 200 || !strings.Contains(body, `content="0;url=/?user=a%26b%22"`) {
		t.Errorf("%d %s", response.StatusCode, body)
	}
	response, _ = h.ask(http.MethodGet, "/?user=a", "", "", "Sec-Fetch-Site", "same-origin")
	if response.StatusCode != 303 || response.Header.Get("Location") != "/login?user=a" {
		t.Errorf("%d %s", response.StatusCode, response.Header.Get("Location"))
	}
}

func TestRetryBodies(t *testing.T) {
	h := newHouse(t, nil)
	for body, want := range map[string]int{
		`{}`: 400, `{"partition":0}`: 400, `{"partition":-1,"offset":0}`: 400, `{"partition":0,"offset":-1}`: 400,
		`{"partition":0,"offset":1,"user":"x"}`: 400, `{"partition":0,"offset":1}{}`: 400, `[`: 400, `{"partition":"0","offset":1}`: 400,
		`{"partition":0,"offset":1` + strings.Repeat(" ", mostBody) + `}`: 413,
	} {
		if response, text := h.ask(http.MethodPost, retryPath, operator, body); response.StatusCode != want {
			t.Errorf("%.40s: %d, want %d: %s", body, response.StatusCode, want, text)
		}
	}
	response, _ := h.ask(http.MethodPost, retryPath, operator, `{"partition":0,"offset":1}`, "Content-Type", "text/plain")
	if response.StatusCode != 415 {
		t.Errorf("a form's media type: %d", response.StatusCode)
	}
	if len(h.retries.all) != 0 {
		t.Errorf("retried: %q", h.retries.all)
	}
	h.retries.err = &brimline.Error{Class: brimline.ClassInput, Kind: "letter_not_found", Err: errors.New("there is none")}
	response, _ = h.ask(http.MethodPost, retryPath, operator, `{"partition":0,"offset":1}`)
	if response.StatusCode != 404 {
		t.Errorf("no such letter: %d", response.StatusCode)
	}
	if !strings.Contains(h.log.String(), "letter=0/1 done=false problem=letter_not_found") {
		t.Errorf("what was tried is not in the log:\n%s", h.log)
	}
}

// Requests that look into tables are refused beyond a number, to one client and in all, with when to ask again.
func TestCostlyRequestsAreFew(t *testing.T) {
	var l limiter
	for i := range costlyAtOnce {
		if status, err := l.begin(fmt.Sprint(i / costlyOfOne)); err != nil {
			t.Fatalf("the %d. is refused: %d", i, status)
		}
	}
	if status, err := l.begin("0"); status != 429 || err == nil {
		t.Errorf("one too many of a client: %d", status)
	}
	if status, err := l.begin("another"); status != 503 || err == nil {
		t.Errorf("one too many in all: %d", status)
	}
	l.end("0")
	if status, _ := l.begin("another"); status != 0 {
		t.Errorf("with a place: %d", status)
	}
	for i := range costlyAtOnce - 1 {
		l.end(fmt.Sprint((i + 1) / costlyOfOne))
	}
	if l.end("another"); l.all != 0 || len(l.of) != 0 {
		t.Errorf("%d, %v are left", l.all, l.of)
	}

	f := newFakes()
	o := f.options()
	entered, release := make(chan struct{}), make(chan struct{})
	o.Users = slowUsers{f, entered, release}
	at, _ := serve(t, New(o))
	var asked sync.WaitGroup
	for range costlyOfOne {
		asked.Go(func() {
			if response, err := http.Get(at + "/api/v1/users/1"); err == nil {
				response.Body.Close()
			}
		})
	}
	for range costlyOfOne {
		<-entered
	}
	response, err := http.Get(at + "/api/v1/users/1")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != 429 || response.Header.Get("Retry-After") != "1" {
		t.Errorf("%d, Retry-After %q", response.StatusCode, response.Header.Get("Retry-After"))
	}
	keepsContract(t, response.Request, response)
	quick, err := http.Get(at + "/api/v1/status")
	if err != nil || quick.StatusCode != 200 {
		t.Errorf("what costs nothing is refused, too: %v", err)
	}
	quick.Body.Close()
	close(release)
	asked.Wait()
}

// slowUsers answer when they are let.
type slowUsers struct {
	Users
	entered, release chan struct{}
}

func (s slowUsers) User(ctx context.Context, id string, now brimline.Time) (views.User, error) {
	s.entered <- struct{}{}
	<-s.release
	return s.Users.User(ctx, id, now)
}

// Below a path of its own everything is where it says, and nothing is beside.
func TestBasePath(t *testing.T) {
	h := newHouse(t, func(o *Options) { o.Base, o.Admission = "/risk/brimline", Admission{} })
	for target, want := range map[string]int{
		"/risk/brimline/": 200, "/risk/brimline/api/v1/rules": 200, "/risk/brimline/healthz": 200, "/risk/brimline/metrics": 200,
		"/risk/brimline/assets/page.js": 200, "/risk/brimline/nothing": 404,
		"/": 404, "/api/v1/rules": 404, "/healthz": 404, "/metrics": 404, "/risk/": 404, "/risk/brimlinex": 404,
	} {
		if response, body := h.ask(http.MethodGet, target, "", ""); response.StatusCode != want {
			t.Errorf("%s: %d, want %d: %s", target, response.StatusCode, want, body)
		}
	}
	_, page := h.ask(http.MethodGet, "/risk/brimline/?user=27956157", "", "")
	for _, m := range regexp.MustCompile(`(?:href|src|action)="(/[^"]*)"`).FindAllStringSubmatch(page, -1) {
		if !strings.HasPrefix(m[1], "/risk/brimline/") {
			t.Errorf("the page leads to %s", m[1])
		}
	}
	_, text := h.ask(http.MethodGet, "/risk/brimline"+descriptionPath, "", "")
	if !strings.Contains(text, "\n  - url: /risk/brimline\n") {
		t.Error("the description has another base")
	}
	response, _ := h.ask(http.MethodGet, "/risk/brimline/api/v1/alerts.csv?limit=1", "", "")
	if link := response.Header.Get("Link"); !strings.HasPrefix(link, "</risk/brimline/api/v1/alerts.csv?") {
		t.Errorf("the next page is at %s", link)
	}
}

// Metrics and probes on a listener apart answer there alone, and nothing else does.
func TestMetricsApart(t *testing.T) {
	o := newFakes().options()
	o.Apart = true
	apart, _ := serve(t, Probes(o))
	api, _ := serve(t, New(o))
	for target, want := range map[string][2]int{
		"/healthz": {200, 404}, "/readyz": {200, 404}, "/metrics": {200, 404}, "/": {404, 200}, "/api/v1/rules": {404, 200},
		"/assets/page.js": {404, 200}, "/login": {404, 404},
	} {
		for i, at := range []string{apart, api} {
			response, err := http.Get(at + target)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != want[i] {
				t.Errorf("%s%s: %d, want %d", at, target, response.StatusCode, want[i])
			}
		}
	}
	response, err := http.Post(apart+"/metrics", "text/plain", nil)
	if err != nil || response.StatusCode != 405 {
		t.Errorf("%v", err)
	}
	response.Body.Close()
}

// A stream that was opened by a login ends with it.
func TestStreamEndsWithItsLogin(t *testing.T) {
	h := newHouse(t, nil)
	now := time.Unix(1_800_000_000, 0)
	on := newHandler(Options{Admission: Admission{Tokens: h.tokens.Load}, Now: func() time.Time { return now }})
	who, _ := h.tokens.Load().Of(reader)
	arrive := func() (v *visit) {
		r := httptest.NewRequest(http.MethodGet, "/api/v1/alerts/stream", nil)
		r.AddCookie(&http.Cookie{Name: on.sessionCookie(), Value: on.sessions.Begin(who, now)})
		on.admit(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { v = visitOf(r) })).
			ServeHTTP(httptest.NewRecorder(), r)
		return v
	}
	left, stays := arrive(), arrive()
	on.sessions.End(left.session, now)
	if left.still() || !stays.still() {
		t.Errorf("after one has logged out: %v, %v", left.still(), stays.still())
	}
	if now = now.Add(access.SessionLasts); stays.still() {
		t.Error("it outlives its login")
	}
}
