package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/app"
	"github.com/brimline/brimline/internal/config"
	"github.com/brimline/brimline/internal/present"
	"github.com/brimline/brimline/internal/prove"
	"github.com/brimline/brimline/internal/rules"
)

type proveCmd struct {
	Since        string        `help:"Edges of so long ago or from a time on: 24h, 7d, or ISO 8601 with an offset."                                          default:"24h" placeholder:"SPAN"`
	Alert        string        `help:"Only say what has become of this alert."                                                                                             placeholder:"ID"`
	Rule         []string      `help:"Only these rules, or one of their limits: weekly-spend, weekly-spend@5000; several by commas or by repeating."                       placeholder:"ID"   type:"list"`
	JSON         bool          `help:"As JSON."                                                                                                                                                           name:"json"`
	WholeHistory bool          `help:"The change stream had all rows of before the group began: edges before that need their alerts as well."`
	TableFrom    time.Time     `help:"The table has no rows of before this time any more: windows that reach below are not compared. ISO 8601 with an offset."               placeholder:"TIME"`
	Outdated     bool          `help:"Outdated alerts are findings as well: the exit code is 1 where there is one."`
	AnyPlan      bool          `help:"Read the table whole where no index finds the rows of a time, however large it is."`
	Timeout      time.Duration `help:"How long PostgreSQL may take for one statement."                                                                       default:"10m"                                name:"statement-timeout"`
	Grace        time.Duration `help:"How long a stream is waited for that shows nothing newer, before an edge without an alert counts."                     default:"1m"`
	Wait         time.Duration `help:"How long the group may take to handle what its stream has, before an edge without an alert counts."                    default:"5m"`

	config.Database `group:"PostgreSQL"`
	config.Replica  `group:"PostgreSQL"`
	Money           `group:"Output"`
	Group
}

func (proveCmd) Help() string {
	return `Asks PostgreSQL for all edges of a time, by SQL that no stage uses, and compares
them with the topic of alerts. Missing is an edge without an alert; outdated is an
alert whose edge the table no longer has, because rows came or went since: that is
told, and a finding with --outdated only. What is amiss counts only if it still is
after the group has handled all that its stream has. Whoever can read the table,
a replica of it and the topics can run it; nothing is written. docs/proof.md
explains the answer.

Exit code 0 when all is as it must be, 1 when something is missing or false, 2 when
the question cannot be put like that, 3 when it cannot be answered now.

Examples:

	brimline prove --since 24h --replica-url postgres://auditor@replica/app
	brimline prove --alert 27956157/weekly/2026-01-02T03:04:05.000000Z`
}

func (c *proveCmd) Run(w *world) error {
	now := brimline.TimeOf(time.Now())
	from, err := sinceWhen(c.Since, now)
	if err != nil {
		return err
	}
	for name, d := range map[string]time.Duration{"statement-timeout": c.Timeout, "wait": c.Wait} {
		if d < time.Millisecond {
			return usage("--"+name, "write a duration such as 5m", fmt.Errorf("%s is too short", present.Duration(d)))
		}
	}
	if c.Grace < 0 {
		return usage("--grace", "write a duration such as 1m", fmt.Errorf("%s is below 0", present.Duration(c.Grace)))
	}
	all := config.Config{Database: c.Database, Replica: c.Replica}
	if err := config.Check(&all.Database, &all.Replica); err != nil {
		return err
	}
	if err := all.ReadSecrets(); err != nil {
		return err
	}
	url := cmp.Or(all.ReplicaURL, all.DatabaseURL)
	if url == "" {
		return usage(
			"--database-url",
			"set it, or --replica-url",
			errors.New("PostgreSQL is what alerts are compared with"),
		)
	}
	cluster, err := c.join(w)
	if err != nil {
		return ended(w, err)
	}
	defer cluster.Close()
	o := app.ProofOptions{
		Streams: c.streams(), DatabaseURL: url, Timeout: c.Timeout, Rules: c.Rule,
		WholeHistory: c.WholeHistory, AnyPlan: c.AnyPlan, Grace: c.Grace, Wait: c.Wait, Clock: time.Now,
		Tell: func(doing string) { w.note(&c.Logging, doing) },
	}
	if !c.TableFrom.IsZero() {
		o.TableFrom = brimline.TimeOf(c.TableFrom)
	}
	proof, err := app.OpenProof(w, cluster, o)
	if err != nil {
		return halted(w, err)
	}
	defer proof.Close()
	if c.Alert != "" {
		return c.one(w, proof)
	}
	r, err := proof.Span(w, from, now)
	if err != nil {
		return halted(w, err)
	}
	if err := c.show(w, r, proof.Scale()); err != nil || c.proven(r) {
		return err
	}
	return &brimline.Error{
		Class: brimline.ClassRuntime, Kind: "not_proven", Remedy: "see docs/proof.md: what to do about each",
		Err: fmt.Errorf("%d missing, %d outdated, %d false", len(r.Missing), len(r.Outdated), len(r.False)),
	}
}

