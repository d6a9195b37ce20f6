// Command total prints a user's totals: BRIMLINE_BROKERS=kafka-1:9092 BRIMLINE_GROUP=brimline total 27956157
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/views"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	brokers := strings.Split(os.Getenv("BRIMLINE_BROKERS"), ",")
	view, err := views.Open(ctx, views.Config{Brokers: brokers, Group: os.Getenv("BRIMLINE_GROUP")})
	if err != nil {
		log.Fatal(err)
	}
	go view.Run(ctx) // WaitRecovered tells of its errors
	if err := view.WaitRecovered(ctx); err != nil {
		log.Fatal(err)
	}
	user, err := view.User(ctx, os.Args[1], brimline.TimeOf(time.Now()))
	if err != nil {
		log.Fatal(err)
	}
	for _, rule := range user.Rules {
		fmt.Println(rule.Rule.ID, rule.At.Total.Format(rule.Scale), "of", rule.Rule.Limit.Format(rule.Scale))
	}
}
