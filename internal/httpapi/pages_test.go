package httpapi

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
)

// shown gives a view, which must have the status.
func shown(t *testing.T, h http.Handler, target string, status int) string {
	t.Helper()
	r := get(t, h, target)
	body, _ := io.ReadAll(r.Body)
	if r.StatusCode != status || !strings.HasPrefix(r.Header.Get("Content-Type"), "text/html") {
		t.Fatalf("%s: status %d, want %d: %s", target, r.StatusCode, status, body)
	}
	return string(body)
}

func says(t *testing.T, page string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(page, part) {
			t.Errorf("the page lacks %q", part)
		}
	}
}

func TestHealthInOneSentence(t *testing.T) {
	for want, change := range map[string]func(*Status){
		"All alerts up to now are verified; nothing waits": func(*Status) {},
		"All alerts so far are verified; 3 records on the way": func(s *Status) {
			s.Stages[0].Lag, s.Stages[2].Lag = 1, 2
		},
		"All alerts up to 12 s ago are verified; nothing waits": func(s *Status) { s.At = noon.Add(-12 * time.Second) },
		"All alerts up to now are sent, without PostgreSQL's word; nothing waits": func(s *Status) {
			s.Verification = nil
		},
		"Catching up: 1,284 records wait, and alerts come late": func(s *Status) { s.Stages[2].Lag = 1284 },
		"Kafka does not answer: how much waits is not known":    func(s *Status) { s.Stages[3].Lag = -1 },
		"Alerts are held back, and none is lost": func(s *Status) {
			s.Stages[2].State, s.Stages[2].Reason = Waiting, "PostgreSQL is away"
		},
		"Not ready yet: figures may be missing": func(s *Status) { s.Views[0].Recovered = false },
		"Alerts up to now are verified, and there is something to look at": func(s *Status) {
			s.Notices = []Notice{{Kind: "k", Level: Warning, Message: "m"}}
		},
	} {
		f := newFakes()
		f.status.Verification, f.status.Stages[2].Lag = &Verification{}, 0
		change(&f.status)
		page := strings.ReplaceAll(shown(t, New(f.options()), "/", 200), "&#39;", "'")
		says(t, page, "<span>"+want+".</span></h1>")
	}
}

