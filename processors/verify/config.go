package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/failpoint"
	"github.com/brimline/brimline/internal/sliding"
	"github.com/brimline/brimline/processors"
)

// Database answers a question at a time. An error of brimline.ClassInput says that
// this question will never be answered; one that is sliding.ErrManyRows, that it is to be put to Long;
// any other, that it may be answered later.
type Database interface {
	// Figures are the rule's figures for user at a time. after are the changes
	// that a replica must have seen; lsn is the log position after the answer.
	Figures(
		ctx context.Context,
		user string,
		rule *sliding.Rule,
		at brimline.Time,
		after ...brimline.Source,
	) (f brimline.Figures, lsn uint64, err error)
	// Crossing is Figures, and says whether an edge at that time is silent, which takes more rows.
	Crossing(
		ctx context.Context,
		user string,
		rule *sliding.Rule,
		at brimline.Time,
		after ...brimline.Source,
	) (f brimline.Figures, silent bool, lsn uint64, err error)
	// Edges are the times of all edges in [from, to] that are not silent, in order.
	Edges(
		ctx context.Context,
		user string,
		rule *sliding.Rule,
		from, to brimline.Time,
		after ...brimline.Source,
	) (edges []brimline.Time, lsn uint64, err error)
	// AsOf is the total and count of the window that ends at a time.
	AsOf(ctx context.Context, user string, rule *sliding.Rule, at brimline.Time) (brimline.AsOf, error)
	// Ping tells whether the database answers at all.
	Ping(ctx context.Context) error
}

// Ledger answers several questions about a user at once, too.
type Ledger interface {
	Database
	// EdgesOf is Edges for all spans of a user at once, as one server has the rows at one moment: the edges of each span.
	EdgesOf(
		ctx context.Context,
		user string,
		spans []sliding.Span,
		after ...brimline.Source,
	) (edges [][]brimline.Time, lsn uint64, err error)
	// Unseen are those of the changes that a server does not show yet.
	Unseen(ctx context.Context, after []brimline.Source) ([]brimline.Source, error)
}

// Config configures the stage. Fields without a stated default are required.
type Config struct {
	// Client, Member and Transactions give settings of the client that asks the brokers, of the member of the consumer
	// group and of the producer. The stage adds what its promise rests on: reading committed records from the oldest on,
	// no commits by the client itself, the transactional id, its own partitioner. The balancer (an eager one) and that
	// writes are acknowledged by all replicas are the caller's.
	Client, Member, Transactions func() ([]kgo.Opt, error)
	// Reader gives those of the client that fetches the questions of the partitions that the member has.
	Reader  func() ([]kgo.Opt, error)
	Streams processors.Streams
	// Instance distinguishes the processes of a group; two that run at once must
	// differ, else they end each other in turn. A process that comes back under
	// its name ends what it left open at once instead of after the transaction timeout.
	Instance string
	// Scale is the number of decimals of amounts. A candidate of another scale is a dead letter.
	Scale int
	// Ledger is not needed with Off.
	Ledger Ledger
	// Long answers what is about too many rows for Ledger, and takes the time that it needs. Not needed with Off.
	Long Database
	// Compile turns a where expression into a function that is pure, total and
	// safe for concurrent use. It is called once per rule.
	Compile func(rule brimline.Rule) (sliding.Rule, error)
	// Off lets edges pass as unverified alerts, and dismisses late candidates, which only a database can answer.
	Off bool
	// AlertsFrom is the time from which alerts are written; what is confirmed of an edge before it goes to dismissed.
	// 0: all are.
	AlertsFrom brimline.Time
	// AsOfNow adds the total of the last window up to the moment of asking.
	AsOfNow bool
	// DistrustAfter is for how long PostgreSQL must go on dismissing an edge, with less than the window has, until the
	// window stage is told to distrust the user. 0: never.
	DistrustAfter time.Duration
	// Budget bounds how many users that are; nil is one of the usual size.
	Budget *Budget
	// Folded is a time so that the window stage has folded what the source topic had then. Nil: all is folded.
	Folded func(context.Context) (time.Time, error)
	// Waiting is told since when and why PostgreSQL is waited for, and with a nil cause that it is not any more. It must
	// return at once. Nil: not told.
	Waiting func(since time.Time, cause error)
	// Metrics of this process, which outlive the stage.
	Metrics *Metrics
	// Log; nil discards.
	Log *slog.Logger
	// Clock; nil is time.Now.
	Clock func() time.Time

	// Batch is the most records of candidates of one partition in one transaction; 0 is 500.
	Batch int
	// Every is the shortest time from one transaction's beginning to the next one's: a transaction costs the brokers as
	// much with one alert as with a hundred. 0 is 10 ms.
	Every time.Duration
	// Questions is how many questions may be with PostgreSQL at once; 0 is 8.
	// More than the ledger's connections wait there.
	Questions int
	// LongQuestions is how many may be with Long, beside the others; 0 is 2.
	LongQuestions int
	// ApartBatch, ApartEvery and ApartQuestions are the same for the questions about old rows, for which nothing live
	// waits; 0 is 10,000, 250 ms and 2. The more of a user's questions come together, the fewer statements they need.
	ApartBatch     int
	ApartEvery     time.Duration
	ApartQuestions int
	// ApartBytes is about how many bytes of records of such questions are held at once; 0 is 32 MiB. It is shared out
	// among the partitions. Decoded, half of them take four times as much at most, with what is written of them.
	ApartBytes int
	// MaxAlertBytes is the largest record written to alerts and dismissed; 0 is
	// 900,000, which fits Kafka's default of max.message.bytes. Larger ones leave
	// out the contributing transactions, then the trigger's further columns.
	MaxAlertBytes int
	// MaxRecordBytes is the largest record written to the dead letters; 0 is 900,000. Larger ones are cut.
	MaxRecordBytes int
	// Patience is the longest pause between two tries while PostgreSQL is away; 0 is 2 s.
	Patience time.Duration
	// ProbeEvery is how often PostgreSQL is looked for, so that an outage is known before the first candidate. 0 is 5 s.
	ProbeEvery time.Duration
	// StopTimeout bounds how long a stop or a rebalance waits for the running transaction; 0 is 10 s.
	StopTimeout time.Duration
}

