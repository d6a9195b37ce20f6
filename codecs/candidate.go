package codecs

import (
	"fmt"

	"github.com/brimline/brimline"
)

// Candidate is the codec of *brimline.Candidate: JSON in the shapes of an alert
// (docs/alert.schema.json), with what the window held and no verdict. The users
// of its transactions are not written; decoded, they are the candidate's.
type Candidate struct{}

type candidateRecord struct {
	Version int    `json:"version"`
	ID      string `json:"id"`
	candidateBody
	Doubted bool `json:"doubted,omitempty"`
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
	return marshal(candidateRecord{recordVersion, c.ID(), body, c.Doubted})
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
	c.Doubted = r.Doubted
	return &c, nil
}