// Alerts of the day are counted by the topic: at first all, then what came since, each once.
func TestAlertsPerHour(t *testing.T) {
	f := newFakes()
	f.rules.Rules[1].Shadow = true
	o, x := f.onTopics(t)
	h := New(o)
	counted := func(page, rule string) string {
		t.Helper()
		line := regexp.MustCompile(`<bdi>` + rule + `</bdi></th>.*?strong">(\d+)</td><td class="num">(\d+)<`)
		row := line.FindStringSubmatch(page)
		if row == nil {
			t.Fatalf("no row of %s in %s", rule, page)
		}
		return row[1] + " of " + row[2]
	}
	page := shown(t, h, "/", 200)
	hour := time.Now().Hour()
	if got := counted(page, "weekly-volume"); got != "8 of 8" && hour == time.Now().Hour() {
		t.Errorf("%s alerts in the hour and the day, want 8 of 8", got)
	}
	if got := counted(page, "velocity"); got != "0 of 0" {
		t.Errorf("%s of a rule without alerts", got)
	}
	x.putAlert(o.Streams.Alerts, f.alert("late", 1, noon))
	x.putAlert(o.Streams.Shadow, f.alert("late", 1, noon))
	tallies := &tally{log: o.Log, topic: o.Streams.Alerts, now: time.Now}
	for range 2 { // what was read is not read again
		if err := tallies.read(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	x.putAlert(o.Streams.Alerts, f.alert("later", 1, noon))
	if err := tallies.read(t.Context()); err != nil {
		t.Fatal(err)
	}
	all := 0
	for _, by := range tallies.hours {
		all += by["weekly-volume"]
	}
	if all != 10 {
		t.Errorf("%d alerts are counted, want 10", all)
	}
	says(t, shown(t, New(o), "/rules", 200), "on trial", "version <code>", "</b> in 24 h", "large-transfers")
}

// A topic that cannot be read is said, and keeps nothing else from the page.
func TestOverviewWithoutTopics(t *testing.T) {
	h := New(newFakes().options())
	says(t, shown(t, h, "/", 200), "this instance does not know topics", "Newest alerts", "runs no stages")
	says(t, shown(t, h, "/rules", 200), "this instance does not know topics", "weekly-volume")
	says(t, shown(t, h, "/operations", 503), "this instance does not know topics", "brimline-changes")
}

func TestPace(t *testing.T) {
	registry := prometheus.NewRegistry()
	rows := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "brimline_route_records_total"}, []string{"outcome"})
	delay := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "brimline_verify_alert_delay_seconds", Buckets: []float64{0.01, 0.5, 2},
	})
	registry.MustRegister(rows, delay)
	r := &rates{metrics: registry}
	now := time.Unix(1_800_000_000, 0)
	rows.WithLabelValues("changes").Add(100)
	r.take(now)
	if p := r.pace(); !p.Here || p.Rate != "" || p.Routed != "100" || p.Half != "" {
		t.Errorf("%+v", p)
	}
	delay.Observe(10)
	rows.WithLabelValues("changes").Add(1200)
	rows.WithLabelValues("nothing").Add(30)
	r.take(now.Add(time.Second)) // too soon
	r.take(now.Add(time.Minute))
	if p := r.pace(); p.Rate != "21 a second" || p.Over != "1 min" || p.Half != "more than 2s" {
		t.Errorf("%+v", p)
	}
	for range 98 {
		delay.Observe(0.3)
	}
	r.take(now.Add(2 * time.Minute))
	if p := r.pace(); p.Rate != "none" || p.Half != "500 ms" || p.Most != "more than 2s" ||
		p.DelayOf != "99 alerts in the last 2 min" {
		t.Errorf("%+v", p)
	}
	r.take(now.Add(time.Hour))
	if p := r.pace(); p.Rate != "none" || !strings.HasSuffix(p.DelayOf, "since the start") {
		t.Errorf("%+v", p)
	}
}

func TestDisagreementsInWords(t *testing.T) {
	f := newFakes()
	f.status.Verification = &Verification{Span: time.Hour, LastHour: Tally{
		Candidates: 1200, Dismissed: map[string]int64{brimline.ReasonAlreadyAbove: 6, brimline.ReasonNotAbove: 0}, Early: 4,
	}}
	says(t, shown(t, New(f.options()), "/", 200), "Of 1,200 crossings", "confirmed 1,190",
		"<code>already_above</code>", "the crossing is an earlier one")
	for _, reason := range []string{
		brimline.ReasonAlreadyAbove, brimline.ReasonNotAbove, brimline.ReasonNoDatabase, brimline.ReasonQuiet,
		brimline.ReasonNotRearmed, brimline.ReasonBeforeAlertsFrom,
	} {
		if reasonText(reason) == reason {
			t.Errorf("%s has no words", reason)
		}
	}
}

