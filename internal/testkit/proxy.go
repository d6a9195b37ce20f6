package testkit

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Proxy stands between a program and a server, and does to what passes what networks do. What it has taken from a
// client it delivers, even when that client has gone: as a packet that was long on its way.
type Proxy struct {
	listener net.Listener
	target   func() string
	kafka    bool // what clients send are requests of Kafka's protocol, and is delivered one by one

	mu      sync.Mutex
	weather Weather
	changed chan struct{} // closed when the weather changes
	links   map[*link]bool
	held    []*Held
}

// Weather is the treatment of the bytes that pass. The zero value passes all.
type Weather struct {
	// Delay is how much later everything arrives, each way.
	Delay time.Duration
	// Lost is the share of pieces, each way, that arrive 200 ms to 1 s later, as after lost packets.
	Lost float64
	// Reset is the share of requests at which the connection breaks.
	Reset float64
	// Cut is the share of answers of which the first half arrives before the connection breaks.
	Cut float64
	// NoRequests and NoAnswers let one direction stand still; what is on its way arrives when that is over.
	NoRequests, NoAnswers bool
	// Shut breaks all connections and takes no new ones.
	Shut bool
	// Of, if set, is the id of the only client of Kafka's that meets all this but Shut.
	Of string
}

// OpenProxy listens at address, and passes on to target, which is asked at each connection.
func OpenProxy(address string, target func() string, kafka bool) (*Proxy, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: l, target: target, kafka: kafka, changed: make(chan struct{}), links: map[*link]bool{}}
	go p.serve()
	return p, nil
}

// NewProxy is OpenProxy for as long as a test runs.
func NewProxy(t testing.TB, target func() string, kafka bool) *Proxy {
	t.Helper()
	p, err := OpenProxy("127.0.0.1:0", target, kafka)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// BehindProxy gives a listener for one broker in this process, and a proxy of Kafka's in front of it, whose address the
// listener gives as its own: the broker tells its clients so.
func BehindProxy(t testing.TB) (net.Listener, *Proxy) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := NewProxy(t, l.Addr().String, true)
	return elsewhere{l, p.listener.Addr()}, p
}

type elsewhere struct {
	net.Listener
	at net.Addr
}

func (e elsewhere) Addr() net.Addr { return e.at }

// Close breaks all connections. Bytes that are held are dropped.
func (p *Proxy) Close() {
	p.listener.Close()
	p.Set(Weather{Shut: true})
}

// Addr is where the proxy listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Set changes the weather.
func (p *Proxy) Set(w Weather) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.weather = w
	close(p.changed)
	p.changed = make(chan struct{})
	if w.Shut {
		for l := range p.links {
			l.breakOff()
		}
	}
}

// on is the weather that a connection meets, until it changes.
func (p *Proxy) on(l *link) (Weather, <-chan struct{}) {
	l.mu.Lock()
	of := l.of
	l.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.weather.Of != "" && p.weather.Of != of {
		return Weather{}, p.changed
	}
	return p.weather, p.changed
}

// Held is a request that waits in the proxy, and all that its connection sends after it.
type Held struct {
	key       int16
	of        string        // the only client whose request it may be; any if empty
	Client    string        // its id, once There
	There     chan struct{} // closed when it has come
	Delivered chan struct{} // closed when the server has answered it
	release   chan struct{}
	dropped   atomic.Bool
	once      sync.Once
	taken     atomic.Bool
}

// Release delivers the request. Of Release and Drop the first call counts.
func (h *Held) Release() { h.once.Do(func() { close(h.release) }) }

// Drop loses the request, and its connection with it.
func (h *Held) Drop() {
	h.once.Do(func() {
		h.dropped.Store(true)
		close(h.release)
	})
}

// Hold keeps the next request of a kind, through any of the proxies, back until it is released; key is Kafka's number
// for the kind.
func Hold(key int16, proxies ...*Proxy) *Held { return HoldOf("", key, proxies...) }

// HoldOf is Hold for requests of one client.
func HoldOf(client string, key int16, proxies ...*Proxy) *Held {
	h := &Held{
		key: key, of: client,
		There: make(chan struct{}), Delivered: make(chan struct{}), release: make(chan struct{}),
	}
	for _, p := range proxies {
		p.mu.Lock()
		p.held = append(p.held, h)
		p.mu.Unlock()
	}
	return h
}

// holds gives the one that keeps a request back, if there is one; it keeps no other.
func (p *Proxy) holds(frame []byte) *Held {
	if !p.kafka || len(frame) < 12 {
		return nil
	}
	key := int16(binary.BigEndian.Uint16(frame[4:]))
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, h := range p.held {
		if h.key == key && (h.of == "" || h.of == clientOf(frame)) && h.taken.CompareAndSwap(false, true) {
			return h
		}
	}
	return nil
}

// clientOf reads the id that a request of Kafka's names.
func clientOf(frame []byte) string {
	const at = 12 // behind length, key, version and correlation id
	if len(frame) < at+2 {
		return ""
	}
	n := int(int16(binary.BigEndian.Uint16(frame[at:])))
	if n < 0 || len(frame) < at+2+n {
		return ""
	}
	return string(frame[at+2 : at+2+n])
}

