package codecs

import (
	"fmt"

	"github.com/brimline/brimline"
)

// Candidate is the codec of *brimline.Candidate: JSON in the shapes of an alert
// (docs/alert.schema.json), with what the window held and no verdict. The users
// of its transactions are not written; decoded, they are the candidate's.
type Candidate struct{}

// Candidates is the codec of the records of the candidates and questions streams, []brimline.Candidate: one, as
// Candidate writes it, or several late candidates of one message, in the order of their causes. The first has all that
// they share.
type Candidates struct{}

type candidatesRecord struct {
	candidateRecord
	Further []furtherRecord `json:"further,omitempty"`
}

// furtherRecord is a late candidate of a message that has another one.
type furtherRecord struct {
	Rule     ruleRecord    `json:"rule"`
	EdgeTime brimline.Time `json:"edge_time"`
	Until    brimline.Time `json:"until"`
	Cause    causeRecord   `json:"cause"`
}

// candidatesVersion is of records with several candidates. One has the version of Candidate, which older programs read.
const candidatesVersion = 2

type candidateRecord struct {
	Version int    `json:"version"`
	ID      string `json:"id"`
	candidateBody
	Doubted bool            `json:"doubted,omitempty"`
	Later   []brimline.Time `json:"later,omitempty"`
	After   *seenRecord     `json:"after,omitempty"`
}

// seenRecord is a change that PostgreSQL must show.
type seenRecord struct {
	LSN   string `json:"lsn"`
	Ticks int64  `json:"ticks,omitempty"` // of the commit time, of 65.536 ms
	TxID  int64  `json:"tx_id,omitempty"`
}

func seenOf(s brimline.Seen) *seenRecord {
	if s == (brimline.Seen{}) {
		return nil
	}
	return &seenRecord{brimline.FormatLSN(s.LSN), s.Ticks, s.TxID}
}

func (r *seenRecord) seen() (s brimline.Seen, err error) {
	if r == nil {
		return s, nil
	}
	s.Ticks, s.TxID = r.Ticks, r.TxID
	s.LSN, err = brimline.ParseLSN(r.LSN)
	return s, err
}

const aCandidate = "a record of the candidates stream"

// Encode takes a *brimline.Candidate.
func (Candidate) Encode(v any) ([]byte, error) {
	c, ok := v.(*brimline.Candidate)
	if !ok {
		return nil, mistyped("candidates", v)
	}
	body, err := bodyOf(c)
	if err != nil {
		return nil, err
	}
	return marshal(candidateRecord{recordVersion, c.ID(), body, c.Doubted, c.Later, seenOf(c.After)})
}

// Decode gives a *brimline.Candidate.
func (Candidate) Decode(b []byte) (any, error) {
	var r candidateRecord
	if err := unmarshal(aCandidate, b, &r); err != nil {
		return nil, err
	}
	c, err := r.candidate()
	if err == nil && c.ID() != r.ID {
		err = fmt.Errorf("id %q is not that of its user, rule and edge", r.ID)
	}
	if err != nil {
		return nil, corrupt(aCandidate, err)
	}
	c.Doubted, c.Later = r.Doubted, r.Later
	if c.After, err = r.After.seen(); err != nil {
		return nil, corrupt(aCandidate, err)
	}
	return &c, nil
}

// Encode takes a []brimline.Candidate, which is not empty.
func (Candidates) Encode(v any) ([]byte, error) {
	all, ok := v.([]brimline.Candidate)
	if !ok || len(all) == 0 {
		return nil, mistyped("candidates", v)
	}
	first := &all[0]
	if len(all) == 1 {
		return Candidate{}.Encode(first)
	}
	body, err := bodyOf(first)
	if err != nil {
		return nil, err
	}
	r := candidatesRecord{
		candidateRecord: candidateRecord{
			candidatesVersion, first.ID(), body, first.Doubted, first.Later, seenOf(first.After),
		},
	}
	for i := range all[1:] {
		c := &all[i+1]
		if !shareRecord(first, c) {
			return nil, fmt.Errorf("candidates of different messages, or of edges, in one record: %q", c.ID())
		}
		rule, err := ruleOf(&c.Rule, c.Scale)
		if err != nil {
			return nil, err
		}
		r.Further = append(r.Further, furtherRecord{rule, c.Edge, c.Until, causeRecord(c.Cause)})
	}
	return marshal(r)
}

// shareRecord reports whether b may be written with a: they agree in all that is written once, also where FitCandidate
// has left out columns of one of them.
func shareRecord(a, b *brimline.Candidate) bool {
	return a.Kind == brimline.LateCandidate && b.Kind == brimline.LateCandidate && a.Cause.Offset == b.Cause.Offset &&
		a.User == b.User && a.Scale == b.Scale && a.Trigger.ID == b.Trigger.ID &&
		len(a.Trigger.Columns) == len(b.Trigger.Columns) && a.Source == b.Source && a.After == b.After
}

// Decode gives a []brimline.Candidate.
func (Candidates) Decode(b []byte) (any, error) {
	var r candidatesRecord
	if err := unmarshalUpTo(candidatesVersion, aCandidate, b, &r); err != nil {
		return nil, err
	}
	all, err := r.candidates()
	if err != nil {
		return nil, corrupt(aCandidate, err)
	}
	return all, nil
}

func (r *candidatesRecord) candidates() ([]brimline.Candidate, error) {
	first, err := r.candidate()
	switch {
	case err != nil:
		return nil, err
	case first.ID() != r.ID:
		return nil, fmt.Errorf("id %q is not that of its user, rule and edge", r.ID)
	case len(r.Further) > 0 && (r.Version < candidatesVersion || first.Kind != brimline.LateCandidate):
		return nil, fmt.Errorf("%d further candidates with one of kind %q, version %d", len(r.Further), first.Kind, r.Version)
	}
	first.Doubted, first.Later = r.Doubted, r.Later
	if first.After, err = r.After.seen(); err != nil {
		return nil, err
	}
	all := append(make([]brimline.Candidate, 0, 1+len(r.Further)), first)
	for i := range r.Further {
		next, c := &r.Further[i], first
		if c.Rule, err = next.Rule.rule(c.Scale); err != nil {
			return nil, err
		}
		c.Edge, c.Until, c.Cause = next.EdgeTime, next.Until, brimline.Cause(next.Cause)
		if last := all[i].Cause; c.Cause.Offset != last.Offset || c.Cause.Compare(last) <= 0 {
			return nil, fmt.Errorf("cause %v behind %v", c.Cause, last)
		}
		all = append(all, c)
	}
	return all, nil
}

// Together is how many of the candidates, from the first on, Candidates may write in one record of about that many
// bytes: at least one.
func Together(candidates []brimline.Candidate, most int) int {
	n := 1
	for size := candidateBytes(&candidates[0]); n < len(candidates) && shareRecord(&candidates[0], &candidates[n]); n++ {
		if size += furtherBytes(&candidates[n]); size > most {
			break
		}
	}
	return min(n, len(candidates))
}