// proven says whether the command ends well.
func (c *proveCmd) proven(r *prove.Result) bool {
	return r.True() && !(c.Outdated && len(r.Outdated) > 0)
}

// halted is err, or what is said where the person stopped the command: nothing was proven.
func halted(w *world, err error) error {
	if w.Err() != nil {
		return stopped()
	}
	return err
}

// sinceWhen is the beginning of a span that ends now.
func sinceWhen(s string, now brimline.Time) (brimline.Time, error) {
	from, err := brimline.ParseTime(s)
	if err != nil {
		d, notWindow := rules.ParseWindow(s)
		if notWindow != nil {
			return 0, usage("--since", "write 24h, 7d, or a time such as 2026-11-26T00:00:00Z",
				fmt.Errorf("%q is neither a span nor a time", s))
		}
		from = now.Add(-d)
	}
	if from >= now {
		return 0, usage("--since", "give a time that is past", fmt.Errorf("%v lies in the future", from))
	}
	return from, nil
}

// figuresRecord are figures as JSON has them.
type figuresRecord struct {
	Before string `json:"before"`
	Total  string `json:"total"`
	Count  int64  `json:"count"`
}

func figuresOf(f *brimline.Figures, rule *brimline.Rule, scale int) *figuresRecord {
	if f == nil {
		return nil
	}
	scale = rule.Measure.Scale(scale)
	return &figuresRecord{f.Before.Format(scale), f.Total.Format(scale), f.Count}
}

type edgeRecord struct {
	ID    string         `json:"id"`
	User  string         `json:"user"`
	Rule  string         `json:"rule"`
	Edge  brimline.Time  `json:"edge"`
	Table *figuresRecord `json:"table,omitempty"` // PostgreSQL's now
	Alert *figuresRecord `json:"alert,omitempty"` // PostgreSQL's in the alert
	By    string         `json:"superseded_by,omitempty"`
}

type proofRecord struct {
	Kind       string         `json:"kind"`
	True       bool           `json:"true"`
	From       brimline.Time  `json:"from"`
	To         brimline.Time  `json:"to"`
	At         brimline.Time  `json:"at"`
	LSN        string         `json:"lsn"`
	Looks      int            `json:"looks"`
	Edges      int            `json:"edges"`
	Alerts     int            `json:"alerts"`
	Missing    []edgeRecord   `json:"missing"`
	Outdated   []edgeRecord   `json:"outdated"`
	False      []edgeRecord   `json:"false"`
	Superseded []edgeRecord   `json:"superseded"`
	Without    map[string]int `json:"not_promised"`
}

func records(edges []prove.Edge, scale int) []edgeRecord {
	all := []edgeRecord{}
	for _, e := range edges {
		all = append(all, edgeRecord{
			e.ID, e.User, e.Rule.ID, e.At, figuresOf(e.Table, e.Rule, scale), figuresOf(e.Alert, e.Rule, scale), e.By,
		})
	}
	return all
}

// mostFindings is how many findings of a kind are shown to a person.
const mostFindings = 20

