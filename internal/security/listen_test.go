//go:build linux

package security

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/brimline/brimline/internal/testkit"
)

// TestListensOnLoopback: the demo starts everything that can listen, and
// nothing of it can be reached from another machine.
func TestListensOnLoopback(t *testing.T) {
	before := children(t)
	demo := testkit.Start(t, binary, clean(t.TempDir()), "demo", "--dir", t.TempDir(),
		"--rate", "0", "--backlog", "20", "--listen", "127.0.0.1:0", "--allowed-hosts", "*.desk.example.com", "--log-level", "info")
	base := awaitReady(t, demo)
	hosts(t, base, map[string]int{
		"": http.StatusOK, "a.desk.example.com": http.StatusOK, "evil.example": http.StatusMisdirectedRequest,
		"desk.example.com": http.StatusMisdirectedRequest,
	})
	var open []netip.AddrPort
	for pid := range children(t) {
		if !before[pid] {
			open = append(open, listening(t, pid)...)
		}
	}
	// HTTP, Kafka and PostgreSQL, at the least.
	if len(open) < 3 || !slices.Contains(open, netip.MustParseAddrPort(strings.TrimPrefix(base, "http://"))) {
		t.Errorf("found %v, and %s must be among them", open, base)
	}
	for _, a := range open {
		if !a.Addr().Unmap().IsLoopback() {
			t.Errorf("%v can be reached from outside", a)
		}
	}
	demo.Signal(syscall.SIGINT)
	if code, err := demo.Wait(t.Context()); code != 0 || err != nil {
		t.Errorf("code %d, %v", code, err)
	}
}

// hosts asks for a user under several names.
func hosts(t *testing.T, base string, want map[string]int) {
	t.Helper()
	for host, status := range want {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/api/v1/users/1", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = host
		r, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != status {
			t.Errorf("host %q: status %d, want %d", host, r.StatusCode, status)
		}
	}
}

// children are this process's descendants.
func children(t *testing.T) map[int]bool {
	t.Helper()
	parents := map[int]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:])); len(fields) > 1 {
			parents[pid], _ = strconv.Atoi(fields[1])
		}
	}
	found := map[int]bool{}
	for pid := range parents {
		for p := pid; p > 1; p = parents[p] {
			if parents[p] == os.Getpid() {
				found[pid] = true
			}
		}
	}
	return found
}

// listening are the addresses at which a process accepts TCP connections.
func listening(t *testing.T, pid int) (open []netip.AddrPort) {
	t.Helper()
	mine := map[string]bool{}
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, f := range files {
		if target, err := os.Readlink(f); err == nil && strings.HasPrefix(target, "socket:[") {
			mine[strings.Trim(target, "socket:[]")] = true
		}
	}
	for _, name := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		for _, line := range strings.Split(string(text), "\n")[1:] {
			fields := strings.Fields(line)
			const listen = "0A"
			if len(fields) > 9 && fields[3] == listen && mine[fields[9]] {
				open = append(open, address(t, fields[1]))
			}
		}
	}
	return open
}

// address reads "0100007F:2120": words of four bytes, each in the machine's order, and a port.
func address(t *testing.T, s string) netip.AddrPort {
	t.Helper()
	host, port, _ := strings.Cut(s, ":")
	b, err := hex.DecodeString(host)
	n, err2 := strconv.ParseUint(port, 16, 16)
	if err != nil || err2 != nil || len(b)%4 != 0 {
		t.Fatalf("%q is not an address", s)
	}
	for word := range slices.Chunk(b, 4) {
		slices.Reverse(word) // little endian, as all machines that this is tested on
	}
	addr, _ := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(addr, uint16(n))
}
