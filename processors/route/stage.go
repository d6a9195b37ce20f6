package route

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/processors"
)

// Config configures the stage. All fields but Life, Binding, Alone, Truncated, Assigned and those with a default
// are required.
type Config struct {
	Streams    processors.Streams
	Decoder    Decoder
	Partitions int    // of the changes stream
	Life       uint32 // of the source topic, see brimline.Source
	// Binding binds offsets to the source topic as it is; nil where they go by its name.
	Binding Binding
	// MostBytes is the largest value that changes and dead letters take; 0 is 900,000, which fits Kafka's default of
	// max.message.bytes. A dead letter with more is cut.
	MostBytes int
	Clock     func() time.Time
	Metrics   *Metrics
	Log       *slog.Logger
	// Member makes the settings of the group's member; Producer those of the client that writes: its records are
	// acknowledged by all replicas in sync, keep their order, and are placed by processors.Hasher.
	Member, Producer func() ([]kgo.Opt, error)
	// Alone says whether the source has one partition, so that a TRUNCATE comes after all that is older; nil where it has
	// not, or that is not known.
	Alone func() bool
	// Truncated is told of each TRUNCATE, and where it stood; nil where nothing needs to know.
	Truncated func(brimline.Source)
	// Assigned is told which partitions of the source this instance has, after each rebalance; nil where nothing needs
	// to know. It must return at once.
	Assigned func([]int32)
	// Every is the shortest time between two looks at the brokers while few records come. Default 5 ms.
	Every time.Duration
	// CommitEvery is how often finished offsets are committed: a kill replays what was finished since. Default 100 ms.
	CommitEvery time.Duration
	// DrainWithin is how long a stop and a rebalance wait for records that are on their way. Default 10 s.
	DrainWithin time.Duration
}

// Binding tells a topic from others that have had its name.
type Binding interface {
	Metadata() string               // what offsets in it carry
	OfAnother(metadata string) bool // says whether an offset's metadata are those of another one
	Broken() error                  // an error where the topic is another one now, or that cannot be seen
}

func (c *Config) setDefaults() {
	c.MostBytes = cmp.Or(c.MostBytes, 900_000)
	for _, d := range []struct {
		to *time.Duration
		by time.Duration
	}{{&c.Every, 5 * time.Millisecond}, {&c.CommitEvery, 100 * time.Millisecond}, {&c.DrainWithin, 10 * time.Second}} {
		if *d.to == 0 {
			*d.to = d.by
		}
	}
}

// fewRecords are too few to ask for the next ones at once: a request costs the broker as much as some hundred records.
const fewRecords = 1000

// Stage is one life of the stage: it is made, runs once, and is thrown away.
type Stage struct {
	Config
	producer *kgo.Client
	// writing ends with the first record that could not be written: what depends on the lost one must not follow it.
	writing context.Context
	fail    context.CancelCauseFunc
}

// New makes a stage.
func New(c Config) *Stage {
	c.setDefaults()
	return &Stage{Config: c}
}

// Run works until ctx ends, and then returns nil once what was read is written and committed, within DrainWithin. Any
// error means that this Stage is done and a new one may begin: what was not committed is read again.
func (s *Stage) Run(ctx context.Context) error {
	s.writing, s.fail = context.WithCancelCause(context.WithoutCancel(ctx))
	defer s.fail(nil)
	reading, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(s.writing, stop)()
	// Writing waits while its buffer is full, and brokers may be away.
	defer context.AfterFunc(reading, func() {
		late := time.AfterFunc(s.DrainWithin, func() { s.fail(errLate) })
		context.AfterFunc(s.writing, func() { late.Stop() })
	})()
	err := s.run(reading)
	if ctx.Err() != nil {
		return nil
	}
	if s.writing.Err() != nil {
		return context.Cause(s.writing)
	}
	return err
}

var errLate = errors.New("records were not acknowledged in time")

func (s *Stage) run(ctx context.Context) error {
	settings, err := s.Producer()
	if err != nil {
		return err
	}
	if s.producer, err = kgo.NewClient(settings...); err != nil {
		return err
	}
	defer s.producer.Close()
	m, err := s.join(ctx)
	if err != nil {
		return err
	}
	defer m.close()
	return m.read(ctx)
}

// failed ends the stage for the first reason.
func (s *Stage) failed(doing string, err error) { s.fail(fmt.Errorf("%s: %w", doing, err)) }

// problem ends the stage for what the client reports, unless the client mends
// it itself, by joining again or asking another broker: that is told to the log.
// An offset that the broker no longer has means lost input: it is not passed over.
func (s *Stage) problem(topic string, partition int32, err error) {
	if isAnswer(err) && !isLostPartition(err) {
		s.failed(fmt.Sprintf("reading topic %q, partition %d, in group %q", topic, partition, s.Streams.RouteGroup), err)
		return
	}
	s.Log.Warn("reading the source", "topic", topic, "partition", partition, "error", err)
}

// isLostPartition tells a rebalance from what a new life of the stage has to mend.
func isLostPartition(err error) bool {
	return errors.Is(err, kerr.IllegalGeneration) || errors.Is(err, kerr.UnknownMemberID) ||
		errors.Is(err, kerr.RebalanceInProgress)
}

// isAnswer tells what a broker refuses for good from what passes by.
func isAnswer(err error) bool {
	answer, ok := errors.AsType[*kerr.Error](err)
	return ok && !answer.Retriable
}
