package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"time"

	"github.com/brimline/brimline/internal/backoff"

	"github.com/dustin/go-humanize"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/audit"
	"github.com/brimline/brimline/internal/config"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/internal/ledger"
	"github.com/brimline/brimline/processors"
	"github.com/brimline/brimline/views"
)

// AuditOptions say which rows are compared, and how much that may take.
type AuditOptions struct {
	Streams processors.Streams
	// Windows is the window table, read to its end once.
	Windows *views.Windows
	// DatabaseURL is where the table is, or a replica of it; SlotURL where the slot is, empty for the same.
	DatabaseURL, SlotURL config.Secret
	Slot                 string   // that feeds the source topic; empty: not known
	Users                []string // none: all
	Sample               int      // so many users by chance; 0: all
	TableFrom            brimline.Time
	AnyPlan              bool
	Timeout              time.Duration // of each statement
	Grace, Wait          time.Duration // as of ProofOptions
	// Share is the part of the time that PostgreSQL may be busy with it, above 0 and up to 1.
	Share float64
	Clock func() time.Time
	// Tell is told what is being done, now and then Progress how far it has come; both may be nil.
	Tell     func(string)
	Progress func(users, rows int64)
}

// Audit compares what windows retain with PostgreSQL's rows.
type Audit struct {
	o           AuditOptions
	cluster     *kafka.Cluster
	ledger      *ledger.Ledger
	slots       *ledger.Ledger // nil where no slot is known
	set         *brimline.RuleSet
	retention   time.Duration
	partitioned maphash.Seed
}

// OpenAudit reads what the group has written down of itself, and looks at the table: what cannot be compared is an
// error before anything long begins.
func OpenAudit(ctx context.Context, cluster *kafka.Cluster, o AuditOptions) (_ *Audit, err error) {
	a := &Audit{o: o, cluster: cluster, partitioned: maphash.MakeSeed()}
	if a.o.Tell == nil {
		a.o.Tell = func(string) {}
	}
	if a.set, err = RulesInForce(ctx, cluster, o.Streams.Rules); err != nil {
		return nil, err
	}
	if a.set == nil {
		return nil, &brimline.Error{
			Class: brimline.ClassEnvironment, Kind: "group_not_begun", Where: fmt.Sprintf("topic %q", o.Streams.Rules),
			Remedy: "start `brimline run`", Err: errors.New("the group has no rules yet"),
		}
	}
	a.retention = a.set.Retention()
	settings, err := writtenDown(ctx, cluster, o.Streams)
	if err != nil {
		return nil, err
	}
	name := "brimline audit " + o.Streams.Group
	defer func() {
		if err != nil {
			a.Close()
		}
	}()
	if a.ledger, err = ledger.Open(ctx, ledgerBy(settings, a.set, o.DatabaseURL, o.Timeout, name)); err != nil {
		return nil, err
	}
	if err := a.indexed(ctx, settings); err != nil {
		return nil, err
	}
	if o.Slot == "" {
		return a, nil
	}
	if a.slots = a.ledger; o.SlotURL != "" {
		if a.slots, err = ledger.Open(ctx, ledgerBy(settings, a.set, o.SlotURL, o.Timeout, name)); err != nil {
			return nil, err
		}
	}
	_, err = a.delivered(ctx, 0)
	return a, err
}

// indexed refuses a large table in which no index finds the rows of a user.
func (a *Audit) indexed(ctx context.Context, s *codecs.GroupSettings) error {
	there, bytes, create, err := a.ledger.Index(ctx)
	if err != nil || there || a.o.AnyPlan || bytes <= largeTable {
		return err
	}
	return &brimline.Error{
		Class: brimline.ClassEnvironment, Kind: "no_index", Where: "table " + s.Table,
		Remedy: create + "; or say --any-plan to have the table read whole again and again, best on a replica",
		Err: fmt.Errorf("no index begins with (%s, %s), and it has %s of rows", s.User, s.Time,
			humanize.IBytes(uint64(bytes))),
	}
}

// Close ends the connections to PostgreSQL.
func (a *Audit) Close() {
	if a.slots != nil && a.slots != a.ledger {
		a.slots.Close()
	}
	if a.ledger != nil {
		a.ledger.Close()
	}
}

