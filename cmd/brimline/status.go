package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/app"
	"github.com/brimline/brimline/internal/config"
	"github.com/brimline/brimline/internal/httpapi"
	"github.com/brimline/brimline/internal/kafka"
)

type statusCmd struct {
	JSON  bool          `name:"json" help:"As JSON."`
	Watch bool          `help:"Show it again and again, until Ctrl-C."`
	Every time.Duration `help:"Time over which rates are measured, and between two looks with --watch." default:"1s"`

	config.Listening `group:"Instance"`
	Group
}

func (statusCmd) Help() string {
	return `Per stage and partition: what is committed, what there is to read, how many
messages are behind and how many are handled a second, and which instance has
the partition. Asked of the brokers; no running instance is needed. Where one
answers at --listen, what it is doing is shown as well: how far tables are
recovered, and what a stage waits for.

Examples:

	brimline status
	brimline status --watch --group payments`
}

// leastEvery keeps a watch from asking the brokers without a pause.
const leastEvery = 10 * time.Millisecond

// partitionStatus is one line of the status.
type partitionStatus struct {
	Stage     string   `json:"stage"`
	Group     string   `json:"group"`
	Topic     string   `json:"topic"`
	Partition int32    `json:"partition"`
	Committed int64    `json:"committed"` // next offset to be read, -1 for none
	End       int64    `json:"end"`
	Lag       int64    `json:"lag"`
	Lost      int64    `json:"lost,omitempty"` // deleted before they were read
	Rate      *float64 `json:"rate,omitempty"` // messages a second
	Member    string   `json:"member,omitempty"`
	State     string   `json:"state,omitempty"` // as the instance at --listen tells
}

func (c *statusCmd) Run(w *world) error {
	if c.Every < leastEvery {
		return &brimline.Error{
			Class: brimline.ClassInput, Kind: "settings", Where: "--every",
			Remedy: fmt.Sprintf("choose %v or more", leastEvery), Err: fmt.Errorf("%v is too short to measure anything", c.Every),
		}
	}
	cluster, err := c.connect(w)
	if err != nil {
		return err
	}
	defer cluster.Close()
	before, err := c.sample(w, cluster)
	if err != nil {
		return ended(w, c.notRunYet(err))
	}
	for {
		began := time.Now()
		select {
		case <-time.After(c.Every):
		case <-w.Done():
			return nil
		}
		now, err := c.sample(w, cluster)
		if err != nil {
			return ended(w, c.notRunYet(err))
		}
		rate(before, now, time.Since(began))
		c.ask(w, now)
		if err := c.show(w, now); err != nil || !c.Watch {
			return err
		}
		before = now
	}
}

func (c *statusCmd) sample(ctx context.Context, cluster *kafka.Cluster) ([]partitionStatus, error) {
	all, err := app.Lags(ctx, cluster, c.streams())
	if err != nil {
		return nil, err
	}
	var list []partitionStatus
	for _, s := range all {
		members, err := cluster.Members(ctx, s.Group)
		if err != nil {
			return nil, err
		}
		for _, p := range s.Partitions {
			list = append(list, partitionStatus{
				Stage: string(s.Stage), Group: s.Group, Topic: p.Topic, Partition: p.Partition,
				Committed: p.Committed, End: p.High, Lag: p.Lag, Lost: p.Lost, Member: holder(members, p),
			})
		}
	}
	return list, nil
}

func holder(members []kafka.Member, p kafka.PartitionLag) string {
	for _, m := range members {
		for _, n := range m.Assigned[p.Topic] {
			if n == p.Partition {
				return m.ClientID
			}
		}
	}
	return ""
}

func rate(before, now []partitionStatus, took time.Duration) {
	committed := map[string]int64{}
	key := func(p partitionStatus) string { return fmt.Sprint(p.Group, "/", p.Topic, "/", p.Partition) }
	for _, p := range before {
		committed[key(p)] = max(0, p.Committed)
	}
	for i := range now {
		if from, ok := committed[key(now[i])]; ok {
			r := float64(max(0, now[i].Committed)-from) / took.Seconds()
			now[i].Rate = &r
		}
	}
}

// ask fills in what an instance of this group says about its own partitions.
// There need not be one.
func (c *statusCmd) ask(ctx context.Context, list []partitionStatus) {
	if c.Listen == "off" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.Listen+"/api/v1/status", nil)
	if err != nil {
		return
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return
	}
	defer response.Body.Close()
	var status httpapi.Status
	if json.NewDecoder(io.LimitReader(response.Body, 16<<20)).Decode(&status) != nil || status.Group != c.Group.Names.Group {
		return
	}
	for _, stage := range status.Stages {
		for i := range list {
			p := &list[i]
			if p.Stage != string(stage.Name) || !stage.Here {
				continue
			}
			if stage.State != httpapi.Running {
				p.State = strings.TrimSpace(string(stage.State) + " " + stage.Reason)
			}
			for _, own := range stage.Partitions {
				if own.Own && own.Topic == p.Topic && own.Partition == p.Partition {
					p.State = state(own)
				}
			}
		}
	}
}

func state(p httpapi.PartitionStatus) string {
	if p.TableOffset == nil || p.TableEnd == nil {
		return string(p.State)
	}
	return fmt.Sprintf("%s, at %d of %d", p.State, *p.TableOffset+1, *p.TableEnd)
}

func (c *statusCmd) show(w *world, list []partitionStatus) error {
	if c.JSON {
		enc := json.NewEncoder(w.out)
		return enc.Encode(list)
	}
	var b strings.Builder
	if c.Watch && isTerminal(w.out) {
		b.WriteString("\x1b[H\x1b[2J")
	}
	rows := [][]string{{"STAGE", "TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "RATE", "INSTANCE", "STATE"}}
	for _, p := range list {
		committed, per, lag := "-", "", strconv.FormatInt(p.Lag, 10)
		if p.Committed >= 0 {
			committed = strconv.FormatInt(p.Committed, 10)
		}
		if p.Rate != nil {
			per = fmt.Sprintf("%.0f/s", *p.Rate)
		}
		if p.Lost > 0 {
			lag += fmt.Sprintf(" (%d lost)", p.Lost)
		}
		member := "nobody"
		if p.Member != "" {
			member = shown(p.Member)
		}
		rows = append(rows, []string{p.Stage, p.Topic, strconv.Itoa(int(p.Partition)), committed, strconv.FormatInt(p.End, 10), lag, per, member, text(p.State)})
	}
	table(&b, []bool{false, false, true, true, true, true, true}, rows...)
	_, err := io.WriteString(w.out, b.String())
	return err
}
