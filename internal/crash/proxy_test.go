package crash

import (
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// proxy stands between the program and PostgreSQL.
type proxy struct {
	listener net.Listener
	target   string

	mu    sync.Mutex
	conns map[net.Conn]bool
	// reset is the share of chunks from the client at which the connection is broken.
	reset float64
	delay time.Duration // of each chunk from the client
	deaf  bool          // connections are taken and nothing passes
	shut  bool          // connections are refused
	heard chan struct{} // closed when deaf ends
}

func newProxy(t testing.TB, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, target: target, conns: map[net.Conn]bool{}, heard: make(chan struct{})}
	go p.serve()
	t.Cleanup(func() {
		l.Close()
		p.set(func() { p.shut = true })
	})
	return p
}

// set changes what the proxy does; shut and reset begin with breaking what is open.
func (p *proxy) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	wasDeaf := p.deaf
	change()
	if p.shut {
		for c := range p.conns {
			c.Close()
		}
	}
	switch {
	case wasDeaf && !p.deaf:
		close(p.heard)
	case !wasDeaf && p.deaf:
		p.heard = make(chan struct{})
	}
}

// heal ends all disturbance.
func (p *proxy) heal() { p.set(func() { p.reset, p.delay, p.deaf, p.shut = 0, 0, false, false }) }

func (p *proxy) serve() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		go p.pass(c)
	}
}

func (p *proxy) pass(client net.Conn) {
	defer client.Close()
	p.mu.Lock()
	shut := p.shut
	p.mu.Unlock()
	if shut {
		return
	}
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer server.Close()
	p.mu.Lock()
	p.conns[client] = true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.conns, client)
		p.mu.Unlock()
	}()
	go func() {
		defer client.Close()
		_, _ = io.Copy(client, server)
	}()
	buf := make([]byte, 32<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		broken, delay, deaf, heard := rand.Float64() < p.reset, p.delay, p.deaf, p.heard
		p.mu.Unlock()
		if broken {
			if tcp, ok := client.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0) // a reset, not an orderly end
			}
			return
		}
		if deaf {
			<-heard
		}
		time.Sleep(delay)
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
	}
}
