package codecs

import (
	"fmt"

	"github.com/brimline/brimline"
)

// Again is the codec of *brimline.Again: a candidate's JSON with PostgreSQL's last figures and two times.
type Again struct{}

type againRecord struct {
	candidateRecord
	Database figuresRecord `json:"database"`
	First    brimline.Time `json:"first"`
	Since    brimline.Time `json:"since"`
}

const anAgain = "a record of what is asked again"

// Encode takes a *brimline.Again.
func (Again) Encode(v any) ([]byte, error) {
	a, ok := v.(*brimline.Again)
	if !ok {
		return nil, mistyped("what is asked again", v)
	}
	body, err := bodyOf(&a.Candidate)
	if err != nil {
		return nil, err
	}
	scale := a.Candidate.Rule.Measure.Scale(a.Candidate.Scale)
	c := &a.Candidate
	return marshal(againRecord{candidateRecord{recordVersion, c.ID(), body, c.Doubted, c.Later, seenOf(c.After)},
		figuresOf(&a.Database, scale), a.First, a.Since})
}

// Decode gives a *brimline.Again.
func (Again) Decode(b []byte) (any, error) {
	var r againRecord
	if err := unmarshal(anAgain, b, &r); err != nil {
		return nil, err
	}
	a := &brimline.Again{First: r.First, Since: r.Since}
	var err error
	if a.Candidate, err = r.candidate(); err == nil && a.Candidate.ID() != r.ID {
		err = fmt.Errorf("id %q is not that of its user, rule and edge", r.ID)
	}
	if err == nil {
		a.Candidate.After, err = r.After.seen()
	}
	if err == nil {
		a.Database, err = r.Database.figures(a.Candidate.Rule.Measure.Scale(a.Candidate.Scale))
	}
	if err != nil {
		return nil, corrupt(anAgain, err)
	}
	a.Candidate.Doubted, a.Candidate.Later = r.Doubted, r.Later
	return a, nil
}
