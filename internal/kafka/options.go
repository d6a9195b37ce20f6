package kafka

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/brimline/brimline"
)

// Options are the settings of every Kafka client in the process. The zero
// value of a field means its default; Brokers alone has none.
type Options struct {
	// Brokers are the bootstrap addresses, host:port. One that answers is enough; three survive the loss of one.
	Brokers []string
	// ClientID names this program in the brokers' logs, quotas and group listings. Default "brimline".
	ClientID string
	// TLS encrypts connections and, with a certificate of its own, identifies the client.
	TLS TLS
	// TLSConfig is used as it is instead of TLS, by programs that make their own.
	TLSConfig *tls.Config `json:"-"`
	// SASL authenticates the client by name and password. Over a network, only with TLS.
	SASL SASL

	// MaxMessageBytes is the largest record that is written, before compression. Default 16 MiB: dead letters are
	// kept whole up to that. Topics are created with a max.message.bytes that fits; below Kafka's 100 MiB request limit.
	MaxMessageBytes int
	// FlushEvery is the longest that a record waits for company before it is sent. Default 5 ms: a record passes four
	// stages, so this is a fifth of what an alert takes. The first record after a pause does not wait, and those of a
	// busy stream (catching up) wait up to four times as long for fuller batches.
	FlushEvery time.Duration

	// SessionTimeout is how long a consumer may be silent before its partitions go to another one: what a kill -9
	// costs. Default 6 s, the least that brokers accept unless group.min.session.timeout.ms says otherwise.
	// Heartbeats are sent at a quarter of it.
	SessionTimeout time.Duration
	// RebalanceTimeout is how long a rebalance waits for a member that still has records in flight. Default 30 s.
	RebalanceTimeout time.Duration
	// CommitEvery is how often finished offsets are committed. Default 100 ms: a kill replays what was finished since.
	CommitEvery time.Duration
	// InstanceID makes group membership static: a restart under the same id within SessionTimeout keeps its partitions and
	// moves no other member's, but a clean stop is noticed only after SessionTimeout. One per instance; default none.
	InstanceID string
	// TransactionTimeout is how long a dead instance's open transaction holds back readers of alerts. Default 15 s.
	TransactionTimeout time.Duration
}

// TLS says how connections are encrypted. Certificates are always verified.
type TLS struct {
	// Enabled turns TLS on; a CAFile or CertFile alone does not.
	Enabled bool
	// CAFile is a PEM file of the authorities trusted to sign broker certificates. Default: those of the system.
	CAFile string
	// CertFile and KeyFile are the client's own certificate and key, PEM, for brokers that ask for one. Both or none.
	CertFile, KeyFile string
	// ServerName is the name that broker certificates must bear. Default: the host that was dialled.
	ServerName string
}

// SASL mechanisms. The empty string is none.
const (
	SASLPlain       = "PLAIN"
	SASLScramSHA256 = "SCRAM-SHA-256"
	SASLScramSHA512 = "SCRAM-SHA-512"
)

// SASL authenticates by name and password. However it is printed or encoded,
// the password is not in it.
type SASL struct {
	// Mechanism is "", "PLAIN", "SCRAM-SHA-256" or "SCRAM-SHA-512".
	Mechanism string
	// User is the name; Password its secret. PLAIN sends the password as it is: use it under TLS only.
	User, Password string
}

// String names mechanism and user.
func (s SASL) String() string {
	switch {
	case s == SASL{}:
		return "none"
	case s.Password == "":
		return s.Mechanism + " as " + s.User + ", no password"
	}
	return s.Mechanism + " as " + s.User + ", password set"
}

// Format makes every verb of package fmt, %#v among them, print String.
func (s SASL) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue makes slog print String.
func (s SASL) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalJSON encodes String.
func (s SASL) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// MarshalText encodes String; YAML and other text encoders ask for it.
func (s SASL) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalYAML encodes String.
func (s SASL) MarshalYAML() (any, error) { return s.String(), nil }

func orElse[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

func (o Options) withDefaults() Options {
	o.ClientID = orElse(o.ClientID, "brimline")
	o.MaxMessageBytes = orElse(o.MaxMessageBytes, 16<<20)
	o.FlushEvery = orElse(o.FlushEvery, 5*time.Millisecond)
	o.SessionTimeout = orElse(o.SessionTimeout, 6*time.Second)
	o.RebalanceTimeout = orElse(o.RebalanceTimeout, 30*time.Second)
	o.CommitEvery = orElse(o.CommitEvery, 100*time.Millisecond)
	o.TransactionTimeout = orElse(o.TransactionTimeout, 15*time.Second)
	return o
}

// LargestMessage is MaxMessageBytes or its default.
func (o Options) LargestMessage() int { return o.withDefaults().MaxMessageBytes }

// Check reports everything that is wrong with the options, in one go. It reads no file and asks no broker.
func (o Options) Check() error {
	var problems []error
	bad := func(remedy, format string, args ...any) {
		problems = append(problems, &brimline.Error{
			Class: brimline.ClassInput, Kind: "kafka_options", Where: "kafka options",
			Remedy: remedy, Err: fmt.Errorf(format, args...),
		})
	}
	o = o.withDefaults()
	if len(o.Brokers) == 0 {
		bad("name at least one, as host:port", "no broker is given")
	}
	const requestLimit = 90 << 20 // brokers take requests of 100 MiB, which hold more than one record
	if o.MaxMessageBytes < 0 || o.MaxMessageBytes > requestLimit {
		bad("choose up to 90 MiB", "the largest message cannot be %d bytes", o.MaxMessageBytes)
	}
	for _, d := range []struct {
		what string
		v    time.Duration
		min  time.Duration
	}{
		{"flush interval", o.FlushEvery, time.Microsecond},
		{"session timeout", o.SessionTimeout, 100 * time.Millisecond},
		{"rebalance timeout", o.RebalanceTimeout, time.Second},
		{"commit interval", o.CommitEvery, time.Millisecond},
		{"transaction timeout", o.TransactionTimeout, time.Second},
	} {
		if d.v < d.min {
			bad(fmt.Sprintf("choose %v or more", d.min), "a %s of %v is too short", d.what, d.v)
		}
	}
	switch o.SASL.Mechanism {
	case "":
		if o.SASL.User != "" || o.SASL.Password != "" {
			bad("name the mechanism: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", "SASL has a user or a password but no mechanism")
		}
	case SASLPlain, SASLScramSHA256, SASLScramSHA512:
		if o.SASL.User == "" || o.SASL.Password == "" {
			bad("give both", "SASL %s needs a user and a password", o.SASL.Mechanism)
		}
	default:
		bad("choose PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", "SASL mechanism %q is not known", o.SASL.Mechanism)
	}
	if (o.TLS.CertFile == "") != (o.TLS.KeyFile == "") {
		bad("give both files or none", "a client certificate needs its key and a key its certificate")
	}
	if o.TLSConfig != nil && o.TLS != (TLS{}) {
		bad("give one of them", "TLS is described twice")
	}
	if t := o.TLS; !t.Enabled && t != (TLS{}) {
		bad("enable TLS, or leave its files and server name out", "TLS is described but not enabled")
	}
	return errors.Join(problems...)
}
