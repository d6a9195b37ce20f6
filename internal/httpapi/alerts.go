package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/feed"
	"github.com/brimline/brimline/internal/present"
	"github.com/brimline/brimline/processors"
)

// Log reads the group's topics; *feed.Reader does.
type Log interface {
	Extent(ctx context.Context, topic string) (*feed.Extent, error)
	From(ctx context.Context, e *feed.Extent, t time.Time) ([]int64, error)
	Newest(
		ctx context.Context, e *feed.Extent, low, high []int64, most int, visit func(feed.Record) bool,
	) (feed.Looked, error)
}

const (
	standardAlerts = 50
	mostAlerts     = 500
	standardCSV    = 1000
	mostCSV        = 10_000
	// looksAt bounds how many offsets of a topic one page looks at, and looksFor how long.
	looksAt  = 50_000
	looksFor = 20 * time.Second
)

// filters are the query parameters that say which records are wanted.
var (
	alertFilters      = []string{"user", "rule", "severity", "from", "to"}
	dismissedFilters  = []string{"user", "rule", "severity", "reason", "from", "to"}
	deadLetterFilters = []string{"user", "kind", "from", "to"}
)

func paged(filters []string) []string { return append([]string{"limit", "cursor"}, filters...) }

// chosen are the filters of a request; those that it does not have take everything.
type chosen struct{ feed.Filter }

func choose(r *http.Request, names []string) (c chosen, err error) {
	c.Equal = map[string]string{}
	query := r.URL.Query()
	for _, name := range names {
		value := query.Get(name)
		switch {
		case !query.Has(name):
		case value == "":
			return c, badParameter(name, "give a value, or leave the parameter out", "it is empty")
		case name == "from":
			c.From, err = timeParameter(name, value)
		case name == "to":
			c.To, err = timeParameter(name, value)
		case name == "user":
			err = checkID(value)
			c.Equal[name] = value
		default:
			c.Equal[name] = value
		}
		if err != nil {
			return c, err
		}
	}
	if !c.From.IsZero() && !c.To.IsZero() && !c.From.Before(c.To) {
		return c, badParameter("from", "give a time before to", "it is not before to")
	}
	return c, nil
}

func timeParameter(name, value string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, value)
	if err != nil || t.Year() < 1970 {
		return t, badParameter(name, "give a time from 1970 on, like 2026-03-08T12:00:00Z (a + is written %2B)",
			"%q is not such a time", value)
	}
	return t, nil
}

// sum tells cursors of different questions apart.
func (c *chosen) sum(topic string) string {
	h := fnv.New32a()
	fmt.Fprintf(h, "%q %q %s %s", topic, fmt.Sprint(c.Equal), c.From, c.To)
	return strconv.FormatUint(uint64(h.Sum32()), 36)
}

// looked is a page of a topic, newest first.
type looked struct {
	records    []json.RawMessage
	position   string // of the topic's end, for the stream
	next       string // cursor of what comes after the page; empty at the end
	offsets    int
	unreadable int
}

