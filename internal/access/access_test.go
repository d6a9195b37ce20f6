package access

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/brimline/brimline"
)

const longEnough = "a-token-of-some-length"

func sumOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hashed + hex.EncodeToString(sum[:])
}

func TestTokens(t *testing.T) {
	tokens, err := Parse(
		"tokens",
		[]byte("# people\n\ngrafana  read\t"+sumOf("the-token-of-grafana")+"\r\noncall operate "+
			longEnough+" # until March\noncall operate another#token-of-oncall\n"),
	)
	if err != nil {
		t.Fatal(err)
	}
	for token, want := range map[string]string{
		"the-token-of-grafana": "grafana read", longEnough: "oncall operate", "another#token-of-oncall": "oncall operate",
		"": " none", longEnough + " ": " none", "a-token-of-some-lengtH": " none", sumOf("the-token-of-grafana"): " none",
		sumOf("the-token-of-grafana")[len(hashed):]: " none", strings.Repeat("x", mostToken+1): " none",
	} {
		who, ok := tokens.Of(token)
		if got := who.Name + " " + who.Role.String(); got != want || ok != (want != " none") {
			t.Errorf("%q is of %q, %v; want %q", token, got, ok, want)
		}
		if again, found := tokens.ByID(who.ID); ok && (!found || again != who) {
			t.Errorf("%q by its id: %v", token, again)
		}
		if ok && strings.Contains(sumOf(token), who.ID) {
			t.Errorf("the id of %q is a part of its hash", token)
		}
	}
	if !tokens.Plain() || tokens.Len() != 3 {
		t.Errorf("%d tokens, plain %v", tokens.Len(), tokens.Plain())
	}
}

// A wrong file is told line by line, and what stands there is not repeated: it may be a token.
func TestWrongTokensFiles(t *testing.T) {
	const secret = "hunter2-hunter2-hunter2"
	for text, want := range map[string]string{
		"":                                        "there is no token in it",
		"# nothing\n":                             "there is no token in it",
		"\n" + secret:                             "f:2: 1 words",
		"a read":                                  "f:1: 2 words",
		"a read " + secret + " more":              "f:1: 4 words",
		"a  write " + secret:                      "f:1: the role is neither read nor operate",
		"a Read " + secret:                        "f:1: the role",
		secret + "! read " + secret:               "f:1: the name",
		"a read short-hunter2":                    "f:1: the token has 13 bytes",
		"a read sha256:hunter2":                   "f:1: what follows sha256: is not 64",
		"a read sha256:" + secret:                 "f:1: what follows",
		"a read " + strings.Repeat("x", 513):      "f:1: the token has more than 512 bytes",
		"a read " + secret + "\xff":               "f:1: the token is no text",
		"a read " + secret + "\nb read " + secret: "f:2: its token is that of line 1",
		"a read " + sumOf(secret) + "\nb operate " + secret: "f:2: its token is that of line 1",
		"a read " + secret + "\na operate " + secret + "2":  "f:2: a has another role above",
		"a read " + secret + "\nx\n\ny\n":                   "f:4: 1 words",
	} {
		tokens, err := Parse("f", []byte(text))
		e, ok := errors.AsType[*brimline.Error](err)
		if !ok || e.Class != brimline.ClassInput || e.Remedy == "" || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
			continue
		}
		if strings.Contains(err.Error(), "hunter2") || tokens != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(path+".new", mode), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
}

func TestOpenTokensFiles(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a file's mode says nothing here")
	}
	plain, hash := "a read "+longEnough, "a read "+sumOf(longEnough)
	for _, x := range []struct {
		text string
		mode os.FileMode
		fine bool
	}{
		{plain, 0o600, true}, {plain, 0o400, true}, {plain, 0o640, true}, {plain, 0o644, false}, {plain, 0o604, false},
		{plain, 0o660, false}, {plain, 0o602, false},
		{hash, 0o600, true}, {hash, 0o644, true}, {hash, 0o444, true}, {hash, 0o664, false}, {hash, 0o646, false},
	} {
		path := filepath.Join(t.TempDir(), "tokens")
		write(t, path, x.text, x.mode)
		_, err := OpenFile(path, slog.New(slog.DiscardHandler))
		if (err == nil) != x.fine {
			t.Errorf("%#o, %q: %v", x.mode, x.text, err)
		}
		if e, ok := errors.AsType[*brimline.Error](err); err != nil &&
			(!ok || e.Kind != "tokens_open" || !strings.Contains(e.Remedy, "chmod")) {
			t.Errorf("%#o: %v", x.mode, err)
		}
	}
	for _, path := range []string{filepath.Join(t.TempDir(), "hunter2"), t.TempDir()} {
		_, err := OpenFile(path, slog.New(slog.DiscardHandler))
		if brimline.ExitCode(err) != int(brimline.ClassInput) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
	}
}

