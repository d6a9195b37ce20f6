package views

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/internal/sliding"
	"github.com/brimline/brimline/processors"
)

// Config says where tables are and where views keep their copies.
type Config struct {
	// Kafka are the settings of every client; Brokers among them.
	Kafka   kafka.Options
	Streams processors.Streams

	// Dir is the state directory; views use its folder `views`. Empty keeps the copies in memory.
	Dir string

	// Rules are those whose figures Windows gives, and Scale the decimals of
	// amounts of a user who has no rows. Alerts needs neither.
	Rules []sliding.Rule
	Scale int

	// Log receives what goka reports, at debug level, and what the operator
	// should know; nil discards it.
	Log *slog.Logger
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
		Remedy: "when the value was written by a newer brimline, use that version; otherwise `brimline reset` reads everything anew",
		Err:    err,
	}
}
