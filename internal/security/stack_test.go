package security

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/brimline/brimline/internal/testkit"
)

// TestStackSecure: a real Kafka with TLS, logins and ACLs.
func TestStackSecure(t *testing.T) {
	if os.Getenv("BRIMLINE_STACK") == "" {
		t.Skip("the real stack (a JVM, Maven) runs in `make test-stack`: BRIMLINE_STACK is not set")
	}
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	stack, err := testkit.NewStack("../../deploy/stack")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stack.Wipe(); err != nil {
			t.Error(err)
		}
	})
	if err := stack.Up([]string{"KAFKA_SECURE=" + secureFolder(t, ours)}, "kafka"); err != nil {
		t.Fatal(err)
	}
	addr := stack.Env["SECURE_BROKER"]
	admin := newAdmin(t, stack.Env["KAFKA_BROKERS"])
	if _, err := admin.CreateTopic(t.Context(), 1, 1, nil, source); err != nil {
		t.Fatal(err)
	}
	login := func(mechanism string, more ...string) []string {
		return append([]string{"--kafka-ca-file", ours.file, "--kafka-sasl-mechanism", mechanism,
			"--kafka-sasl-user", "brimline"}, more...)
	}
	// Without any right yet, each step is a clear error.
	pass(t, addr, secret(canary), login("PLAIN")...).fails(t, 3, "uthorized", "docs/security.md")
	grant(t, admin)
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		if s := pass(t, addr, secret(canary), login(mechanism)...); s.code != 0 || strings.Contains(s.all(), canary) {
			t.Errorf("%s: code %d\n%s", mechanism, s.code, s.all())
		}
		for what, s := range map[string]said{
			"wrong password": pass(t, addr, secret(canary+"x"), login(mechanism)...),
			"no such user":   pass(t, addr, secret(canary), login(mechanism, "--kafka-sasl-user", "stranger")...),
		} {
			s.fails(t, 3, "SASL", "check the SASL mechanism, user and password")
			if strings.Contains(s.all(), canary) {
				t.Errorf("%s, %s: the password shows", mechanism, what)
			}
		}
	}
	pass(t, addr, nil, "--kafka-ca-file", ours.file).fails(t, 3, "SASL")
	pass(t, addr, secret(canary), login("PLAIN", "--kafka-ca-file", theirs.file)...).fails(t,
		3, "unknown authority", "CA file")
	pass(t, addr, secret(canary), login("PLAIN", "--kafka-server-name", "elsewhere.example")...).fails(t,
		3, "elsewhere.example", "server name")
	pass(t, addr, secret(canary), "--kafka-sasl-mechanism", "PLAIN", "--kafka-sasl-user", "brimline").fails(t, 3, "TLS")
	pass(t, stack.Env["KAFKA_BROKERS"], nil, "--kafka-ca-file", ours.file).fails(t, 3, "TLS")
}

// secureFolder is the folder that the stack's KAFKA_SECURE names.
func secureFolder(t *testing.T, ca *authority) string {
	t.Helper()
	cert, key := ca.issue(t, "127.0.0.1")
	var pem []byte
	for _, file := range []string{key, cert} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		pem = append(pem, text...)
	}
	dir := t.TempDir()
	for name, text := range map[string][]byte{"server.pem": pem, "password": []byte(canary)} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func newAdmin(t *testing.T, brokers string) *kadm.Client {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(brokers, ",")...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return kadm.NewClient(client)
}

// grant gives the login the rights of docs/security.md, and no others.
func grant(t *testing.T, admin *kadm.Client) {
	t.Helper()
	for _, a := range acls(t) {
		b := kadm.NewACLs().Allow("User:brimline").AllowHosts("*").Operations(a.Operation).ResourcePatternType(a.Pattern)
		switch a.Resource {
		case aTopic:
			b = b.Topics(a.Name)
		case aGroup:
			b = b.Groups(a.Name)
		case aTransactionalID:
			b = b.TransactionalIDs(a.Name)
		}
		results, err := admin.CreateACLs(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range results {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
	}
}
