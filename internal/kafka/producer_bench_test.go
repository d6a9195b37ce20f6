//go:build unix

package kafka

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/lovoo/goka"
	"github.com/twmb/franz-go/pkg/kfake"
)

// BenchmarkProducer writes what the route stage does, with goka's own producer beside ours. cpu-ns/op is the whole
// process's, and the in-process broker's share is the same for both.
func BenchmarkProducer(b *testing.B) {
	for _, library := range []string{"sarama", "franz-go"} {
		b.Run(library, func(b *testing.B) {
			k, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(8, "t"))
			must(b, err)
			defer k.Close()
			o := Options{Brokers: k.ListenAddrs()}
			build := o.ProducerBuilder()
			if library == "sarama" {
				config := saramaWriting(b, o)
				// Of what the other is told by DatedSettings and ProducerSettings.
				config.Producer.Compression = sarama.CompressionSnappy
				config.Producer.Flush.Frequency, config.Producer.Flush.Messages = o.withDefaults().FlushEvery, 2000
				build = goka.ProducerBuilderWithConfig(config)
			}
			p, err := build(o.Brokers, "client", fnv32)
			must(b, err)
			value := make([]byte, 110)
			b.ReportAllocs()
			start := cpuTime(b)
			for i := 0; b.Loop(); i++ {
				p.Emit("t", fmt.Sprint(i%10_000), value).Then(func(err error) { must(b, err) })
			}
			must(b, p.Close())
			b.ReportMetric(float64(cpuTime(b)-start)/float64(b.N), "cpu-ns/op")
		})
	}
}

func cpuTime(b *testing.B) time.Duration {
	var r syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &r))
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
