package explain

import (
	"fmt"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/present"
)

// Reason says why there was an alert, or none. The list is closed: whoever reads it as a program may rely on that.
type Reason string

// The reasons. An edge is the row time at which the total went over the limit.
const (
	Alerted          Reason = "alerted"            // the newest row is the edge, and its alert was sent
	AboveSince       Reason = "above_since"        // the total has been above the limit since an earlier edge, alerted
	AboveWithoutEdge Reason = "above_without_edge" // above, though no row lifted it there: a negative one left
	Shadow           Reason = "shadow"             // as the first two, of a rule on trial
	Superseded       Reason = "superseded"         // an alert was sent for this very time, and a later one takes its place
	Outdated         Reason = "outdated"           // an alert was sent for this very time, which is no edge any more
	ShortBy          Reason = "short_by"           // the total is not above the limit
	RowNotCounted    Reason = "row_not_counted"    // the same, and it would be if the rule counted all rows of the window
	Dismissed        Reason = "dismissed"          // PostgreSQL did not confirm the edge
	DeadLetter       Reason = "dead_letter"        // a row, or the question about the edge, became a dead letter
	InQuestion       Reason = "in_question"        // the edge was put to PostgreSQL, and nothing has become of it yet
	NotInStream      Reason = "not_in_stream"      // PostgreSQL has rows that the change stream has not brought
	Silent           Reason = "silent"             // another edge came before, and the rule is quiet for longer
	NotArmed         Reason = "not_armed"          // another edge came before, the total was not down to rearm since
	BeforeRule       Reason = "before_rule"        // the edge lies before the rule, or before the user was forgotten
	BeforeAlertsFrom Reason = "before_alerts_from" // the edge lies before the time from which the group alerts
	Distrusted       Reason = "distrusted"         // the stream's rows were forgotten, and PostgreSQL answers
	NotRetained      Reason = "not_retained"       // the window reaches below the history that is kept
	AlertNotKept     Reason = "alert_not_kept"     // the edge was announced, and alerts of that time are not kept any more
	UnknownUser      Reason = "unknown_user"       // nothing is known of the user
	Unexplained      Reason = "unexplained"        // it is an edge, and none of the others is true
)

// Reasons are all of them, in the order of the documentation.
func Reasons() []Reason {
	return []Reason{
		Alerted, AboveSince, AboveWithoutEdge, Shadow, Superseded, Outdated, ShortBy, RowNotCounted, Dismissed, DeadLetter,
		InQuestion, NotInStream, Silent, NotArmed, BeforeRule, BeforeAlertsFrom, Distrusted, NotRetained, AlertNotKept,
		UnknownUser, Unexplained,
	}
}

// Writing says how a sentence is written: amounts, times, and text that others chose.
type Writing struct {
	Amount func(brimline.Total) string
	Time   func(brimline.Time) string
	Text   func(string) string
}

