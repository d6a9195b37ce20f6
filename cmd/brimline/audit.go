package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/app"
	"github.com/brimline/brimline/internal/audit"
	"github.com/brimline/brimline/internal/config"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/internal/present"
	"github.com/brimline/brimline/views"
)

type auditCmd struct {
	User   []string `help:"Only these users, as in the watched table; several by commas or by repeating."                                                                                            placeholder:"ID"   type:"list"`
	Sample int      `help:"Only so many users of the window table, by chance; 0: all."                                                                                 default:"0"`
	Repair bool     `help:"Distrust the users of what was found: PostgreSQL answers in place of their rows, which are forgotten."`
	Record bool     `help:"Write the numbers down for the group, so that status, page and metrics of all instances show them; only of all users."`
	JSON   bool     `help:"As JSON, with all rows."                                                                                                                                                                  name:"json"`
	Slot   string   `help:"The replication slot that feeds the source topic: what it has not delivered yet is told, and is no finding."                                                env:"BRIMLINE_SLOT" placeholder:"NAME"`

	TableFrom time.Time     `help:"The table has no rows of before this time any more: those are not compared. ISO 8601 with an offset."                       placeholder:"TIME"`
	AnyPlan   bool          `help:"Read the table whole where no index finds the rows of a user, however large it is."`
	Share     float64       `help:"The part of the time that PostgreSQL may be busy with it, above 0 and up to 1."                               default:"0.5"`
	Timeout   time.Duration `help:"How long PostgreSQL may take for one statement."                                                              default:"10m"                    name:"statement-timeout"`
	Grace     time.Duration `help:"How long a stream is waited for that shows nothing newer, before a difference counts."                        default:"1m"`
	Wait      time.Duration `help:"How long the group may take to handle what its stream has, before a difference counts."                       default:"5m"`
	StateDir  string        `help:"Where a copy of the window table is kept, so that the next audit begins sooner." default:".brimline/state" env:"BRIMLINE_STATE_DIR" group:"State"`

	config.Database `group:"PostgreSQL"`
	config.Replica  `group:"PostgreSQL"`
	Group
}

func (auditCmd) Help() string {
	return `Compares the rows that the windows hold, of all users, with those of the table in
PostgreSQL: first their number and a checksum of each user, then row by row those
that differ. Missing is a row that PostgreSQL has and the window does not; phantom is
one that the window has and PostgreSQL does not; different is one that both have, and
not alike. A difference counts if a second look finds it again, once the group has
handled all that its stream had at the first. Users of PostgreSQL whom the window
table does not know are looked for as well, unless --user or --sample names others.
Nothing is written without --repair or --record. docs/proof.md explains the answer.

Exit code 0 when nothing is found, 1 when something is, 2 when the question cannot be
put like that, 3 when it cannot be answered now.

Examples:

	brimline audit --replica-url postgres://auditor@replica/app
	brimline audit --user 27956157 --repair`
}

func (c *auditCmd) check() error {
	for name, d := range map[string]time.Duration{"statement-timeout": c.Timeout, "wait": c.Wait} {
		if d < time.Millisecond {
			return usage("--"+name, "write a duration such as 5m", fmt.Errorf("%s is too short", present.Duration(d)))
		}
	}
	switch {
	case c.Grace < 0:
		return usage("--grace", "write a duration such as 1m", fmt.Errorf("%s is below 0", present.Duration(c.Grace)))
	case c.Sample < 0:
		return usage("--sample", "write how many users", fmt.Errorf("%d is below 0", c.Sample))
	case !(c.Share > 0 && c.Share <= 1):
		return usage("--share", "write a number such as 0.5", fmt.Errorf("%v is not above 0 and up to 1", c.Share))
	case c.Sample > 0 && len(c.User) > 0:
		return usage("--sample, --user", "leave one of them out", errors.New("either says which users"))
	case c.Record && (c.Sample > 0 || len(c.User) > 0):
		return usage("--record", "leave it out, or audit all users", errors.New("some users say nothing of the group"))
	}
	return checkUsers(c.User...)
}

