package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/access"
)

const (
	pageLetters = 25
	// retryForm is where the page's form goes, after Base.
	retryForm = "/operations/retry"
)

// operations is the view of who is on call.
type operations struct {
	Letters   []letterLine
	Unread    int    // records of the topic that are no dead letters
	Older     string // address of the page with older ones; empty at the end
	Newest    bool   // this is the first page
	MayRetry  bool
	NoRetry   string // why not
	Retried   string // the letter that was just sent through again
	Into      string
	Refused   *errorBody // why it was not
	RefusedOf string
	Views     []viewLine
}

type viewLine struct {
	ViewStatus
	Tone, Text string
}

// letterLine is a dead letter as its record has it.
type letterLine struct {
	Kind      string        `json:"kind"`
	Error     string        `json:"error"`
	Remedy    string        `json:"remedy"`
	User      string        `json:"user"`
	Row       string        `json:"row"`
	At        brimline.Time `json:"at"`
	Topic     string        `json:"topic"`
	Partition int32         `json:"partition"`
	Offset    int64         `json:"offset"`
	ValueText string        `json:"value_text"`
	Recorded  struct {
		Partition int32         `json:"partition"`
		Offset    int64         `json:"offset"`
		At        brimline.Time `json:"at"`
	} `json:"recorded"`
}

// Place names the letter.
func (l *letterLine) Place() string {
	return fmt.Sprintf("%d/%d", l.Recorded.Partition, l.Recorded.Offset)
}

func (h *handler) showOperations(w http.ResponseWriter, r *http.Request) {
	p := h.base(r, "operations")
	status := http.StatusOK
	if err := checkQuery(r, "cursor", "retried", "into"); err != nil {
		status = p.fail(err)
		h.show(w, status, &p)
		return
	}
	h.operate(w, r, &p, status)
}

// operate shows the view with what has become of a retry, if anything.
func (h *handler) operate(w http.ResponseWriter, r *http.Request, p *page, status int) {
	o := p.Operations
	if o == nil {
		o = &operations{}
		p.Operations = o
	}
	query := r.URL.Query()
	o.Newest = !query.Has("cursor")
	if partition, offset, err := parseLetter(query.Get("retried")); err == nil {
		o.Retried = fmt.Sprintf("%d/%d", partition, offset)
		if query.Get("into") == "window" {
			o.Into = "window"
		}
	}
	switch v := visitOf(r); {
	case v.role >= access.Operate && v.session != "":
		o.MayRetry = true
	case h.Admission.Tokens == nil:
		o.NoRetry = "Nothing is retried from here: this instance knows no tokens. Start it with --tokens-file, or use " +
			"`brimline deadletter retry`."
	default:
		o.NoRetry = "To retry one from here, log in with a token that has the role operate."
	}
	for _, v := range p.Status.Views {
		line := viewLine{v, "ok", "follows its table"}
		switch {
		case !v.Recovered:
			line.Tone, line.Text = "busy", "reads its table"
		case !v.Connected:
			line.Tone, line.Text = "bad", "Kafka is away: what was read before holds"
		}
		o.Views = append(o.Views, line)
	}
	found, err := h.look(r, h.Streams.DeadLetters, false, &chosen{}, pageLetters)
	if err != nil {
		if failed := p.fail(err); status == http.StatusOK {
			status = failed
		}
		h.show(w, status, p)
		return
	}
	o.Unread = found.unreadable
	for _, record := range found.records {
		var l letterLine
		if err := json.Unmarshal(record, &l); err != nil {
			o.Unread++
			continue
		}
		o.Letters = append(o.Letters, l)
	}
	if found.next != "" {
		o.Older = "/operations?cursor=" + url.QueryEscape(found.next)
	}
	h.show(w, status, p)
}

var errLetter = errors.New("it names no letter")

// parseLetter reads a letter's place, partition/offset.
func parseLetter(s string) (int32, int64, error) {
	a, b, _ := strings.Cut(s, "/")
	partition, err := strconv.ParseInt(a, 10, 32)
	if err != nil || partition < 0 {
		return 0, 0, errLetter
	}
	offset, err := strconv.ParseInt(b, 10, 64)
	if err != nil || offset < 0 {
		return 0, 0, errLetter
	}
	return int32(partition), offset, nil
}

// retryPage is retry for the page's form.
func (h *handler) retryPage(w http.ResponseWriter, r *http.Request) {
	letter := r.PostFormValue("letter")
	partition, offset, err := parseLetter(letter)
	if err != nil {
		err = &brimline.Error{
			Class: brimline.ClassInput, Kind: "bad_body", Remedy: "load the page again, and send its form", Err: err,
		}
		writeError(w, statusOf(err), err)
		return
	}
	done, err := Retried{}, errNoView("dead letters")
	if h.Operator != nil {
		done, err = h.Operator.Retry(r.Context(), partition, offset)
	}
	h.audit(r, "dead letter retried", err, "letter", fmt.Sprintf("%d/%d", partition, offset))
	if err != nil {
		p := h.base(r, "operations")
		p.At = "/operations"
		p.Operations = &operations{Refused: new(describe(err)), RefusedOf: fmt.Sprintf("%d/%d", partition, offset)}
		h.operate(w, r, &p, statusOf(err))
		return
	}
	to := url.Values{"retried": {fmt.Sprintf("%d/%d", partition, offset)}, "into": {done.Into}}
	http.Redirect(w, r, h.Base+"/operations?"+to.Encode(), http.StatusSeeOther)
}

// tallies begins the counts that pages show. The brokers' time is the real one, whatever clock the figures go by.
func (h *handler) tallies() {
	h.alertTally = &tally{log: h.Log, topic: h.Streams.Alerts, now: time.Now}
	h.shadowTally = &tally{log: h.Log, topic: h.Streams.Shadow, now: time.Now}
	h.rates = &rates{metrics: h.Metrics}
	h.rates.take(h.Now())
}
