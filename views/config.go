package views

import (
	"cmp"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/processors"
)

// Config says whose tables are to be seen, and where they are. Brokers and Group are needed.
type Config struct {
	// Brokers are bootstrap addresses, host:port. One that answers is enough.
	Brokers []string
	// TLS encrypts connections; nil connects in plain text.
	TLS *tls.Config
	// SASL authenticates by name and password; the zero value does not.
	SASL SASL
	// ClientID names this program in the brokers' logs and quotas. Default "brimline-view".
	ClientID string

	// Group is the brimline whose tables are read: its `--group`.
	Group string

	// Dir is a directory for local copies of the tables, of which a folder `views` is used; a program that starts again
	// reads on from there. Two programs do not share one: the second keeps its copies in memory. Empty keeps
	// them in memory. It may be lost at any time.
	Dir string

	// Rules are those whose figures Windows gives. Nil takes the rules in force from the group's own record, and goes on
	// to take them from there when they change.
	Rules *brimline.RuleSet

	// Kept is the table as a stage of the same program keeps it. The view answers from there, reads only partitions that
	// the stage does not have, and needs no Dir. Only brimline itself has such stages; elsewhere it is nil.
	Kept Kept

	// Log receives what goka reports, at debug level, and what the operator
	// should know; nil discards it.
	Log *slog.Logger
}

// Mechanisms of SASL.
const (
	Plain       = kafka.SASLPlain
	ScramSHA256 = kafka.SASLScramSHA256
	ScramSHA512 = kafka.SASLScramSHA512
)

// SASL authenticates by name and password. However it is printed or encoded, the password is not in it.
type SASL struct {
	Mechanism string // Plain, ScramSHA256 or ScramSHA512
	User      string
	Password  string // Plain sends it as it is: use it under TLS only
}

// String names mechanism and user.
func (s SASL) String() string { return kafka.SASL(s).String() }

// Format makes every verb of package fmt, %#v among them, print String.
func (s SASL) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue makes slog print String.
func (s SASL) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalJSON encodes String.
func (s SASL) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// MarshalText encodes String; YAML and other text encoders ask for it.
func (s SASL) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (c *Config) kafka() kafka.Options {
	return kafka.Options{
		Brokers: c.Brokers, ClientID: cmp.Or(c.ClientID, "brimline-view"), TLSConfig: c.TLS, SASL: kafka.SASL(c.SASL),
	}
}

// streams are the group's; views read neither the source nor the topic of alerts, whose names they are not told.
func (c *Config) streams() processors.Streams { return processors.NewStreams(c.Group, "", "") }

func (c *Config) check() error {
	if c.Group == "" {
		return &brimline.Error{
			Class: brimline.ClassInput, Kind: "view_config", Where: "views.Config",
			Remedy: "set Group to the --group of the brimline", Err: errors.New("no group is named"),
		}
	}
	return c.kafka().Check()
}

// AsOf says which part of the stream an answer has seen.
type AsOf struct {
	Partition int32 // of the table, and of the changes that it is folded from
	Input     int64 // offset of the last change folded into the user, -1 when there is none
	Table     int64 // newest record of the table partition that was read, -1 when there is none
	Lag       int64 // records of the table partition that were not read yet, -1 when the brokers could not be asked
}

// Progress is how far a view has read one partition of its table.
type Progress struct {
	Partition int32
	Recovered bool  // it has once read to the end
	Offset    int64 // newest record read, -1 when there is none
	End       int64 // offset after the newest record, -1 when the brokers could not be asked
}

// Lag is the number of records not read yet, -1 when it is not known.
func (p Progress) Lag() int64 {
	if p.End < 0 {
		return -1
	}
	return max(0, p.End-1-p.Offset)
}

// lagTimeout bounds how long an answer waits for the brokers to say where a partition ends.
const lagTimeout = time.Second

func openError(table string, err error) error {
	e, known := errors.AsType[*brimline.Error](err)
	if known && e.Kind != kafka.KindTopicMissing {
		return err
	}
	kind, remedy := "view_open", "check that the brokers can be reached"
	if known {
		kind, remedy = "no_table", "start `brimline run` with this --group first: it creates its tables"
		err = errors.New("there is no such table")
	}
	return &brimline.Error{
		Class: brimline.ClassEnvironment, Kind: kind, Where: fmt.Sprintf("opening a view of table %q", table),
		Remedy: remedy, Err: err,
	}
}

func errNotRecovered(table string, progress []Progress) error {
	done := 0
	for _, p := range progress {
		if p.Recovered {
			done++
		}
	}
	return &brimline.Error{
		Class: brimline.ClassRuntime, Kind: "view_not_recovered", Where: fmt.Sprintf("view of table %q", table),
		Remedy: "ask again in a moment",
		Err:    fmt.Errorf("still reading the table: %d of %d partitions are complete", done, len(progress)),
	}
}

func errStopped(table string) error {
	return &brimline.Error{
		Class: brimline.ClassRuntime, Kind: "view_stopped", Where: fmt.Sprintf("view of table %q", table),
		Err: errors.New("it is stopped"),
	}
}

func readError(table string, err error) error {
	return &brimline.Error{
		Class: brimline.ClassRuntime, Kind: "view_read", Where: fmt.Sprintf("reading table %q", table),
		Remedy: "when the value was written by a newer brimline, use that version; otherwise " +
			"`brimline reset` reads everything anew",
		Err: err,
	}
}
