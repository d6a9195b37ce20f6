package httpapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/brimline/brimline"
)

func serve(t *testing.T, handler http.Handler) (url string, stop func() error) {
	t.Helper()
	s, err := Listen(Door{Address: "127.0.0.1:0"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, handler) }()
	t.Cleanup(cancel)
	return s.URL(), func() error { cancel(); return <-done }
}

func TestServe(t *testing.T) {
	url, stop := serve(t, New(newFakes().options()))
	if strings.HasSuffix(url, ":0") {
		t.Fatalf("the chosen port is not told: %s", url)
	}
	r, err := http.Get(url + "/healthz")
	if err != nil || r.StatusCode != 200 {
		t.Fatalf("%v, %v", r, err)
	}
	r.Body.Close()
	if err := stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if _, err := http.Get(url + "/healthz"); err == nil {
		t.Error("it still answers")
	}
}

func TestServeFinishesRequests(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	url, stop := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		_, _ = io.WriteString(w, "finished")
	}))
	answer := make(chan string, 1)
	go func() {
		r, err := http.Get(url)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer r.Body.Close()
		body, _ := io.ReadAll(r.Body)
		answer <- string(body)
	}()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	close(release)
	if got := <-answer; got != "finished" {
		t.Errorf("a request under way got %q", got)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestListenInUse(t *testing.T) {
	s, err := Listen(Door{Address: "127.0.0.1:0"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, err = Listen(Door{Address: strings.TrimPrefix(s.URL(), "http://")}, nil)
	if e, ok := errors.AsType[*brimline.Error](err); !ok || e.Kind != "listen" || e.Remedy == "" {
		t.Errorf("%v", err)
	}
}
