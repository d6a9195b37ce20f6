package codecs

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/brimline/brimline"
)

// The JSON records share the shapes below. In all of them amounts and totals
// are decimal strings with exactly the scale's decimals, times are ISO 8601 in
// UTC with six decimals, log positions are written as PostgreSQL does, windows
// as a rules file does (7d, 1d12h, 30m; a day is 24 hours), and no number
// needs more than an integer.

// recordVersion is the version of every JSON record so far.
const recordVersion = 1

type ruleRecord struct {
	ID          string           `json:"id"`
	Window      string           `json:"window"`
	Limit       string           `json:"limit"`
	Measure     brimline.Measure `json:"measure"`
	Where       string           `json:"where,omitempty"`
	Severity    string           `json:"severity,omitempty"`
	Description string           `json:"description,omitempty"`
	Quiet       string           `json:"quiet,omitempty"`
	Rearm       string           `json:"rearm,omitempty"`
	MinCount    int64            `json:"min_count,omitempty"`
	Of          string           `json:"of,omitempty"`
	Mode        string           `json:"mode,omitempty"`
}

// modeShadow is the mode of a rule whose alerts are shadows. Others have none.
const modeShadow = "shadow"

// transactionRecord leaves out the user, which is that of the whole record.
type transactionRecord struct {
	ID      string         `json:"id"`
	Time    brimline.Time  `json:"time"`
	Amount  string         `json:"amount"`
	Columns []columnRecord `json:"columns,omitempty"`
}

// columnRecord has a null value and no type for NULL; integers are strings,
// because half of JSON's readers round them at 2^53.
type columnRecord struct {
	Name  string              `json:"name"`
	Type  brimline.ColumnType `json:"type,omitempty"`
	Value any                 `json:"value"`
}

type figuresRecord struct {
	Before string `json:"before"`
	Total  string `json:"total"`
	Count  int64  `json:"count"`
	// Earlier are the transactions in before, of an average.
	Earlier int64 `json:"count_before,omitempty"`
}

type sourceRecord struct {
	Topic      string         `json:"topic"`
	Partition  int32          `json:"partition"`
	Offset     int64          `json:"offset"`
	LSN        string         `json:"lsn,omitempty"`
	TxID       int64          `json:"tx_id,omitempty"`
	CommitTime *brimline.Time `json:"commit_time,omitempty"`
}

type causeRecord struct {
	Offset int64 `json:"offset"`
	Index  int   `json:"index"`
}

// candidateBody is the part that candidates and alerts have in common.
type candidateBody struct {
	UserID      string                 `json:"user_id"`
	Rule        ruleRecord             `json:"rule"`
	EdgeTime    brimline.Time          `json:"edge_time"`
	Until       *brimline.Time         `json:"until,omitempty"`
	Kind        brimline.CandidateKind `json:"kind"`
	Scale       int                    `json:"scale"`
	Transaction transactionRecord      `json:"transaction"`
	Newest      []transactionRecord    `json:"newest"`
	Stream      figuresRecord          `json:"stream"`
	Source      sourceRecord           `json:"source"`
	Cause       causeRecord            `json:"cause"`
	ClearsAt    *brimline.Time         `json:"clears_at,omitempty"`
}

func bodyOf(c *brimline.Candidate) (candidateBody, error) {
	if c.Scale < 0 || c.Scale > brimline.MaxScale {
		return candidateBody{}, fmt.Errorf("a candidate of scale %d", c.Scale)
	}
	rule, err := ruleOf(&c.Rule, c.Scale)
	if err != nil {
		return candidateBody{}, err
	}
	b := candidateBody{
		UserID: c.User, Rule: rule, EdgeTime: c.Edge, Until: optionalTime(c.Until), Kind: c.Kind, Scale: c.Scale,
		Newest: make([]transactionRecord, len(c.Newest)),
		Stream: figuresOf(&c.Stream, c.Rule.Measure.Scale(c.Scale)),
		Source: sourceRecord{Topic: c.Source.Topic, Partition: c.Source.Partition, Offset: c.Source.Offset,
			LSN: optionalLSN(c.Source.LSN), TxID: c.Source.TxID, CommitTime: optionalTime(c.Source.Commit)},
		Cause: causeRecord(c.Cause), ClearsAt: optionalTime(c.ClearsAt),
	}
	if b.Transaction, err = transactionOf(&c.Trigger, c.Scale); err != nil {
		return candidateBody{}, err
	}
	for i := range c.Newest {
		if b.Newest[i], err = transactionOf(&c.Newest[i], c.Scale); err != nil {
			return candidateBody{}, err
		}
	}
	return b, nil
}

