package brimline

// DeadLetter is a record that could not be taken in, with what is needed to repair and retry it. It is kept whole, or,
// where a record of the dead letter topic cannot hold all of it, as far as Cut says.
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
	Cut       *Cut // nil: it is whole
}

// Cut describes a record before it was cut: the bytes of its key and value, and how many headers it had. What was
// not cut is 0. The whole record is in its topic, at its offset, for as long as that keeps it.
type Cut struct {
	Key, Value, Headers int
}

// Header is one Kafka record header.
type Header struct {
	Key   string
	Value []byte
}
