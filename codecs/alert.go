package codecs

import (
	"fmt"
	"strings"
	"time"

	"github.com/brimline/brimline"
)

// Alert is the codec of *brimline.Alert, for the alerts and the dismissed
// stream alike. docs/alert.schema.json is its public description. Durations
// are cut to microseconds; the users of its transactions are not written, and
// decoded they are the alert's.
type Alert struct{}

type alertRecord struct {
	Version int             `json:"version"`
	ID      string          `json:"id"`
	Status  brimline.Status `json:"status"`
	Reason  string          `json:"reason,omitempty"`
	candidateBody
	Database     *figuresRecord     `json:"database,omitempty"`
	AsOfNow      *asOfRecord        `json:"as_of_now,omitempty"`
	Verification verificationRecord `json:"verification"`
	Supersedes   []string           `json:"supersedes,omitempty"`
}

type verificationRecord struct {
	Status     brimline.Status `json:"status"`
	At         *brimline.Time  `json:"at,omitempty"`
	DurationUS int64           `json:"duration_us"`
	LSN        string          `json:"lsn,omitempty"`
}

type asOfRecord struct {
	At    brimline.Time `json:"at"`
	Total string        `json:"total"`
	Count int64         `json:"count"`
}

const anAlert = "an alert"

// Encode takes a *brimline.Alert.
func (Alert) Encode(v any) ([]byte, error) {
	a, ok := v.(*brimline.Alert)
	if !ok {
		return nil, mistyped("alerts", v)
	}
	r, err := alertOf(a)
	if err != nil {
		return nil, err
	}
	return marshal(r)
}

func alertOf(a *brimline.Alert) (*alertRecord, error) {
	body, err := bodyOf(&a.Candidate)
	if err != nil {
		return nil, err
	}
	v := &a.Verification
	r := &alertRecord{
		Version: recordVersion, ID: a.Candidate.ID(), Status: v.Status, Reason: a.Reason, candidateBody: body,
		Verification: verificationRecord{Status: v.Status, At: optionalTime(v.At),
			DurationUS: v.Duration.Microseconds(), LSN: optionalLSN(v.LSN)},
	}
	r.Supersedes = a.SupersededIDs()
	scale := a.Candidate.Rule.Measure.Scale(a.Candidate.Scale)
	if a.Database != nil {
		f := figuresOf(a.Database, scale)
		r.Database = &f
	}
	if n := a.AsOfNow; n != nil {
		r.AsOfNow = &asOfRecord{At: n.At, Total: n.Total.Format(scale), Count: n.Count}
	}
	return r, nil
}

// Decode gives a *brimline.Alert.
func (Alert) Decode(b []byte) (any, error) {
	var r alertRecord
	if err := unmarshal(anAlert, b, &r); err != nil {
		return nil, err
	}
	a, err := r.alert()
	if err != nil {
		return nil, corrupt(anAlert, err)
	}
	return a, nil
}

func (r *alertRecord) alert() (*brimline.Alert, error) {
	c, err := r.candidate()
	if err != nil {
		return nil, err
	}
	switch s := r.Verification.Status; {
	case c.ID() != r.ID:
		return nil, fmt.Errorf("id %q is not that of its user, rule and edge", r.ID)
	case s != brimline.Verified && s != brimline.Unverified && s != brimline.Dismissed || s != r.Status:
		return nil, fmt.Errorf("status %q, and of verification %q", r.Status, s)
	}
	lsn, err := parseLSN(r.Verification.LSN)
	if err != nil {
		return nil, err
	}
	a := &brimline.Alert{
		Candidate: c, Reason: r.Reason,
		Verification: brimline.Verification{Status: r.Status, At: timeOrZero(r.Verification.At), LSN: lsn,
			Duration: time.Duration(r.Verification.DurationUS) * time.Microsecond},
	}
	scale := c.Rule.Measure.Scale(c.Scale)
	if r.Database != nil {
		f, err := r.Database.figures(scale)
		if err != nil {
			return nil, err
		}
		a.Database = &f
	}
	if n := r.AsOfNow; n != nil {
		total, err := brimline.ParseTotal(n.Total, scale)
		if err != nil {
			return nil, err
		}
		a.AsOfNow = &brimline.AsOf{At: n.At, Total: total, Count: n.Count}
	}
	for _, id := range r.Supersedes {
		edge, err := brimline.ParseTime(id[strings.LastIndexByte(id, '/')+1:])
		if err != nil || brimline.AlertID(c.User, c.Rule.ID, edge) != id {
			return nil, fmt.Errorf("it supersedes %q, which is no alert of its user and rule", id)
		}
		a.Supersedes = append(a.Supersedes, edge)
	}
	return a, nil
}
