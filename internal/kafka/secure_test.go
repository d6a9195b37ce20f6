package kafka

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// authority signs certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // PEM
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	template := &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	var der []byte
	der, a.key = a.sign(template)
	var err error
	a.cert, err = x509.ParseCertificate(der)
	must(t, err)
	a.file = a.write("ca.pem", "CERTIFICATE", der)
	return a
}

// sign makes a certificate, by itself if it is the first.
func (a *authority) sign(template *x509.Certificate) ([]byte, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(a.t, err)
	template.SerialNumber, template.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: "brimline test"}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, by := a.cert, a.key
	if parent == nil {
		parent, by = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	must(a.t, err)
	return der, key
}

func (a *authority) write(name, kind string, der []byte) string {
	a.t.Helper()
	path := filepath.Join(a.t.TempDir(), name)
	must(a.t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	return path
}

// server is the configuration of a broker that bears a certificate of a name or an address.
func (a *authority) server(name string) *tls.Config {
	a.t.Helper()
	template := &x509.Certificate{DNSNames: []string{name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if ip := net.ParseIP(name); ip != nil {
		template.DNSNames, template.IPAddresses = nil, []net.IP{ip}
	}
	der, key := a.sign(template)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// asking is server for a broker that wants to know its clients by their certificates.
func (a *authority) asking() *tls.Config {
	a.t.Helper()
	c := a.server("127.0.0.1")
	c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
	c.ClientCAs.AddCert(a.cert)
	return c
}

// client are the files of a client's certificate and key.
func (a *authority) client() (cert, key string) {
	a.t.Helper()
	der, private := a.sign(&x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	must(a.t, err)
	return a.write("client.pem", "CERTIFICATE", der), a.write("client.key", "PRIVATE KEY", secret)
}

// refusing makes a broker answer a wrong password as Kafka does; kfake hangs up without a word. Of SCRAM the last
// message is refused, whatever is in it: only the broker can tell.
func refusing(k *kfake.Cluster) {
	k.ControlKey(int16(kmsg.SASLAuthenticate), func(r kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		q := r.(*kmsg.SASLAuthenticateRequest)
		if bytes.HasPrefix(q.SASLAuthBytes, []byte("n,")) || bytes.HasSuffix(q.SASLAuthBytes, []byte("\x00secret")) {
			return nil, nil, false
		}
		answer := q.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		answer.ErrorCode = kerr.SaslAuthenticationFailed.Code
		answer.ErrorMessage = kmsg.StringPtr("Authentication failed")
		return answer, nil, true
	})
}

// answering is a listener that answers whatever comes, and hangs up.
func answering(t *testing.T, with string) []string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1<<10))
			_, _ = conn.Write([]byte(with))
			_ = conn.Close()
		}
	}()
	return []string{l.Addr().String()}
}

// TestSecurity runs every setting of TLS and SASL through both clients, sarama as goka gets it and franz-go, against a
// listener that wants it: what only one of them honours fails. So does a failure that only one of them explains.
func TestSecurity(t *testing.T) {
	t.Parallel()
	ours, others := newAuthority(t), newAuthority(t)
	const named = "kafka.brimline.test"
	trusted, secret := TLS{Enabled: true, CAFile: ours.file}, "secret"
	login := func(mechanism string) SASL { return SASL{Mechanism: mechanism, User: "app", Password: secret} }
	encrypted := []kfake.Opt{kfake.TLS(ours.server("127.0.0.1"))}
	users := append([]kfake.Opt{
		kfake.EnableSASL(), kfake.Superuser(SASLPlain, "app", secret), kfake.Superuser(SASLScramSHA256, "app", secret),
		kfake.Superuser(SASLScramSHA512, "app", secret),
	}, encrypted...)
	certified, known := trusted, x509.NewCertPool()
	certified.CertFile, certified.KeyFile = ours.client()
	known.AddCert(ours.cert)
	type c struct {
		name    string
		broker  []kfake.Opt
		options Options
		kind    string // of the error; "" is none
	}
	cases := []c{
		{"nothing", nil, Options{}, ""},
		{"TLS", encrypted, Options{TLS: trusted}, ""},
		{"TLS of a program", encrypted, Options{TLSConfig: &tls.Config{RootCAs: known}}, ""},
		{"an unknown authority", encrypted, Options{TLS: TLS{Enabled: true, CAFile: others.file}}, KindTLS},
		{"an authority that is not the system's", encrypted, Options{TLS: TLS{Enabled: true}}, KindTLS},
		{"the name on the certificate", []kfake.Opt{kfake.TLS(ours.server(named))},
			Options{TLS: TLS{Enabled: true, CAFile: ours.file, ServerName: named}}, ""},
		{"another name on the certificate", []kfake.Opt{kfake.TLS(ours.server(named))}, Options{TLS: trusted}, KindTLS},
		{"a client's certificate", []kfake.Opt{kfake.TLS(ours.asking())}, Options{TLS: certified}, ""},
		{"no client's certificate", []kfake.Opt{kfake.TLS(ours.asking())}, Options{TLS: trusted}, KindTLS},
		// Those hang up without a word.
		{"plaintext to a TLS port of Go", encrypted, Options{}, KindUnreachable},
		{"TLS to a plaintext port", nil, Options{Brokers: answering(t, ""), TLS: trusted}, KindUnreachable},
		{"no login", users, Options{TLS: trusted}, KindUnreachable},
	}
	for _, mechanism := range []string{SASLPlain, SASLScramSHA256, SASLScramSHA512} {
		wrong := login(mechanism)
		wrong.Password = "wrong"
		cases = append(cases, c{mechanism, users, Options{TLS: trusted, SASL: login(mechanism)}, ""},
			c{mechanism + ", wrong password", users, Options{TLS: trusted, SASL: wrong}, KindAuth})
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			k, reach := broker(t, c.broker...)
			if c.kind == KindAuth {
				refusing(k)
			}
			c.options.Brokers = append(c.options.Brokers, reach.Brokers[len(c.options.Brokers):]...)
			for client, connect := range map[string]func(*testing.T, Options) error{"sarama": bySarama, "franz-go": byFranz} {
				if err := connect(t, c.options); kindOf(err) != c.kind || c.kind == "" && err != nil {
					t.Errorf("%s: %v of kind %q, want %q", client, err, kindOf(err), c.kind)
				}
			}
		})
	}
}

func bySarama(t *testing.T, o Options) error {
	t.Helper()
	config, err := o.Probe()
	must(t, err)
	client, err := sarama.NewClient(o.Brokers, config)
	if err != nil {
		return Explain(err, "connecting")
	}
	return client.Close()
}

func byFranz(t *testing.T, o Options) error {
	t.Helper()
	c, err := Dial(t.Context(), o, Quick)
	if err != nil {
		return err
	}
	return c.Close()
}

// TestPlaintextToTLSOfJava: the brokers' alert is understood at the first contact, which is franz-go's. sarama cannot
// make out what it is.
func TestPlaintextToTLSOfJava(t *testing.T) {
	t.Parallel()
	const alert = "\x15\x03\x03\x00\x02\x02\x0a" // unexpected_message
	o := Options{Brokers: answering(t, alert)}
	if err := byFranz(t, o); kindOf(err) != KindTLS {
		t.Errorf("franz-go: %v of kind %q", err, kindOf(err))
	}
	if err := bySarama(t, o); kindOf(err) != KindUnreachable {
		t.Errorf("sarama: %v of kind %q", err, kindOf(err))
	}
}
