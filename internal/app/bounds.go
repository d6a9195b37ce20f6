package app

import (
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/processors"
)

// bounds are the largest records that topics take, in bytes; 0 where that is not known. What is written is made to fit
// them: a record that a broker refuses would stop its partition for ever.
type bounds map[string]int

// of is the largest record that all of the topics take, of those that o would write.
func (b bounds) of(o kafka.Options, topics ...string) int {
	most := o.LargestMessage()
	for _, topic := range topics {
		if n := b[topic]; n > 0 {
			most = min(most, n)
		}
	}
	return most
}

// besideValue is the most that a record takes beside its value: a key is an alert's id, or the beginning of what came.
const besideValue = 8 << 10

// outputs are the topics that a stage writes.
func outputs(s processors.Streams, name processors.StageName) (topics []string) {
	for _, stage := range processors.Topology(s) {
		if stage.Name != name {
			continue
		}
		for _, out := range stage.Out {
			topics = append(topics, out.Topic)
		}
		if stage.Table != nil {
			topics = append(topics, stage.Table.Topic)
		}
		if stage.Loop != nil {
			topics = append(topics, stage.Loop.Topic)
		}
	}
	return topics
}

// writing are the options of the clients that a stage writes with.
func (a *App) writing(name processors.StageName) kafka.Options {
	o := a.kafka
	o.MaxMessageBytes = a.most.of(o, outputs(a.streams, name)...)
	return o
}

// mostValue is the largest value that a stage writes.
func (a *App) mostValue(name processors.StageName) int {
	return a.writing(name).MaxMessageBytes - besideValue
}

// mostAsked is the largest candidate: one that cannot be decided becomes a dead letter, which must hold all of it.
func (a *App) mostAsked() int {
	return min(a.mostValue(processors.Window), a.mostValue(processors.Verify)/2)
}