func (b *candidateBody) candidate() (c brimline.Candidate, err error) {
	if b.Kind != brimline.EdgeCandidate && b.Kind != brimline.LateCandidate {
		return c, fmt.Errorf("kind %q", b.Kind)
	}
	c = brimline.Candidate{
		Kind: b.Kind, User: b.UserID, Scale: b.Scale, Edge: b.EdgeTime, Until: timeOrZero(b.Until),
		Cause:    brimline.Cause(b.Cause),
		ClearsAt: timeOrZero(b.ClearsAt),
		Source: brimline.Source{Topic: b.Source.Topic, Partition: b.Source.Partition, Offset: b.Source.Offset,
			TxID: b.Source.TxID, Commit: timeOrZero(b.Source.CommitTime)},
	}
	if c.Rule, err = b.Rule.rule(b.Scale); err != nil {
		return c, err
	}
	if c.Stream, err = b.Stream.figures(c.Rule.Measure.Scale(b.Scale)); err != nil {
		return c, err
	}
	if c.Source.LSN, err = parseLSN(b.Source.LSN); err != nil {
		return c, err
	}
	if c.Trigger, err = b.Transaction.transaction(b.UserID, b.Scale); err != nil {
		return c, err
	}
	if len(b.Newest) > 0 {
		c.Newest = make([]brimline.Transaction, len(b.Newest))
	}
	for i := range b.Newest {
		if c.Newest[i], err = b.Newest[i].transaction(b.UserID, b.Scale); err != nil {
			return c, err
		}
	}
	return c, nil
}

func ruleOf(r *brimline.Rule, scale int) (ruleRecord, error) {
	window, err := formatDuration(r.Window)
	record := ruleRecord{ID: r.ID, Window: window, Limit: r.Limit.Format(r.Measure.Scale(scale)), Measure: r.Measure,
		Where: r.Where, Severity: r.Severity, Description: r.Description, MinCount: r.MinCount,
		Of: r.Column}
	if r.Rearms {
		record.Rearm = r.Rearm.Format(r.Measure.Scale(scale))
	}
	if r.Quiet != 0 && err == nil {
		record.Quiet, err = formatDuration(r.Quiet)
	}
	if r.Shadow {
		record.Mode = modeShadow
	}
	return record, err
}

func (r *ruleRecord) rule(scale int) (out brimline.Rule, err error) {
	out = brimline.Rule{ID: r.ID, Measure: r.Measure, Where: r.Where, Severity: r.Severity, Description: r.Description,
		Shadow: r.Mode == modeShadow, MinCount: r.MinCount, Column: r.Of}
	if (r.Measure == brimline.Distinct) != (r.Of != "") {
		return out, fmt.Errorf("a rule of measure %v and of %q", r.Measure, r.Of)
	}
	if r.Mode != "" && !out.Shadow {
		return out, fmt.Errorf("a rule of mode %q", r.Mode)
	}
	if out.Window, err = parseDuration(r.Window); err != nil {
		return out, err
	}
	if r.Quiet != "" {
		if out.Quiet, err = parseDuration(r.Quiet); err != nil {
			return out, err
		}
	}
	if r.Rearm != "" {
		out.Rearms = true
		if out.Rearm, err = brimline.ParseTotal(r.Rearm, r.Measure.Scale(scale)); err != nil {
			return out, err
		}
	}
	out.Limit, err = brimline.ParseTotal(r.Limit, r.Measure.Scale(scale))
	return out, err
}

func transactionOf(t *brimline.Transaction, scale int) (transactionRecord, error) {
	r := transactionRecord{ID: t.ID, Time: t.Time, Amount: t.Amount.Format(scale)}
	for _, f := range t.Columns {
		c := columnRecord{Name: f.Name}
		switch v := f.Value.(type) {
		case nil:
		case string:
			c.Type, c.Value = brimline.Text, v
		case int64:
			c.Type, c.Value = brimline.Integer, strconv.FormatInt(v, 10)
		case bool:
			c.Type, c.Value = brimline.Boolean, v
		case brimline.Decimal:
			c.Type, c.Value = brimline.Numeric, string(v)
		case brimline.Time:
			c.Type, c.Value = brimline.Timestamp, v.String()
		default:
			return r, fmt.Errorf("a column cannot hold a %T", v)
		}
		r.Columns = append(r.Columns, c)
	}
	return r, nil
}

func (r *transactionRecord) transaction(user string, scale int) (t brimline.Transaction, err error) {
	t = brimline.Transaction{ID: r.ID, User: user, Time: r.Time}
	if t.Amount, err = brimline.ParseAmount(r.Amount, scale); err != nil {
		return t, err
	}
	for i := range r.Columns {
		v, err := r.Columns[i].value()
		if err != nil {
			return t, err
		}
		t.Columns = append(t.Columns, brimline.Field{Name: r.Columns[i].Name, Value: v})
	}
	return t, nil
}

