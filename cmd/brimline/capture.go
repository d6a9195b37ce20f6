package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/app"
	"github.com/brimline/brimline/internal/config"
	"github.com/brimline/brimline/internal/present"
)

type captureCmd struct {
	Slot        string `help:"Replication slot; it is the record of progress, and made when missing." default:"brimline" env:"BRIMLINE_SLOT" group:"PostgreSQL"`
	Publication string `help:"Publication; made for the table when missing." default:"brimline" env:"BRIMLINE_PUBLICATION" group:"PostgreSQL"`

	Resnapshot    bool          `help:"Take a new snapshot of the table, published as it is now, and then go on from where the slot stands." env:"BRIMLINE_RESNAPSHOT" group:"PostgreSQL"`
	CheckInterval time.Duration `help:"How often to see that table and publication are what they were." default:"10s" env:"BRIMLINE_CHECK_INTERVAL" group:"PostgreSQL"`

	config.Database    `group:"PostgreSQL"`
	config.TableName   `group:"PostgreSQL"`
	config.Kafka       `group:"Kafka"`
	config.SourceTopic `group:"Kafka"`
	// Those of config.Topics, with what they mean here.
	Partitions  int `help:"Partitions of the source topic, where it is created; 0: 8." default:"0" env:"BRIMLINE_PARTITIONS" group:"Kafka"`
	Replication int `help:"Replication of topics that are created; 0: one per broker, at most three." default:"0" env:"BRIMLINE_REPLICATION" group:"Kafka"`

	config.Logging `group:"Logs"`
}

func (captureCmd) Help() string {
	return `Reads a table's changes by logical replication and writes them to Kafka as
Debezium would: the same topic, keys and envelopes. The first start takes a
snapshot that is consistent with the stream; every other resumes. Needs
wal_level=logical, and rights to replicate; brimline doctor --capture checks
them. A topic that it creates keeps its records for ever (retention.ms=-1), so that a new group
can read everything; set what your disks allow.

It ends with exit code 3 when another table takes the watched one's name, or the
publication leaves it out, and says which statement helps; started again, it takes
a new snapshot by itself. --resnapshot takes one at every start that names it.

A slot that no capture reads makes PostgreSQL keep its log: drop it when it is not
needed any more (SELECT pg_drop_replication_slot('brimline')), and
brimline_snapshot, if a first snapshot was given up.

Example:

	brimline capture --database-url postgres://cdc@db/app --brokers kafka:9092`
}

func (c *captureCmd) Run(w *world) error {
	topics := config.Topics{Partitions: c.Partitions, Replication: c.Replication}
	if err := config.Check(&c.Kafka, &c.SourceTopic, &topics, &c.TableName, &c.Database, &c.Logging); err != nil {
		return err
	}
	whole := config.Config{Kafka: c.Kafka, Database: c.Database}
	if whole.DatabaseURL == "" && whole.DatabaseURLFile == "" {
		return needsDatabase()
	}
	if err := whole.ReadSecrets(); err != nil {
		return err
	}
	if c.CheckInterval < time.Second {
		return &brimline.Error{
			Class: brimline.ClassInput, Kind: "settings", Remedy: "set --check-interval to 1s or more",
			Err: fmt.Errorf("--check-interval=%s is too short", present.Duration(c.CheckInterval)),
		}
	}
	err := app.Capture(w, app.CaptureOptions{
		Kafka: whole.Kafka, Topics: topics, DatabaseURL: whole.DatabaseURL, Table: c.Table, Source: c.Source,
		Slot: c.Slot, Publication: c.Publication, Resnapshot: c.Resnapshot, CheckInterval: c.CheckInterval,
		Log: w.logger(&c.Logging),
	})
	if w.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func needsDatabase() error {
	return &brimline.Error{
		Class: brimline.ClassInput, Kind: "settings",
		Remedy: "set --database-url, --database-url-file or BRIMLINE_DATABASE_URL",
		Err:    errors.New("--database-url: is needed"),
	}
}
