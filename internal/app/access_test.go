package app

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/access"
	"github.com/brimline/brimline/internal/httpapi"
	"github.com/prometheus/client_golang/prometheus"
)

// writeFile replaces a file at once.
func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.WriteFile(path+".new", []byte(text), 0o600), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
}

// certify writes a certificate of its own with a serial number, and its key.
func certify(t *testing.T, certFile, keyFile string, serial int64, until time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), DNSNames: []string{"risk.example.com"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: until, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})))
	writeFile(t, certFile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
}

// asker asks with a token, and trusts a certificate's file.
type asker struct {
	t     *testing.T
	http  http.Client
	token string
}

func (x *asker) ask(method, url, body string) (status int, text string, serial int64) {
	x.t.Helper()
	r, err := http.NewRequestWithContext(x.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		x.t.Fatal(err)
	}
	if x.token != "" {
		r.Header.Set("Authorization", "Bearer "+x.token)
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := x.http.Do(r)
	if err != nil {
		x.t.Fatal(err)
	}
	defer response.Body.Close()
	all, err := io.ReadAll(response.Body)
	if err != nil {
		x.t.Fatal(err)
	}
	if response.TLS != nil {
		serial = response.TLS.PeerCertificates[0].SerialNumber.Int64()
	}
	return response.StatusCode, string(all), serial
}

// An instance with everything: TLS, a path of its own, tokens, metrics apart. Certificate and tokens are taken up while
// it runs, and a dead letter is retried through the API, for real.
func TestAccess(t *testing.T) {
	defer noLeaks(t)()
	g := newGround(t)
	defer g.close(t)
	g.createSource(t)
	dir := t.TempDir()
	certFile, keyFile, tokens := filepath.Join(
		dir,
		"cert.pem",
	), filepath.Join(
		dir,
		"key.pem",
	), filepath.Join(
		dir,
		"tokens",
	)
	certify(t, certFile, keyFile, 1, time.Now().Add(time.Hour))
	const reader, operator = "the-token-of-a-reader", "the-token-of-an-operator"
	writeFile(t, tokens, "ada read "+reader+"\nbob operate "+operator)
	c := &g.config
	c.Listen, c.MetricsListen, c.BasePath = "0.0.0.0:0", "127.0.0.1:0", "/risk"
	c.TLSCert, c.TLSKey, c.TokensFile, c.LogRequests = certFile, keyFile, tokens, true
	a := g.app(t)
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := a.Stop(ctx); err != nil {
			t.Error(err)
		}
	}()
	trusting, err := access.Trusting(certFile, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: trusting, DisableKeepAlives: true}
	x := &asker{t: t, http: http.Client{Transport: transport}}
	base := a.URL()
	if !regexp.MustCompile(`^https://127\.0\.0\.1:\d+/risk$`).MatchString(base) {
		t.Fatalf("it answers at %s", base)
	}
	expect := func(method, url, token, body string, want int) string {
		t.Helper()
		x.token = token
		status, text, _ := x.ask(method, url, body)
		if status != want {
			t.Errorf("%s %s with %q: %d, want %d: %s", method, url, token, status, want, text)
		}
		return text
	}
	expect("GET", base+"/api/v1/rules", "", "", 401)
	expect("GET", base+"/api/v1/rules", reader, "", 200)
	expect("GET", base+"/metrics", reader, "", 404)
	expect("GET", a.MetricsURL()+"/metrics", "", "", 200)
	expect("GET", a.MetricsURL()+"/api/v1/rules", reader, "", 404)
	if _, err := tls.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(base, "https://"), "/risk"),
		&tls.Config{MaxVersion: tls.VersionTLS11, InsecureSkipVerify: true}); err == nil {
		t.Error("TLS 1.1 is taken")
	}

	// A dead letter: the amount is no number. It comes again, since nothing was mended.
	g.insert(t, 1, "many")
	letters := func() []string {
		var page struct {
			Letters []struct {
				Recorded struct{ Partition, Offset int }
			} `json:"dead_letters"`
		}
		if err := json.Unmarshal([]byte(expect("GET", base+"/api/v1/dead-letters", reader, "", 200)), &page); err != nil {
			t.Fatal(err)
		}
		var places []string
		for _, l := range page.Letters {
			places = append(places, fmt.Sprintf(`{"partition":%d,"offset":%d}`, l.Recorded.Partition, l.Recorded.Offset))
		}
		return places
	}
	await := func(what string, is func() bool) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: not in time", what)
			}
		}
	}
	await("a dead letter", func() bool { return len(letters()) == 1 })
	letter := letters()[0]
	expect("POST", base+"/api/v1/dead-letters/retry", reader, letter, 403)
	text := expect("POST", base+"/api/v1/dead-letters/retry", operator, letter, 200)
	want := `{"retried":{"topic":"src.streaming.transactions","partition":1,"offset":0,"into":"source"}}`
	if strings.TrimSpace(text) != want {
		t.Errorf("%s, want %s", text, want)
	}
	expect("POST", base+"/api/v1/dead-letters/retry", operator, `{"partition":0,"offset":99}`, 404)
	expect("POST", base+"/api/v1/dead-letters/retry", operator, `{"partition":99,"offset":0}`, 404)
	await("the letter that it became again", func() bool { return len(letters()) == 2 })
	for _, want := range []string{"what=\"dead letter retried\" who=bob role=operate from=127.0.0.1 letter=", " done=true",
		"problem=letter_not_found"} {
		if !strings.Contains(g.log.String(), want) {
			t.Errorf("the log lacks %s", want)
		}
	}

	// Soon over, and renewed.
	var status httpapi.Status
	notices := func() (kinds string) {
		status = httpapi.Status{}
		if err := json.Unmarshal([]byte(expect("GET", base+"/api/v1/status", operator, "", 200)), &status); err != nil {
			t.Fatal(err)
		}
		for _, n := range status.Notices {
			if n.Kind == "certificate_ends" || n.Kind == "tokens_file" || n.Kind == "tls_pair" {
				kinds += n.Kind + " "
			}
		}
		return kinds
	}
	if got := notices(); got != "certificate_ends " {
		t.Errorf("notices: %q", got)
	}
	certify(t, certFile, keyFile, 2, time.Now().Add(30*24*time.Hour))
	await("the second certificate", func() bool {
		_, _, serial := x.ask("GET", base+"/readyz", "")
		return serial == 2
	})
	if got := notices(); got != "" {
		t.Errorf("notices: %q", got)
	}
	writeFile(t, tokens, "bob operate "+operator+"\nada reed "+reader)
	writeFile(t, keyFile, "nothing")
	await("that both files are wrong", func() bool { return notices() == "tokens_file tls_pair " })
	expect("GET", base+"/api/v1/rules", reader, "", 200)
	writeFile(t, tokens, "bob operate "+operator)
	await(
		"that the reader's token ends",
		func() bool { x.token = reader; s, _, _ := x.ask("GET", base+"/api/v1/rules", ""); return s == 401 },
	)
	log := g.log.String()
	for _, secret := range []string{reader, operator, "user_id=7"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds %s", secret)
		}
	}
	if !strings.Contains(log, "tokens:2: the role is neither read nor operate") {
		t.Error("the log does not say which line is wrong")
	}
}