func (p *Proxy) serve() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		go p.pass(c)
	}
}

// link is one connection.
type link struct {
	client, server net.Conn
	ended          chan struct{}
	once           sync.Once

	mu      sync.Mutex
	of      string           // the client's id
	awaited map[uint32]*Held // by the correlation id of their request
	head    []byte           // of the answer that comes: its length and its correlation id
	rest    int              // how much of it is still to come
}

// breakOff ends the connection by a reset.
func (l *link) breakOff() {
	l.once.Do(func() {
		close(l.ended)
		if c, ok := l.client.(*net.TCPConn); ok {
			_ = c.SetLinger(0)
		}
		l.client.Close()
		l.server.Close()
	})
}

func (p *Proxy) pass(client net.Conn) {
	server, err := net.Dial("tcp", p.target())
	if err != nil {
		client.Close()
		return
	}
	l := &link{client: client, server: server, ended: make(chan struct{}), awaited: map[uint32]*Held{}}
	p.mu.Lock()
	shut := p.weather.Shut
	p.links[l] = true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.links, l)
		p.mu.Unlock()
	}()
	defer l.breakOff()
	if shut {
		return
	}
	answers := make(chan struct{})
	go func() {
		defer close(answers)
		p.answers(l)
	}()
	requests := make(chan []byte, 1000)
	go p.read(l, requests)
	for piece := range requests {
		if !p.request(l, piece) {
			return
		}
	}
	// The client has gone. What it sent has been delivered; the server gets a moment to take it in.
	select {
	case <-answers:
	case <-l.ended:
	case <-time.After(time.Second):
	}
}

// read takes in what the client sends.
func (p *Proxy) read(l *link, requests chan<- []byte) {
	defer close(requests)
	buf := make([]byte, 32<<10)
	for {
		var piece []byte
		if p.kafka {
			var length [4]byte
			if _, err := io.ReadFull(l.client, length[:]); err != nil {
				return
			}
			piece = make([]byte, 4+binary.BigEndian.Uint32(length[:]))
			copy(piece, length[:])
			if _, err := io.ReadFull(l.client, piece[4:]); err != nil {
				return
			}
		} else {
			n, err := l.client.Read(buf)
			if err != nil {
				return
			}
			piece = slices.Clone(buf[:n])
		}
		select {
		case requests <- piece:
		case <-l.ended:
			return
		}
	}
}

// request delivers a piece, late or not at all, and says whether the connection is still there.
func (p *Proxy) request(l *link, piece []byte) bool {
	if p.kafka {
		l.mu.Lock()
		l.of = clientOf(piece)
		l.mu.Unlock()
	}
	if h := p.holds(piece); h != nil {
		h.Client = clientOf(piece)
		l.mu.Lock()
		l.awaited[binary.BigEndian.Uint32(piece[8:])] = h
		l.mu.Unlock()
		close(h.There)
		select {
		case <-h.release:
			if h.dropped.Load() {
				return false
			}
		case <-l.ended:
			return false
		}
	}
	for {
		w, changed := p.on(l)
		if w.NoRequests {
			select {
			case <-changed:
				continue
			case <-l.ended:
				return false
			}
		}
		if rand.Float64() < w.Reset || !l.wait(w.late()) {
			return false
		}
		_, err := l.server.Write(piece)
		return err == nil
	}
}

// answers hands the server's answers to the client.
func (p *Proxy) answers(l *link) {
	buf := make([]byte, 32<<10)
	gone := false // the client; the server is listened to all the same
	for {
		n, err := l.server.Read(buf)
		if err != nil {
			l.breakOff()
			return
		}
		if p.kafka {
			l.delivered(buf[:n])
		}
		for {
			w, changed := p.on(l)
			if w.NoAnswers {
				select {
				case <-changed:
					continue
				case <-l.ended:
					return
				}
			}
			if !l.wait(w.late()) {
				return
			}
			if rand.Float64() < w.Cut {
				_, _ = l.client.Write(buf[:n/2])
				l.breakOff()
				return
			}
			break
		}
		if !gone {
			_, err = l.client.Write(buf[:n])
			gone = err != nil
		}
	}
}

// delivered follows Kafka's answers, and notes those to requests that were held.
func (l *link) delivered(b []byte) {
	for len(b) > 0 {
		if l.rest > 0 {
			n := min(l.rest, len(b))
			l.rest, b = l.rest-n, b[n:]
			continue
		}
		n := min(8-len(l.head), len(b))
		l.head, b = append(l.head, b[:n]...), b[n:]
		if len(l.head) < 8 {
			return
		}
		l.rest = int(binary.BigEndian.Uint32(l.head)) - 4
		id := binary.BigEndian.Uint32(l.head[4:])
		l.head = l.head[:0]
		l.mu.Lock()
		if h := l.awaited[id]; h != nil {
			delete(l.awaited, id)
			close(h.Delivered)
		}
		l.mu.Unlock()
	}
}

func (w Weather) late() time.Duration {
	d := w.Delay
	if rand.Float64() < w.Lost {
		d += 200*time.Millisecond + time.Duration(rand.Int64N(int64(800*time.Millisecond)))
	}
	return d
}

// wait says whether the connection is still there after a while.
func (l *link) wait(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.ended:
		return false
	}
}
