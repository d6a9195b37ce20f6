package codecs

import (
	"unicode/utf8"

	"github.com/brimline/brimline"
)

// DeadLetter is the codec of *brimline.DeadLetter: JSON with key, value and
// headers in base64, null where the record had none, so that a retry sends the
// very bytes. "value_text" is there to be read by people and is not read back.
type DeadLetter struct{}

type deadLetterRecord struct {
	Version   int            `json:"version"`
	Kind      string         `json:"kind"`
	Error     string         `json:"error"`
	Remedy    string         `json:"remedy,omitempty"`
	User      string         `json:"user,omitempty"`
	Row       string         `json:"row,omitempty"`
	At        brimline.Time  `json:"at"`
	Topic     string         `json:"topic"`
	Partition int32          `json:"partition"`
	Offset    int64          `json:"offset"`
	Key       []byte         `json:"key"`
	Value     []byte         `json:"value"`
	ValueText string         `json:"value_text,omitempty"`
	Headers   []headerRecord `json:"headers,omitempty"`
	Cut       *cutRecord     `json:"cut,omitempty"`
}

// cutRecord has the sizes of what was cut, before it was.
type cutRecord struct {
	KeyBytes   int `json:"key_bytes,omitempty"`
	ValueBytes int `json:"value_bytes,omitempty"`
	Headers    int `json:"headers,omitempty"`
}

// headerRecord has its name as text where it is text, else in base64.
type headerRecord struct {
	Key      string `json:"key"`
	KeyBytes []byte `json:"key_bytes,omitempty"`
	Value    []byte `json:"value"`
}

const (
	aDeadLetter  = "a dead letter"
	maxValueText = 4096
)

// Encode takes a *brimline.DeadLetter.
func (DeadLetter) Encode(v any) ([]byte, error) {
	d, ok := v.(*brimline.DeadLetter)
	if !ok {
		return nil, mistyped("dead letters", v)
	}
	r := deadLetterRecord{
		Version: recordVersion, Kind: d.Kind, Error: d.Error, Remedy: d.Remedy, User: d.User, Row: d.Row, At: d.At,
		Topic: d.Topic, Partition: d.Partition, Offset: d.Offset, Key: d.Key, Value: d.Value,
	}
	if len(d.Value) <= maxValueText && utf8.Valid(d.Value) {
		r.ValueText = string(d.Value)
	}
	for _, h := range d.Headers {
		record := headerRecord{Key: h.Key, Value: h.Value}
		if !utf8.ValidString(h.Key) {
			record.Key, record.KeyBytes = "", []byte(h.Key)
		}
		r.Headers = append(r.Headers, record)
	}
	if c := d.Cut; c != nil {
		r.Cut = &cutRecord{c.Key, c.Value, c.Headers}
	}
	return marshal(r)
}

// Decode gives a *brimline.DeadLetter.
func (DeadLetter) Decode(b []byte) (any, error) {
	var r deadLetterRecord
	if err := unmarshal(aDeadLetter, b, &r); err != nil {
		return nil, err
	}
	d := &brimline.DeadLetter{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Key: r.Key, Value: r.Value,
		Kind: r.Kind, Error: r.Error, Remedy: r.Remedy, User: r.User, Row: r.Row, At: r.At,
	}
	for _, h := range r.Headers {
		key := h.Key
		if len(h.KeyBytes) > 0 {
			key = string(h.KeyBytes)
		}
		d.Headers = append(d.Headers, brimline.Header{Key: key, Value: h.Value})
	}
	if c := r.Cut; c != nil {
		d.Cut = &brimline.Cut{Key: c.KeyBytes, Value: c.ValueBytes, Headers: c.Headers}
	}
	return d, nil
}
