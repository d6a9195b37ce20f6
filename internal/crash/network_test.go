package crash

import (
	"time"

	"github.com/brimline/brimline/internal/testkit"
)

// Kafka's numbers for the requests that end a transaction, and that add offsets to it.
const endTxn, txnOffsetCommit = 26, 28

// network sets the weather between instances and all brokers.
func (r *round) network(w testkit.Weather) {
	for _, p := range r.g.proxies {
		p.Set(w)
	}
}

// networkFaults are faults of the network between instances, brokers and PostgreSQL. By name each meets three brokers;
// `network` is one of them, drawn anew for each round, on one.
func networkFaults() []fault {
	list := []fault{
		{name: "network-slow", load: 40 * time.Second, do: func(r *round) {
			r.storm(testkit.Weather{Delay: 300 * time.Millisecond}, 20*time.Second)
			r.do("brokers and PostgreSQL 0.6 s away for 20 s")
		}},
		{name: "network-lossy", load: 45 * time.Second, do: func(r *round) {
			r.storm(testkit.Weather{Lost: 0.05, Reset: 0.002}, 25*time.Second)
			r.do("to brokers and PostgreSQL, one in 20 pieces late by 0.2 to 1 s, " +
				"one request in 500 a broken connection, for 25 s")
		}},
		{name: "network-cut", load: 45 * time.Second, do: func(r *round) {
			r.storm(testkit.Weather{Cut: 0.005}, 25*time.Second)
			r.do("one answer in 200 of brokers and PostgreSQL cut in its middle for 25 s")
		}},
		{name: "network-one-way", load: 60 * time.Second, do: func(r *round) {
			for _, w := range []testkit.Weather{{NoAnswers: true}, {NoRequests: true}} {
				w.Of = r.any().name
				r.network(w)
				r.while(r.between(8*time.Second, 14*time.Second)) // beyond the session timeout
				r.network(testkit.Weather{})
				r.while(4 * time.Second)
			}
			r.do("between one instance and the brokers nothing came back, then nothing went there, " +
				"beyond the session timeout each")
		}},
		{name: "network-end-held", load: 80 * time.Second, do: holdEnds},
	}
	all := list
	one := fault{name: "network", short: true, network: true, load: 60 * time.Second, do: func(r *round) {
		f := all[r.r.IntN(len(all))]
		r.Log(f.name)
		f.do(r)
	}}
	for i := range list {
		list[i].network, list[i].brokers = true, 3
	}
	old := fault{name: "network-end-held-old", network: true, old: true, load: 80 * time.Second, do: holdEnds}
	return append(list, one, old)
}

// storm is the same weather to brokers and PostgreSQL.
func (r *round) storm(w testkit.Weather, lasts time.Duration) {
	r.network(w)
	r.proxy.Set(w)
	r.while(lasts)
	r.network(testkit.Weather{})
	r.proxy.Set(testkit.Weather{})
}

// holdEnds keeps the end of a transaction back for longer than the client waits for its answer, and then delivers it,
// while the instance is in a later transaction, with the records at the brokers and the offsets not: there the instance
// is killed.
func holdEnds(r *round) {
	for range 3 {
		h := testkit.Hold(endTxn, r.g.proxies...)
		select {
		case <-h.There:
		case <-time.After(30 * time.Second):
			r.Fatal("no transaction ended within 30 s")
		case <-r.Context().Done():
			return
		}
		r.while(r.between(11*time.Second, 14*time.Second))
		offsets := testkit.HoldOf(h.Client, txnOffsetCommit, r.g.proxies...)
		select {
		case <-offsets.There:
		case <-time.After(30 * time.Second): // what it had left to do, others have done
		case <-r.Context().Done():
		}
		h.Release()
		select {
		case <-h.Delivered:
		case <-time.After(10 * time.Second): // the broker has closed the connection
		case <-r.Context().Done():
		}
		for _, i := range r.fleet {
			if i.name == h.Client {
				i.kill()
			}
		}
		offsets.Drop()
		r.do("an EndTxn held for longer than its client waits and delivered then, kill -9 of that instance")
		r.while(time.Second)
	}
}
