package main

import (
	"fmt"
	"strings"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/app"
	"github.com/brimline/brimline/internal/kafka"
)

type deadletterCmd struct {
	List  deadletterListCmd  `cmd:"" help:"Show records that could not be taken in, and why."`
	Retry deadletterRetryCmd `cmd:"" help:"Put such records back into the source topic."`
}

// Letters say which dead letters are meant. Partition and offset are those of
// the record in the source topic, as list shows them.
type Letters struct {
	Kind      string `help:"Only of this kind." placeholder:"KIND"`
	Partition int32  `help:"Only from this partition of the source topic; -1: from all." default:"-1"`
	Offset    int64  `help:"Only the record at this offset of the source topic; -1: all." default:"-1"`
}

func (l *Letters) match(d *brimline.DeadLetter) bool {
	return (l.Kind == "" || d.Kind == l.Kind) && (l.Partition < 0 || d.Partition == l.Partition) && (l.Offset < 0 || d.Offset == l.Offset)
}

// read calls fn for every dead letter that is meant.
func (l *Letters) read(w *world, g *Group, cluster *kafka.Cluster, fn func(m *kafka.Message, d *brimline.DeadLetter) error) error {
	return cluster.Tail(w, g.streams().DeadLetters, kafka.Oldest, false, func(m *kafka.Message) error {
		v, err := codecs.DeadLetter{}.Decode(m.Value)
		if err != nil {
			fmt.Fprintf(w.err, "passed over %d/%d: %v\n", m.Partition, m.Offset, err)
			return nil
		}
		if d := v.(*brimline.DeadLetter); l.match(d) {
			return fn(m, d)
		}
		return nil
	})
}

type deadletterListCmd struct {
	JSON    bool `name:"json" help:"One JSON record a line, as in the topic."`
	Letters `group:"Which"`
	Group
}

func (deadletterListCmd) Help() string {
	return `Each with its place in the source topic, the kind of its error, what was wrong
and what to do.

Example:

	brimline deadletter list --kind amount_scale`
}

func (c *deadletterListCmd) Run(w *world) error {
	cluster, err := c.connect(w)
	if err != nil {
		return err
	}
	defer cluster.Close()
	n := 0
	err = c.read(w, &c.Group, cluster, func(m *kafka.Message, d *brimline.DeadLetter) error {
		n++
		if c.JSON {
			fmt.Fprintf(w.out, "%s\n", m.Value)
			return nil
		}
		describe(w, d)
		return nil
	})
	if err != nil {
		return ended(w, c.notRunYet(err))
	}
	if n == 0 && !c.JSON {
		fmt.Fprintln(w.out, "no dead letters")
	}
	return nil
}

func describe(w *world, d *brimline.DeadLetter) {
	fmt.Fprintf(w.out, "%s/%d/%d  %s  %s  %s\n", shown(d.Topic), d.Partition, d.Offset, d.At.Std().Format("2006-01-02 15:04:05"), shown(d.Kind), text(d.Error))
	if d.Remedy != "" {
		fmt.Fprintf(w.out, "  remedy: %s\n", text(d.Remedy))
	}
}

// text is a sentence that may quote what others wrote.
func text(s string) string {
	words := strings.Fields(s)
	for i, word := range words {
		if safe := shown(strings.NewReplacer(`"`, "", `\`, "").Replace(word)); strings.HasPrefix(safe, `"`) {
			words[i] = shown(word)
		}
	}
	return strings.Join(words, " ")
}

type deadletterRetryCmd struct {
	DryRun  bool `help:"Show what would be done, and do nothing."`
	Yes     bool `short:"y" help:"Do not ask."`
	Letters `group:"Which"`
	Group
}

func (deadletterRetryCmd) Help() string {
	return `Writes the very bytes of dead letters once more to the end of the partition of
the source topic that they came from, with a header brimline-retry that names
their first place. Do it after the cause is mended, be it in brimline's settings
or with a new version: a record that is still bad becomes a dead letter again.

A row that has changed since then is set back, in the totals of the stream, to
what the letter says, until it changes again; alerts are verified all the same.
Letters stay in the topic, so the same selection sends them again.

Example:

	brimline deadletter retry --kind float_amount --dry-run`
}

func (c *deadletterRetryCmd) Run(w *world) error {
	cluster, err := c.connect(w)
	if err != nil {
		return err
	}
	defer cluster.Close()
	var letters []*brimline.DeadLetter
	err = c.read(w, &c.Group, cluster, func(_ *kafka.Message, d *brimline.DeadLetter) error {
		if d.Topic != c.Source {
			fmt.Fprintf(w.out, "left alone: %s/%d/%d, which is not of the source topic %s\n", shown(d.Topic), d.Partition, d.Offset, c.Source)
			return nil
		}
		letters = append(letters, d)
		describe(w, d)
		return nil
	})
	if err != nil {
		return ended(w, c.notRunYet(err))
	}
	if len(letters) == 0 || c.DryRun {
		fmt.Fprintf(w.out, "%s selected, nothing was sent\n", plural(int64(len(letters)), "dead letter"))
		return nil
	}
	if !c.Yes {
		if ok, err := w.confirm(fmt.Sprintf("Write %s to topic %s again?", plural(int64(len(letters)), "record"), c.Source)); !ok {
			return err
		}
	}
	retry := app.NewRetry(c.options())
	sent := 0
	for _, d := range letters {
		if err = retry.Send(d); err != nil || w.Err() != nil {
			break
		}
		sent++
	}
	if closing := retry.Close(); err == nil {
		err = closing
	}
	fmt.Fprintf(w.out, "%s sent\n", plural(int64(sent), "record"))
	return err
}
