package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Beyond loopback a start needs tokens, or a word that none are wanted.
func TestOpenListenersAskWhoIsThere(t *testing.T) {
	for address, open := range map[string]bool{
		"off": false, "127.0.0.1:8480": false, "localhost:0": false, "[::1]:8480": false, "127.9.9.9:1": false,
		":8480": true, "0.0.0.0:8480": true, "[::]:8480": true, "192.0.2.1:80": true, "risk.example.com:80": true,
		"127.0.0.1.example.com:80": true, "[::ffff:192.0.2.1]:80": true, "[::ffff:127.0.0.1]:80": false,
	} {
		for _, x := range []struct {
			tokens    string
			anonymous bool
		}{{"", false}, {"tokens", false}, {"", true}, {"tokens", true}} {
			c := Default()
			c.Verify, c.Listen, c.TokensFile, c.AllowAnonymous = "off", address, x.tokens, x.anonymous
			err := c.Valid()
			refused := open && x.tokens == "" && !x.anonymous
			if (err != nil) != refused {
				t.Errorf("%s with %+v: %v", address, x, err)
			}
			if refused &&
				!(strings.Contains(err.Error(), "--tokens-file") && strings.Contains(err.Error(), "--allow-anonymous")) {
				t.Errorf("%s: %v does not say what to do", address, err)
			}
		}
	}
}

func TestServing(t *testing.T) {
	for text, says := range map[string]string{
		"base_path: /brimline": "", "base_path: /a/b.c/~d": "", "base_path: /": "--base-path", "base_path: brimline": "--base-path",
		"base_path: /a/": "--base-path", "base_path: //a": "--base-path", "base_path: /a/../b": "--base-path",
		"base_path: '/a?b'": "--base-path", "base_path: /a b": "--base-path", "base_path: '/{id}'": "--base-path",
		"metrics_listen: 0.0.0.0:8481": "", "metrics_listen: 8481": "--metrics-listen", "metrics_listen: off": "--metrics-listen",
		"metrics_listen: 127.0.0.1:8480":                            "is the same address as --listen",
		"listen: off\nmetrics_listen: 127.0.0.1:8480":               "",
		"listen: 127.0.0.1:0\nmetrics_listen: 127.0.0.1:0":          "",
		"tls_cert: a.pem":                                           "goes together with --tls-key",
		"tls_key: a.pem":                                            "goes together with --tls-key",
		"tls_cert: a.pem\ntls_key: b.pem":                           "",
		"base_path: postgres://u:hunter2@h/a":                       "--base-path",
		"metrics_listen: postgres://u:hunter2@h/a":                  "--metrics-listen",
		"listen: 0.0.0.0:1\ntokens_file: t\nallow_anonymous: false": "",
	} {
		c, err := parse(t, "verify: off\n"+text)
		if err == nil {
			err = c.Valid()
		}
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%q: %v, want %q", text, err, says)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestAsking(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte("the-token-of-oncall\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := Asking{Listening: Default().Listening, APITokenFile: path}
	if err := Check(&a); err != nil {
		t.Error(err)
	}
	if err := a.ReadSecret(); err != nil || a.APIToken.Reveal() != "the-token-of-oncall" {
		t.Errorf("%q, %v", a.APIToken.Reveal(), err)
	}
	a.APITokenFile = path
	if err := Check(&a); err == nil || strings.Contains(err.Error(), "the-token") {
		t.Errorf("%v", err)
	}
}
