// Command consumer takes each alert once into a table of its own, whatever is killed, replayed or sent again:
// BRIMLINE_BROKERS=kafka-1:9092 RECEIVER_URL=postgres://... consumer
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	ctx := context.Background()
	db := must(pgx.Connect(ctx, os.Getenv("RECEIVER_URL")))
	must(db.Exec(ctx, `CREATE TABLE IF NOT EXISTS received (id text PRIMARY KEY, alert jsonb NOT NULL)`))
	client := must(kgo.NewClient(kgo.SeedBrokers(strings.Split(os.Getenv("BRIMLINE_BROKERS"), ",")...),
		kgo.ConsumerGroup("receiver"), kgo.ConsumeTopics("alerts"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.DisableAutoCommit()))
	for {
		fetches := client.PollFetches(ctx)
		must(fetches, fetches.Err())
		for _, record := range fetches.Records() {
			alert := must(codecs.Alert{}.Decode(record.Value)).(*brimline.Alert)
			// What must happen once happens where the row of the alert's id is new, in one transaction with it.
			done := must(db.Exec(ctx, `INSERT INTO received VALUES ($1, $2) ON CONFLICT DO NOTHING`,
				alert.Candidate.ID(), record.Value))
			if done.RowsAffected() == 1 {
				fmt.Println("new:", alert.Candidate.ID())
			}
		}
		must(client, client.CommitUncommittedOffsets(ctx)) // only now: what was not stored comes again
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}
