package kafka

import (
	"github.com/twmb/franz-go/pkg/kgo"
)

// Names of the clients' types for packages that wire clients without importing them.
type (
	// Message is a record as Tail hands it on.
	Message = kgo.Record
	// Setting is one of those that Options make and franz-go's clients take.
	Setting = kgo.Opt
)

// OnTaken has take called for every record that a consumer hands out, before it does.
func OnTaken(take func(topic string, partition int32, offset int64)) Setting {
	return kgo.WithHooks(taken(take))
}

type taken func(topic string, partition int32, offset int64)

func (t taken) OnFetchRecordUnbuffered(r *kgo.Record, polled bool) {
	if polled {
		t(r.Topic, r.Partition, r.Offset)
	}
}