// look collects a page. Of alerts, a user's lie in one partition; byUser says that the topic is such.
func (h *handler) look(r *http.Request, topic string, byUser bool, c *chosen, limit int) (p looked, err error) {
	if h.Log == nil {
		return p, errNoView("topics")
	}
	ctx, cancel := context.WithTimeout(r.Context(), looksFor)
	defer cancel()
	e, err := h.Log.Extent(ctx, topic)
	if err != nil {
		return p, late(err)
	}
	p.position = e.Position(e.End).String()
	low, high := append([]int64{}, e.Low...), append([]int64{}, e.End...)
	if s := r.URL.Query(); s.Has("cursor") {
		if high, err = readCursor(s.Get("cursor"), c.sum(topic), e); err != nil {
			return p, err
		}
	}
	if !c.From.IsZero() {
		from, err := h.Log.From(ctx, e, c.From)
		if err != nil {
			return p, late(err)
		}
		for i := range low {
			low[i] = max(low[i], from[i])
		}
	}
	if !c.To.IsZero() && e.Steady {
		to, err := h.Log.From(ctx, e, c.To)
		if err != nil {
			return p, late(err)
		}
		for i := range high {
			high[i] = min(high[i], to[i])
		}
	}
	if user := c.Equal["user"]; user != "" && byUser {
		own := processors.Partition(user, len(low))
		for i := range low {
			if int32(i) != own {
				low[i] = high[i]
			}
		}
	}
	l, err := h.Log.Newest(ctx, e, low, high, looksAt, func(m feed.Record) bool {
		if len(p.records) == limit {
			return false
		}
		meant, readable := c.Takes(&m)
		switch {
		case !readable:
			p.unreadable++
		case meant:
			p.records = append(p.records, recorded(&m))
		}
		return true
	})
	if err != nil {
		return p, late(err)
	}
	p.offsets = l.Offsets
	if !l.Done {
		p.next = c.sum(topic) + "." + e.Position(l.Next).String()
	}
	return p, nil
}

// late says what a look means that took too long.
func late(err error) error {
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &brimline.Error{
		Class: brimline.ClassRuntime, Kind: "kafka_slow",
		Remedy: "ask again in a moment, or for less: from, to and user make it quick",
		Err:    fmt.Errorf("the brokers did not answer within %s", present.Duration(looksFor)),
	}
}

func readCursor(cursor, sum string, e *feed.Extent) ([]int64, error) {
	of, place, _ := strings.Cut(cursor, ".")
	p, err := feed.ParsePosition(place)
	switch {
	case err != nil:
		return nil, badParameter("cursor", "give the next of a page as it is", "%q is none", cursor)
	case of != sum:
		return nil, badParameter(
			"cursor",
			"ask for the parameters of the page that the cursor comes from; limit alone may differ",
			"it belongs to another question",
		)
	case p.Topic != e.ID || len(p.Next) > len(e.End):
		return nil, &brimline.Error{
			Class: brimline.ClassInput, Kind: "cursor_gone", Where: "cursor", Remedy: "begin again, without the cursor",
			Err: errors.New("the topic was created anew since"),
		}
	}
	for i, next := range p.Next {
		p.Next[i] = min(next, e.End[i])
	}
	for i := len(p.Next); i < len(e.End); i++ {
		p.Next = append(p.Next, e.Low[i]) // a partition that is newer than the page before
	}
	return p.Next, nil
}

// recorded is a record as it stands in its topic, and where that is.
func recorded(m *feed.Record) json.RawMessage {
	value := bytes.TrimRight(m.Value, " \t\r\n")
	return fmt.Appendf(bytes.Clone(value[:len(value)-1]), `,"recorded":{"partition":%d,"offset":%d,"at":%q}}`,
		m.Partition, m.Offset, brimline.TimeOf(m.At).String())
}

// pageBody is a page of a topic.
type pageBody struct {
	More       bool   `json:"more"`
	Next       string `json:"next,omitempty"`
	LookedAt   int    `json:"looked_at"`
	Unreadable int    `json:"unreadable,omitempty"`
}

func (p *looked) body() pageBody {
	if p.records == nil {
		p.records = []json.RawMessage{}
	}
	return pageBody{p.next != "", p.next, p.offsets, p.unreadable}
}

func (h *handler) lookFor(
	r *http.Request,
	topic string,
	byUser bool,
	filters []string,
	standard, most int,
) (looked, error) {
	limit, err := number(r, "limit", standard, most)
	if err == nil && limit == 0 {
		err = badParameter("limit", fmt.Sprintf("give a whole number from 1 to %d", most), "a page of none comes no further")
	}
	if err != nil {
		return looked{}, err
	}
	c, err := choose(r, filters)
	if err != nil {
		return looked{}, err
	}
	return h.look(r, topic, byUser, &c, limit)
}

