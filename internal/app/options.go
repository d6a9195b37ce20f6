package app

import (
	"encoding/binary"
	"log/slog"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs/debezium"
	"github.com/brimline/brimline/internal/config"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/internal/ledger"
	"github.com/brimline/brimline/processors"
	"github.com/brimline/brimline/views"
	"github.com/prometheus/client_golang/prometheus"
)

// Options configure an App.
type Options struct {
	// Config must have been validated, with its secrets read.
	Config config.Config
	// Log receives what operators should know; nil discards it.
	Log *slog.Logger
	// Registry receives all metrics; nil makes one. An App that is made twice needs two.
	Registry *prometheus.Registry
	// Version of this program, for the status.
	Version string
	// Clock is the time of dead letters and of the HTTP API's "now"; nil is time.Now.
	Clock func() time.Time
}

// Streams are the names that a configuration gives to topics and groups.
func Streams(c *config.Config) processors.Streams {
	return processors.NewStreams(c.Group, c.Source, c.Alerts)
}

// KafkaOptions translate a configuration for package kafka. The client id
// shows in the brokers' logs and in lists of members.
func KafkaOptions(c *config.Kafka, clientID string) kafka.Options {
	o := kafka.Options{
		Brokers: c.Brokers, ClientID: clientID, SessionTimeout: c.SessionTimeout,
		TLS: kafka.TLS{
			Enabled: c.KafkaTLS || c.KafkaCAFile != "" || c.KafkaCertFile != "" || c.KafkaServerName != "",
			CAFile:  c.KafkaCAFile, CertFile: c.KafkaCertFile, KeyFile: c.KafkaKeyFile, ServerName: c.KafkaServerName,
		},
		SASL: kafka.SASL{Mechanism: c.KafkaSASLMechanism, User: c.KafkaSASLUser, Password: c.KafkaSASLPassword.Reveal()},
	}
	if o.SASL.User != "" && o.SASL.Mechanism == "" {
		o.SASL.Mechanism = kafka.SASLScramSHA512
	}
	return o
}

// ViewConfig translates Kafka's settings for views of a group's tables.
func ViewConfig(o kafka.Options, group string) (views.Config, error) {
	t, err := o.ClientTLS()
	return views.Config{
		Brokers: o.Brokers, TLS: t, SASL: views.SASL(o.SASL), ClientID: o.ClientID, Group: group,
	}, err
}

// DecoderOptions translate a configuration for the decoder of change records.
func DecoderOptions(c *config.Config, rules *brimline.RuleSet) debezium.Options {
	o := debezium.Options{
		Table: c.Table, ID: c.IDColumn, User: c.UserColumn, Amount: c.AmountColumn, Time: c.TimeColumn,
		Columns: rules.Columns, Scale: rules.Scale,
		AllowFloatAmounts: c.AllowFloatAmounts, Decimals: debezium.Decimals(c.Decimals),
		AmountMinorUnits: minorUnits(c),
		Format:           debezium.Format(c.Format), TimeUnit: debezium.TimeUnit(c.TimeUnit),
		OtherTables: debezium.OtherTables(c.OtherTables),
	}
	if c.AmountColumnScale >= 0 {
		o.AmountColumnScale = &c.AmountColumnScale
	}
	return o
}

// minorUnits is the setting; where nothing was said the column counts whole units.
func minorUnits(c *config.Config) int { return max(0, c.AmountMinorUnits) }

// LedgerOptions translate a configuration for package ledger.
func LedgerOptions(c *config.Config, rules *brimline.RuleSet) ledger.Options {
	return ledger.Options{
		URL: c.DatabaseURL.Reveal(), Table: c.Table,
		Columns: ledger.Columns{ID: c.IDColumn, User: c.UserColumn, Amount: c.AmountColumn, Time: c.TimeColumn},
		Extra:   rules.Columns, Scale: rules.Scale, MinorUnits: minorUnits(c),
		Replica: c.Verify == "replica", Name: "brimline " + c.Group,
	}
}

// fingerprint is shown by the members of a consumer group to each other: that of their rules in 8 bytes, and the
// version of the flow, which those of version 1 do not write.
func fingerprint(set *brimline.RuleSet) []byte {
	return append(binary.BigEndian.AppendUint64(nil, set.Fingerprint()), processors.FlowVersion)
}