// What the API needs is looked at before anything begins, and metrics do not need an API.
func TestAccessAtTheStart(t *testing.T) {
	defer noLeaks(t)()
	g := newGround(t)
	defer g.close(t)
	g.createSource(t)
	dir := t.TempDir()
	open := filepath.Join(dir, "open")
	writeFile(t, open, "ada read the-token-of-a-reader")
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	listen := g.config.Listen
	for what, x := range map[string]struct{ tokens, cert, says string }{
		"tokens that all can read": {open, "", "mode 0644"}, "no file of tokens": {filepath.Join(dir, "none"), "", "--tokens-file"},
		"no certificate": {"", filepath.Join(dir, "none"), "--tls-cert"},
	} {
		g.config.TokensFile, g.config.TLSCert, g.config.TLSKey = x.tokens, x.cert, x.cert
		g.config.MetricsListen = "127.0.0.1:0"
		a := g.app(t)
		err := a.Start(t.Context())
		if brimline.ExitCode(err) != int(brimline.ClassInput) || !strings.Contains(err.Error(), x.says) {
			t.Errorf("%s: %v", what, err)
		}
	}
	g.config.TokensFile, g.config.TLSCert, g.config.TLSKey, g.config.Listen = "", "", "", "off"
	a := g.app(t)
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a.URL() != "" || !strings.Contains(get(t, a.MetricsURL()+"/metrics"), "brimline_build_info") {
		t.Errorf("the API is at %q", a.URL())
	}
	if text := get(t, a.MetricsURL()+"/readyz"); !strings.Contains(text, `"group":"brimline"`) {
		t.Errorf("%s", text)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := a.Stop(ctx); err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
	g.config.Listen = listen
}

// An instance without stages answers by what the group has written down, whichever comes first, and shows the alerts of
// the instance that has the stages.
func TestWithoutStages(t *testing.T) {
	defer noLeaks(t)()
	g := newGround(t)
	defer g.close(t)
	g.createSource(t)
	stop := func(a *App) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := a.Stop(ctx); err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	}
	c := g.config
	c.Rules = "" // it needs none
	desk := NewWithout(
		Options{Config: c, Log: slog.New(slog.NewTextHandler(g.log, nil)), Registry: prometheus.NewRegistry()},
	)
	if err := desk.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer stop(desk)
	until := func(path, want string) {
		t.Helper()
		text := ""
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			if text = get(t, desk.URL()+path); strings.Contains(text, want) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s has not %s: %s", path, want, text)
			}
		}
	}
	until("/readyz", "the group has not written down its rules yet")
	until("/api/v1/users/7", "view_not_recovered")
	g.config.Listen = "off"
	work := g.app(t)
	if err := work.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.insert(t, 1, "60.00", "60.00")
	until("/api/v1/alerts", `"user_id":"7"`)
	until("/api/v1/users/7/alerts", `"user_id":"7"`)
	until("/api/v1/users/7", `"rows_total":2`)
	until("/readyz", `"ready":true`)
	until("/api/v1/users/7/explain?at=2026-01-01T02:00:00Z", `"reason":"alerted"`)
	stop(work)
	if err := os.WriteFile(g.config.Rules, []byte("rules: [{id: r, window: 7d, limit: 50}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	work = g.app(t)
	if err := work.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer stop(work)
	until("/api/v1/rules", `"limit":"50.00"`)
	until("/api/v1/users/7", `"limit":"50.00"`)
	if text := get(t, desk.URL()+"/api/v1/status"); strings.Contains(text, `"here":true`) {
		t.Errorf("it says that it has stages: %s", text)
	}
}