func (c *columnRecord) value() (any, error) {
	text, isText := c.Value.(string)
	switch {
	case c.Value == nil && c.Type == "":
		return nil, nil
	case c.Type == brimline.Boolean:
		if v, ok := c.Value.(bool); ok {
			return v, nil
		}
	case !isText:
	case c.Type == brimline.Text:
		return text, nil
	case c.Type == brimline.Integer:
		return strconv.ParseInt(text, 10, 64)
	case c.Type == brimline.Numeric:
		return brimline.Decimal(text), nil
	case c.Type == brimline.Timestamp:
		return brimline.ParseTime(text)
	}
	return nil, fmt.Errorf("column %q of type %q holds a %T", c.Name, c.Type, c.Value)
}

func figuresOf(f *brimline.Figures, scale int) figuresRecord {
	return figuresRecord{Before: f.Before.Format(scale), Total: f.Total.Format(scale), Count: f.Count, Earlier: f.Earlier}
}

func (r *figuresRecord) figures(scale int) (f brimline.Figures, err error) {
	f.Count, f.Earlier = r.Count, r.Earlier
	if f.Before, err = brimline.ParseTotal(r.Before, scale); err != nil {
		return f, err
	}
	f.Total, err = brimline.ParseTotal(r.Total, scale)
	return f, err
}

// optionalTime leaves out the time 0, which stands for none.
func optionalTime(t brimline.Time) *brimline.Time {
	if t == 0 {
		return nil
	}
	return &t
}

func timeOrZero(t *brimline.Time) brimline.Time {
	if t == nil {
		return 0
	}
	return *t
}

func optionalLSN(lsn uint64) string {
	if lsn == 0 {
		return ""
	}
	return brimline.FormatLSN(lsn)
}

// parseLSN reads the text of brimline.FormatLSN; the empty text is 0.
func parseLSN(s string) (uint64, error) {
	if s == "" {
		return 0, nil
	}
	return brimline.ParseLSN(s)
}

var durationUnits = [...]struct {
	name string
	size time.Duration
}{
	{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second},
	{"ms", time.Millisecond}, {"us", time.Microsecond},
}

// formatDuration writes whole microseconds in the largest units: 7d, 1m30s, 0s.
func formatDuration(d time.Duration) (string, error) {
	if d < 0 || d%time.Microsecond != 0 {
		return "", fmt.Errorf("%s is not a whole number of microseconds", d)
	}
	if d == 0 {
		return "0s", nil
	}
	var b []byte
	for _, u := range durationUnits {
		if n := d / u.size; n > 0 {
			b = append(strconv.AppendInt(b, int64(n), 10), u.name...)
			d -= n * u.size
		}
	}
	return string(b), nil
}

func parseDuration(s string) (time.Duration, error) {
	bad := fmt.Errorf("%q is no duration such as 7d or 1d12h", s)
	total, rest, units := time.Duration(0), s, durationUnits[:]
	for {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		n, err := strconv.ParseInt(rest[:digits], 10, 64)
		if err != nil {
			return 0, bad
		}
		rest = rest[digits:]
		name := len(rest) - len(strings.TrimLeft(rest, "dhmsu"))
		for len(units) > 0 && units[0].name != rest[:name] {
			units = units[1:]
		}
		if len(units) == 0 || n > (math.MaxInt64-int64(total))/int64(units[0].size) {
			return 0, bad
		}
		total += time.Duration(n) * units[0].size
		units, rest = units[1:], rest[name:]
		if rest == "" {
			return total, nil
		}
	}
}

// marshal writes JSON in which no text can act on a terminal, a web page or the direction of writing. It escapes the
// invisible characters as well, which encoding/json leaves as they are.
func marshal(record any) ([]byte, error) {
	b, err := json.Marshal(record)
	if err != nil {
		return nil, err
	}
	plain := true
	for _, c := range b {
		plain = plain && c < 0x7f
	}
	if plain {
		return b, nil
	}
	out := make([]byte, 0, len(b)+32)
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch {
		case r < 0x7f || r > 0x9f && !unicode.Is(unicode.Cf, r):
			out = append(out, b[:n]...)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		b = b[n:]
	}
	return out, nil
}

// unmarshal reads a record after its version.
func unmarshal(what string, b []byte, record any) error {
	return unmarshalUpTo(recordVersion, what, b, record)
}

// unmarshalUpTo is unmarshal for a record whose newest version is another one.
func unmarshalUpTo(newest int, what string, b []byte, record any) error {
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return corrupt(what, err)
	}
	switch {
	case head.Version > newest:
		return newer(what, head.Version)
	case head.Version < 1:
		return corrupt(what, errors.New("it has no version"))
	}
	if err := json.Unmarshal(b, record); err != nil {
		return corrupt(what, err)
	}
	return nil
}
