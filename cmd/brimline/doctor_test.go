package main

import (
	"context"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/brimline/brimline/internal/config"
	"github.com/brimline/brimline/internal/httpapi"
	"github.com/brimline/brimline/internal/preflight"
	"github.com/brimline/brimline/processors"
)

// What an instance says about distrusted users becomes findings; silence and another group are not taken for "none".
func TestDoctorAsksAnInstance(t *testing.T) {
	window := []httpapi.StageStatus{{Name: processors.Window, State: httpapi.Running, Here: true}}
	users := httpapi.Notice{Kind: "distrusted_users", Level: httpapi.Note, Message: "2 users are distrusted"}
	waits := httpapi.Notice{Kind: "distrusts_wait", Level: httpapi.Warning, Message: "more than 100", Remedy: "find it"}
	other := httpapi.Notice{Kind: "something_else", Level: httpapi.Warning, Message: "else"}
	for _, c := range []struct {
		name   string
		status httpapi.Status
		want   []string
		level  preflight.Level
	}{
		{"none", httpapi.Status{Group: "g", Stages: window}, []string{"instance"}, preflight.OK},
		{"some", httpapi.Status{Group: "g", Stages: window, Notices: []httpapi.Notice{other, users}},
			[]string{"instance_distrusted_users"}, preflight.Note},
		{"too many", httpapi.Status{Group: "g", Stages: window, Notices: []httpapi.Notice{users, waits}},
			[]string{"instance_distrusted_users", "instance_distrusts_wait"}, preflight.Warning},
		{"verify only", httpapi.Status{Group: "g", Notices: []httpapi.Notice{waits}},
			[]string{"instance_distrusts_wait"}, preflight.Warning},
		{"no stage window", httpapi.Status{Group: "g"}, []string{"instance_silent"}, preflight.Note},
		{"another group", httpapi.Status{Group: "h", Stages: window}, []string{"instance_silent"}, preflight.Note},
	} {
		t.Run(c.name, func(t *testing.T) {
			server, err := httpapi.Listen(httpapi.Door{Address: "127.0.0.1:0"}, nil)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			handler := httpapi.New(httpapi.Options{
				Status:  func(context.Context) httpapi.Status { return c.status },
				Metrics: prometheus.NewRegistry(), Streams: processors.NewStreams("g", "s", "a"),
			})
			go func() { done <- server.Serve(ctx, handler) }()
			defer func() {
				cancel()
				<-done
			}()
			check(t, doubts(askInstance(t.Context(), at(server.URL()[len("http://"):]), "g")), c.want, c.level)
		})
	}
	check(t, doubts(askInstance(t.Context(), at("127.0.0.1:1"), "g")), []string{"instance_silent"}, preflight.Note)
	check(t, doubts(askInstance(t.Context(), at("off"), "g")), nil, preflight.OK)
}

func check(t *testing.T, got []preflight.Finding, want []string, worst preflight.Level) {
	t.Helper()
	if len(got) != len(want) || preflight.Worst(got) != worst {
		t.Fatalf("%+v, want %q, at worst %v", got, want, worst)
	}
	for i, f := range got {
		if f.Check != want[i] {
			t.Errorf("%+v, want %s", f, want[i])
		}
	}
}

func at(listen string) *config.Asking {
	return &config.Asking{Listening: config.Listening{Listen: listen}}
}
