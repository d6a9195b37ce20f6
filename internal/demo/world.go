// Package demo is brimline at work on one machine: a real PostgreSQL and an
// in-process Kafka, made-up transactions, capture, and all stages, with their
// state in one directory. Stopped or killed, it goes on where it was.
package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/app"
	"github.com/brimline/brimline/internal/config"
	"github.com/brimline/brimline/internal/embedded"
	"github.com/brimline/brimline/internal/kafka"
)

// Options configure a demo.
type Options struct {
	Dir            string        // everything is below it
	Rate           int           // transactions a second; 0 makes none after the backlog
	Backlog        int           // transactions that are there before the first start
	Seed           uint64        // of the made-up transactions
	For            time.Duration // ends the demo by itself; 0 does not
	Fresh          bool          // begins anew
	Listen         string        // preferred address of HTTP, or off; another port is taken where it is in use
	AllowedHosts   []string      // further names of HTTP
	TokensFile     string        // of HTTP; empty: none
	AllowAnonymous bool          // HTTP beyond this machine, too
	Version        string        // of this program
	Log            *slog.Logger

	Step    func(what string)       // what is being done
	Ready   func(Place)             // all parts have been started
	OnAlert func(a *brimline.Alert) // each alert, in the order of its partition
}

// Place says where the parts of a running demo are.
type Place struct {
	Brokers  string
	Database string
	HTTP     string // empty when it is off
	Settings string // file that other commands of brimline find by themselves
	Rules    string
	Resumed  bool // there was a demo in the directory before
}

// Run runs until ctx ends or Options.For has passed; both are a good end.
func Run(ctx context.Context, o Options) (err error) {
	if o.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.For)
		defer cancel()
	}
	w := &world{Options: o}
	err = w.run(ctx)
	if ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		return nil
	}
	return err
}

type world struct {
	Options
	config  config.Config
	resumed bool
}

// stopWithin bounds the end of each part.
const stopWithin = 10 * time.Second

func (w *world) run(ctx context.Context) error {
	if w.Fresh {
		w.Step("deleting the last demo")
		if err := w.remove(); err != nil {
			return err
		}
	}
	_, statErr := os.Stat(filepath.Join(w.Dir, "kafka"))
	w.resumed = statErr == nil

	w.Step("starting an in-process Kafka (for trying out only, never for production)")
	broker, err := embedded.StartBroker(ctx, embedded.BrokerOptions{Dir: filepath.Join(w.Dir, "kafka"),
		Log: w.Log, Announced: true})
	if err != nil {
		return err
	}
	defer broker.Close()
	w.Step("starting PostgreSQL")
	postgres, err := embedded.StartPostgres(ctx, embedded.PostgresOptions{
		Dir: filepath.Join(w.Dir, "postgres"), Log: w.Log, Announce: w.Step,
	})
	if err != nil {
		return err
	}
	defer func() {
		stopping, cancel := context.WithTimeout(context.Background(), stopWithin)
		defer cancel()
		_ = postgres.Stop(stopping)
	}()

	w.Step("preparing the table streaming.transactions")
	table, err := openTable(ctx, postgres.URL(""))
	if err != nil {
		return err
	}
	defer table.close()
	generator := NewGenerator(cmp.Or(w.Seed, uint64(time.Now().UnixNano())))
	if err := table.fill(ctx, generator, w.Backlog); err != nil {
		return err
	}
	if err := w.settings(broker.Addrs(), postgres.URL("")); err != nil {
		return err
	}
	return w.flow(ctx, table, generator)
}

// flow runs capture, stages and the made-up transactions, and ends them in the order of the flow.
func (w *world) flow(ctx context.Context, table *table, generator *Generator) error {
	if err := app.EnsureSource(ctx, &w.config.Kafka, &w.config.Topics, w.config.Source); err != nil {
		return err
	}
	var all sync.WaitGroup
	defer all.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	follow := func(what string, f func(context.Context) error) {
		all.Go(func() {
			if err := f(ctx); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("%s: %w", what, err))
			}
		})
	}
	w.Step("starting capture")
	streaming := make(chan struct{})
	follow("capture", func(ctx context.Context) error {
		return app.Capture(ctx, app.CaptureOptions{
			Streaming: func() { close(streaming) },
			Kafka:     w.config.Kafka, Topics: w.config.Topics, DatabaseURL: w.config.DatabaseURL, Table: w.config.Table,
			Source: w.config.Source, Slot: "brimline", Publication: "brimline", Log: w.Log,
		})
	})
	select { // else the checks of the stages wonder who reads the slot
	case <-streaming:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	from := kafka.Oldest
	if w.resumed {
		from = kafka.Newest
	}
	w.Step("starting the stages route, window, verify, index")
	a, err := app.New(ctx, app.Options{Config: w.config, Log: w.Log, Version: w.Version})
	if err != nil {
		return err
	}
	if err := a.Start(ctx); err != nil {
		return err
	}
	defer func() {
		stopping, done := context.WithTimeout(context.Background(), stopWithin)
		defer done()
		if err := a.Stop(stopping); err != nil {
			w.Log.Warn("stopping", "error", err)
		}
	}()
	follow("the stages", func(ctx context.Context) error {
		select {
		case <-a.Done():
			return cmp.Or(a.Wait(), errors.New("they ended"))
		case <-ctx.Done():
			return nil
		}
	})
	follow("following alerts", func(ctx context.Context) error { return w.tail(ctx, from) })
	w.Ready(w.place(a))
	follow("making transactions", func(ctx context.Context) error { return table.live(ctx, generator, w.Rate) })
	<-ctx.Done()
	return context.Cause(ctx)
}

func (w *world) tail(ctx context.Context, from kafka.From) error {
	cluster, err := kafka.Dial(ctx, app.KafkaOptions(&w.config.Kafka, "brimline-demo"), kafka.Quick)
	if err != nil {
		return err
	}
	defer cluster.Close()
	return cluster.Tail(ctx, w.config.Alerts, from, true, func(m *kafka.Message) error {
		if v, err := (codecs.Alert{}).Decode(m.Value); err == nil {
			w.OnAlert(v.(*brimline.Alert))
		}
		return nil
	})
}

func (w *world) place(a *app.App) Place {
	p := Place{
		Brokers: strings.Join(w.config.Brokers, ","), Database: w.config.DatabaseURL.Reveal(),
		Settings: w.settingsFile(), Rules: w.config.Rules, Resumed: w.resumed,
	}
	p.HTTP = a.URL()
	return p
}

// free is addr, or any port of its host where that is in use.
func free(addr string) string {
	if addr == "off" {
		return addr
	}
	l, err := net.Listen("tcp", addr)
	if err == nil {
		l.Close()
		return addr
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	return net.JoinHostPort(host, "0")
}

// remove deletes the last demo's state. The rules stay: a person may have written them.
func (w *world) remove() error {
	postgres := filepath.Join(w.Dir, "postgres")
	if _, err := os.Stat(postgres); err == nil {
		if err := embedded.RemovePostgres(postgres); err != nil {
			return err
		}
	}
	for _, name := range []string{"postgres", "kafka", "state", "demo.yaml"} {
		if err := os.RemoveAll(filepath.Join(w.Dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return dirError(w.Dir, err)
		}
	}
	return nil
}

func dirError(dir string, err error) error {
	return &brimline.Error{
		Class: brimline.ClassEnvironment, Kind: "demo_dir", Where: fmt.Sprintf("directory %q", dir),
		Remedy: "choose one that can be written to with --dir", Err: err,
	}
}
