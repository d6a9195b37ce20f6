package debezium_test

import (
	"testing"

	"github.com/brimline/brimline/codecs/debezium"
)

func BenchmarkDecoder(b *testing.B) {
	known := all(table(), fullIdentity)
	for _, bench := range []struct {
		name, file string
		line       int
		set        func(*debezium.Options)
	}{
		{"precise", "precise", 10, columnScale(2)}, {"string", "string", 10, columnScale(2)}, {"string-full",
			"string-full", 14, columnScale(2)},
		{"schemas", "schemas", 10, columnScale(2)}, {"unwrap", "unwrap", 10, columnScale(2)},
		{"precise with facts", "precise", 10, known}, {"string-full with facts", "string-full", 14, known},
		{"delete with facts", "string-full", 22, known},
	} {
		b.Run(bench.name, func(b *testing.B) {
			key, value := capture(b, bench.file)[bench.line].bytes()
			opt := options()
			bench.set(&opt)
			d := decoder(b, opt)
			b.SetBytes(int64(len(value)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Decode(key, value); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
