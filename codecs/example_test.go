package codecs_test

import (
	"fmt"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
)

// A record of the topic of alerts, as a consumer gets it. Its id is the same however often it comes.
func ExampleAlert() {
	record := []byte(`{"version":1,"id":"27956157/weekly-spend/2026-03-08T12:00:00.000000Z","status":"verified",
		"user_id":"27956157","rule":{"id":"weekly-spend","window":"7d","limit":"3000.00","measure":"sum_abs"},
		"edge_time":"2026-03-08T12:00:00.000000Z","kind":"edge","scale":2,
		"transaction":{"id":"200","time":"2026-03-08T12:00:00.000000Z","amount":"441.50"},
		"stream":{"before":"2990.00","total":"3431.50","count":11},
		"source":{"topic":"postgres.streaming.transactions","partition":3,"offset":199},
		"cause":{"offset":4711,"index":0},
		"database":{"before":"3000.00","total":"3441.50","count":12},
		"verification":{"status":"verified","at":"2026-03-08T12:00:02.000000Z","duration_us":1234}}`)
	decoded, err := codecs.Alert{}.Decode(record)
	if err != nil {
		fmt.Println(err)
		return
	}
	alert := decoded.(*brimline.Alert)
	rule := alert.Candidate.Rule
	fmt.Println(alert.Candidate.User, rule.ID, alert.Database.Total.Format(rule.Measure.Scale(alert.Candidate.Scale)))
	// Output: 27956157 weekly-spend 3441.50
}
