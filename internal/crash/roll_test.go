package crash

import (
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/internal/rules"
	"github.com/brimline/brimline/internal/testkit"
	"github.com/brimline/brimline/processors"
)

// roll is a change of rules in the middle of a round. When exactly a user meets the new rules cannot be seen from
// outside, but it lies between two states of the changes stream.
type roll struct {
	from, to *rules.Set
	handled  map[int32]int64 // offsets of the changes stream below which the old rules have judged for certain,
	written  map[int32]int64 // and from which on they have judged nothing
	mixed    []string        // groups in which two sets of rules held partitions at once
}

// newRules changes a rule's limit, drops one, adds one, and leaves two as they are.
func (r *round) newRules(old string) string {
	var lines []string
	for _, line := range strings.Split(old, "\n") {
		switch {
		case strings.Contains(line, "id: week"):
			limit := 300 + r.r.IntN(900)
			line = fmt.Sprintf(`  - {id: week, window: 7d, limit: "%d.50"}`, limit) // the old one has no cents
		case strings.Contains(line, "id: out"):
			line = fmt.Sprintf(`  - {id: in, window: 48h, limit: "%d.00", measure: sum_in}`, 100+r.r.IntN(100))
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// rollRules starts one instance after the other with new rules, by a clean stop or by kill -9. All but the last come
// up beside instances with the old rules and have to wait.
func rollRules(r *round) {
	old, err := os.ReadFile(filepath.Join(r.dir, "rules.yaml"))
	r.must(err)
	path, yaml := filepath.Join(r.dir, "rules-new.yaml"), r.newRules(string(old))
	r.must(os.WriteFile(path, []byte(yaml), 0o600))
	next, err := rules.Parse(path, []byte(yaml))
	r.must(err)
	r.Logf("new rules:\n%s", yaml)
	r.roll = &roll{from: r.rules, to: next}

	ctx, cancel := r.bounded()
	defer cancel()
	c, err := kafka.Dial(ctx, kafka.Options{Brokers: r.g.Brokers}, kafka.Lasting)
	r.must(err)
	defer c.Close()
	watching, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		r.watchRules(ctx, c, watching)
	}()

	r.while(r.between(3*time.Second, 8*time.Second))
	for n, i := range r.fleet {
		last := n == len(r.fleet)-1
		if last {
			r.roll.handled = r.changesAt(ctx, c, func(l kafka.PartitionLag) int64 { return l.Committed })
		}
		how := "stopped"
		if r.r.IntN(2) == 0 {
			how = "killed"
			i.down()
		} else {
			r.must(i.stop(ctx))
		}
		if last {
			r.roll.written = r.changesAt(ctx, c, func(l kafka.PartitionLag) int64 { return l.High })
		}
		i.rules = path
		i.start()
		r.do("an instance %s and started with new rules", how)
		if !last {
			r.awaitGate(ctx, c, i, next)
			r.while(r.between(500*time.Millisecond, 2*time.Second))
		}
	}
	r.awaitPast(ctx, c, r.roll.written)
	r.rules = next
	close(watching)
	<-watched
}

// awaitGate waits until an instance with other rules has come up beside the others and waits, or, what must not be,
// works.
func (r *round) awaitGate(ctx context.Context, c *kafka.Cluster, i *instance, set *rules.Set) {
	r.Helper()
	ours := fmt.Sprintf("%016x%02x", set.Fingerprint(), processors.FlowVersion)
	if err := testkit.EventuallyEvery(ctx, 100*time.Millisecond, func() (bool, error) {
		printed, err := i.output()
		if err != nil || strings.Contains(printed, "other instances of this group apply other rules") {
			return err == nil, err
		}
		members, err := c.Members(ctx, r.names.WindowGroup)
		return slices.ContainsFunc(members, func(m kafka.Member) bool {
			return hex.EncodeToString(m.UserData) == ours && len(m.Assigned) > 0
		}), err
	}); err != nil {
		r.Fatalf("%s neither waits nor works: %v", i.name, err)
	}
}

// changesAt gives an offset of each partition of the changes stream.
func (r *round) changesAt(ctx context.Context, c *kafka.Cluster, which func(kafka.PartitionLag) int64) map[int32]int64 {
	r.Helper()
	lags, err := c.Lag(ctx, r.names.WindowGroup, []string{r.names.Changes})
	r.must(err)
	at := map[int32]int64{}
	for _, l := range lags {
		at[l.Partition] = which(l)
	}
	return at
}

// awaitPast waits until the window stage has committed something beyond the given offsets.
func (r *round) awaitPast(ctx context.Context, c *kafka.Cluster, offsets map[int32]int64) {
	r.Helper()
	if err := testkit.EventuallyEvery(ctx, 200*time.Millisecond, func() (bool, error) {
		for p, at := range r.changesAt(ctx, c, func(l kafka.PartitionLag) int64 { return l.Committed }) {
			if at > offsets[p] {
				return true, nil
			}
		}
		return false, nil
	}); err != nil {
		r.Fatalf("nobody goes on under the new rules: %v", err)
	}
}

// watchRules looks again and again at who holds partitions, until done.
func (r *round) watchRules(ctx context.Context, c *kafka.Cluster, done <-chan struct{}) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, group := range r.names.Groups() {
			members, err := c.Members(ctx, group)
			if err != nil {
				continue // a rebalance, or the coordinator is away
			}
			holders := map[string]string{}
			for _, m := range members {
				if len(m.Assigned) > 0 {
					holders[hex.EncodeToString(m.UserData)] = m.ClientID
				}
			}
			if len(holders) > 1 {
				r.roll.mixed = append(r.roll.mixed, fmt.Sprintf("different rules hold partitions in group %s: %v", group, holders))
			}
		}
		select {
		case <-tick.C:
		case <-done:
			return
		}
	}
}

