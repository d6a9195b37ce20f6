package brimline

// DeadLetter is a record that could not be taken in, kept whole, with what is needed to repair and retry it.
type DeadLetter struct {
	Topic     string
	Partition int32
	Offset    int64
	Key       []byte // nil for a record without key
	Value     []byte // nil for a tombstone
	Headers   []Header
	Kind      string // Error.Kind
	Error     string
	Remedy    string
	User      string // of the row that the record is about, as far as it could be read; else empty
	Row       string // its id, likewise
	At        Time
}

// Header is one Kafka record header.
type Header struct {
	Key   string
	Value []byte
}
