package security

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
)

// canary is a password that must never be seen.
const canary = "cAn4ry-Passw0rd"

const source = "postgres.streaming.transactions"

// broker starts one that insists on what the options say, with an empty source topic.
func broker(t *testing.T, options ...kfake.Opt) (addr string) {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{
		kfake.NumBrokers(1), kfake.SeedTopics(1, source),
		kfake.BrokerConfigs(map[string]string{"default.replication.factor": "1", "min.insync.replicas": "1"}),
	}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c.ListenAddrs()[0]
}

// pass runs all stages over the empty source topic.
func pass(t *testing.T, addr string, env []string, args ...string) said {
	t.Helper()
	rules := write(t, "rules.yaml", "rules: [{id: r, window: 7d, limit: 100}]")
	return brimline(t, env, append([]string{
		"run", "--brokers", addr, "--verify", "off", "--listen", "off", "--until-caught-up", "--rules", rules, "--log-level", "debug",
	}, args...)...)
}

// secret has the password in the environment.
func secret(password string) []string { return []string{"BRIMLINE_KAFKA_SASL_PASSWORD=" + password} }

func TestKafkaTLS(t *testing.T) {
	t.Parallel()
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	addr := broker(t, kfake.TLS(ours.server(t, nil, "127.0.0.1", "kafka.example")))
	elsewhere := broker(t, kfake.TLS(ours.server(t, nil, "kafka.example")))
	plain := broker(t)

	for name, c := range map[string]struct {
		addr  string
		args  []string
		code  int
		words []string
	}{
		"right":               {addr, []string{"--kafka-ca-file", ours.file}, 0, nil},
		"right, named":        {elsewhere, []string{"--kafka-ca-file", ours.file, "--kafka-server-name", "kafka.example"}, 0, nil},
		"wrong authority":     {addr, []string{"--kafka-ca-file", theirs.file}, 3, []string{"unknown authority", "CA file"}},
		"system's authority":  {addr, []string{"--kafka-tls"}, 3, []string{"unknown authority", "CA file"}},
		"wrong host name":     {elsewhere, []string{"--kafka-ca-file", ours.file}, 3, []string{"127.0.0.1", "server name"}},
		"TLS to a plain port": {plain, []string{"--kafka-ca-file", ours.file}, 3, []string{plain}},
		"plain to a TLS port": {addr, nil, 3, []string{addr, "TLS"}},
		"no such file":        {addr, []string{"--kafka-ca-file", "/nonexistent/ca.pem"}, 2, []string{"/nonexistent/ca.pem"}},
		"not a certificate":   {addr, []string{"--kafka-ca-file", write(t, "ca.pem", "no PEM")}, 2, []string{"no PEM certificate"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := pass(t, c.addr, nil, c.args...)
			if c.code == 0 && s.code != 0 {
				t.Errorf("code %d\n%s", s.code, s.err)
			}
			if c.code != 0 {
				s.fails(t, c.code, c.words...)
			}
		})
	}
}

func TestKafkaClientCertificate(t *testing.T) {
	t.Parallel()
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	addr := broker(t, kfake.TLS(ours.server(t, ours, "127.0.0.1")))
	cert, key := ours.issue(t, "client")
	strange, strangeKey := theirs.issue(t, "client")
	ca := []string{"--kafka-ca-file", ours.file}
	if s := pass(t, addr, nil, append(ca, "--kafka-cert-file", cert, "--kafka-key-file", key)...); s.code != 0 {
		t.Errorf("right: %s", s.err)
	}
	pass(t, addr, nil, ca...).fails(t, 3, "tls: ", "certificate")
	pass(t, addr, nil, append(ca, "--kafka-cert-file", strange, "--kafka-key-file", strangeKey)...).fails(t, 3, "tls: ")
	pass(t, addr, nil, append(ca, "--kafka-cert-file", cert, "--kafka-key-file", strangeKey)...).fails(t,
		2, "client certificate")
	if s := pass(t, addr, nil, append(ca, "--kafka-cert-file", cert)...); s.code != 2 ||
		!strings.Contains(s.err, "--kafka-key-file") {
		t.Error(s.err)
	}
}

func TestKafkaLogin(t *testing.T) {
	t.Parallel()
	ours := newAuthority(t, "ours")
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		t.Run(mechanism, func(t *testing.T) {
			t.Parallel()
			addr := broker(t, kfake.TLS(ours.server(t, nil, "127.0.0.1")), kfake.EnableSASL(),
				kfake.Superuser(mechanism, "brimline", canary))
			login := []string{"--kafka-ca-file", ours.file, "--kafka-sasl-mechanism", mechanism, "--kafka-sasl-user", "brimline"}
			right := pass(t, addr, secret(canary), login...)
			file := pass(t, addr, nil, append(login, "--kafka-sasl-password-file", write(t, "password", canary+"\n"))...)
			if right.code != 0 || file.code != 0 {
				t.Errorf("code %d, %d\n%s%s", right.code, file.code, right.err, file.err)
			}
			wrong := pass(t, addr, secret(canary+"x"), login...)
			wrong.fails(t, 3, "SASL", "password")
			stranger := pass(t, addr, secret(canary), append(login, "--kafka-sasl-user", "stranger")...)
			stranger.fails(t, 3, "SASL")
			none := pass(t, addr, nil, "--kafka-ca-file", ours.file)
			none.fails(t, 3, "SASL")
			other := map[string]string{"PLAIN": "SCRAM-SHA-512", "SCRAM-SHA-256": "PLAIN",
				"SCRAM-SHA-512": "SCRAM-SHA-256"}[mechanism]
			another := pass(t, addr, secret(canary), append(login, "--kafka-sasl-mechanism", other)...)
			another.fails(t, 3, "SASL")
			doctor := brimline(t, secret(canary+"x"),
				append([]string{"doctor", "--verify", "off", "--brokers", addr}, login...)...)
			doctor.fails(t, 3, "SASL")
			for _, s := range []said{right, file, wrong, stranger, none, another, doctor} {
				hides(t, s)
			}
		})
	}
}

// hides checks that the password is nowhere in what was said.
func hides(t *testing.T, s said) {
	t.Helper()
	if strings.Contains(s.all(), canary) {
		t.Errorf("the password shows:\n%s", s.all())
	}
}