// judgeRoll judges the alerts of a round in which the rules changed. Rules of both sets: exactly the edges. The others,
// with three values: an edge whose rows the old rules have handled for certain must be alerted by an old rule, and must
// not be by a new one, which takes it as announced; an edge that was complete only when the old rules were gone, the
// other way round; what lies between may be. All alerts have PostgreSQL's figures, and none is there twice.
func (r *round) judgeRoll(alerts []*brimline.Alert, all testkit.Table) (wrong []string) {
	handled, written := r.upTo(all, "handled", r.roll.handled), r.upTo(all, "written", r.roll.written)
	byRule := map[uint64][]*brimline.Alert{}
	for _, a := range alerts {
		f := a.Candidate.Rule.Fingerprint()
		byRule[f] = append(byRule[f], a)
	}
	for f, rule := range r.roll.rules() {
		v := verdict{
			old: has(r.roll.from, f), new: has(r.roll.to, f),
			early: handled.Edges(r, rule, rule.Where), late: written.Edges(r, rule, ""), unkept: r.unkept(written, rule),
		}
		want, must, may := v.judge(all.Edges(r, rule, rule.Where), byRule[f])
		for _, w := range testkit.Differences(byRule[f], want) {
			wrong = append(wrong, fmt.Sprintf("%s (old rules: %v, new rules: %v)", w, v.old, v.new))
		}
		r.Logf("rule %s above %s (old rules: %v, new rules: %v): %d edges must be alerted, %d may be; %d alerts",
			rule.ID, rule.Limit.Format(rule.Measure.Scale(2)), v.old, v.new, must, may, len(byRule[f]))
		if must == 0 {
			wrong = append(wrong, "no edge of rule "+rule.ID+" to judge by")
		}
		delete(byRule, f)
	}
	for _, unknown := range byRule {
		wrong = append(wrong, "an alert of a rule that never was: "+unknown[0].Candidate.ID())
	}
	return append(wrong, r.roll.mixed...)
}

// verdict decides whether an edge of a rule must be alerted.
type verdict struct {
	old, new    bool                       // the sets that have the rule
	early, late map[string]testkit.Verdict // edges that the old rules have seen for certain, and that they can have seen
	unkept      func(id string) bool       // whether the edge may lie below the history that the old rules kept
}

// judge gives the edges that there should be alerts for: those that must be, and of those that may be the ones that
// are.
func (v *verdict) judge(
	edges map[string]testkit.Verdict, alerts []*brimline.Alert,
) (want map[string]testkit.Verdict, must, may int) {
	want = map[string]testkit.Verdict{}
	raised := map[string]bool{}
	for _, a := range alerts {
		raised[a.Candidate.ID()] = true
	}
	for id, figures := range edges {
		_, early := v.early[id]
		_, seen := v.late[id]
		switch {
		case v.old && v.new, v.old && early && !v.unkept(id), v.new && !v.old && !seen && !v.unkept(id):
			must++
			want[id] = figures
		case v.old && !seen, v.new && !v.old && early: // must not be
		default:
			may++
			if raised[id] {
				want[id] = figures
			}
		}
	}
	return want, must, may
}

// rules are those of both sets.
func (o *roll) rules() map[uint64]brimline.Rule {
	both := map[uint64]brimline.Rule{}
	for _, rule := range slices.Concat(o.from.Rules, o.to.Rules) {
		both[rule.Fingerprint()] = rule
	}
	return both
}

func has(set *rules.Set, fingerprint uint64) bool {
	return slices.ContainsFunc(set.Rules, func(r brimline.Rule) bool { return r.Fingerprint() == fingerprint })
}

// upTo makes a table of the rows that came below the given offsets of the changes stream.
func (r *round) upTo(all testkit.Table, name string, offsets map[int32]int64) testkit.Table {
	var ids []string
	for _, record := range r.g.Records(r, r.names.Changes) {
		decoded, err := codecs.Change{}.Decode(record.Value)
		r.must(err)
		if c := decoded.(*brimline.Change); c.Kind == brimline.Upsert && record.Offset < offsets[record.Partition] {
			ids = append(ids, c.Row.ID)
		}
	}
	table := testkit.Table{Conn: all.Conn, Name: pgx.Identifier{"streaming", name}}
	_, err := all.Conn.Exec(r.Context(),
		fmt.Sprintf(`CREATE TABLE %s AS SELECT * FROM %s WHERE id = ANY ($1::text[]::bigint[])`,
			table.Name.Sanitize(), all.Name.Sanitize()), ids)
	r.must(err)
	return table
}

// unkept tells of an edge whether a user with these rows may have lost some of its window already. It is judged then by
// PostgreSQL's answers, which a rule that came later does not take, and one that has gone cannot.
func (r *round) unkept(table testkit.Table, rule brimline.Rule) func(id string) bool {
	rows, err := table.Conn.Query(r.Context(), fmt.Sprintf(`SELECT user_id::text, MAX("timestamp") FROM %s GROUP BY 1`,
		table.Name.Sanitize()))
	r.must(err)
	var (
		from = map[string]time.Time{}
		user string
		at   time.Time
	)
	_, err = pgx.ForEachRow(rows, []any{&user, &at}, func() error {
		from[user] = at.Add(rule.Window - r.roll.from.Retention())
		return nil
	})
	r.must(err)
	return func(id string) bool {
		parts := strings.Split(id, "/") // user, rule, time
		at, err := time.Parse(time.RFC3339Nano, parts[2])
		r.must(err)
		return at.Before(from[parts[0]])
	}
}
