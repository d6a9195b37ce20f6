package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/app"
	"github.com/brimline/brimline/internal/explain"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/internal/present"
)

type deadletterCmd struct {
	List  deadletterListCmd  `cmd:"" help:"Show records that could not be taken in, and why."`
	Retry deadletterRetryCmd `cmd:"" help:"Send such records through again."`
}

// Letters say which dead letters are meant. Partition and offset are those of
// the record in the topic that it comes from, as list shows them.
type Letters struct {
	Kind      string `help:"Only of this kind." placeholder:"KIND"`
	User      string `help:"Only of this account, as list shows it." placeholder:"ID"`
	Partition int32  `help:"Only from this partition of the topic that they come from; -1: from all." default:"-1"`
	Offset    int64  `help:"Only the record at this offset of that topic; -1: all." default:"-1"`
}

func (l *Letters) match(d *brimline.DeadLetter) bool {
	return (l.Kind == "" || d.Kind == l.Kind) && (l.User == "" || d.User == l.User) &&
		(l.Partition < 0 || d.Partition == l.Partition) && (l.Offset < 0 || d.Offset == l.Offset)
}

// read calls fn for every dead letter that is meant, and tells how many there are of each kind.
func (l *Letters) read(
	w *world, g *Group, cluster *kafka.Cluster, fn func(m *kafka.Message, d *brimline.DeadLetter) error,
) (kinds map[string]int64, err error) {
	kinds = map[string]int64{}
	err = cluster.Tail(w, g.streams().DeadLetters, kafka.Oldest, false, func(m *kafka.Message) error {
		v, err := codecs.DeadLetter{}.Decode(m.Value)
		if err != nil {
			fmt.Fprintf(w.err, "passed over %d/%d: %v\n", m.Partition, m.Offset, err)
			return nil
		}
		d := v.(*brimline.DeadLetter)
		kinds[d.Kind]++
		if l.match(d) {
			return fn(m, d)
		}
		return nil
	})
	return kinds, err
}

// none says what there is where nothing is meant: a slip in --kind must not read as all clear.
func none(kinds map[string]int64) string {
	var all int64
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		all += kinds[kind]
		parts = append(parts, fmt.Sprintf("%s (%d)", present.Word(kind), kinds[kind]))
	}
	switch {
	case all == 0:
		return "no dead letters"
	case len(parts) == 1:
		return fmt.Sprintf("none of these among %s; all are of kind %s", present.Plural(all, "dead letter"), parts[0])
	}
	last := len(parts) - 1
	return fmt.Sprintf("none of these among %s; there are the kinds %s and %s", present.Plural(all, "dead letter"),
		strings.Join(parts[:last], ", "), parts[last])
}

type deadletterListCmd struct {
	JSON    bool `name:"json" help:"One JSON record a line, as in the topic."`
	Letters `group:"Which"`
	Group
}

func (deadletterListCmd) Help() string {
	return `Each with its place in the topic that it comes from, the kind of its error, what
was wrong, account and row as far as they could be read, and what to do. Records
of the source topic are there, and candidates that PostgreSQL could not decide.
With --user also those that name no account and have its id in their key or value,
be it the account's or a row's; where whose they are cannot be told, that is said.

Examples:

	brimline deadletter list --kind amount_scale
	brimline deadletter list --user 27956157`
}

func (c *deadletterListCmd) Run(w *world) error {
	if c.User != "" {
		if err := checkUsers(c.User); err != nil {
			return err
		}
	}
	cluster, err := c.join(w)
	if err != nil {
		return err
	}
	defer cluster.Close()
	n, untold := 0, int64(0)
	which := c.Letters
	which.User = "" // letters that name no user may be about one all the same
	kinds, err := which.read(w, &c.Group, cluster, func(m *kafka.Message, d *brimline.DeadLetter) error {
		var concern explain.Concern
		if c.User != "" {
			if concern = explain.ConcernOf(d, c.User); !concern.Any() {
				if concern.Untold {
					untold++
				}
				return nil
			}
		}
		n++
		if c.JSON {
			fmt.Fprintf(w.out, "%s\n", m.Value)
			return nil
		}
		describe(w, d)
		if len(concern.Mentions) > 0 {
			fmt.Fprintf(w.out, "  account not named; %s is in %s\n", present.Word(c.User), listed(concern.Mentions))
		}
		return nil
	})
	if err != nil {
		return ended(w, err)
	}
	switch {
	case n == 0 && c.JSON:
		w.note(&c.Logging, none(kinds))
	case n == 0:
		fmt.Fprintln(w.out, none(kinds))
	}
	if untold > 0 {
		w.note(&c.Logging, fmt.Sprintf(
			"whose account it is cannot be told of %s: they name none, and are no JSON; list them without --user",
			present.Plural(untold, "further dead letter")))
	}
	return nil
}

