package httpapi

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/body"
	"github.com/brimline/brimline/internal/present"
	"github.com/brimline/brimline/processors"
)

// onTheirWay is how many records may wait while a group is said to keep up: what comes is handled a moment later.
const onTheirWay = 200

// health is how things are in one sentence.
type health struct {
	Tone string // ok, busy or bad: a class of the style sheet
	Text string
}

func healthOf(p *page) health {
	waits, unknown, verifies := int64(0), false, true
	for _, s := range p.Status.Stages {
		if s.Lag < 0 {
			unknown = true
		}
		waits += max(0, s.Lag)
		if s.Name == processors.Verify && s.Here && p.Status.Verification == nil {
			verifies = false
		}
	}
	warnings := 0
	for _, n := range p.Status.Notices {
		if n.Level == Warning {
			warnings++
		}
	}
	done := "verified"
	if !verifies {
		done = "sent, without PostgreSQL's word"
	}
	looked := strings.TrimSuffix(present.Ago(p.Status.At, p.Now), " ago")
	upTo := "up to " + looked + " ago"
	if looked == "just now" || p.Status.At >= p.Now {
		upTo = "up to now"
	}
	switch {
	case len(p.NotReady) > 0:
		return health{"busy", "Not ready yet: figures may be missing"}
	case len(p.Stalled) > 0:
		return health{"bad", "Alerts are held back, and none is lost"}
	case unknown:
		return health{"bad", "Kafka does not answer: how much waits is not known"}
	case waits > onTheirWay:
		return health{"busy", "Catching up: " + present.Plural(waits, "record") + " wait, and alerts come late"}
	case warnings > 0:
		return health{"busy", "Alerts " + upTo + " are " + done + ", and there is something to look at"}
	case waits > 0:
		return health{"ok", "All alerts so far are " + done + "; " + present.Plural(waits, "record") + " on the way"}
	}
	return health{"ok", "All alerts " + upTo + " are " + done + "; nothing waits"}
}

// hourly has the alerts of the last day by hour and rule.
type hourly struct {
	Rules  []ruleHours // those with the most alerts first
	More   int         // rules that are left out
	Known  bool
	Part   bool
	Failed *errorBody
	All    int
}

type ruleHours struct {
	ID     string
	Hour   int // in this hour
	Day    int
	Bars   string // SVG path
	Shadow bool
	Worst  int // in any hour
}

// mostHourly is how many rules the overview draws.
const mostHourly = 12

const (
	hourWidth  = 10
	hourHeight = 30
)

// hoursOf draws a rule's hours against the most that any hour of any rule shown beside it has.
func hoursOf(id string, hours [tallyHours]int, most int) ruleHours {
	r := ruleHours{ID: id, Hour: hours[tallyHours-1]}
	var b strings.Builder
	for i, n := range hours {
		r.Day += n
		r.Worst = max(r.Worst, n)
		if n > 0 && most > 0 {
			fmt.Fprintf(&b, "M%d %dv-%dh%dv%dz", i*hourWidth+1, hourHeight, max(2, n*hourHeight/most), hourWidth-2,
				max(2, n*hourHeight/most))
		}
	}
	r.Bars = b.String()
	return r
}

func mostOf(c *counts) (most int) {
	for _, by := range c.hours {
		for _, n := range by {
			most = max(most, n)
		}
	}
	return most
}

func (h *handler) hourly(r *http.Request) *hourly {
	c := h.alertTally.counts(r.Context())
	out := &hourly{Known: c.Known, Part: c.Part, Failed: c.failed()}
	ids := c.rules()
	for i := range h.Rules.Rules {
		if rule := &h.Rules.Rules[i]; !rule.Shadow && !slices.Contains(ids, rule.ID) {
			ids = append(ids, rule.ID)
		}
	}
	for _, id := range ids {
		row := hoursOf(id, c.of(id), mostOf(&c))
		out.All += row.Day
		out.Rules = append(out.Rules, row)
	}
	slices.SortStableFunc(out.Rules, func(a, b ruleHours) int { return cmp.Compare(b.Day, a.Day) })
	if out.More = len(out.Rules) - mostHourly; out.More > 0 {
		out.Rules = out.Rules[:mostHourly]
	}
	return out
}