// runs calls run until the test ends.
func runs(t *testing.T, run func(context.Context)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
}

func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within ten seconds", what)
		}
	}
}

// Tokens are taken up and dropped while the program runs; with a file that is wrong those of before hold.
func TestTokensAreReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	write(t, path, "a read the-first-token-of-all", 0o600)
	var log bytes.Buffer
	f, err := OpenFile(path, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.watched.run(ctx, f.first, time.Millisecond)
	}()
	good := func(token string) bool {
		_, ok := f.Tokens().Of(token)
		return ok
	}
	write(t, path, "a read the-second-token-of-all", 0o600)
	await(t, "the second token", func() bool { return good("the-second-token-of-all") })
	if good("the-first-token-of-all") {
		t.Error("what is no longer in the file is taken")
	}
	for _, x := range []struct {
		text string
		mode os.FileMode
	}{{"a read hunter2", 0o600}, {"a read the-third-token-of-all", 0o666}} {
		write(t, path, x.text, x.mode)
		await(t, "the fault is told", func() bool { return f.Wrong() != nil })
		if !good("the-second-token-of-all") || good("the-third-token-of-all") {
			t.Error("a wrong file changed who may come")
		}
		write(t, path, "a read the-second-token-of-all", 0o600)
		await(t, "the file is whole again", func() bool { return f.Wrong() == nil })
	}
	write(t, path, "a read the-third-token-of-all", 0o666)
	await(t, "the fault is told", func() bool { return f.Wrong() != nil })
	time.Sleep(10 * time.Millisecond) // more looks, which tell nothing new
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	await(t, "what the remedy says helps", func() bool { return good("the-third-token-of-all") && f.Wrong() == nil })
	write(t, path, "a read the-second-token-of-all", 0o600)
	await(t, "the second token", func() bool { return good("the-second-token-of-all") })
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	await(t, "that it is gone is told", func() bool { return f.Wrong() != nil })
	if !good("the-second-token-of-all") {
		t.Error("a file that is gone changed who may come")
	}
	write(t, path, "a read the-fourth-token-of-all", 0o600)
	await(t, "the fourth token", func() bool { return good("the-fourth-token-of-all") && f.Wrong() == nil })
	cancel()
	<-done
	if s := log.String(); strings.Contains(s, "hunter2") || strings.Count(s, "level=ERROR") != 4 {
		t.Errorf("each fault is told once, without what stands there:\n%s", s)
	}
}

// pair writes a certificate for a name, and its key, signed by itself.
func pair(t *testing.T, dir, name string, ip ...net.IP) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<60))
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IPAddresses: ip,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write(t, keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})), 0o600)
	write(t, certFile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), 0o644)
	return certFile, keyFile
}

// A certificate that is renewed, file by file, is shown to the next who connects.
func TestCertificateIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := pair(t, dir, "one.example.com")
	c, err := OpenCertificate(certFile, keyFile, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	runs(t, func(ctx context.Context) { c.watched.run(ctx, c.first, time.Millisecond) })
	name := func() string {
		got, err := c.Get(nil)
		if err != nil {
			t.Fatal(err)
		}
		return got.Leaf.DNSNames[0]
	}
	if name() != "one.example.com" || time.Until(c.Expires()) < 0 {
		t.Errorf("%s until %s", name(), c.Expires())
	}
	pair(t, dir, "two.example.com")
	await(t, "the second certificate", func() bool { return name() == "two.example.com" })
	write(t, keyFile, "nothing", 0o600)
	await(t, "the fault is told", func() bool { return c.Wrong() != nil })
	if name() != "two.example.com" {
		t.Error("a wrong key took the certificate away")
	}
	pair(t, dir, "three.example.com")
	await(t, "the third certificate", func() bool { return name() == "three.example.com" && c.Wrong() == nil })
}