func describe(w *world, d *brimline.DeadLetter) {
	fmt.Fprintf(w.out, "%s  %s  %s  %s\n", present.Place(d.Topic, d.Partition, d.Offset), present.Time(d.At),
		present.Word(d.Kind), present.Text(d.Error))
	if d.User != "" || d.Row != "" {
		fmt.Fprintf(w.out, "  %s\n", about(d))
	}
	if c := d.Cut; c != nil {
		fmt.Fprintf(w.out, "  too large to be kept whole: %s\n", cut(c))
	}
	if d.Remedy != "" {
		fmt.Fprintf(w.out, "  remedy: %s\n", present.Text(d.Remedy))
	}
}

// cut says what a letter's record was before it was cut.
func cut(c *brimline.Cut) string {
	var parts []string
	if c.Key > 0 {
		parts = append(parts, present.Plural(c.Key, "byte")+" of key")
	}
	if c.Headers > 0 {
		parts = append(parts, present.Plural(c.Headers, "header"))
	}
	if c.Value > 0 {
		parts = append(parts, present.Plural(c.Value, "byte")+" of value")
	}
	return strings.Join(parts, ", ") + " in all"
}

// about is whose row a dead letter is about, as far as that is known.
func about(d *brimline.DeadLetter) string {
	var parts []string
	if d.User != "" {
		parts = append(parts, "account "+present.Word(d.User))
	}
	if d.Row != "" {
		parts = append(parts, "row "+present.Word(d.Row))
	}
	return strings.Join(parts, ", ")
}

type deadletterRetryCmd struct {
	DryRun  bool `help:"Show what would be done, and do nothing."`
	Yes     bool `short:"y" help:"Do not ask; needed where there is no terminal."`
	Letters `group:"Which"`
	Group
}

func (deadletterRetryCmd) Help() string {
	return `Do it after the cause is mended, be it in the table, in brimline's settings or
with a new version: what is still bad becomes a dead letter again.

A record of the source topic is written once more, with its very bytes, to the end
of the partition that it came from. A row that has changed since then is set back,
in the totals of the stream, to what the letter says, until it changes again;
alerts are verified all the same.

A candidate that PostgreSQL could not decide is handed to the window stage, which
has it decided unless that has been done since: an alert comes once, however often
it is retried, and also where the repaired row has brought it already.

What cannot be read is left alone, with the reason. Letters stay in the topic, so
the same selection sends them again. In a script, where there is no terminal to
ask at, it ends with exit code 2 unless --yes is given.

Examples:

	brimline deadletter retry --kind float_amount --dry-run
	brimline deadletter retry --kind postgres_amount --yes`
}

func (c *deadletterRetryCmd) Run(w *world) error {
	cluster, err := c.join(w)
	if err != nil {
		return err
	}
	defer cluster.Close()
	streams := c.streams()
	partitions, err := cluster.Partitions(streams.Changes)
	if err != nil {
		return ended(w, err)
	}
	inForce, err := app.RulesInForce(w, cluster, streams.Rules)
	if err != nil {
		return ended(w, err)
	}
	type again struct {
		record  *brimline.DeadLetter
		decided bool // a candidate's
	}
	var selected []again
	var candidates int64
	left := 0 // of those that are meant
	kinds, err := c.read(w, &c.Group, cluster, func(_ *kafka.Message, d *brimline.DeadLetter) error {
		record, err := app.Again(d, streams, partitions, inForce)
		if err != nil {
			left++
			fmt.Fprintf(w.out, "left alone: %s: %s\n", present.Place(d.Topic, d.Partition, d.Offset), present.Text(err.Error()))
			return nil
		}
		decided := streams.Asks(d.Topic)
		if decided {
			candidates++
		}
		selected = append(selected, again{record, decided})
		describe(w, d)
		return nil
	})
	if err != nil {
		return ended(w, err)
	}
	if len(selected) == 0 && left == 0 {
		fmt.Fprintf(w.out, "%s; nothing was sent\n", none(kinds))
		return nil
	}
	if len(selected) == 0 || c.DryRun {
		fmt.Fprintf(w.out, "%s selected, nothing was sent\n", present.Plural(len(selected), "dead letter"))
		return nil
	}
	if !c.Yes {
		if ok, err := w.confirm(question(int64(len(selected))-candidates, candidates)); !ok {
			return err
		}
	}
	retry := app.NewRetry(c.options())
	var sent, handed int64
	for _, a := range selected {
		if err = retry.Send(a.record); err != nil || w.Err() != nil {
			break
		}
		if a.decided {
			handed++
		} else {
			sent++
		}
	}
	if closing := retry.Close(); err == nil {
		err = closing
	}
	if handed == 0 || sent > 0 {
		fmt.Fprintf(w.out, "%s sent\n", present.Plural(sent, "record"))
	}
	if handed > 0 {
		fmt.Fprintf(w.out, "%s handed to the window stage, which knows what has been decided since\n",
			present.Plural(handed, "candidate"))
	}
	return err
}

// question asks for a yes to so much.
func question(records, candidates int64) string {
	var parts []string
	if records > 0 {
		parts = append(parts, fmt.Sprintf("Write %s again?", present.Plural(records, "record")))
	}
	if candidates > 0 {
		parts = append(parts, fmt.Sprintf("Have %s decided again?", present.Plural(candidates, "candidate")))
	}
	return strings.Join(parts, " ")
}
