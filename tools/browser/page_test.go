package browser

import (
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	cdp "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// The demo's own figures: user 27956157 crosses by its twelfth row.
const hero = "27956157"

func TestOverview(t *testing.T) {
	b := open(t)
	b.visit(shared.demoURL + "/")
	b.says("verified; nothing waits", hero, "3,441.50", "weekly-spend", "card-testing", "Alerts per hour",
		"since the start", "Of ", "PostgreSQL confirmed", "Not run yet: brimline prove", "Live: alerts appear as they come")
	b.until("the day's alerts are counted", func() bool {
		return b.eval(`+document.querySelector("#hourly tbody tr td:last-child")?.textContent`).(float64) > 3
	})
	b.holds("overview")

	// An alert appears by itself, as it comes: only its event has the words for screen readers.
	shared.exec(t, `INSERT INTO streaming.transactions (user_id, amount) VALUES (11000001, -2000), (11000001, -1500.25)`)
	b.says("11000001", "3,500.25")
	b.until("a screen reader is told", func() bool {
		return b.eval(`document.getElementById("news").textContent`) == "New alert: user 11000001, rule weekly-spend"
	})

	// The first view comes within a second.
	took := []float64{}
	for range 3 {
		b.do(chromedp.Reload())
		took = append(took, b.eval(`performance.getEntriesByType("navigation")[0].domContentLoadedEventEnd`).(float64))
	}
	if best := slices.Min(took); best > 1000 {
		t.Errorf("a first view takes %.0f ms", best)
	}
}

func TestUserView(t *testing.T) {
	b := open(t)
	b.visit(shared.demoURL + "/")
	b.do(chromedp.SendKeys("#user", hero+kb.Enter))
	b.says("User "+hero, "3,441.50", "441.50 above the limit", "Falls to the limit or below it", "if nothing more comes",
		"What ages out ahead", "no longer above the limit", "Counts for", "weekly-spend", "12 transactions")
	for selector, least := range map[string]float64{
		".chart .line": 2, ".chart .edge": 1, ".ticks path": 1, ".chart .now": 1, "#rows": 1,
	} {
		if n := b.eval(fmt.Sprintf(`document.querySelectorAll(%q).length`, selector)).(float64); n < least {
			t.Errorf("%v of %s, want %v at least", n, selector, least)
		}
	}
	b.holds("user")

	b.visit(shared.demoURL + "/?user=unknown-to-all")
	b.says("Nothing is known about this user")
	b.holds("user-unknown")
	b.allow("status of 400")
	b.visit(shared.demoURL + "/?usr=1")
	b.says("Not understood", "Remedy: this address takes user, once")
}

func TestAlertView(t *testing.T) {
	b := open(t)
	const user = "11000003"
	shared.exec(t, `INSERT INTO streaming.transactions (user_id, amount) VALUES ($1::text::bigint, -2900)`, user)
	shared.exec(t, `INSERT INTO streaming.transactions (user_id, amount) VALUES ($1::text::bigint, -100.01)`, user)
	b.visit(shared.demoURL + "/?user=" + user)
	b.says("Alerts of this user")
	b.press(`//section[@aria-labelledby="user-alerts"]//tbody//a`, chromedp.BySearch)
	b.says("Alert for user "+user, "from 2,900.00 to 3,000.01", "Both agree", "Stream", "PostgreSQL answered at",
		"this one", "postgres.streaming.transactions, partition", "LSN", "version")
	b.holds("alert")
	b.do(cdp.SetPermission(&cdp.PermissionDescriptor{Name: "clipboard-write"}, cdp.PermissionSettingGranted),
		cdp.SetPermission(&cdp.PermissionDescriptor{Name: "clipboard-read"}, cdp.PermissionSettingGranted))
	b.press(`button[data-copy]`)
	b.says("The alert is copied.")
	b.press(`[data-copy-link]`)
	b.says("The link is copied.")
	b.press(`details summary`)
	b.says(`"user_id": "` + user + `"`)
	// The link, in a browser of a colleague.
	link := b.eval(`location.href`).(string)
	other := open(t)
	other.visit(link)
	other.says("Alert for user " + user)
	other.allow("status of 404")
	other.visit(strings.Replace(link, user, "1"+user, 1))
	other.says("This alert cannot be shown", "Remedy: ")
	other.holds("alert-unknown")
}

func TestRulesView(t *testing.T) {
	b := open(t)
	b.visit(shared.demoURL + "/")
	b.press(`//nav[@aria-label="Views"]/a[text()="Rules"]`, chromedp.BySearch)
	b.says("Rules in force", "weekly-spend", "version ", "this hour", "in 24 h", "live")
	b.holds("rules")
}

// Who has the role operate retries a dead letter with a button; who has not sees none.
func TestOperationsView(t *testing.T) {
	shared.exec(t, `INSERT INTO streaming.transactions (user_id, amount) VALUES (11000002, 'NaN')`)
	b := open(t)
	b.visit(shared.demoURL + "/operations")
	b.says("amount_nan", "11000002", "has the role operate")
	b.lacks("Retry letter")
	b.visit(shared.demoURL + "/login?to=%2Foperations")
	b.says("Log in")
	b.holds("login")
	b.do(chromedp.SendKeys("#token", operator+kb.Enter))
	b.says("Dead letters", "amount_nan", "bob")
	b.press(`#stage-window summary`)
	b.says("brimline-changes", "this one")
	b.holds("operations")
	b.press(`form.retry button`)
	b.says("was sent through again")
	b.holds("operations-retried")
	b.press(`footer form button`)
	b.says("Log in")
}

// Everything is reached by keyboard, in an order that makes sense, and where the focus is can be seen.
func TestKeyboard(t *testing.T) {
	b := open(t)
	b.visit(shared.demoURL + "/")
	b.says("Alerts per hour")
	var seen []string
	for range 7 {
		b.do(chromedp.KeyEvent(kb.Tab))
		seen = append(seen, b.eval(`(document.activeElement.innerText || document.activeElement.id || "").trim()`).(string))
		if b.eval(`getComputedStyle(document.activeElement).outlineStyle`) == "none" {
			t.Errorf("the focus on %q cannot be seen", seen[len(seen)-1])
		}
	}
	want := []string{"Skip to content", "brimline", "Overview", "Rules", "Operations", "user", "Look up"}
	if !slices.Equal(seen, want) {
		t.Errorf("Tab goes to %q, want %q", seen, want)
	}
}

// Without its script the page is whole, but does not renew itself.
func TestWithoutScript(t *testing.T) {
	b := open(t)
	b.do(emulation.SetScriptExecutionDisabled(true))
	for view, text := range map[string]string{
		"/": "Newest alerts", "/?user=" + hero: "441.50 above the limit", "/rules": "Rules in force",
		"/operations": "Dead letters",
	} {
		b.visit(shared.demoURL + view)
		b.says(text, "Reload for newer figures")
	}
}

// A group of texts goes through its states: empty, hostile, thousands of alerts, without PostgreSQL, gone.
func TestStates(t *testing.T) {
	x := newTexts(t, "texts")
	b := open(t)
	b.visit(x.url + "/")
	b.says("nothing waits", "None yet. One appears at the very transaction", "no alert yet", "It was asked nothing",
		"large")
	b.holds("empty")
	b.visit(x.url + "/operations")
	b.says("None: every record was taken in.")

	long := strings.Repeat("An-id-of-256-characters.", 11)[:256]
	for _, id := range []string{hostile, long} {
		shared.exec(t, `INSERT INTO texts (user_id, amount, note)
			VALUES ($1, 800, $2), ($1, 700, $2), ($1, 5, 'skip')`, id, hostile)
	}
	b.visit(x.url + "/")
	b.says("1,500.00", "An-id-of-256")
	alerts := func() float64 { return b.eval(`document.querySelectorAll("#recent li").length`).(float64) }
	b.until("both alerts are there", func() bool { return alerts() == 2 })
	b.holds("hostile-overview")
	for _, id := range []string{hostile, long} {
		b.visit(x.url + "/?user=" + url.QueryEscape(id))
		b.says("500.00 above the limit", "1,500.00", "large, large-trial")
		b.holds("hostile-user-" + id[:2])
		b.press(`//section[@aria-labelledby="user-alerts"]//tbody//a`, chromedp.BySearch)
		b.says("Both agree")
		b.holds("hostile-alert-" + id[:2])
	}
	b.visit(x.url + "/rules")
	b.says("on trial", "live")
	b.until("the trial's hits are counted", func() bool { return strings.Count(b.text(), "2 in 24 h") == 2 })
	b.holds("hostile-rules")
	if b.eval(`document.title`) == "owned" {
		t.Error("a text of the table ran as script")
	}

	shared.exec(t, `INSERT INTO texts (user_id, amount, note)
		SELECT 'u' || n, 1000 + n, 'many' FROM generate_series(1, 3000) n`)
	b.visit(x.url + "/")
	b.says("3,002", "nothing waits")
	if n := alerts(); n != 30 {
		t.Errorf("%v of the newest alerts are shown, want 30", n)
	}
	b.holds("thousands")

	x.proxy.set(true)
	shared.exec(t, `INSERT INTO texts (user_id, amount, note) VALUES ('held-back', 5000, 'x')`)
	b.says("Alerts are held back, and none is lost", "PostgreSQL")
	b.holds("postgres-away")
	x.proxy.set(false)
	b.says("nothing waits", "held-back")

	b.allow("net::ERR")
	x.run.stop()
	b.says("The connection is lost. What you see is as of", "No connection: figures may be old",
		"How things are now is not known")
	b.lacks("nothing waits")
	b.holds("lost")
}

// An instance that cannot read its tables yet says so, and shows what it can.
func TestViewRecovering(t *testing.T) {
	if err := shared.demo.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	stopped := true
	goOn := func() {
		if stopped {
			stopped = false
			_ = shared.demo.cmd.Process.Signal(syscall.SIGCONT)
		}
	}
	t.Cleanup(goOn)
	serve := run(t, nil, "serve", "--brokers", shared.brokers, "--state-dir", filepath.Join(shared.dir, "serve"),
		"--listen", "127.0.0.1:0", "--log-level", "info")
	at := serve.mustListen(t)
	b := open(t)
	b.allow("status of 503")
	b.visit(at + "/")
	b.says("Not ready yet", "Not ready.", "Remedy: ")
	b.holds("recovering")
	b.visit(at + "/?user=" + hero)
	b.says("Not ready yet", "Remedy: ")
	b.holds("recovering-user")
	goOn()
	b.says("User "+hero, "441.50 above the limit")
	b.visit(at + "/")
	b.says("This instance runs no stages", hero)
	b.holds("serve")
}

// Every answer of the page has its policy, and nothing in it is loaded from elsewhere.
func TestPolicy(t *testing.T) {
	elsewhere := regexp.MustCompile(`(?:src|href|action)="(?:https?:)?//`)
	for _, view := range []string{"/", "/rules", "/operations", "/?user=" + hero, "/login"} {
		response, err := http.Get(shared.demoURL + view)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if policy := response.Header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'; ") ||
			strings.Contains(policy, "unsafe") || elsewhere.MatchString(policy) {
			t.Errorf("%s has the policy %q", view, policy)
		}
	}
	b := open(t)
	b.visit(shared.demoURL + "/")
	b.allow("Content Security Policy", "violates")
	b.eval(`const s = document.createElement("script"); s.textContent = "window.ran = true"; document.head.append(s); 0`)
	time.Sleep(100 * time.Millisecond)
	if b.eval(`window.ran === true`) == true {
		t.Error("a script that was put into the page runs")
	}
}