// What each lane may ask at once, unless told otherwise. The ledger needs a connection for each.
const (
	Connections      = 8
	ApartConnections = 2
	AgainConnections = 1
)

// How many users may be distrusted by themselves, unless told otherwise: so many at once, and one more each time.
const (
	DistrustsAtOnce = 100
	DistrustEvery   = 6 * time.Second
)

func (c *Config) setDefaults() {
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	if c.Clock == nil {
		c.Clock = time.Now
	}
	c.Batch = cmp.Or(c.Batch, 500)
	c.Every = cmp.Or(c.Every, 10*time.Millisecond)
	c.LongQuestions = cmp.Or(c.LongQuestions, 2)
	c.Questions = cmp.Or(c.Questions, Connections)
	c.ApartBatch = cmp.Or(c.ApartBatch, 10_000)
	c.ApartEvery = cmp.Or(c.ApartEvery, 250*time.Millisecond)
	c.ApartQuestions = cmp.Or(c.ApartQuestions, ApartConnections)
	c.ApartBytes = cmp.Or(c.ApartBytes, 32<<20)
	c.MaxAlertBytes = cmp.Or(c.MaxAlertBytes, 900_000)
	c.MaxRecordBytes = cmp.Or(c.MaxRecordBytes, 900_000)
	c.Patience = cmp.Or(c.Patience, 2*time.Second)
	c.ProbeEvery = cmp.Or(c.ProbeEvery, 5*time.Second)
	if c.Waiting == nil {
		c.Waiting = func(time.Time, error) {}
	}
	if c.Budget == nil {
		c.Budget = NewBudget(DistrustsAtOnce, DistrustEvery)
	}
	c.StopTimeout = cmp.Or(c.StopTimeout, 10*time.Second)
}

func (c *Config) check() error {
	var missing []error
	need := func(there bool, what string) {
		if !there {
			missing = append(missing, errors.New("verify: "+what+" is missing"))
		}
	}
	need(c.Client != nil, "Client")
	need(c.Member != nil, "Member")
	need(c.Reader != nil, "Reader")
	need(c.Transactions != nil, "Transactions")
	need(c.Streams.VerifyGroup != "", "Streams")
	need(c.Instance != "", "Instance")
	need(c.Ledger != nil || c.Off, "Ledger")
	need(c.Long != nil || c.Off, "Long")
	need(c.Compile != nil, "Compile")
	need(c.Metrics != nil, "Metrics")
	return errors.Join(missing...)
}

// transactionalID is the same for every life of an instance: the newer fences the older. No name has a slash.
func (c *Config) transactionalID(of *lane) string {
	id := c.Streams.VerifyGroup + "-" + c.Instance
	switch {
	case of.delay > 0:
		id += "/again"
	case of.apart:
		id += "/questions"
	}
	if failpoint.Without(failpoint.ProducerID) {
		id += fmt.Sprint("-", time.Now().UnixNano())
	}
	return id
}