func (c *auditCmd) Run(w *world) error {
	if err := c.check(); err != nil {
		return err
	}
	all := config.Config{Database: c.Database, Replica: c.Replica}
	if err := config.Check(&all.Database, &all.Replica); err != nil {
		return err
	}
	if err := all.ReadSecrets(); err != nil {
		return err
	}
	o := app.AuditOptions{
		Streams: c.streams(), DatabaseURL: cmp.Or(all.ReplicaURL, all.DatabaseURL), Slot: c.Slot, Users: c.User,
		Sample: c.Sample, AnyPlan: c.AnyPlan, Timeout: c.Timeout, Grace: c.Grace, Wait: c.Wait, Share: c.Share,
		Clock: time.Now, Tell: func(doing string) { w.note(&c.Logging, doing) }, TableFrom: brimline.MinTime,
	}
	if all.ReplicaURL != "" {
		o.SlotURL = all.DatabaseURL
	}
	if o.DatabaseURL == "" {
		return usage("--database-url", "set it, or --replica-url", errors.New("PostgreSQL is what rows are compared with"))
	}
	if !c.TableFrom.IsZero() {
		o.TableFrom = brimline.TimeOf(c.TableFrom)
	}
	o.Progress = c.progress(w)
	cluster, err := c.join(w)
	if err != nil {
		return ended(w, err)
	}
	defer cluster.Close()
	began := time.Now()
	r, err := c.compare(w, cluster, o)
	if err != nil {
		return halted(w, err)
	}
	var done repair
	if c.Repair && !r.True() {
		done = c.repair(r)
	}
	if err := c.show(w, r, &done); err != nil {
		return err
	}
	if c.Record {
		if err := app.RecordAudit(c.options(), c.streams(), app.AuditReport(r, time.Since(began))); err != nil {
			return halted(w, err)
		}
	}
	if r.True() {
		return nil
	}
	remedy := "see docs/proof.md: what to do about each; with --repair PostgreSQL answers for these users"
	if c.Repair {
		if done.err != nil {
			return halted(w, done.err)
		}
		remedy = "PostgreSQL answers for these users now; find out why the stream was wrong: docs/proof.md"
	}
	by := r.By()
	return &brimline.Error{
		Class: brimline.ClassRuntime, Kind: "rows_differ", Remedy: remedy,
		Err: fmt.Errorf("%d missing, %d phantom, %d different", by[audit.Missing], by[audit.Phantom], by[audit.Different]),
	}
}

// progress says how far it has come, on a terminal more often.
func (c *auditCmd) progress(w *world) func(users, rows int64) {
	pace, last := every, time.Now()
	if isTerminal(w.err) {
		pace = 2 * time.Second
	}
	return func(users, rows int64) {
		if now := time.Now(); now.Sub(last) >= pace {
			last = now
			w.note(&c.Logging, fmt.Sprintf("%s of %s compared", present.Plural(rows, "row"), present.Plural(users, "user")))
		}
	}
}

// compare reads the window table, and compares it.
func (c *auditCmd) compare(w *world, cluster *kafka.Cluster, o app.AuditOptions) (*audit.Result, error) {
	s := c.streams()
	set, err := app.RulesInForce(w, cluster, s.Rules)
	if err != nil {
		return nil, err
	}
	if set == nil {
		return nil, c.notBegun()
	}
	view, err := app.ViewConfig(c.options(), s.Group)
	if err != nil {
		return nil, err
	}
	view.Dir, view.Rules, view.Log = filepath.Join(c.StateDir, s.Group), set, c.log(w)
	v, err := views.Open(w, view)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(w)
	done := make(chan error, 1)
	go func() { done <- v.Run(ctx) }()
	defer func() {
		cancel()
		<-done
	}()
	o.Windows = v
	a, err := app.OpenAudit(ctx, cluster, o) // what is wrong is said before the table is read
	if err != nil {
		return nil, err
	}
	defer a.Close()
	w.note(&c.Logging, "reading the window table")
	if err := v.WaitRecovered(ctx); err != nil {
		return nil, err
	}
	return a.Run(ctx)
}

// repair is the outcome of --repair.
type repair struct {
	users int // who are distrusted now
	ahead int // rows dated ahead that stay
	at    brimline.Time
	err   error
}

func (c *auditCmd) repair(r *audit.Result) repair {
	done := repair{at: brimline.TimeOf(time.Now())}
	done.users, done.ahead, done.err = app.Repair(c.options(), c.streams(), r, done.at)
	return done
}

// tell says what came of it.
func (d *repair) tell(w *world, c *auditCmd) {
	if d.err != nil || d.at == 0 {
		return
	}
	if !c.JSON {
		fmt.Fprintf(w.out, "%s distrusted up to %s: PostgreSQL answers until their windows have filled again\n",
			present.Plural(d.users, "user"), present.TimeUTC(d.at))
	}
	if d.ahead > 0 {
		w.note(&c.Logging, present.Plural(d.ahead, "row")+
			" dated ahead stay as they are: run it again when their time has come")
	}
}

type rowRecord struct {
	Time   brimline.Time `json:"time"`
	Amount string        `json:"amount"`
}

