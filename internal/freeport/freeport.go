// Package freeport hands out ports of the loopback interface to tests and benchmarks that start a server which must be
// told its port beforehand. Tests of several packages run at the same time, in processes of their own: a port that was
// listened on and closed again may be given to another of them, or to an outgoing connection, before its server starts.
package freeport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
)

// The ports lie below those that Linux gives to outgoing connections (32768 and up).
const (
	first = 15000
	last  = 32000
)

var (
	mu    sync.Mutex
	taken []*os.File // locks, held until the process ends
)

// Take returns an address "127.0.0.1:PORT" that nobody listens on, by TCP or UDP, and that no other call of Take has
// returned, in this process or in another of the machine that still runs.
func Take() (string, error) {
	mu.Lock()
	defer mu.Unlock()
	// One directory a user: files of another can't be opened.
	dir := filepath.Join(os.TempDir(), "hune-ports-"+strconv.Itoa(os.Getuid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	for range 1000 {
		port := strconv.Itoa(first + rand.IntN(last-first))
		lock, err := os.OpenFile(filepath.Join(dir, port), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return "", err
		}
		addr := "127.0.0.1:" + port
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil && free(addr) {
			taken = append(taken, lock)
			return addr, nil
		}
		_ = lock.Close()
		if err != nil && !errors.Is(err, syscall.EWOULDBLOCK) {
			return "", fmt.Errorf("lock %s: %w", lock.Name(), err)
		}
	}
	return "", fmt.Errorf("no free port between %d and %d", first, last)
}

func free(addr string) bool {
	tcp, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	defer func() { _ = tcp.Close() }()
	udp, err := net.ListenPacket("udp", addr)
	if err != nil {
		return false
	}
	return udp.Close() == nil
}