func TestWrongCertificates(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	certFile, keyFile := pair(t, dir, "one.example.com")
	_, otherKey := pair(t, other, "one.example.com")
	nothing := filepath.Join(dir, "nothing")
	write(t, nothing, "nothing", 0o600)
	for _, x := range []struct{ cert, key, where string }{
		{certFile, otherKey, "--tls-cert and --tls-key"}, {nothing, keyFile, "--tls-cert and --tls-key"},
		{filepath.Join(dir, "missing"), keyFile, "--tls-cert"}, {certFile, filepath.Join(dir, "missing"), "--tls-key"},
	} {
		_, err := OpenCertificate(x.cert, x.key, slog.New(slog.DiscardHandler))
		if e, ok := errors.AsType[*brimline.Error](err); !ok || e.Class != brimline.ClassInput || e.Where != x.where {
			t.Errorf("%s, %s: %v", x.cert, x.key, err)
		}
	}
	if _, err := Trusting(nothing, "localhost"); brimline.ExitCode(err) != int(brimline.ClassInput) {
		t.Errorf("%v", err)
	}
}

// A client that has the server's certificate takes it under any name, and no other.
func TestTrusting(t *testing.T) {
	ours, theirs := t.TempDir(), t.TempDir()
	certFile, keyFile := pair(t, ours, "brimline.example.com")
	otherCert, otherKey := pair(t, theirs, "localhost", net.IPv4(127, 0, 0, 1))
	namedCert, namedKey := pair(t, t.TempDir(), "other.example.com")
	several := filepath.Join(t.TempDir(), "several.pem")
	var text []byte
	for _, path := range []string{certFile, namedCert, otherCert} {
		one, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, one...)
	}
	write(t, several, string(text), 0o600)
	dial := func(certFile, keyFile, trusted, name string) error {
		c, err := OpenCertificate(certFile, keyFile, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.Get})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			if conn, err := l.Accept(); err == nil {
				_ = conn.(*tls.Conn).Handshake()
				conn.Close()
			}
		}()
		config, err := Trusting(trusted, name)
		if err != nil {
			t.Fatal(err)
		}
		config.ServerName = name
		conn, err := tls.Dial("tcp", l.Addr().String(), config)
		if err == nil {
			conn.Close()
		}
		return err
	}
	for _, x := range []struct {
		what, cert, key, trusted, name string
		fine                           bool
	}{
		{"its own, by another name", certFile, keyFile, certFile, "localhost", true},
		{"its own, by its name", certFile, keyFile, certFile, "brimline.example.com", true},
		{"another's, by its name", otherCert, otherKey, certFile, "localhost", false},
		{"a trusted one, by its name", namedCert, namedKey, several, "other.example.com", true},
		{"a trusted one, by its address", otherCert, otherKey, several, "127.0.0.1", true},
		{"a trusted one, by an address that is not its own", namedCert, namedKey, several, "127.0.0.1", false},
	} {
		if err := dial(x.cert, x.key, x.trusted, x.name); (err == nil) != x.fine {
			t.Errorf("%s: %v", x.what, err)
		}
	}
}

func TestSessions(t *testing.T) {
	s, now := NewSessions(), time.Unix(1_800_000_000, 0)
	who := Who{Name: "a", Role: Read, ID: "0123456789abcdef"}
	one, two := s.Begin(who, now), s.Begin(who, now)
	valid := func(session string, at time.Time) bool {
		id, ok := s.Of(session, at)
		return ok && id == who.ID
	}
	if one == two || !valid(one, now) || !valid(one, now.Add(SessionLasts-time.Second)) {
		t.Errorf("%s, %s", one, two)
	}
	if valid(one, now.Add(SessionLasts)) {
		t.Error("it lasts for ever")
	}
	parts := strings.Split(one, ".")
	for what, forged := range map[string]string{
		"nothing": "", "no signature": strings.Join(parts[:3], "."), "another's": NewSessions().Begin(who, now),
		"a later end":   fmt.Sprintf("%s.%d.%s.%s", parts[0], now.Add(time.Hour*100).Unix(), parts[2], parts[3]),
		"another token": "fedcba9876543210." + strings.Join(parts[1:], "."),
		"a form":        parts[0] + "." + parts[1] + "." + parts[2] + "." + s.Form(strings.Join(parts[:3], ".")),
		"a long one":    strings.Repeat("x", 1<<20) + "." + parts[3],
	} {
		if valid(forged, now) {
			t.Errorf("%s is taken", what)
		}
	}
	s.End(one, now)
	s.End("made.up", now)
	if valid(one, now) || !valid(two, now) {
		t.Error("logging out ends this session, and no other")
	}
	s.End(two, now.Add(2*SessionLasts))
	if len(s.ended) != 1 {
		t.Errorf("%d ended sessions are remembered for ever", len(s.ended))
	}
	if !s.FormOf(s.Form(one), one) || s.FormOf(s.Form(one), two) || s.FormOf("", one) || s.FormOf(s.Form(""), "") {
		t.Error("forms are not told apart")
	}
}