func (c *proveCmd) show(w *world, r *prove.Result, scale int) error {
	if c.JSON {
		return c.encode(w, proofRecord{
			Kind: "prove", True: c.proven(r), From: r.From, To: r.To, At: r.At, LSN: brimline.FormatLSN(r.LSN), Looks: r.Looks,
			Edges: r.Edges, Alerts: r.Alerts, Missing: records(r.Missing, scale), Outdated: records(r.Outdated, scale),
			False: records(r.False, scale), Superseded: records(r.Superseded, scale), Without: r.Without,
		})
	}
	fmt.Fprintf(w.out, "%s up to LSN %s at %s: %s, %d with an alert, %d missing, %d outdated, %d false\n",
		present.Duration(r.To.Std().Sub(r.From.Std()).Round(time.Second)), brimline.FormatLSN(r.LSN),
		present.TimeUTC(r.At), present.Plural(r.Edges, "edge"), r.Alerts,
		len(r.Missing), len(r.Outdated), len(r.False))
	for _, kind := range []struct {
		name  string
		edges []prove.Edge
	}{{"MISSING", r.Missing}, {"FALSE", r.False}, {"OUTDATED", r.Outdated}} {
		for _, e := range kind.edges[:min(len(kind.edges), mostFindings)] {
			f := e.Table
			if f == nil {
				f = e.Alert
			}
			figures := "not verified"
			if f != nil {
				figures = fmt.Sprintf(
					"%s after %s",
					c.Money.amount(f.Total, e.Rule, scale),
					c.Money.amount(f.Before, e.Rule, scale),
				)
			}
			fmt.Fprintf(w.out, "%-8s %s  user %s, rule %s: %s, limit %s\n", kind.name, present.Word(e.ID), present.Word(e.User),
				present.Word(e.Rule.ID), figures, c.Money.amount(e.Rule.Limit, e.Rule, scale))
		}
		if more := len(kind.edges) - mostFindings; more > 0 {
			fmt.Fprintf(w.out, "%-8s and %d more; --json has all\n", kind.name, more)
		}
	}
	if n := len(r.Superseded); n > 0 {
		fmt.Fprintf(w.out, "superseded by alerts for edges before them, and no fault: %s\n", present.Plural(n, "alert"))
	}
	for _, reason := range slices.Sorted(maps.Keys(r.Without)) {
		fmt.Fprintf(w.out, "not promised and not counted: %d %s\n", r.Without[reason], reasons[reason])
	}
	return nil
}

var reasons = map[string]string{
	prove.BeforeRule:   "without an alert, from before the rule was taken up",
	prove.BeforeGroup:  "without an alert, from before the group began; --whole-history counts them",
	prove.BeforeAlerts: "without an alert, from before the time of --alerts-from",
	prove.NotWhole:     "whose windows the table no longer has whole",
}

func (c *proveCmd) encode(w *world, record any) error {
	enc := json.NewEncoder(w.out)
	enc.SetIndent("", "  ")
	return enc.Encode(record)
}

type fateRecord struct {
	Kind    string        `json:"kind"`
	Verdict prove.Verdict `json:"verdict"`
	At      brimline.Time `json:"at"`
	LSN     string        `json:"lsn"`
	edgeRecord
}

var verdicts = map[prove.Verdict]string{
	prove.StillTrue:  "true as it stands: the table has this edge",
	prove.Superseded: "superseded: rows came since, and the edge of the crossing is before it now",
	prove.Outdated:   "outdated: it was an edge when the alert was sent, and rows came or went since",
	prove.False:      "false: PostgreSQL has no such edge, and the alert does not show that it ever had",
}

func (c *proveCmd) one(w *world, proof *app.Proof) error {
	j, err := proof.Alert(w, c.Alert)
	if err != nil {
		return halted(w, err)
	}
	e := *j.Edge
	scale := j.Alert.Candidate.Scale
	if c.JSON {
		err = c.encode(w, fateRecord{"alert", j.Verdict, j.At, brimline.FormatLSN(j.LSN),
			records([]prove.Edge{e}, scale)[0]})
	} else {
		fmt.Fprintf(w.out, "%s\n%s\n", c.Money.alert(j.Alert), verdicts[j.Verdict])
		for _, of := range []struct {
			whose string
			f     *brimline.Figures
		}{{"when it was sent", e.Alert}, {"now", e.Table}} {
			if of.f != nil {
				fmt.Fprintf(w.out, "%s: %s before, %s with it, %s\n", of.whose, c.Money.amount(of.f.Before, e.Rule, scale),
					c.Money.amount(of.f.Total, e.Rule, scale), present.Plural(of.f.Count, "transaction"))
			}
		}
		if e.By != "" {
			fmt.Fprintf(w.out, "in its place: alert %s\n", present.Word(e.By))
		}
		fmt.Fprintf(w.out, "as of LSN %s at %s\n", brimline.FormatLSN(j.LSN), present.TimeUTC(j.At))
	}
	if err != nil || j.Verdict == prove.StillTrue {
		return err
	}
	why, _, _ := strings.Cut(verdicts[j.Verdict], ":")
	return &brimline.Error{
		Class: brimline.ClassRuntime, Kind: "alert_" + string(j.Verdict),
		Where:  "alert " + present.Word(j.Alert.Candidate.ID()),
		Remedy: "see docs/proof.md: what to do about each", Err: fmt.Errorf("the alert is %s", why),
	}
}
