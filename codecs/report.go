package codecs

import (
	"fmt"
	"time"

	"github.com/brimline/brimline"
)

// ProofReport has the numbers that the newest comparison of a group's alerts with the table has found. It names no
// user, so that it has nothing to forget.
type ProofReport struct {
	From, To brimline.Time // of the edges, both closed
	At       brimline.Time // when the table was looked at
	LSN      uint64        // what PostgreSQL had shown below it was looked at; 0: not known
	Took     time.Duration // of all looks; whole microseconds
	Edges    int           // that must have an alert
	Alerts   int           // of these
	Missing  int           // edges without one
	// Alerts without an edge, by what is known of them: an alert for the edge of the same crossing names it, PostgreSQL
	// had the edge when it was asked, or the alert does not show that.
	Superseded, Outdated, False int
	By                          string // the instance that compared
}

// Proof is the codec of *ProofReport, a record of the reports topic.
type Proof struct{}

type proofRecord struct {
	Version    int           `json:"version"`
	From       brimline.Time `json:"from"`
	To         brimline.Time `json:"to"`
	At         brimline.Time `json:"at"`
	LSN        string        `json:"lsn,omitempty"`
	Took       string        `json:"took"`
	Edges      int           `json:"edges"`
	Alerts     int           `json:"alerts"`
	Missing    int           `json:"missing"`
	Superseded int           `json:"superseded"`
	Outdated   int           `json:"outdated"`
	False      int           `json:"false"`
	By         string        `json:"by"`
}

const aProof = "the record of a proof"

// Encode takes a *ProofReport.
func (Proof) Encode(v any) ([]byte, error) {
	p, ok := v.(*ProofReport)
	if !ok {
		return nil, mistyped("proofs", v)
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	r := proofRecord{
		Version: recordVersion, From: p.From, To: p.To, At: p.At, Edges: p.Edges, Alerts: p.Alerts, Missing: p.Missing,
		Superseded: p.Superseded, Outdated: p.Outdated, False: p.False, By: p.By,
	}
	var err error
	if r.Took, err = formatDuration(p.Took); err != nil {
		return nil, err
	}
	r.LSN = optionalLSN(p.LSN)
	return marshal(r)
}

// Decode gives a *ProofReport.
func (Proof) Decode(b []byte) (any, error) {
	var r proofRecord
	if err := unmarshal(aProof, b, &r); err != nil {
		return nil, err
	}
	p := &ProofReport{
		From: r.From, To: r.To, At: r.At, Edges: r.Edges, Alerts: r.Alerts, Missing: r.Missing,
		Superseded: r.Superseded, Outdated: r.Outdated, False: r.False, By: r.By,
	}
	var err error
	if p.Took, err = parseDuration(r.Took); err == nil {
		p.LSN, err = parseLSN(r.LSN)
	}
	if err == nil {
		err = p.check()
	}
	if err != nil {
		return nil, corrupt(aProof, err)
	}
	return p, nil
}

func (p *ProofReport) check() error {
	for _, n := range []int{p.Edges, p.Alerts, p.Missing, p.Superseded, p.Outdated, p.False} {
		if n < 0 {
			return fmt.Errorf("%d edges or alerts", n)
		}
	}
	if p.From > p.To {
		return fmt.Errorf("a span from %v to %v", p.From, p.To)
	}
	return nil
}