func TestAlertPage(t *testing.T) {
	f := newFakes()
	first := f.alerts[0]
	first.Candidate.Newest = []brimline.Transaction{first.Candidate.Trigger}
	first.Candidate.Source = brimline.Source{
		Topic: "postgres.streaming.transactions", Partition: 3, Offset: 4711, LSN: 0x1DB89D0, TxID: 77,
		Commit: first.Candidate.Edge,
	}
	late := f.alert("27956157", 0, first.Candidate.Edge-1)
	late.Supersedes = []brimline.Time{first.Candidate.Edge}
	differs := *late.Database
	differs.Count++
	differs.Before = total("2700.01")
	late.Database = &differs
	f.alerts = append([]*brimline.Alert{late}, f.alerts...)
	h := New(f.withTopics(t))
	at := func(a *brimline.Alert) string { return "/alert?id=" + url.QueryEscape(a.Candidate.ID()) }
	page := shown(t, h, at(first), 200)
	says(t, page, "The transaction <b><bdi>18565", "3,441.50", "441.50", "Both agree", "offset 4711", "0/1DB89D0",
		"transaction 77",
		"1.2s after the commit", "takes the place of this one", `data-copy="json"`, "&#34;version&#34;: 1", "this one</span>")
	says(t, strings.ToUpper(page), `HREF="`+strings.ToUpper(at(late))+`"`)
	page = shown(t, h, at(late), 200)
	says(t, page, "They differ", "this takes the place of",
		`went from <b class="num">2,700.01</b> to <b class="num">3,441.50</b>`)
	says(t, strings.ToUpper(page), `HREF="`+strings.ToUpper(at(first))+`"`)
	says(t, shown(t, h, at(f.alerts[5]), 200), "PostgreSQL was not asked")
	says(t, shown(t, h, at(f.alert("unknown", 0, noon)), 404), "the topic has no such alert", "Remedy: ")
	says(t, shown(t, h, "/alert?id=x", 400), "Remedy: ")
	says(t, shown(t, h, "/alert?it=x", 400), "Remedy: ")
	// Every alert in a list leads to its own page.
	links := regexp.MustCompile(`href="(/alert\?id=[^"]+)"`).FindAllStringSubmatch(shown(t, h, "/", 200), -1)
	if len(links) != len(f.alerts) {
		t.Errorf("%d links to %d alerts", len(links), len(f.alerts))
	}
	for _, link := range links {
		shown(t, h, link[1], 200)
	}
}

// A letter is retried by a form of the page, by who may, and the page says what became of it.
func TestRetryOnThePage(t *testing.T) {
	var names *topics
	h := newHouse(t, func(o *Options) {
		names = newTopics(t, o.Streams)
		o.Log = names.reader
	})
	value, err := codecs.DeadLetter{}.Encode(&brimline.DeadLetter{
		Topic: "postgres.streaming.transactions", Partition: 2, Offset: 9, Kind: "amount_nan",
		Error:  "amount: NaN is no amount",
		Remedy: "put the row right", User: hostile, Row: "8", At: noon, Value: []byte("<script>x</script>"),
	})
	if err != nil {
		t.Fatal(err)
	}
	names.put(names.names.DeadLetters, "anything", "k", value)

	b := h.browser()
	status, page := b.get("/operations")
	if status != 200 || !strings.Contains(page, `name="to" value="/operations"`) {
		t.Fatalf("%d\n%s", status, page)
	}
	status, page = b.send("/login", "token", reader, "csrf", b.form(page), "to", "/operations")
	if status != 200 || !strings.Contains(page, "amount_nan") || strings.Contains(page, "<script>x") {
		t.Fatalf("%d\n%s", status, page)
	}
	says(t, page, "put the row right", "role operate", "offset 9")
	if strings.Contains(page, "/operations/retry") {
		t.Error("a reader has a button that takes another role")
	}
	if status, _ = b.send(retryForm, "csrf", b.form(page), "letter", "0/0"); status != 403 {
		t.Errorf("a reader retries: %d", status)
	}

	b = h.browser()
	_, page = b.get("/login")
	_, page = b.send("/login", "token", operator, "csrf", b.form(page), "to", "/operations")
	letter := regexp.MustCompile(`name="letter" value="([^"]+)"`).FindStringSubmatch(page)
	if letter == nil {
		t.Fatalf("no button in\n%s", page)
	}
	form := b.form(page)
	for _, wrong := range []string{"", "made-up"} {
		if status, _ = b.send(retryForm, "csrf", wrong, "letter", letter[1]); status != 403 {
			t.Errorf("the form %q: %d", wrong, status)
		}
	}
	if status, _ = b.send(retryForm, "csrf", form, "letter", "x"); status != 400 {
		t.Errorf("no letter: %d", status)
	}
	status, page = b.send(retryForm, "csrf", form, "letter", letter[1])
	if status != 200 || !strings.Contains(page, "Dead letter "+letter[1]+" was sent through again") {
		t.Errorf("%d\n%s", status, page)
	}
	if status, _ = b.get("/operations?retried=%3Cb%3E&into=x"); status != 200 {
		t.Errorf("an odd address: %d", status)
	}
}

