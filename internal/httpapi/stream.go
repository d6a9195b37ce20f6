package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/feed"
	"github.com/brimline/brimline/internal/present"
)

const (
	mostReaders = 10_000
	heartbeat   = 15 * time.Second
	takeWithin  = 10 * time.Second // how long a reader may leave what is written to it
)

var (
	streamFilters    = []string{"user", "rule", "severity"}
	streamParameters = append([]string{"after"}, streamFilters...)
)

// Frame is an alert as an event of the stream.
func Frame(e *feed.Event) []byte {
	if !json.Valid(e.Record.Value) || !bytes.HasPrefix(e.Record.Value, []byte("{")) {
		return []byte{} // no alert: readers go past it
	}
	var data bytes.Buffer
	_ = json.Compact(&data, recorded(&e.Record))
	return fmt.Appendf(nil, "id: %s\nevent: alert\ndata: %s\n\n", e.After, present.Append(nil, data.Bytes()))
}

// stream sends alerts as they are recorded, as server-sent events.
func (h *handler) stream(w http.ResponseWriter, r *http.Request) {
	c, err := choose(r, streamFilters)
	if err != nil {
		writeError(w, statusOf(err), err)
		return
	}
	from, err := startOf(r)
	if err != nil {
		writeError(w, statusOf(err), err)
		return
	}
	if h.readers.Add(1) > mostReaders {
		h.readers.Add(-1)
		writeError(w, http.StatusServiceUnavailable, &brimline.Error{
			Class: brimline.ClassRuntime, Kind: "too_many_readers",
			Remedy: "ask another instance, or read the topic " + h.Streams.Alerts,
			Err:    fmt.Errorf("%d readers follow the stream here", mostReaders),
		})
		return
	}
	defer h.readers.Add(-1)
	var live *feed.Live
	if h.Live != nil {
		live = h.Live()
	}
	if live == nil {
		err := errNoView("alerts as they come")
		writeError(w, statusOf(err), err)
		return
	}
	s := streaming{w: w, control: http.NewResponseController(w), chosen: c}
	// The server's bounds are those of answers that end.
	_ = s.control.SetReadDeadline(time.Time{})
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	if r.Method == http.MethodHead {
		return
	}
	err = live.Follow(r.Context(), from, heartbeat, s.deliver)
	switch {
	case r.Context().Err() != nil || s.failed:
	case errors.Is(err, feed.ErrSlow):
		s.last("slow", err.Error(), "read faster, or fewer alerts; ask again with the last event's id")
	case err != nil:
		s.last("end", err.Error(), "ask again with the last event's id")
	}
}

// startOf is where a reader wants to go on: after the event that it had last, or else after the parameter.
func startOf(r *http.Request) (*feed.Position, error) {
	name, text := "Last-Event-ID", r.Header.Get("Last-Event-ID")
	if text == "" {
		if !r.URL.Query().Has("after") {
			return nil, nil
		}
		name, text = "after", r.URL.Query().Get("after")
	}
	p, err := feed.ParsePosition(text)
	if err != nil {
		return nil, badParameter(name, "give the id of an event, or the position of a page of alerts", "%q is neither", text)
	}
	return &p, nil
}

// streaming is one reader.
type streaming struct {
	w       http.ResponseWriter
	control *http.ResponseController
	chosen  chosen
	begun   bool
	failed  bool
	wrote   time.Time
}

func (s *streaming) write(parts ...[]byte) error {
	s.wrote = time.Now()
	_ = s.control.SetWriteDeadline(s.wrote.Add(takeWithin))
	for _, part := range parts {
		if _, err := s.w.Write(part); err != nil {
			s.failed = true
			return err
		}
	}
	if err := s.control.Flush(); err != nil {
		s.failed = true
		return err
	}
	return nil
}

func (s *streaming) deliver(events []feed.Event, at string) error {
	var parts [][]byte
	if !s.begun {
		s.begun = true
		parts = append(parts, []byte("retry: 2000\n"))
	}
	for i := range events {
		if part := s.frame(&events[i]); len(part) > 0 {
			parts = append(parts, part)
		}
	}
	if len(parts) == 0 && len(events) > 0 && time.Since(s.wrote) < heartbeat {
		return nil // none that this reader wants
	}
	if len(events) == 0 || len(parts) == 0 {
		// An id without data: a reader that is cut off before its next alert goes on from here.
		parts = append(parts, []byte(": here\nid: "+at+"\n\n"))
	}
	return s.write(parts...)
}

func (s *streaming) frame(e *feed.Event) []byte {
	switch e.Kind {
	case feed.Reset:
		return note("reset", e.After, map[string]any{
			"detail": "the topic is not the one that the id was of; its first alerts follow",
		})
	case feed.Gap:
		return note("gap", e.After, map[string]any{"offsets": e.Lost, "detail": "records were deleted before they were read"})
	}
	if len(s.chosen.Equal) > 0 {
		if meant, _ := s.chosen.Takes(&e.Record); !meant {
			return nil
		}
	}
	if e.Frame != nil {
		return e.Frame
	}
	return Frame(e)
}

func note(event, id string, data map[string]any) []byte {
	text, _ := json.Marshal(data)
	if id != "" {
		id = "id: " + id + "\n"
	}
	return fmt.Appendf(nil, "%sevent: %s\ndata: %s\n\n", id, event, text)
}

// last tells a reader why it is let go.
func (s *streaming) last(event, detail, remedy string) {
	_ = s.write(note(event, "", map[string]any{"detail": detail, "remedy": remedy}))
}
