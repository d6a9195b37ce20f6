package httpapi

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/present"
	"github.com/brimline/brimline/processors"
)

// Status describes an instance and its group, as far as the instance knows.
type Status struct {
	Group    string        `json:"group"`
	Instance string        `json:"instance"`
	Version  string        `json:"version"`
	Started  brimline.Time `json:"started"`
	At       brimline.Time `json:"at"`
	Stages   []StageStatus `json:"stages"` // in the order of the flow
	Views    []ViewStatus  `json:"views"`
	Stopping bool          `json:"stopping"`
	// Unanswered is why an instance without stages cannot answer anything yet; empty where that is not so.
	Unanswered string `json:"-"`
	// AlertsFrom is the time from which the group alerts; nil where that is always.
	AlertsFrom *brimline.Time `json:"alerts_from,omitempty"`
	// Verification counts PostgreSQL's answers to this instance's candidates; nil where it asks none.
	Verification *Verification `json:"verification,omitempty"`
	// Proof is the group's newest comparison of the alerts with the table; nil where there was none.
	Proof *Proof `json:"proof,omitempty"`
	// Audit is the newest comparison of the rows of the group's windows with the table; nil where there was none.
	Audit *Audit `json:"audit,omitempty"`
	// Notices tell operators what to look at, whether the instance is ready or not.
	Notices []Notice `json:"notices"`
}

// Proof is the result of a comparison of the alerts with the table (docs/proof.md).
type Proof struct {
	From       brimline.Time `json:"from"` // of the edges, both closed
	To         brimline.Time `json:"to"`
	At         brimline.Time `json:"at"`  // when the table was looked at
	LSN        string        `json:"lsn"` // up to which it holds
	Edges      int           `json:"edges"`
	Alerts     int           `json:"alerts"`
	Missing    int           `json:"missing"`
	Outdated   int           `json:"outdated"`
	False      int           `json:"false"`
	Superseded int           `json:"superseded"`
	Instance   string        `json:"instance"` // that compared
}

// Sentence says it to people, at a time.
func (p *Proof) Sentence(now time.Time) string {
	s := fmt.Sprintf("%s up to LSN %s: %s, %s with an alert", present.About(p.To.Std().Sub(p.From.Std())), p.LSN,
		present.Plural(p.Edges, "edge"), present.Count(p.Alerts))
	for _, of := range []struct {
		n    int
		what string
	}{{p.Missing, "missing"}, {p.False, "false"}, {p.Outdated, "outdated"}} {
		if of.n > 0 {
			s += ", " + present.Count(of.n) + " " + of.what
		}
	}
	return s + "; compared by PostgreSQL " + present.About(max(0, now.Sub(p.At.Std()).Truncate(time.Second))) + " ago"
}

// Audit is the result of a comparison of the windows' rows with the table (docs/proof.md).
type Audit struct {
	At        brimline.Time `json:"at"`  // when the table was looked at first
	LSN       string        `json:"lsn"` // up to which it holds
	Users     int64         `json:"users"`
	Rows      int64         `json:"rows"`
	Unknown   int           `json:"unknown_users"`
	Missing   int           `json:"missing"`
	Phantom   int           `json:"phantom"`
	Different int           `json:"different"`
	Unsettled int           `json:"unsettled"`
	Instance  string        `json:"instance"` // that compared
}

// Sentence says it to people, at a time.
func (a *Audit) Sentence(now time.Time) string {
	s := fmt.Sprintf("%s rows of %s users up to LSN %s:", present.Count(a.Rows), present.Count(a.Users), a.LSN)
	some := false
	for _, of := range []struct {
		n    int
		what string
	}{{a.Missing, "missing"}, {a.Phantom, "phantom"}, {a.Different, "different"}} {
		if of.n > 0 {
			s, some = s+" "+present.Count(of.n)+" "+of.what+",", true
		}
	}
	if !some {
		s += " all as PostgreSQL has them,"
	}
	return s + " compared " + present.About(max(0, now.Sub(a.At.Std()).Truncate(time.Second))) + " ago"
}

// Notice is one such thing.
type Notice struct {
	Kind    string `json:"kind"` // snake_case, stable
	Level   Level  `json:"level"`
	Message string `json:"message"`
	Remedy  string `json:"remedy,omitempty"`
}

// Verification counts PostgreSQL's answers to candidates.
type Verification struct {
	SinceStart Tally         `json:"since_start"`
	LastHour   Tally         `json:"last_hour"`
	Span       time.Duration `json:"-"` // of LastHour: less than an hour after a start
}

// Tally are sums over a time.
type Tally struct {
	Candidates int64            `json:"candidates"` // edges that PostgreSQL was asked about
	Dismissed  map[string]int64 `json:"dismissed"`  // of them, those that it dismissed, by reason
	// Early are those that it confirmed, before the time from which the group alerts: they are no alerts either.
	Early int64 `json:"before_alerts_from"`
	// Steady are those of Dismissed that came while the group had caught up.
	Steady map[string]int64 `json:"dismissed_while_caught_up"`
}

