package main

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/brimline/brimline/internal/httpapi"
	"github.com/brimline/brimline/processors"
	"github.com/prometheus/client_golang/prometheus"
)

// What an instance answers that refuses the name it is asked by is told, with its remedy; it is not taken for silence.
func TestStatusTellsOfARefusal(t *testing.T) {
	server, err := httpapi.Listen(httpapi.Door{Address: "127.0.0.1:0"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	handler := httpapi.New(httpapi.Options{
		Status:  func(context.Context) httpapi.Status { return httpapi.Status{Group: "g", Instance: "one"} },
		Metrics: prometheus.NewRegistry(), Streams: processors.NewStreams("g", "s", "a"),
	})
	go func() { done <- server.Serve(ctx, handler) }()
	defer func() {
		cancel()
		<-done
	}()
	for host, want := range map[string]string{
		"evil.example": `asked at x: this server does not answer to the name "evil.example"; ` +
			`remedy: ask by IP address or as localhost, or name this host in --allowed-hosts`,
		"localhost": "",
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL()+"/api/v1/status", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = host
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		asked := &askedInstance{Listen: "x"}
		asked.read("g", response)
		response.Body.Close()
		var b strings.Builder
		asked.describe(&b)
		if got := strings.TrimSpace(b.String()); !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("as %s: %q, want %q", host, got, want)
		}
	}
}