// alerts gives alerts of all users, newest first by when they were recorded.
func (h *handler) alerts(w http.ResponseWriter, r *http.Request) {
	h.alertPage(w, r, h.Streams.Alerts)
}

// shadow gives those of rules that are on trial.
func (h *handler) shadow(w http.ResponseWriter, r *http.Request) {
	h.alertPage(w, r, h.Streams.Shadow)
}

func (h *handler) alertPage(w http.ResponseWriter, r *http.Request, topic string) {
	p, err := h.lookFor(r, topic, true, alertFilters, standardAlerts, mostAlerts)
	if err != nil {
		writeError(w, statusOf(err), err)
		return
	}
	body := p.body()
	writeJSON(w, http.StatusOK, struct {
		Alerts   []json.RawMessage `json:"alerts"`
		Position string            `json:"position"`
		pageBody
	}{p.records, p.position, body})
}

func (h *handler) dismissed(w http.ResponseWriter, r *http.Request) {
	p, err := h.lookFor(r, h.Streams.Dismissed, true, dismissedFilters, standardAlerts, mostAlerts)
	if err != nil {
		writeError(w, statusOf(err), err)
		return
	}
	body := p.body()
	writeJSON(w, http.StatusOK, struct {
		Dismissed []json.RawMessage `json:"dismissed"`
		pageBody
	}{p.records, body})
}

func (h *handler) deadLetters(w http.ResponseWriter, r *http.Request) {
	p, err := h.lookFor(r, h.Streams.DeadLetters, false, deadLetterFilters, standardAlerts, mostAlerts)
	if err != nil {
		writeError(w, statusOf(err), err)
		return
	}
	body := p.body()
	writeJSON(w, http.StatusOK, struct {
		DeadLetters []json.RawMessage `json:"dead_letters"`
		pageBody
	}{p.records, body})
}

// alertByID gives one alert: from the index, which has each user's newest, or else from the topic.
func (h *handler) alertByID(w http.ResponseWriter, r *http.Request) {
	alert, err := h.findAlert(r)
	if err != nil {
		writeError(w, statusOf(err), err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]json.RawMessage{"alert": alert})
}

func (h *handler) findAlert(r *http.Request) (json.RawMessage, error) {
	id := r.URL.Query().Get("id")
	first, rest, _ := strings.Cut(id, "/")
	user, err := url.PathUnescape(first)
	if err != nil || user == "" || strings.Count(rest, "/") != 1 {
		return nil, badParameter("id", "give an alert's id, percent-encoded: its user, rule and edge time with / between",
			"%q is none", id)
	}
	if err := checkID(user); err != nil {
		return nil, err
	}
	if h.Alerts != nil && !r.URL.Query().Has("cursor") {
		indexed, err := h.Alerts.User(user)
		for _, a := range indexed {
			if a.Candidate.ID() == id && err == nil {
				return codecs.Alert{}.Encode(a)
			}
		}
	}
	c := chosen{feed.Filter{Equal: map[string]string{"user": user, "id": id}}}
	p, err := h.look(r, h.Streams.Alerts, true, &c, 1)
	switch {
	case err != nil:
		return nil, err
	case len(p.records) == 0 && p.next != "":
		return nil, &brimline.Error{
			Class: brimline.ClassInput, Kind: "alert_not_found_yet", Where: "id",
			Remedy: "ask again with &cursor=" + p.next + " to look further back",
			Err:    fmt.Errorf("no such alert among the newest %d records", looksAt),
		}
	case len(p.records) == 0:
		return nil, &brimline.Error{
			Class: brimline.ClassInput, Kind: "alert_not_found", Where: "id",
			Remedy: "check the id; the topic keeps alerts as long as its retention says",
			Err:    errors.New("the topic has no such alert"),
		}
	}
	return p.records[0], nil
}