// delivered says whether all of before lsn has left the slot for good.
func (a *Audit) delivered(ctx context.Context, lsn uint64) (bool, error) {
	slot, err := a.slots.Slot(ctx, a.o.Slot)
	if err != nil {
		return false, err
	}
	if slot == nil {
		return false, &brimline.Error{
			Class: brimline.ClassInput, Kind: "slot_unknown", Where: "--slot " + a.o.Slot,
			Remedy: "name the slot that feeds the source topic, as pg_replication_slots has it; slots are at the primary, " +
				"which --database-url must name then, beside --replica-url",
			Err: errors.New("this server has no such replication slot"),
		}
	}
	return slot.Confirmed >= lsn, nil
}

// Run compares.
func (a *Audit) Run(ctx context.Context) (*audit.Result, error) {
	o := audit.Options{
		Windows: a, Table: a.ledger, Scale: a.set.Scale, Unknown: brimline.MaxTime, Settle: a.settle, Rest: a.rest,
		Progress: a.o.Progress, Clock: a.o.Clock,
	}
	if len(a.o.Users) == 0 && a.o.Sample == 0 {
		o.Unknown = max(a.o.TableFrom, a.now().Add(-a.retention))
	}
	a.o.Tell("comparing the retained rows with PostgreSQL's")
	return audit.Run(ctx, o)
}

func (a *Audit) now() brimline.Time { return brimline.TimeOf(a.o.Clock()) }

// rest has PostgreSQL left alone for as long as its share of the time asks for.
func (a *Audit) rest(ctx context.Context, took time.Duration) error {
	if a.o.Share >= 1 {
		return ctx.Err()
	}
	return backoff.Pause(ctx, time.Duration(float64(took)*(1/a.o.Share-1)))
}

// How much is compared by one statement.
const (
	auditUsers = 1000
	auditRows  = 50_000
)

// Each calls visit with the users who are asked about.
func (a *Audit) Each(ctx context.Context, visit func([]audit.Window) error) error {
	var batch []audit.Window
	rows := 0
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		err := visit(batch)
		batch, rows = nil, 0
		return err
	}
	take := func(ids []string) error {
		for _, id := range ids {
			w, err := a.Get(ctx, id)
			if err != nil {
				return err
			}
			if !w.Found && len(a.o.Users) == 0 { // deleted since it was listed
				continue
			}
			batch = append(batch, w)
			if rows += len(w.Rows); len(batch) >= auditUsers || rows >= auditRows {
				if err := flush(); err != nil {
					return err
				}
			}
		}
		return nil
	}
	users, err := a.o.Users, error(nil)
	switch {
	case len(users) > 0:
	case a.o.Sample > 0:
		users, err = a.some(ctx)
	default:
		if err := a.o.Windows.Users(ctx, auditUsers, take); err != nil {
			return err
		}
	}
	if err == nil {
		err = take(users)
	}
	return cmp.Or(err, flush())
}

// some are users by chance.
func (a *Audit) some(ctx context.Context) ([]string, error) {
	type drawn struct {
		lot uint64
		id  string
	}
	var all []drawn
	trim := func() {
		slices.SortFunc(all, func(x, y drawn) int { return cmp.Compare(x.lot, y.lot) })
		all = all[:min(len(all), a.o.Sample)]
	}
	err := a.o.Windows.Users(ctx, auditUsers, func(ids []string) error {
		for _, id := range ids {
			all = append(all, drawn{maphash.String(a.partitioned, id), id})
		}
		if len(all) > 2*a.o.Sample+auditUsers {
			trim()
		}
		return nil
	})
	trim()
	users := make([]string, len(all))
	for i := range all {
		users[i] = all[i].id
	}
	return users, err
}

// Get gives what the table has of a user, and from when on all rows are to be there: above the floor, and not older
// than the retained history.
func (a *Audit) Get(_ context.Context, id string) (audit.Window, error) {
	w := audit.Window{User: id, From: max(a.o.TableFrom, a.now().Add(-a.retention))}
	if processors.CheckUser(id) != nil { // none of its rows is taken in
		return w, nil
	}
	h, err := a.o.Windows.Held(id)
	if err != nil {
		return w, err
	}
	if h.Window == nil {
		if h.Forgotten != 0 {
			w.From = max(w.From, h.Forgotten+1)
		}
		return w, nil
	}
	w.Found, w.Last, w.Newest = true, h.Window.Last, h.Window.Newest.Source()
	if n := len(h.Window.Rows); n > 0 {
		w.From = max(a.o.TableFrom, min(a.now(), h.Window.Rows[n-1].Time).Add(-a.retention))
	}
	if h.Window.Floor != brimline.MinTime {
		w.From = max(w.From, h.Window.Floor+1)
	}
	for i := range h.Window.Rows {
		if row := &h.Window.Rows[i]; row.Time >= w.From {
			w.Rows = append(w.Rows, row.Transaction(id))
		}
	}
	return w, nil
}