// Since are the sums less those of a moment before.
func (j Tally) Since(before Tally) Tally {
	less := func(a, b map[string]int64) map[string]int64 {
		d := map[string]int64{}
		for reason, n := range a {
			d[reason] = n - b[reason]
		}
		return d
	}
	return Tally{
		Candidates: j.Candidates - before.Candidates, Early: j.Early - before.Early,
		Dismissed: less(j.Dismissed, before.Dismissed), Steady: less(j.Steady, before.Steady),
	}
}

// figuresDiffer is the kind of the notice about what PostgreSQL dismissed.
const figuresDiffer = "figures_differ"

// Notice says in a sentence what PostgreSQL dismissed in the last hour; nil where that is nothing. dismissed is the
// topic that has the figures of each.
func (v *Verification) Notice(dismissed string) *Notice {
	var total int64
	reasons := []string{brimline.ReasonNotAbove}
	for _, reason := range slices.Sorted(maps.Keys(v.LastHour.Dismissed)) {
		total += v.LastHour.Dismissed[reason]
		if reason != brimline.ReasonNotAbove {
			reasons = append(reasons, reason)
		}
	}
	if total == 0 {
		return nil
	}
	n := &Notice{Kind: figuresDiffer, Level: Note}
	var parts []string
	for _, reason := range reasons {
		of := v.LastHour.Dismissed[reason]
		if of == 0 {
			continue
		}
		part := reason + " " + present.Count(of)
		if steady := v.LastHour.Steady[reason]; reason == brimline.ReasonNotAbove && steady > 0 {
			part += fmt.Sprintf(" (%s of them while the group had caught up: the stream held what PostgreSQL does not)",
				present.Count(steady))
			n.Level = Warning
			n.Remedy = "see both figures in topic " + dismissed +
				", and what `brimline doctor` says of the change stream; a row that was deleted at once explains one of them"
		}
		parts = append(parts, part)
	}
	noun := "candidates"
	if v.LastHour.Candidates == 1 {
		noun = "candidate"
	}
	n.Message = fmt.Sprintf("PostgreSQL's figures differ from the stream's for %s of %s %s in the last %s: %s; "+
		"many are normal while the group catches up",
		present.Count(total), present.Count(v.LastHour.Candidates), noun, v.span(), strings.Join(parts, ", "))
	return n
}

func (v *Verification) span() string {
	switch minutes := v.Span / time.Minute; {
	case minutes >= 60:
		return "hour"
	case minutes == 1:
		return "minute"
	}
	return present.About(v.Span)
}

// Level says how much a notice matters.
type Level string

// The levels.
const (
	Note    Level = "note"    // normal at times
	Warning Level = "warning" // an operator should look at it
)

// State is how far a stage or a partition has come.
type State string

// The states. Only Running is ready.
const (
	Starting   State = "starting"   // connecting, or waiting for partitions
	Waiting    State = "waiting"    // for another instance or for PostgreSQL, which Reason names
	Recovering State = "recovering" // reading its table
	Running    State = "running"
	Failed     State = "failed" // ended by an error; it is started again
	Stopped    State = "stopped"
)

// StageStatus is one stage of the flow.
type StageStatus struct {
	Name  processors.StageName `json:"name"`
	Group string               `json:"group"` // its consumer group
	// This instance runs it; the other fields but Lag and Partitions say nothing otherwise.
	Here  bool  `json:"here"`
	State State `json:"state"`
	// Served says that it has been Running since the instance started.
	Served bool `json:"served"`
	// Reason says in one sentence why State is not Running, and Remedy what to do about it, where something can be done.
	Reason string `json:"reason,omitempty"`
	Remedy string `json:"remedy,omitempty"`
	// Lag is the number of messages of the whole group not handled yet, -1 when the brokers could not be asked.
	Lag        int64             `json:"lag"`
	Partitions []PartitionStatus `json:"partitions"`
}

// PartitionStatus is one input partition of a stage.
type PartitionStatus struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Own       bool   `json:"own"`              // assigned to this instance
	State     State  `json:"state,omitempty"`  // of an own one
	Committed int64  `json:"committed_offset"` // next offset to be handled, -1 when there is none
	End       int64  `json:"end_offset"`       // offset after the newest message, -1 when not known
	Lag       int64  `json:"lag"`              // -1 when not known
	// TableOffset and TableEnd show how far the partition's table has been
	// recovered; nil in a stage without a table.
	TableOffset *int64 `json:"table_offset,omitempty"`
	TableEnd    *int64 `json:"table_end,omitempty"`
}

