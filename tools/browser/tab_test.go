package browser

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

//go:embed testdata/axe.min.js
var axe string

// tab is a tab of the browser that notes what should not happen.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu      sync.Mutex
	faults  []string
	allowed []string // parts of faults that the test brings about
	hosts   map[string]bool
}

const (
	desktop = "desktop"
	phone   = "phone"
)

// open makes a tab of its own cookies. Its faults are the test's when it ends.
func open(t *testing.T) *tab {
	t.Helper()
	ctx, timeout := context.WithTimeout(context.Background(), 5*patience)
	ctx, end := chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(shared.chromium), chromedp.NoSandbox, chromedp.DisableGPU)...)
	ctx, cancel := chromedp.NewContext(ctx)
	b := &tab{t: t, ctx: ctx, hosts: map[string]bool{}}
	chromedp.ListenTarget(ctx, b.note)
	t.Cleanup(func() {
		b.mu.Lock()
		for _, fault := range b.faults {
			t.Errorf("the browser says: %s", fault)
		}
		for host := range b.hosts {
			if !strings.HasPrefix(host, "http://127.0.0.1:") {
				t.Errorf("the page asks %s", host)
			}
		}
		b.mu.Unlock()
		cancel()
		end()
		timeout()
	})
	b.do(network.Enable(), log.Enable(), runtime.Enable(), page.Enable())
	b.look(desktop, "light")
	return b
}

func (b *tab) note(event any) {
	text := ""
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		text = "exception: " + e.ExceptionDetails.Error()
	case *log.EventEntryAdded:
		if e.Entry.Level == log.LevelError {
			text = fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		b.mu.Lock()
		defer b.mu.Unlock()
		parts := strings.SplitN(e.Request.URL, "/", 4)
		if len(parts) > 2 && strings.HasPrefix(parts[0], "http") {
			b.hosts[parts[0]+"//"+parts[2]] = true
		}
		return
	}
	if text == "" {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, part := range b.allowed {
		if strings.Contains(text, part) {
			return
		}
	}
	b.faults = append(b.faults, text)
}

// allow takes faults that the test brings about for none.
func (b *tab) allow(parts ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.allowed = append(b.allowed, parts...)
}

func (b *tab) do(actions ...chromedp.Action) {
	b.t.Helper()
	if err := chromedp.Run(b.ctx, actions...); err != nil {
		b.t.Fatalf("%v; the page says:\n%s", err, b.text())
	}
}

// look sets the window and the colours.
func (b *tab) look(size, scheme string) {
	b.t.Helper()
	width, height, mobile := int64(1280), int64(1000), false
	if size == phone {
		width, height, mobile = 390, 844, true
	}
	b.do(emulation.SetDeviceMetricsOverride(width, height, 1, mobile),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}))
}

func (b *tab) visit(url string) {
	b.t.Helper()
	b.do(chromedp.Navigate(url))
}

// press is Enter on an element: where it stands may change at any time, as the page lives.
func (b *tab) press(selector string, by ...chromedp.QueryOption) {
	b.t.Helper()
	b.do(chromedp.SendKeys(selector, kb.Enter, by...))
}

// text gives the words that a reader sees; none where there is no page.
func (b *tab) text() (text string) {
	_ = chromedp.Run(b.ctx, chromedp.Evaluate(`document.body ? document.body.innerText : ""`, &text))
	return text
}

// eval gives the value of an expression.
func (b *tab) eval(expression string) (value any) {
	b.t.Helper()
	b.do(chromedp.Evaluate(expression, &value))
	return value
}

// says waits until the page shows every text.
func (b *tab) says(texts ...string) {
	b.t.Helper()
	for _, text := range texts {
		b.until(fmt.Sprintf("it says %q", text), func() bool { return strings.Contains(b.text(), text) })
	}
}

func (b *tab) lacks(texts ...string) {
	b.t.Helper()
	for _, text := range texts {
		if strings.Contains(b.text(), text) {
			b.t.Errorf("the page says %q:\n%s", text, b.text())
		}
	}
}

func (b *tab) until(what string, done func() bool) {
	b.t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("not so: %s. The page says:\n%s", what, b.text())
		}
	}
}

// holds checks the page as it is, in both sizes and colours: axe finds nothing serious, and nothing is wider than the
// window. Pictures are named after name.
func (b *tab) holds(name string) {
	b.t.Helper()
	for _, size := range []string{desktop, phone} {
		for _, scheme := range []string{"light", "dark"} {
			b.look(size, scheme)
			b.shot(name + "-" + size + "-" + scheme)
			wide := `[...document.querySelectorAll("body *")].filter(e => !e.closest(".scroll, pre, .hidden, .skip") &&
				e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 160)).slice(0, 3).join("\n")`
			if all, ok := b.eval(wide).(string); !ok || all != "" {
				b.t.Errorf("%s, %s: wider than the window:\n%s", name, size, all)
			}
			b.accessible(name + ", " + size + ", " + scheme)
		}
	}
	b.look(desktop, "light")
}

// accessible fails the test for what axe calls serious or critical.
func (b *tab) accessible(name string) {
	b.t.Helper()
	for _, v := range b.findings() {
		if v.Impact == "serious" || v.Impact == "critical" {
			b.t.Errorf("%s: axe finds %s (%s): %s: %v", name, v.ID, v.Impact, v.Help, v.Nodes)
		} else {
			b.t.Logf("%s: axe finds %s (%s): %v", name, v.ID, v.Impact, v.Nodes)
		}
	}
}

type finding struct {
	ID, Impact, Help string
	Nodes            []string
}

func (b *tab) findings() (all []finding) {
	b.t.Helper()
	var loaded bool
	b.do(chromedp.Evaluate(`typeof axe === "object"`, &loaded))
	if !loaded {
		b.do(chromedp.Evaluate(axe+"\n;0", nil))
	}
	var text string
	b.do(chromedp.Evaluate(`axe.run({resultTypes: ["violations"]}).then(r => JSON.stringify(r.violations.map(v => ({
		id: v.id, impact: v.impact, help: v.help, nodes: v.nodes.slice(0, 3).map(n => n.html.slice(0, 200) + " " +
		n.any.concat(n.all).map(c => c.message).join("; "))}))))`, &text,
		func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		b.t.Fatal(err)
	}
	return all
}

// shot takes a picture of the whole page, where one is wanted.
func (b *tab) shot(name string) {
	b.t.Helper()
	dir := os.Getenv("BRIMLINE_SCREENSHOTS")
	if dir == "" {
		return
	}
	var picture []byte
	b.do(chromedp.FullScreenshot(&picture, 100))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644); err != nil {
		b.t.Fatal(err)
	}
}
