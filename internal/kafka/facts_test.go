package kafka

import "testing"

func TestFactsAndLast(t *testing.T) {
	_, o := broker(t)
	c := dialled(t, o)
	ctx := deadline(t)
	if _, err := c.Facts(ctx, "t"); kindOf(err) != KindTopicMissing {
		t.Errorf("of a missing topic: %v", err)
	}
	_, err := c.Ensure(ctx, []Topic{{Name: "t", Partitions: 2, Kind: Table}}, Durability{})
	must(t, err)
	produce(t, o, "t", 0, 0, 5)
	produce(t, o, "t", 1, 0, 1)
	f, err := c.Facts(ctx, "t")
	must(t, err)
	expect(t, "partitions", f.Partitions, 2)
	expect(t, "records", f.Records, 6)
	expect(t, "removed", f.Removed, 0)
	expect(t, "offline", f.Offline, 0)
	expect(t, "cleanup.policy", f.Settings["cleanup.policy"], "compact")

	// Records of an aborted transaction are not there; offsets count all the same.
	transact(t, o, "t", 5, 1, false)
	last, err := c.Last(ctx, "t", 4)
	must(t, err)
	for _, m := range last {
		if m.Partition == 0 && m.Offset < 1 {
			t.Errorf("offset %d is not among the last", m.Offset)
		}
	}
	if len(last) < 3 || len(last) > 8 {
		t.Errorf("%d records", len(last))
	}
	n, err := c.BrokerCount(ctx)
	must(t, err)
	if n < 1 {
		t.Errorf("%d brokers", n)
	}
}