// settle waits until the group has folded what the stream had, and the view has read that.
func (a *Audit) settle(ctx context.Context, lsn uint64) (arrived bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, a.o.Grace+a.o.Wait, errSettle)
	defer cancel()
	a.o.Tell("something differs: waiting for the stream before looking again")
	if arrived, err = a.settled(ctx, lsn); err != nil && errors.Is(context.Cause(ctx), errSettle) {
		return false, &brimline.Error{
			Class: brimline.ClassEnvironment, Kind: "group_behind", Where: "group " + a.o.Streams.Group,
			Remedy: "see `brimline status`; when the group has caught up ask again, or allow more with --wait",
			Err: fmt.Errorf("it has not folded within %v what its stream has: what differs may be on its way",
				a.o.Grace+a.o.Wait),
		}
	}
	return arrived, err
}

func (a *Audit) settled(ctx context.Context, lsn uint64) (arrived bool, err error) {
	s := settling{a.cluster, a.o.Streams, a.o.Grace}
	if a.slots == nil {
		_, err = s.awaitStream(ctx, lsn, nil)
		arrived = true // what is not known is not held against the finding
	} else {
		arrived, err = s.awaitStream(ctx, lsn, a.delivered)
	}
	if err == nil {
		err = s.awaitRead(ctx, a.o.Streams.RouteGroup, a.o.Streams.Source)
	}
	if err == nil {
		err = s.awaitRead(ctx, a.o.Streams.WindowGroup, a.o.Streams.Changes)
	}
	if err != nil {
		return false, err
	}
	ends := a.o.Windows.Progress(ctx)
	for !a.viewHas(ctx, ends) {
		if err := backoff.Pause(ctx, settleEvery); err != nil {
			return false, err
		}
	}
	return arrived, nil
}

// viewHas says whether the view has read up to some ends; what the brokers did not say is looked at again.
func (a *Audit) viewHas(ctx context.Context, ends []views.Progress) bool {
	for i, p := range a.o.Windows.Progress(ctx) {
		if ends[i].End < 0 {
			ends[i].End = p.End
		}
		if ends[i].End < 0 || p.Offset < ends[i].End-1 {
			return false
		}
	}
	return true
}

// Repair distrusts the users of findings, so that PostgreSQL answers in place of their rows. It gives how many they
// are, and how many rows are dated ahead, which a distrust does not reach.
func Repair(o kafka.Options, s processors.Streams, r *audit.Result, now brimline.Time) (users, ahead int, err error) {
	all := slices.DeleteFunc(audit.OfUsers(r.Findings), func(id string) bool { return processors.CheckUser(id) != nil })
	for i := range r.Findings {
		if f := &r.Findings[i]; max(f.Stream.Time, f.Table.Time) > now {
			ahead++
		}
	}
	if len(all) == 0 {
		return 0, ahead, nil
	}
	return len(all), ahead, Distrust(o, s, all, now)
}

// auditReport is a result in numbers.
func auditReport(r *audit.Result, took time.Duration, by string) *codecs.AuditReport {
	n := r.By()
	return &codecs.AuditReport{
		At: r.At, LSN: r.LSN, Took: took.Truncate(time.Microsecond), Users: r.Users, Rows: r.Rows, Unknown: r.Unknown,
		Missing: n[audit.Missing], Phantom: n[audit.Phantom], Different: n[audit.Different],
		Unsettled: len(r.Unsettled) + len(r.NotYet), By: by,
	}
}

// RecordAudit writes a report into the topic of reports, where all instances see it.
func RecordAudit(o kafka.Options, s processors.Streams, r *codecs.AuditReport) error {
	return emit(o, s.Reports, codecs.Audit{}, map[string]any{processors.AuditKey: r}, "writing a report")
}

// AuditReport is the report of a result that a command has.
func AuditReport(r *audit.Result, took time.Duration) *codecs.AuditReport {
	return auditReport(r, took, "brimline audit")
}
