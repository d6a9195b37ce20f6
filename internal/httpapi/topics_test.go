package httpapi

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/embedded"
	"github.com/brimline/brimline/internal/feed"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/processors"
)

// topics are the group's topics on an embedded broker.
type topics struct {
	t      testing.TB
	client *kgo.Client
	reader *feed.Reader
	names  processors.Streams
}

const topicPartitions = 3

func newTopics(t testing.TB, names processors.Streams) *topics {
	t.Helper()
	broker, err := embedded.StartBroker(t.Context(), embedded.BrokerOptions{Announced: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	x := &topics{t: t, names: names}
	x.client, err = kgo.NewClient(kgo.SeedBrokers(broker.Addrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.client.Close)
	settings := map[string]*string{"message.timestamp.type": new("LogAppendTime")}
	for _, name := range []string{names.Alerts, names.Dismissed, names.DeadLetters, names.Shadow} {
		if _, err := kadm.NewClient(x.client).CreateTopic(t.Context(), topicPartitions, 1, settings, name); err != nil {
			t.Fatal(err)
		}
	}
	if x.reader, err = feed.Open(kafka.Options{Brokers: broker.Addrs()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.reader.Close)
	return x
}

// put writes a record where verify would, and the next one a millisecond later at the earliest.
func (x *topics) put(topic, user, key string, value []byte) {
	x.t.Helper()
	r := &kgo.Record{Topic: topic, Partition: processors.Partition(user, topicPartitions), Key: []byte(key), Value: value}
	if err := x.client.ProduceSync(x.t.Context(), r).FirstErr(); err != nil {
		x.t.Fatal(err)
	}
	for began := r.Timestamp.UnixMilli(); time.Now().UnixMilli() <= began; {
		time.Sleep(100 * time.Microsecond)
	}
}

func (x *topics) putAlert(topic string, a *brimline.Alert) {
	x.t.Helper()
	value, err := codecs.Alert{}.Encode(a)
	if err != nil {
		x.t.Fatal(err)
	}
	x.put(topic, a.Candidate.User, a.Candidate.ID(), value)
}

// withTopics are options with topics that hold the fakes' alerts, the oldest first.
func (f *fakes) withTopics(t *testing.T) Options {
	o, _ := f.onTopics(t)
	return o
}

func (f *fakes) onTopics(t *testing.T) (Options, *topics) {
	t.Helper()
	o := f.options()
	x := newTopics(t, o.Streams)
	for _, a := range slices.Backward(f.alerts) {
		x.putAlert(o.Streams.Alerts, a)
	}
	o.Log = x.reader
	return o, x
}

// follow runs what the stream reads from.
func (x *topics) follow(o *Options) {
	live := feed.NewLive(x.reader, x.names.Alerts, Frame)
	ctx, cancel := context.WithCancel(x.t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := live.Run(ctx); err != nil {
			x.t.Error(err)
		}
	})
	x.t.Cleanup(func() { cancel(); running.Wait() })
	if _, err := live.Begin(x.t.Context()); err != nil {
		x.t.Fatal(err)
	}
	o.Live = func() *feed.Live { return live }
}

// ids walks all pages of an address.
func ids(t *testing.T, h http.Handler, target, list string) (all []string, pages int) {
	t.Helper()
	for next := ""; ; pages++ {
		page := target
		if next != "" {
			page += "&cursor=" + url.QueryEscape(next)
		}
		v := getJSON(t, h, page, 200)
		for _, a := range at(v, list).([]any) {
			all = append(all, fmt.Sprint(at(a, "id")))
		}
		if at(v, "more") == false {
			return all, pages + 1
		}
		if next = fmt.Sprint(at(v, "next")); pages > 100 {
			t.Fatalf("%s does not come to an end", target)
		}
	}
}

func TestPagesOfAlerts(t *testing.T) {
	f := newFakes()
	o, x := f.onTopics(t)
	h := New(o)
	var want []string
	for _, a := range f.alerts {
		want = append(want, a.Candidate.ID())
	}
	for _, limit := range []int{1, 3, 500} {
		if got, _ := ids(t, h, fmt.Sprintf("/api/v1/alerts?limit=%d", limit), "alerts"); !slices.Equal(got, want) {
			t.Errorf("by %d: %q, want %q", limit, got, want)
		}
	}
	for filter, n := range map[string]int{
		"user=27956157": 2, "user=nobody": 0, "rule=weekly-volume": len(want), "rule=velocity": 0, "severity=high": len(want), "severity=low": 0,
		"user=411&rule=weekly-volume&severity=high": 1, "user=" + url.QueryEscape(hostile): 1, "to=2020-01-01T00:00:00Z": 0, "from=2020-01-01T00:00:00Z": len(want),
	} {
		if got, _ := ids(t, h, "/api/v1/alerts?limit=1&"+filter, "alerts"); len(got) != n {
			t.Errorf("%s: %d alerts, want %d", filter, len(got), n)
		}
	}
	// By time: each alert begins a range of its own and ends the one before.
	v := getJSON(t, h, "/api/v1/alerts", 200)
	third := fmt.Sprint(at(v, "alerts", 2, "recorded", "at"))
	if got, _ := ids(t, h, "/api/v1/alerts?from="+third, "alerts"); !slices.Equal(got, want[:3]) {
		t.Errorf("from %s: %q", third, got)
	}
	if got, _ := ids(t, h, "/api/v1/alerts?to="+third, "alerts"); !slices.Equal(got, want[3:]) {
		t.Errorf("to %s: %q", third, got)
	}

	// What is no alert is counted, and hides none.
	x.put(x.names.Alerts, "x", "x", []byte("{broken"))
	v = getJSON(t, h, "/api/v1/alerts", 200)
	if at(v, "unreadable") != 1.0 || len(at(v, "alerts").([]any)) != len(want) {
		t.Errorf("%v unreadable, %d alerts", at(v, "unreadable"), len(at(v, "alerts").([]any)))
	}

	cursor := url.QueryEscape(fmt.Sprint(at(getJSON(t, h, "/api/v1/alerts?limit=2", 200), "next")))
	for target, kind := range map[string]string{
		"/api/v1/alerts?cursor=x": "bad_parameter", "/api/v1/alerts?user=1&cursor=" + cursor: "bad_parameter",
		"/api/v1/dismissed?cursor=" + cursor: "bad_parameter", "/api/v1/alerts?from=monday": "bad_parameter",
		"/api/v1/alerts?to=": "bad_parameter", "/api/v1/alerts?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z": "bad_parameter",
	} {
		wantProblem(t, getJSON(t, h, target, 400), kind)
	}
	sum, place, _ := strings.Cut(fmt.Sprint(at(getJSON(t, h, "/api/v1/alerts?limit=2", 200), "next")), ".")
	p, err := feed.ParsePosition(place)
	if err != nil {
		t.Fatal(err)
	}
	p.Topic[0]++
	wantProblem(t, getJSON(t, h, "/api/v1/alerts?cursor="+sum+"."+p.String(), 410), "cursor_gone")
	o.Log = nil
	wantProblem(t, getJSON(t, New(o), "/api/v1/alerts", 503), "no_view")
}

func TestAlertByID(t *testing.T) {
	f := newFakes()
	o, _ := f.onTopics(t)
	for _, indexed := range []bool{true, false} {
		if !indexed {
			o.Alerts = nil
		}
		h := New(o)
		for _, a := range f.alerts {
			id := a.Candidate.ID()
			want(t, getJSON(t, h, "/api/v1/alerts/by-id?id="+url.QueryEscape(id), 200), id, "alert", "id")
		}
		none := brimline.AlertID("27956157", "weekly-volume", 1)
		wantProblem(t, getJSON(t, h, "/api/v1/alerts/by-id?id="+url.QueryEscape(none), 404), "alert_not_found")
		for _, id := range []string{"", "x", "a/b", "%zz/r/t", "/r/t", "a/b/c/d"} {
			wantProblem(t, getJSON(t, h, "/api/v1/alerts/by-id?id="+url.QueryEscape(id), 400), "bad_parameter")
		}
	}
}

func TestDismissedAndDeadLetters(t *testing.T) {
	f := newFakes()
	o, x := f.onTopics(t)
	for i, a := range f.alerts[:3] {
		d := *a
		d.Verification.Status = brimline.Dismissed
		d.Reason = []string{brimline.ReasonNotAbove, brimline.ReasonAlreadyAbove}[i%2]
		x.putAlert(x.names.Dismissed, &d)
	}
	for i := range 3 {
		letter := &brimline.DeadLetter{
			Topic:  "source",
			Offset: int64(i),
			Value:  []byte("{}"),
			Kind:   "bad_amount",
			Error:  "e",
			User:   fmt.Sprint(i),
			At:     noon,
		}
		value, err := codecs.DeadLetter{}.Encode(letter)
		if err != nil {
			t.Fatal(err)
		}
		x.put(x.names.DeadLetters, "anything", "k", value)
	}
	h := New(o)
	if got, _ := ids(t, h, "/api/v1/dismissed?limit=1", "dismissed"); len(got) != 3 ||
		got[0] != f.alerts[2].Candidate.ID() {
		t.Errorf("%q", got)
	}
	if got, _ := ids(t, h, "/api/v1/dismissed?reason=already_above", "dismissed"); len(got) != 1 {
		t.Errorf("%q", got)
	}
	for filter, n := range map[string]int{"limit=2": 3, "kind=bad_amount": 3, "kind=other": 0, "user=1": 1} {
		if got, _ := ids(t, h, "/api/v1/dead-letters?"+filter, "dead_letters"); len(got) != n {
			t.Errorf("%s: %d", filter, len(got))
		}
	}
}

func TestTableOfAlerts(t *testing.T) {
	f := newFakes()
	formula := f.alert("=cmd|' /C calc'!A0", 0, noon)
	formula.Supersedes = []brimline.Time{noon + 1, noon + 2}
	f.alerts = append([]*brimline.Alert{formula}, f.alerts...)
	h := New(f.withTopics(t))
	rows := 0
	for target := "/api/v1/alerts.csv?limit=4"; target != ""; {
		r := get(t, h, target)
		table, err := csv.NewReader(r.Body).ReadAll()
		if err != nil || r.StatusCode != 200 || !slices.Equal(table[0], tableHeader) {
			t.Fatalf("status %d, %v, %q", r.StatusCode, err, table)
		}
		if rows == 0 && (table[1][3] != "'=cmd|' /C calc'!A0" || table[1][11] != "3441.50" ||
			!strings.HasPrefix(table[1][17], "'=") || len(strings.Fields(table[1][17])) != 2) {
			t.Errorf("the first row is %q", table[1])
		}
		rows += len(table) - 1
		target = ""
		if link := r.Header.Get("Link"); link != "" {
			target = strings.TrimSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`)
		}
	}
	if rows != len(f.alerts) {
		t.Errorf("%d rows, want %d", rows, len(f.alerts))
	}
}

// event is one server-sent event.
type event struct{ id, name, data string }

// events reads a stream, event by event.
func events(t *testing.T, address, target, last string) (next func() event, stop func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	if last != "" {
		request.Header.Set("Last-Event-ID", last)
	}
	r, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if r.StatusCode != 200 || r.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%s: status %d, %s", target, r.StatusCode, r.Header.Get("Content-Type"))
	}
	lines := bufio.NewScanner(r.Body)
	lines.Buffer(nil, 1<<20)
	next = func() (e event) {
		t.Helper()
		for lines.Scan() {
			switch name, value, _ := strings.Cut(lines.Text(), ": "); name {
			case "id":
				e.id = value
			case "event":
				e.name = value
			case "data":
				e.data = value
			case "":
				if lines.Text() == "" {
					return e
				}
			}
		}
		t.Fatalf("the stream has ended: %v", lines.Err())
		return e
	}
	return next, func() { cancel(); r.Body.Close() }
}

func userOfEvent(t *testing.T, e event) string {
	t.Helper()
	var a struct {
		UserID   string `json:"user_id"`
		Recorded *struct{}
	}
	if err := json.Unmarshal([]byte(e.data), &a); err != nil || e.name != "alert" || e.id == "" || a.Recorded == nil {
		t.Errorf("no event of an alert: %+v, %v", e, err)
	}
	return a.UserID
}

func TestStream(t *testing.T) {
	f := newFakes()
	o, x := f.onTopics(t)
	x.follow(&o)
	position := fmt.Sprint(at(getJSON(t, New(o), "/api/v1/alerts", 200), "position"))
	address, _ := serve(t, New(o))
	next, stop := events(t, address, "/api/v1/alerts/stream", "")
	begin := next()
	if begin.id == "" || begin.name != "" || begin.data != "" {
		t.Errorf("a stream begins with %+v, want an id alone", begin)
	}
	one, two := f.alert("one", 0, noon), f.alert("two\u202e", 1, noon)
	x.putAlert(x.names.Alerts, one)
	first := next()
	if user := userOfEvent(t, first); user != "one" || !strings.Contains(first.data, `"severity":"high"`) {
		t.Errorf("the event of %q: %s", user, first.data)
	}
	stop()
	x.put(x.names.Alerts, "one", "x", []byte("junk"))
	x.putAlert(x.names.Alerts, two)
	// Again with the last id, with the id that came alone, and with a page's position.
	for last, want := range map[string][]string{first.id: {"two\u202e"}, begin.id: {"one", "two\u202e"}} {
		next, stop := events(t, address, "/api/v1/alerts/stream", last)
		for _, user := range want {
			e := next()
			for e.name == "" { // an id alone
				e = next()
			}
			if got := userOfEvent(t, e); got != user {
				t.Errorf("after %s: %q, want %q", last, got, user)
			}
			if strings.Contains(e.data, "\u202e") {
				t.Error("a mark of direction is in it as it is")
			}
		}
		stop()
	}
	next, stop = events(t, address, "/api/v1/alerts/stream?user=two%E2%80%AE&after="+position, "")
	for e := next(); ; e = next() {
		if e.name != "" {
			if got := userOfEvent(t, e); got != "two\u202e" {
				t.Errorf("for one user: %q", got)
			}
			break
		}
	}
	stop()

	p, err := feed.ParsePosition(position)
	if err != nil {
		t.Fatal(err)
	}
	p.Topic[3]++
	next, stop = events(t, address, "/api/v1/alerts/stream", p.String())
	defer stop()
	if e := next(); e.name != "reset" || e.id == "" {
		t.Errorf("after the id of another topic: %+v", e)
	}
	seen := 0
	for seen < len(f.alerts)+2 {
		if e := next(); e.name == "alert" {
			seen++
		}
	}

	h := New(o)
	wantProblem(t, getJSON(t, h, "/api/v1/alerts/stream?after=x", 400), "bad_parameter")
	wantProblem(t, getJSON(t, h, "/api/v1/alerts/stream?usr=x", 400), "bad_parameter")
	o.Live = nil
	wantProblem(t, getJSON(t, New(o), "/api/v1/alerts/stream", 503), "no_view")
}

// A reader of few alerts is told where it is while others come: it resumes there, and its connection is not idle.
func TestReaderOfFewAlertsIsToldWhereItIs(t *testing.T) {
	for since, want := range map[time.Duration]string{0: "", heartbeat: ": here\nid: at\n\n"} {
		w := httptest.NewRecorder()
		s := streaming{w: w, control: http.NewResponseController(w), begun: true, wrote: time.Now().Add(-since)}
		s.chosen.Equal = map[string]string{"user": "another"}
		other := feed.Event{Record: feed.Record{Value: []byte(`{"user_id":"one"}`)}}
		if err := s.deliver([]feed.Event{other}, "at"); err != nil || w.Body.String() != want {
			t.Errorf("after %s: %q, want %q, %v", since, w.Body, want, err)
		}
	}
}
