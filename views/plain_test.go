package views

import (
	"context"
	"strings"
	"testing"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/processors"
	"github.com/lovoo/goka"
	"github.com/lovoo/goka/storage"
)

// A plain goka view of the table gives the users that it can show whole, and refuses the others.
func TestPlainViewShowsNoPart(t *testing.T) {
	f := newFixture(t)
	part := window(9, -1, "20.00")
	part.Older = brimline.Segments{First: 1, Next: 3}
	f.putWindows("light", window(5, -1, "20.00"), "heavy", part)
	// goka closes neither the consumer nor the topic manager of a view.
	config, err := f.kafka.Probe()
	if err != nil {
		t.Fatal(err)
	}
	consumer, err := goka.SaramaConsumerBuilderWithConfig(config)(f.kafka.Brokers, "plain")
	if err != nil {
		t.Fatal(err)
	}
	defer consumer.Close()
	if config, err = f.kafka.Probe(); err != nil {
		t.Fatal(err)
	}
	topics, err := goka.NewTopicManager(f.kafka.Brokers, config, goka.NewTopicManagerConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer topics.Close()
	v, err := goka.NewView(f.kafka.Brokers, goka.Table(f.streams.WindowTable), codecs.Window{},
		goka.WithViewHasher(processors.Hasher), goka.WithViewStorageBuilder(storage.MemoryBuilder()),
		goka.WithViewConsumerSaramaBuilder(always(consumer)),
		goka.WithViewTopicManagerBuilder(func([]string) (goka.TopicManager, error) { return shared{topics}, nil }))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- v.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	eventually(t, "the view has recovered", v.Recovered)
	var light, heavy any
	eventually(t, "the view gives a light user", func() bool {
		light, err = v.Get("light")
		return err == nil
	})
	if w, ok := light.(*brimline.Window); !ok || len(w.Rows) != 1 {
		t.Errorf("a light user: %+v", light)
	}
	heavy, err = v.Get("heavy")
	if err == nil || !strings.Contains(err.Error(), "views.Open") {
		t.Errorf("one of many rows of a heavy user: %+v (%v)", heavy, err)
	}
}
