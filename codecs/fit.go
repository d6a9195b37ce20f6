package codecs

import (
	"fmt"
	"unicode/utf8"

	"github.com/brimline/brimline"
)

// A record that a topic does not take stops its partition for ever. The functions below bound what is written: they
// leave out what can be done without, or cut it and say so.

// LeastRecord is the smallest bound that they can keep: what is left then of the largest ids, texts and rules fits.
const LeastRecord = 256 << 10

// textGrows is how many bytes of JSON a byte of text becomes at most: `<` is written as \u003c.
const textGrows = 6

// FitCandidate leaves out the contributing transactions, and then the trigger's columns, of a candidate that Candidate
// would encode in more than most bytes, and reports whether it has. It fails where that is not enough.
func FitCandidate(c *brimline.Candidate, most int) (cut bool, err error) {
	if candidateBytes(c) <= most { // most are far below, and need not be encoded to see it
		return false, nil
	}
	_, cut, err = shrink(c, most, func() ([]byte, error) { return Candidate{}.Encode(c) })
	return cut, err
}

// FitAlert is FitCandidate for an alert, and gives its bytes.
func FitAlert(a *brimline.Alert, most int) (value []byte, cut bool, err error) {
	return shrink(&a.Candidate, most, func() ([]byte, error) { return Alert{}.Encode(a) })
}

func shrink(c *brimline.Candidate, most int, encode func() ([]byte, error)) (value []byte, cut bool, err error) {
	for _, take := range []func(){
		func() {},
		func() { c.Newest, cut = nil, true },
		func() { c.Trigger.Columns = nil },
	} {
		take()
		if value, err = encode(); err != nil || len(value) <= most {
			return value, cut, err
		}
	}
	return nil, cut, brimline.BadInput("alert_too_large", "shorten the rule's description",
		"it has %d bytes, of at most %d", len(value), most)
}

// candidateBytes is at least what Candidate encodes of c.
func candidateBytes(c *brimline.Candidate) int {
	const fixed = 2 << 10
	texts := 2*len(c.User) + len(c.Rule.ID) + ruleTexts(&c.Rule) + len(c.Source.Topic)
	n := fixed + transactionBytes(&c.Trigger) + 40*len(c.Later)
	for i := range c.Newest {
		n += transactionBytes(&c.Newest[i])
	}
	return n + textGrows*texts
}

// supersededBytes is at least what Alert encodes of the ids that a supersedes.
func supersededBytes(a *brimline.Alert) int {
	const fixed, escaped = 48, 3
	return len(a.Supersedes) * (fixed + escaped*(len(a.Candidate.User)+len(a.Candidate.Rule.ID)))
}

// furtherBytes is at least what Candidates adds for c to a record that has another one.
func furtherBytes(c *brimline.Candidate) int {
	const fixed = 512
	return fixed + textGrows*ruleTexts(&c.Rule)
}

func ruleTexts(r *brimline.Rule) int {
	return len(r.ID) + len(r.Where) + len(r.Severity) + len(r.Description)
}

func transactionBytes(t *brimline.Transaction) int {
	const fixed, column = 128, 96
	texts := len(t.ID)
	for i := range t.Columns {
		texts += len(t.Columns[i].Name)
		switch v := t.Columns[i].Value.(type) {
		case string:
			texts += len(v)
		case brimline.Decimal:
			texts += len(v)
		}
	}
	return fixed + column*len(t.Columns) + textGrows*texts
}

// What a dead letter says beside the record that it carries, in bytes at most.
const (
	maxSaid = 4 << 10 // of error and remedy, each
	maxTold = 1 << 10 // of user and row, each
)

// FitDeadLetter cuts a dead letter that DeadLetter would encode in more than most bytes: key, headers and value keep
// their beginnings, the value the most of them, and d.Cut has their lengths. It reports whether it has.
func FitDeadLetter(d *brimline.DeadLetter, most int) (cut bool) {
	d.Error, d.Remedy = shortened(d.Error, maxSaid), shortened(d.Remedy, maxSaid)
	d.User, d.Row = shortened(d.User, maxTold), shortened(d.Row, maxTold)
	const fixed = 2 << 10
	said := len(d.Topic) + len(d.Kind) + len(d.Error) + len(d.Remedy) + len(d.User) + len(d.Row)
	room := (most - fixed - textGrows*(said+min(len(d.Value), maxValueText))) / 4 * 3 // the rest is base64
	headers := 0
	for i := range d.Headers {
		headers += headerBytes(&d.Headers[i])
	}
	if len(d.Key)+headers+len(d.Value) <= room {
		return false
	}
	was := brimline.Cut{}
	if keep := max(room/8, room-headers-len(d.Value)); len(d.Key) > keep {
		was.Key, d.Key = len(d.Key), d.Key[:keep:keep]
	}
	kept, keep := 0, max(room/4, room-len(d.Key)-len(d.Value))
	for i := range d.Headers {
		n := headerBytes(&d.Headers[i])
		if kept+n > keep {
			was.Headers, d.Headers = len(d.Headers), d.Headers[:i:i]
			break
		}
		kept += n
	}
	if keep := room - len(d.Key) - kept; len(d.Value) > keep {
		was.Value, d.Value = len(d.Value), d.Value[:keep:keep]
	}
	d.Cut = &was
	return true
}

// headerBytes is the size of a header without the bytes that become base64.
func headerBytes(h *brimline.Header) int {
	const fixed = 48
	return fixed + textGrows*len(h.Key) + len(h.Value)
}

// shortened is the beginning of a text, with what is missing said at its end.
func shortened(s string, most int) string {
	if len(s) <= most {
		return s
	}
	const room = 40
	end := most - room
	for end > most-room-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return fmt.Sprintf("%s… (%d bytes in all)", s[:end], len(s))
}

// DeadLetterKey is the key of the record that holds a dead letter: the record's own, or the beginning of it.
func DeadLetterKey[K string | []byte](key K) K { return key[:min(len(key), maxTold)] }

// FitAlertLog leaves out the last of the alerts that AlertLog would encode in more than most bytes.
func FitAlertLog(alerts []*brimline.Alert, most int) ([]*brimline.Alert, error) {
	const around, more = 32, 1 << 10 // of the list, and of an alert beside its candidate
	n := around
	for _, a := range alerts {
		n += more + candidateBytes(&a.Candidate) + supersededBytes(a)
	}
	if n <= most {
		return alerts, nil
	}
	n = around
	for i, a := range alerts {
		b, err := Alert{}.Encode(a)
		if err != nil {
			return nil, err
		}
		if n += len(b) + 1; n > most {
			return alerts[:i], nil
		}
	}
	return alerts, nil
}