// checked sums up PostgreSQL's answers to this instance's candidates.
type checked struct {
	Span      string
	Asked     int64
	Confirmed int64
	Dismissed []dismissedLine
}

type dismissedLine struct {
	Reason string
	Text   string
	N      int64
}

func reasonText(reason string) string {
	switch reason {
	case brimline.ReasonAlreadyAbove:
		return "the total was above the limit already: the crossing is an earlier one"
	case brimline.ReasonNotAbove:
		return "the total is not above the limit: rows were changed or removed since"
	case brimline.ReasonNoDatabase:
		return "the rows reach below those that are kept, and PostgreSQL is not asked"
	case brimline.ReasonQuiet:
		return "another crossing came before, and the rule is quiet for longer"
	case brimline.ReasonNotRearmed:
		return "the total has not fallen far enough since the last alert"
	case brimline.ReasonBeforeAlertsFrom:
		return "it lies before the time from which the group alerts"
	}
	return reason
}

func checkedOf(v *Verification) *checked {
	if v == nil {
		return nil
	}
	c := &checked{Span: v.span(), Asked: v.LastHour.Candidates}
	c.Confirmed = c.Asked
	for reason, n := range v.LastHour.Dismissed {
		c.Confirmed -= n
		if n > 0 {
			c.Dismissed = append(c.Dismissed, dismissedLine{reason, reasonText(reason), n})
		}
	}
	c.Confirmed = max(0, c.Confirmed-v.LastHour.Early)
	slices.SortFunc(c.Dismissed, func(a, b dismissedLine) int {
		return cmp.Or(cmp.Compare(b.N, a.N), cmp.Compare(a.Reason, b.Reason))
	})
	return c
}

func (h *handler) fillOverview(r *http.Request, p *page) {
	h.rates.take(h.Now())
	p.Hourly, p.Pace, p.Checked = h.hourly(r), h.rates.pace(), checkedOf(p.Status.Verification)
}

// ruleRow is a rule and how often it hits.
type ruleRow struct {
	body.Rule
	Hits    ruleHours
	Version string // changes with whatever decides the rule's alerts
	Gone    bool   // alerts of the day bear its id, and no rule in force does
}

// showRules shows the rules in force, live ones and those on trial side by side.
func (h *handler) showRules(w http.ResponseWriter, r *http.Request) {
	p := h.base(r, "rules")
	status := http.StatusOK
	if err := checkQuery(r); err != nil {
		status = p.fail(err)
		h.show(w, status, &p)
		return
	}
	live, trial := h.alertTally.counts(r.Context()), h.shadowTally.counts(r.Context())
	most := max(mostOf(&live), mostOf(&trial))
	p.Hourly = &hourly{Known: live.Known && trial.Known, Part: live.Part || trial.Part, Failed: live.failed()}
	for i := range h.Rules.Rules {
		rule := &h.Rules.Rules[i]
		c := &live
		if rule.Shadow {
			c = &trial
		}
		row := ruleRow{Rule: p.Rules[i], Hits: hoursOf(rule.ID, c.of(rule.ID), most)}
		row.Version = strconv.FormatUint(rule.Fingerprint(), 16)
		row.Hits.Shadow = rule.Shadow
		p.Hourly.All += row.Hits.Day
		p.RuleRows = append(p.RuleRows, row)
	}
	known := func(id string) bool {
		return slices.ContainsFunc(h.Rules.Rules, func(r brimline.Rule) bool { return r.ID == id })
	}
	for _, id := range live.rules() {
		if !known(id) {
			row := ruleRow{Rule: body.Rule{ID: id}, Hits: hoursOf(id, live.of(id), most), Gone: true}
			p.RuleRows = append(p.RuleRows, row)
		}
	}
	h.show(w, status, &p)
}
