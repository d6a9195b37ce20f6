package brimline

// DeadLetter is a record that could not be taken in, kept whole, with what is needed to repair and retry it.
type DeadLetter struct {
	Topic     string
	Partition int32
	Offset    int64
	Key       []byte // nil for a record without key
	Value     []byte // nil for a tombstone
	Headers   []Header
	User      string // the account that the record is about; empty where it cannot be read
	Row       string // the id of the row that the record is about; empty where it cannot be read
	Kind      string // Error.Kind
	Error     string
	Remedy    string
	At        Time
}

// Header is one Kafka record header.
type Header struct {
	Key   string
	Value []byte
}