// ViewStatus is a view that this API answers from.
type ViewStatus struct {
	Table     string `json:"table"`
	Recovered bool   `json:"recovered"`
	Connected bool   `json:"connected"` // follows its table; false while Kafka is away
	Lag       int64  `json:"lag"`       // records not read yet, -1 when not known
}

// complete has no nil lists, which JSON would show as null.
func (s Status) complete() Status {
	if s.Views == nil {
		s.Views = []ViewStatus{}
	}
	if s.Notices == nil {
		s.Notices = []Notice{}
	}
	s.Stages = append([]StageStatus{}, s.Stages...)
	for i := range s.Stages {
		if s.Stages[i].Partitions == nil {
			s.Stages[i].Partitions = []PartitionStatus{}
		}
	}
	return s
}

// NotReady gives the reasons why this instance should not be asked and given work, none where it should: it is
// stopping, a stage that it runs has no partitions yet or reads its tables, a view does. What keeps it from working
// and would keep any other one as well, or is waited for from others, is no such reason: Degraded has it. A group whose
// partitions all belong to other instances is ready: there is nothing for it to do.
func (s *Status) NotReady() []string {
	reasons := []string{}
	if s.Stopping {
		reasons = append(reasons, "the instance is stopping")
	}
	idle := slices.DeleteFunc(s.Idle(), Idle.degraded)
	for _, stage := range s.Stages {
		if !stage.Here {
			continue
		}
		if len(idle) > 0 && idle[0].Stages[0] == stage.Name {
			reasons, idle = append(reasons, idle[0].String()), idle[1:]
		}
		if stage.State != Running {
			continue
		}
		for _, p := range stage.Partitions {
			if p.Own && p.State != Running {
				reasons = append(reasons, fmt.Sprintf("stage %s: partition %d of %s is %s%s", stage.Name,
					p.Partition, p.Topic, p.State, recovery(p)))
			}
		}
	}
	if s.Unanswered != "" {
		return append(reasons, s.Unanswered)
	}
	for _, v := range s.Views {
		if !v.Recovered {
			reasons = append(reasons, fmt.Sprintf("the view of %s is still reading its table", v.Table))
		}
	}
	return reasons
}

// Degraded gives what does not work as it should, whether the instance is ready or not: stages that wait, or that
// ended after they had run, and warnings.
func (s *Status) Degraded() []string {
	all := s.stalled()
	for _, n := range s.Notices {
		if n.Level == Warning {
			all = append(all, withRemedy(n.Message, n.Remedy))
		}
	}
	return all
}

// stalled is the part of Degraded that is about stages.
func (s *Status) stalled() []string {
	all := []string{}
	for _, i := range s.Idle() {
		if i.degraded() {
			all = append(all, i.String())
		}
	}
	return all
}

// Idle are stages of the instance that are in one state that is not Running, for one reason.
type Idle struct {
	Stages []processors.StageName
	State  State
	Reason string
	Remedy string
	Served bool // Running before
}

// degraded tells what an instance is ready with, although it does not work.
func (i Idle) degraded() bool { return i.State == Waiting || i.State == Failed && i.Served }

// Idle gives the stages that should run here and do not, those with the same reason together.
func (s *Status) Idle() (all []Idle) {
	for _, stage := range s.Stages {
		if !stage.Here || stage.State == Running {
			continue
		}
		at := slices.IndexFunc(all, func(i Idle) bool {
			return i.State == stage.State && i.Reason == stage.Reason && i.Remedy == stage.Remedy &&
				i.degraded() == Idle{State: stage.State, Served: stage.Served}.degraded()
		})
		if at < 0 {
			at, all = len(all), append(all, Idle{
				State: stage.State, Reason: stage.Reason, Remedy: stage.Remedy, Served: stage.Served,
			})
		}
		all[at].Stages = append(all[at].Stages, stage.Name)
	}
	return all
}

// String is one sentence.
func (i Idle) String() string {
	s := fmt.Sprintf("stage %s is %s", i.Names(" and "), i.State)
	if len(i.Stages) > 1 {
		s = fmt.Sprintf("stages %s are %s", i.Names(" and "), i.State)
	}
	if i.Reason != "" {
		s += ": " + i.Reason
	}
	return withRemedy(s, i.Remedy)
}

func withRemedy(what, remedy string) string {
	if remedy == "" {
		return what
	}
	return what + " (remedy: " + remedy + ")"
}

// Names lists the stages, with a word before the last one.
func (i Idle) Names(last string) string {
	var b strings.Builder
	for n, name := range i.Stages {
		switch {
		case n > 0 && n == len(i.Stages)-1:
			b.WriteString(last)
		case n > 0:
			b.WriteString(", ")
		}
		b.WriteString(string(name))
	}
	return b.String()
}

func recovery(p PartitionStatus) string {
	if p.TableOffset == nil || p.TableEnd == nil {
		return ""
	}
	return fmt.Sprintf(", at %d of %d", *p.TableOffset+1, *p.TableEnd)
}