// A login leads to the view that was asked for, and nowhere else.
func TestLoginLeadsBack(t *testing.T) {
	h := newHouse(t, nil)
	for to, want := range map[string]string{
		"/alert?id=a%2Fb": "/alert?id=a%2Fb", "/rules": "/rules", "//evil.example/": "/", "/\\evil.example": "/",
		"https://evil.example/": "/", "/alertx": "/", "/logout": "/", "": "/",
	} {
		b := h.browser()
		b.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		_, page := b.get("/login?to=" + url.QueryEscape(to))
		form := b.form(page)
		shown := regexp.MustCompile(`name="to" value="([^"]*)"`).FindStringSubmatch(page)
		if (want == "/") != (shown == nil) {
			t.Errorf("%s: the form has %q", to, shown)
		}
		response, err := b.PostForm(b.url+"/login", url.Values{"token": {reader}, "csrf": {form}, "to": {to}})
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if got := response.Header.Get("Location"); response.StatusCode != 303 || got != want {
			t.Errorf("%q leads to %d %q, want %q", to, response.StatusCode, got, want)
		}
	}
	response, _ := h.ask(http.MethodGet, "/alert?id=a%2Fb", "", "")
	if got := response.Header.Get("Location"); got != "/login?to="+url.QueryEscape("/alert?id=a%2Fb") {
		t.Errorf("a link for a colleague leads to %q", got)
	}
}

// Below a path of its own every view leads to places below it, and holds to the policy with hostile texts.
func TestViewsBelowAPath(t *testing.T) {
	f := newFakes()
	f.rules.Rules[0].ID, f.rules.Rules[0].Description = hostile, hostile
	f.status.Group, f.status.Instance = hostile, hostile
	f.alerts = append(f.alerts, f.alert(strings.Repeat("long", 200), 1, noon))
	o := f.withTopics(t)
	o.Base = "/risk/brimline"
	h := New(o)
	views := []string{"/", "/rules", "/operations", "/?user=27956157"}
	for _, a := range f.alerts {
		views = append(views, "/alert?id="+url.QueryEscape(a.Candidate.ID()))
	}
	for _, view := range views {
		page := shown(t, h, o.Base+view, 200)
		for _, m := range regexp.MustCompile(`(?:href|src|action|data-at)="(/[^"]*)"`).FindAllStringSubmatch(page, -1) {
			if !strings.HasPrefix(m[1], o.Base+"/") {
				t.Errorf("%s leads to %s", view, m[1])
			}
		}
		for _, forbidden := range []string{
			`(?i)<script>`, `(?i)\sstyle\s*=`, `(?i)<[^>]*\son[a-z]+\s*=`, `(?i)javascript:`, `(?:src|href)="(?:https?:)?//`,
		} {
			if m := regexp.MustCompile(forbidden).FindString(page); m != "" {
				t.Errorf("%s: %s", view, m)
			}
		}
		for id, n := range map[string]int{"main": 1, "freshness": 1, "lost": 1, "news": 1} {
			if got := strings.Count(page, fmt.Sprintf(` id="%s"`, id)); got != n {
				t.Errorf("%s has %d elements %s", view, got, id)
			}
		}
	}
}

// Which rows count, and for which rules, is said of each.
func TestRowsSayWhatTheyCountFor(t *testing.T) {
	page := shown(t, New(newFakes().options()), "/?user=small", 200)
	says(t, page, "not yet</span>", `<bdi class="counted">weekly-volume</bdi>`, "What ages out ahead")
	page = shown(t, New(newFakes().options()), "/?user=27956157", 200)
	says(t, page, "Falls to the limit or below it <time", "if nothing more comes", `class="ticks"`,
		"no longer above the limit")
}

// What the overview has figures of is no notice beside them, unless an operator should look at it.
func TestNoticeOfDisagreements(t *testing.T) {
	f := newFakes()
	f.status.Notices = []Notice{{Kind: figuresDiffer, Level: Note, Message: "they differ"}}
	if page := shown(t, New(f.options()), "/", 200); strings.Contains(page, "they differ") {
		t.Error("it is said twice")
	}
	f.status.Notices[0].Level = Warning
	says(t, shown(t, New(f.options()), "/", 200), "they differ")
}
