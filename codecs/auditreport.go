package codecs

import (
	"fmt"
	"time"

	"github.com/brimline/brimline"
)

// AuditReport has the numbers of the newest comparison of the rows of a group's windows with the table: it
// names no user, so that it has nothing to forget.
type AuditReport struct {
	At      brimline.Time // of the first look
	LSN     uint64        // what PostgreSQL had shown below it was looked at; 0: not known
	Took    time.Duration // of all looks; whole microseconds
	Users   int64         // whose windows were compared
	Rows    int64         // of these
	Unknown int           // users of PostgreSQL whom the window table does not know, although it should
	// Rows that PostgreSQL has and windows do not, that windows have and PostgreSQL does not, and that are not alike.
	Missing, Phantom, Different int
	Unsettled                   int    // rows that differed, of which nothing can be said
	By                          string // the instance that compared
}

// Audit is the codec of *AuditReport, a record of the reports topic.
type Audit struct{}

type auditRecord struct {
	Version   int           `json:"version"`
	At        brimline.Time `json:"at"`
	LSN       string        `json:"lsn,omitempty"`
	Took      string        `json:"took"`
	Users     int64         `json:"users"`
	Rows      int64         `json:"rows"`
	Unknown   int           `json:"unknown"`
	Missing   int           `json:"missing"`
	Phantom   int           `json:"phantom"`
	Different int           `json:"different"`
	Unsettled int           `json:"unsettled"`
	By        string        `json:"by"`
}

const anAudit = "the record of an audit"

// Encode takes an *AuditReport.
func (Audit) Encode(v any) ([]byte, error) {
	a, ok := v.(*AuditReport)
	if !ok {
		return nil, mistyped("audits", v)
	}
	if err := a.check(); err != nil {
		return nil, err
	}
	r := auditRecord{
		Version: recordVersion, At: a.At, LSN: optionalLSN(a.LSN), Users: a.Users, Rows: a.Rows, Unknown: a.Unknown,
		Missing: a.Missing, Phantom: a.Phantom, Different: a.Different, Unsettled: a.Unsettled, By: a.By,
	}
	var err error
	if r.Took, err = formatDuration(a.Took); err != nil {
		return nil, err
	}
	return marshal(r)
}

// Decode gives an *AuditReport.
func (Audit) Decode(b []byte) (any, error) {
	var r auditRecord
	if err := unmarshal(anAudit, b, &r); err != nil {
		return nil, err
	}
	a := &AuditReport{
		At: r.At, Users: r.Users, Rows: r.Rows, Unknown: r.Unknown, Missing: r.Missing, Phantom: r.Phantom,
		Different: r.Different, Unsettled: r.Unsettled, By: r.By,
	}
	var err error
	if a.Took, err = parseDuration(r.Took); err == nil {
		a.LSN, err = parseLSN(r.LSN)
	}
	if err == nil {
		err = a.check()
	}
	if err != nil {
		return nil, corrupt(anAudit, err)
	}
	return a, nil
}

func (a *AuditReport) check() error {
	for _, n := range []int64{
		a.Users, a.Rows, int64(a.Unknown), int64(a.Missing), int64(a.Phantom), int64(a.Different), int64(a.Unsettled),
	} {
		if n < 0 {
			return fmt.Errorf("%d users or rows", n)
		}
	}
	return nil
}