// Sentence says the reason to people.
func (r *Report) Sentence(w Writing) string {
	rule, limit := &r.Rule, w.Amount(r.Rule.Limit)
	window := present.Duration(rule.Window)
	total, edge := w.Amount(r.Total), w.Time(r.Edge)
	sum := fmt.Sprintf("the total of %s in %s", total, window)
	left := "a negative amount left the window, which raises no alert"
	if rule.Measure == brimline.Avg {
		sum = fmt.Sprintf("the average of %s by %s in %s", total, present.Plural(r.Count, "transaction"), window)
		left = "smaller amounts left the window, which raises no alert"
	}
	if rule.Measure == brimline.Distinct {
		sum = fmt.Sprintf("the number of different %s in %s, %s,", w.Text(rule.Column), window, total)
	}
	crossed := "it went over " + limit + " at " + edge
	if r.Edge == 0 {
		crossed = "it went over " + limit + " before what is known"
	}
	switch r.Reason {
	case Alerted:
		return fmt.Sprintf("an alert was sent: %s went over %s at %s", sum, limit, edge)
	case AboveSince:
		if r.Edge == 0 {
			return fmt.Sprintf("%s is above %s, and was so before the rows that were looked at: %s",
				sum, limit, "who stays above raises no further alert")
		}
		return fmt.Sprintf("%s has been above %s since %s, for which an alert was sent: %s",
			sum, limit, edge, "who stays above raises no further alert")
	case AboveWithoutEdge:
		return fmt.Sprintf("%s is above %s, and no row lifted it there: %s", sum, limit, left)
	case Shadow:
		return fmt.Sprintf(
			"the rule is on trial (mode: shadow): %s, and its alert stands in the topic of shadow alerts",
			crossed,
		)
	case Superseded:
		return fmt.Sprintf(
			"an alert was sent for this time; rows that came later show that the crossing began at %s, %s",
			edge,
			"whose alert supersedes it",
		)
	case Outdated:
		return fmt.Sprintf(
			"an alert was sent for this time, as PostgreSQL had the rows then; they were changed since, and %s",
			"by those of now it is no edge",
		)
	case ShortBy:
		if rule.Measure == brimline.Avg {
			if r.Count < rule.MinCount {
				return fmt.Sprintf("%s is not above %s: it takes %d", sum, limit, rule.MinCount)
			}
			return fmt.Sprintf("%s is not above %s", sum, limit)
		}
		return fmt.Sprintf("%s is not above %s: %s to go", sum, limit, w.Amount(r.Distance()))
	case RowNotCounted:
		return fmt.Sprintf(
			"%s is not above %s; with the %s that the rule does not count it would be %s",
			sum,
			limit,
			present.Plural(r.NotCounted, "row"),
			w.Amount(r.WithAll),
		)
	case Dismissed:
		return fmt.Sprintf("PostgreSQL did not confirm the edge at %s (%s)", edge, w.Text(r.why()))
	case DeadLetter:
		if r.Edge == 0 {
			return "a row of the user could not be taken in, and PostgreSQL has not said whether it lifts " +
				"the total over the limit"
		}
		return fmt.Sprintf("%s, but a row of the window, or the question about it, became a dead letter", crossed)
	case InQuestion:
		return fmt.Sprintf("the edge at %s was found, and PostgreSQL has not confirmed or dismissed it yet", edge)
	case NotInStream:
		return fmt.Sprintf("%s by PostgreSQL's rows, of which the change stream has not brought %s: %s", crossed,
			present.Plural(len(r.OnlyInDatabase), "row"), "it is behind, or has lost changes")
	case Silent:
		return fmt.Sprintf("%s, and another crossing came at most %s before: for so long the rule is quiet", crossed,
			present.Duration(rule.Quiet))
	case NotArmed:
		return fmt.Sprintf("%s, and since the crossing before the total was never at or below %s, where the rule is rearmed",
			crossed, w.Amount(rule.Rearm))
	case BeforeRule:
		return fmt.Sprintf(
			"%s, before the rule was there, or before the user was forgotten: edges up to %s raise no alert",
			crossed,
			w.Time(r.Quiet),
		)
	case BeforeAlertsFrom:
		return fmt.Sprintf("%s, before the time from which the group alerts (--alerts-from)", crossed)
	case Distrusted:
		if r.Edge == 0 {
			return "the user is distrusted: the rows of the window were forgotten, and PostgreSQL alone knows the total"
		}
		return fmt.Sprintf(
			"%s; the user is distrusted, and PostgreSQL is asked for such edges: wait for its answer",
			crossed,
		)
	case NotRetained:
		if r.Edge == 0 {
			return "the window reaches below the history that is kept: PostgreSQL alone knows the total"
		}
		return fmt.Sprintf(
			"%s; its window reaches below the history that is kept, and PostgreSQL is asked about such %s",
			crossed,
			"edges only where a row comes late",
		)
	case AlertNotKept:
		return fmt.Sprintf(
			"%s, which was announced; alerts of that time are not kept any more, or lie too far back",
			crossed,
		)
	case UnknownUser:
		return "nothing is known of this user: the stream has brought no row within the retained history"
	}
	return fmt.Sprintf("%s, and no alert is there: %s", crossed,
		"nothing that is kept explains it; have PostgreSQL answer for the user with `brimline distrust`")
}

func (r *Report) why() string {
	if r.Dismissal != nil {
		return r.Dismissal.Reason
	}
	return brimline.ReasonNotAbove
}
