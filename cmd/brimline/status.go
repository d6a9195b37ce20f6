package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/access"
	"github.com/brimline/brimline/internal/app"
	"github.com/brimline/brimline/internal/config"
	"github.com/brimline/brimline/internal/httpapi"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/internal/present"
)

type statusCmd struct {
	JSON  bool          `name:"json" help:"As JSON."`
	Watch bool          `help:"Show it again and again, until Ctrl-C."`
	Every time.Duration `help:"Time over which rates are measured, and between two looks with --watch." default:"1s"`

	config.Asking `group:"Instance"`
	Group
}

func (statusCmd) Help() string {
	return `Per stage and partition: what is committed, what there is to read, how many
messages are behind and how many are handled a second, and which instance has
the partition. Asked of the brokers; no running instance is needed. Where one
answers at --listen, what it is doing is shown beside its own partitions (how far
tables are recovered), and what it waits for below; where none does, that is said.
What other instances are doing is not known: ask them. With --listen off none is.

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
	State     string   `json:"state,omitempty"` // where the instance asked has the partition
}

// groupStatus is all of it.
type groupStatus struct {
	Group      string            `json:"group"`
	Partitions []partitionStatus `json:"partitions"`
	AlertsFrom *brimline.Time    `json:"alerts_from,omitempty"` // nil: always
	Proof      *httpapi.Proof    `json:"proof,omitempty"`       // nil: none in the topic of reports
	Audit      *httpapi.Audit    `json:"audit,omitempty"`       // likewise
	Asked      *askedInstance    `json:"asked,omitempty"`       // the instance at --listen; nil with off
}

// askedInstance is the answer of the instance at --listen about itself.
type askedInstance struct {
	Listen   string           `json:"listen"`
	Instance string           `json:"instance,omitempty"`
	Stages   []askedStage     `json:"stages,omitempty"` // those that should run there
	Notices  []httpapi.Notice `json:"notices,omitempty"`
	// Verification counts PostgreSQL's answers to the instance's candidates.
	Verification *httpapi.Verification `json:"verification,omitempty"`
	Problem      string                `json:"problem,omitempty"` // why nothing of it is shown

	status *httpapi.Status
}

type askedStage struct {
	Name   string `json:"name"`
	State  string `json:"state"`
	Reason string `json:"reason,omitempty"`
	Remedy string `json:"remedy,omitempty"`
}

func (c *statusCmd) Run(w *world) error {
	if err := config.Check(&c.Asking); err != nil {
		return err
	}
	if err := c.ReadSecret(); err != nil {
		return err
	}
	if c.Every < leastEvery {
		return &brimline.Error{
			Class: brimline.ClassInput, Kind: "settings", Where: "--every",
			Remedy: fmt.Sprintf("choose %s or more", present.Duration(leastEvery)),
			Err:    fmt.Errorf("%s is too short to measure anything", present.Duration(c.Every)),
		}
	}
	cluster, err := c.join(w)
	if err != nil {
		return err
	}
	defer cluster.Close()
	before, err := c.sample(w, cluster)
	if err != nil {
		return ended(w, err)
	}
	from, err := app.AlertsFromInForce(w, cluster, c.streams().Rules)
	if err != nil {
		return ended(w, err)
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
			return ended(w, err)
		}
		rate(before, now, time.Since(began))
		all := groupStatus{Group: c.Group.Names.Group, Partitions: now, Asked: askInstance(w, &c.Asking, c.Group.Names.Group)}
		if from != 0 {
			all.AlertsFrom = &from
		}
		if all.Proof, all.Audit, err = app.LastReports(w, cluster, c.streams().Reports); err != nil {
			return ended(w, err)
		}
		all.place()
		if err := c.show(w, &all); err != nil || !c.Watch {
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

// askInstance asks the instance at an address about itself; nil where there is none to ask, with off. An answer
// of another group's instance is a Problem, as none is.
func askInstance(ctx context.Context, how *config.Asking, group string) *askedInstance {
	if how.Listen == "off" {
		return nil
	}
	within, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	asked := &askedInstance{Listen: how.Listen}
	if strings.HasPrefix(asked.Listen, ":") {
		asked.Listen = "localhost" + asked.Listen
	}
	response, err := ask(within, &how.Listening, asked.Listen, how.BasePath+"/api/v1/status", how.APIToken)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		asked.Problem = "no answer of an instance of brimline"
		if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
			asked.Problem = "no instance answers there: what instances are doing is not shown, only what the brokers know"
		}
		if known, ok := errors.AsType[*brimline.Error](err); ok {
			asked.Problem = known.Where + ": " + known.Err.Error()
		}
		if within.Err() != nil {
			asked.Problem = "no answer within a second"
		}
		return asked
	}
	defer response.Body.Close()
	asked.read(group, response)
	return asked
}

// ask sends a request to an instance at an address, by TLS where its certificate is named.
func ask(
	ctx context.Context, how *config.Listening, address, path string, token config.Secret,
) (*http.Response, error) {
	// One request, and no connection is kept for others. An instance is asked itself, never through a proxy.
	transport := &http.Transport{DisableKeepAlives: true}
	scheme := "http://"
	if how.TLSCert != "" {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		trusting, err := access.Trusting(how.TLSCert, host)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig, scheme = trusting, "https://"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+address+path, nil)
	if err != nil {
		return nil, err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token.Reveal())
	}
	client := http.Client{
		Transport: transport,
		// Nowhere else may the token go.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return client.Do(request)
}

func (a *askedInstance) read(group string, response *http.Response) {
	var answer struct {
		httpapi.Status
		Detail, Remedy string // of a problem
	}
	err := json.NewDecoder(io.LimitReader(response.Body, 16<<20)).Decode(&answer)
	switch {
	case err == nil && response.StatusCode == http.StatusUnauthorized:
		a.Problem = answer.Detail + "; remedy: give --api-token-file"
	case err == nil && answer.Detail != "":
		a.Problem = answer.Detail + "; remedy: " + answer.Remedy
	case err != nil || response.StatusCode != http.StatusOK || answer.Group == "":
		a.Problem = "no answer of an instance of brimline"
	case answer.Group != group:
		a.Problem = fmt.Sprintf("an instance of group %s answers, whose state is not shown here", present.Word(answer.Group))
	default:
		a.status, a.Instance = &answer.Status, answer.Instance
		a.Notices, a.Verification = answer.Notices, answer.Verification
		for _, s := range answer.Stages {
			if s.Here {
				a.Stages = append(a.Stages, askedStage{string(s.Name), string(s.State), s.Reason, s.Remedy})
			}
		}
	}
}

// place puts what the asked instance says beside the partitions that it has. Of others it knows nothing.
func (g *groupStatus) place() {
	if g.Asked == nil || g.Asked.status == nil {
		return
	}
	for _, stage := range g.Asked.status.Stages {
		for i := range g.Partitions {
			p := &g.Partitions[i]
			if p.Stage != string(stage.Name) || !stage.Here || p.Member != g.Asked.Instance {
				continue
			}
			p.State = string(stage.State)
			for _, own := range stage.Partitions {
				if stage.State == httpapi.Running && own.Own && own.Topic == p.Topic && own.Partition == p.Partition {
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

func (c *statusCmd) show(w *world, all *groupStatus) error {
	if c.JSON {
		enc := json.NewEncoder(w.out)
		enc.SetEscapeHTML(false)
		return enc.Encode(all)
	}
	var b strings.Builder
	if c.Watch && isTerminal(w.out) {
		b.WriteString("\x1b[H\x1b[2J")
	}
	rows := [][]string{{"STAGE", "TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "RATE", "INSTANCE", "STATE"}}
	for _, p := range all.Partitions {
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
			member = present.Word(p.Member)
		}
		rows = append(rows, []string{
			p.Stage, p.Topic, strconv.Itoa(int(p.Partition)), committed, strconv.FormatInt(p.End, 10), lag, per, member,
			present.Text(p.State),
		})
	}
	table(&b, []bool{false, false, true, true, true, true, true}, rows...)
	if all.AlertsFrom != nil {
		from := present.ExactTime(*all.AlertsFrom) + " UTC"
		fmt.Fprintf(&b, "\nalerts from %s on; edges before that time are in %s\n", from, c.streams().Dismissed)
	}
	if all.Proof != nil {
		fmt.Fprintf(&b, "\n%s\n", present.Text(all.Proof.Sentence(time.Now())))
	}
	if all.Audit != nil {
		fmt.Fprintf(&b, "\n%s\n", present.Text(all.Audit.Sentence(time.Now())))
	}
	all.Asked.describe(&b)
	_, err := io.WriteString(w.out, b.String())
	return err
}

// describe writes what concerns the instance as a whole: what it waits for, each reason and remedy once.
func (a *askedInstance) describe(b *strings.Builder) {
	if a == nil {
		return
	}
	if a.status == nil {
		fmt.Fprintf(b, "\nasked at %s: %s\n", present.Word(a.Listen), present.Text(a.Problem))
		return
	}
	say := func(what, remedy string) {
		fmt.Fprintf(b, "\ninstance %s at %s: %s\n", present.Word(a.Instance), present.Word(a.Listen), present.Text(what))
		if remedy != "" {
			fmt.Fprintf(b, "  remedy: %s\n", present.Text(remedy))
		}
	}
	for _, idle := range a.status.Idle() {
		what := idle.Names(", ") + ": " + string(idle.State)
		if idle.Reason != "" {
			what += ": " + idle.Reason
		}
		say(what, idle.Remedy)
	}
	for _, n := range a.Notices {
		say(string(n.Level)+": "+n.Message, n.Remedy)
	}
}
