package codecs

// Raw is the codec of []byte, taken as it is: inputs that others write are
// decoded in the callback, because a codec error would end the processor.
type Raw struct{}

// Encode takes a []byte.
func (Raw) Encode(v any) ([]byte, error) {
	b, ok := v.([]byte)
	if !ok {
		return nil, mistyped("raw records", v)
	}
	return b, nil
}

// Decode gives b.
func (Raw) Decode(b []byte) (any, error) { return b, nil }
