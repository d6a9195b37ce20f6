package views_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/views"
)

// A view follows the whole table, so one is opened once and asked often.
func ExampleOpen() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	view, err := views.Open(ctx, views.Config{
		Brokers: []string{"kafka-1.example:9093", "kafka-2.example:9093"},
		TLS:     &tls.Config{},
		SASL:    views.SASL{Mechanism: views.ScramSHA512, User: "reports", Password: "from a file"},
		Group:   "brimline",
		Dir:     "/var/lib/reports",
	})
	if err != nil {
		log.Fatal(err)
	}
	go view.Run(ctx)
	if err := view.WaitRecovered(ctx); err != nil {
		log.Fatal(err)
	}
	user, err := view.User(ctx, "27956157", brimline.TimeOf(time.Now()))
	if err != nil {
		log.Fatal(err)
	}
	for _, rule := range user.Rules {
		fmt.Println(rule.Rule.ID, rule.At.Total.Format(rule.Scale), "as of", user.Now, "complete:", rule.Complete)
	}
}

func ExampleOpenAlerts() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	view, err := views.OpenAlerts(ctx, views.Config{Brokers: []string{"kafka-1.example:9092"}, Group: "brimline"})
	if err != nil {
		log.Fatal(err)
	}
	go view.Run(ctx)
	if err := view.WaitRecovered(ctx); err != nil {
		log.Fatal(err)
	}
	alerts, err := view.User("27956157")
	if err != nil {
		log.Fatal(err)
	}
	for _, alert := range alerts {
		fmt.Println(alert.Candidate.ID(), alert.Verification.Status)
	}
}

// Both ends of a window count: the row that is exactly a day old is in.
func ExampleUserAt() {
	now := brimline.TimeOf(time.Date(2026, 3, 8, 12, 0, 0, 0, time.UTC))
	limit, _ := brimline.ParseTotal("30.00", 2)
	rules, err := views.CompileRules(&brimline.RuleSet{
		Scale: 2, Rules: []brimline.Rule{{ID: "daily", Window: 24 * time.Hour, Limit: limit, Measure: brimline.SumAbs}},
	})
	if err != nil {
		log.Fatal(err)
	}
	window := &brimline.Window{Floor: brimline.MinTime, Scale: 2, Rows: brimline.RowsOf([]brimline.Transaction{
		{ID: "1", Amount: 9900, Time: now.Add(-25 * time.Hour)},
		{ID: "2", Amount: -1950, Time: now.Add(-24 * time.Hour)},
		{ID: "3", Amount: 825, Time: now},
	})}
	user := views.UserAt("27956157", window, rules, now)
	daily := user.Rules[0]
	fmt.Println(daily.At.Total.Format(daily.Scale), "of", daily.At.Count, "rows")
	fmt.Println(daily.Distance.Format(daily.Scale), "to go")
	// Output:
	// 27.75 of 2 rows
	// 2.25 to go
}
