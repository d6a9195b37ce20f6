package views

import "context"

// ends asks the brokers where the partitions of a table end. The client
// underneath has no contexts and waits half a minute for a broker that is
// away, which no reader should: a question that takes longer than lagTimeout
// is answered with -1, and at most a few are open at a time.
type ends struct {
	admin offsets
	table string
	open  chan struct{}
}

type offsets interface {
	NextOffset(topic string, partition int32) (int64, error)
}

func newEnds(admin offsets, table string) *ends {
	return &ends{admin: admin, table: table, open: make(chan struct{}, 8)}
}

// of is the offset after the newest record of a partition, -1 when it cannot be had soon.
func (e *ends) of(ctx context.Context, partition int32) int64 {
	ctx, cancel := context.WithTimeout(ctx, lagTimeout)
	defer cancel()
	select {
	case e.open <- struct{}{}:
	case <-ctx.Done():
		return -1
	}
	answer := make(chan int64, 1)
	go func() {
		defer func() { <-e.open }()
		end, err := e.admin.NextOffset(e.table, partition)
		if err != nil {
			end = -1
		}
		answer <- end
	}()
	select {
	case end := <-answer:
		return end
	case <-ctx.Done():
		return -1
	}
}
