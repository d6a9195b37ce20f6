package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/config"
	"github.com/brimline/brimline/internal/present"
)

type readyCmd struct {
	config.Listening `group:"Instance"`
	// Group is not config.GroupName: where it is not said, any instance will do.
	Group string `help:"The group that the instance must be of; where it is not given, any." env:"BRIMLINE_GROUP" group:"Instance" placeholder:"NAME"`

	Timeout time.Duration `help:"How long to wait for an answer." default:"5s"`
}

func (readyCmd) Help() string {
	return `Exit code 0 when the instance at --listen should be asked and given work, as its
/readyz says, with what is degraded in it; 1 with the reasons when it should not
yet, 3 when none answers, or one of another group than --group. It is what a
container's health check runs: the image holds nothing else that could ask. It takes
no token, and asks at --metrics-listen where that is given.

Example:

	brimline ready --listen 127.0.0.1:8480 --group payments`
}

// maxReady is far more than an instance has to say.
const maxReady = 16 << 20

func (c *readyCmd) Run(w *world) error {
	parts := []config.Part{&c.Listening}
	if c.Group != "" {
		parts = append(parts, &config.GroupName{Group: c.Group})
	}
	if err := config.Check(parts...); err != nil {
		return err
	}
	listen, how := c.Listen, c.Listening
	if c.MetricsListen != "" { // the probes are there alone, without TLS and without a path before them
		listen, how = c.MetricsListen, config.Listening{}
	}
	if listen == "off" {
		return &brimline.Error{
			Class: brimline.ClassInput, Kind: "settings", Where: "--listen",
			Remedy: "give the address that the instance was given", Err: errors.New("off has nothing to ask"),
		}
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost" // listening everywhere, it listens here as well
	}
	within, cancel := context.WithTimeout(w, c.Timeout)
	defer cancel()
	address := net.JoinHostPort(host, port)
	none := func(err error) error {
		return &brimline.Error{
			Class: brimline.ClassEnvironment, Kind: "no_instance", Where: "asking the instance at " + address,
			Remedy: "start it, or give --listen, --metrics-listen, --base-path and --tls-cert as it was started with", Err: err,
		}
	}
	response, err := ask(within, &how, address, how.BasePath+"/readyz", "")
	if _, ours := errors.AsType[*brimline.Error](err); ours {
		return err
	}
	if err != nil {
		return none(err)
	}
	defer response.Body.Close()
	var answer struct {
		Ready             *bool
		Reasons, Degraded []string
		Group, Instance   string
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxReady))
	if err == nil {
		err = json.Unmarshal(body, &answer)
	}
	switch {
	case err != nil:
		return none(err)
	case answer.Ready == nil:
		return none(fmt.Errorf("what answers is no brimline, or refuses: %s", response.Status))
	case c.Group != "" && answer.Group != c.Group:
		return none(fmt.Errorf("an instance of group %s answers, not of %s",
			present.Word(answer.Group), present.Word(c.Group)))
	case !*answer.Ready:
		return &brimline.Error{
			Class: brimline.ClassRuntime, Kind: "not_ready", Where: "the instance at " + address,
			Err: fmt.Errorf("not ready: %s", strings.Join(answer.Reasons, "; ")),
		}
	}
	line := fmt.Sprintf("ready: instance %s of group %s", present.Word(answer.Instance), present.Word(answer.Group))
	if len(answer.Degraded) > 0 {
		line += "; degraded: " + present.Text(strings.Join(answer.Degraded, "; "))
	}
	_, err = fmt.Fprintln(w.out, line)
	return err
}