type findingRecord struct {
	Kind    audit.Kind `json:"kind"`
	User    string     `json:"user"`
	ID      string     `json:"id"`
	Stream  *rowRecord `json:"stream,omitempty"`
	Table   *rowRecord `json:"table,omitempty"`
	Columns string     `json:"columns,omitempty"`
	Why     string     `json:"why,omitempty"`
}

type auditRecord struct {
	Kind      string             `json:"kind"`
	True      bool               `json:"true"`
	At        brimline.Time      `json:"at"`
	LSN       string             `json:"lsn"`
	Looks     int                `json:"looks"`
	Users     int64              `json:"users"`
	Rows      int64              `json:"rows"`
	Unknown   int                `json:"unknown_users"`
	By        map[audit.Kind]int `json:"found"`
	Findings  []findingRecord    `json:"findings"`
	NotYet    []findingRecord    `json:"not_in_the_stream_yet"`
	Unsettled []findingRecord    `json:"unsettled"`
	Repaired  bool               `json:"repaired"`
}

func findingRecords(of []audit.Finding) []findingRecord {
	all := []findingRecord{}
	for _, f := range of {
		r := findingRecord{Kind: f.Kind, User: f.User, ID: f.ID, Columns: f.Columns, Why: f.Why}
		if f.Kind != audit.Missing {
			r.Stream = &rowRecord{f.Stream.Time, f.Stream.Amount}
		}
		if f.Kind != audit.Phantom {
			r.Table = &rowRecord{f.Table.Time, f.Table.Amount}
		}
		all = append(all, r)
	}
	return all
}

func (c *auditCmd) show(w *world, r *audit.Result, done *repair) error {
	defer done.tell(w, c)
	by := r.By()
	if c.JSON {
		enc := json.NewEncoder(w.out)
		enc.SetIndent("", "  ")
		return enc.Encode(auditRecord{
			Kind: "audit", True: r.True(), At: r.At, LSN: brimline.FormatLSN(r.LSN), Looks: r.Looks, Users: r.Users,
			Rows: r.Rows, Unknown: r.Unknown, By: by, Findings: findingRecords(r.Findings),
			NotYet: findingRecords(r.NotYet), Unsettled: findingRecords(r.Unsettled),
			Repaired: done.err == nil && done.users > 0,
		})
	}
	fmt.Fprintf(w.out, "%s of %s up to LSN %s at %s: %d missing, %d phantom, %d different\n",
		present.Plural(r.Rows, "row"), present.Plural(r.Users, "user"), brimline.FormatLSN(r.LSN),
		present.TimeUTC(r.At), by[audit.Missing], by[audit.Phantom], by[audit.Different])
	if r.Unknown > 0 {
		fmt.Fprintf(w.out, "%s of PostgreSQL whom the window table does not know\n", present.Plural(r.Unknown, "user"))
	}
	for _, kind := range audit.Kinds() {
		told := 0
		for i := range r.Findings {
			if r.Findings[i].Kind != kind {
				continue
			}
			if told++; told <= mostFindings {
				fmt.Fprintln(w.out, findingLine(&r.Findings[i]))
			}
		}
		if more := told - mostFindings; more > 0 {
			fmt.Fprintf(w.out, "%-9s and %d more; --json has all\n", kindNames[kind], more)
		}
	}
	for _, of := range []struct {
		rows []audit.Finding
		what string
	}{
		{r.NotYet, "not in the stream yet, by the replication slot, and no finding"},
		{r.Unsettled, "about which nothing can be said: their users' rows changed at each look, or PostgreSQL did not " +
			"show yet what the stream has"},
	} {
		if n := int64(len(of.rows)); n > 0 {
			fmt.Fprintf(w.out, "%s %s\n", present.Plural(n, "row"), of.what)
		}
	}
	return nil
}

var kindNames = map[audit.Kind]string{
	audit.Missing: "MISSING", audit.Phantom: "PHANTOM", audit.Different: "DIFFERENT",
}

// findingLine is a finding on a line.
func findingLine(f *audit.Finding) string {
	side := func(name string, r audit.Row) string {
		return fmt.Sprintf("%s %s at %s", name, present.Text(r.Amount), present.ExactTime(r.Time))
	}
	s := fmt.Sprintf("%-9s user %s, row %s: ", kindNames[f.Kind], present.Word(f.User), present.Word(f.ID))
	switch f.Kind {
	case audit.Missing:
		s += side("PostgreSQL has", f.Table)
	case audit.Phantom:
		s += side("the window has", f.Stream)
	default:
		s += side("PostgreSQL has", f.Table) + ", " + side("the window", f.Stream)
	}
	if f.Columns != "" {
		s += "; other values of " + present.Text(f.Columns)
	}
	if f.Why != "" {
		s += "; no stream can hold it: " + present.Text(f.Why)
	}
	return s
}
