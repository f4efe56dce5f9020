package process

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// CPU is the processor time that the server has used, user and system.
func (s *Server) CPU() (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	// The name in parentheses may hold spaces; utime and stime are the 12th and 13th field after it.
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	var ticks int64
	for _, i := range []int{11, 12} {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil // USER_HZ is 100 on Linux
}

// OwnCPU is the processor time that the calling process has used: all threads, user and system.
func OwnCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic("getrusage of the own process: " + err.Error())
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Memory returns values of /proc/PID/status in MB, by name. One that isn't there is an error.
func (s *Server) Memory(names ...string) ([]float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(line, ":")
		values[key] = strings.TrimSuffix(strings.TrimSpace(value), " kB")
	}
	out := make([]float64, len(names))
	for i, name := range names {
		kb, err := strconv.ParseFloat(values[name], 64)
		if err != nil {
			return nil, fmt.Errorf("%s of process %d: %w", name, s.cmd.Process.Pid, err)
		}
		out[i] = kb / 1000
	}
	return out, nil
}

// Peak is the memory where it was greatest, in MB. Anonymous is what the program has allocated, file what of its own file,
// and of others, is mapped: clean pages, which the system takes back when it needs them.
type Peak struct{ Anonymous, File float64 }

// watchEvery is often enough for a heap, which grows by a few MB meanwhile.
const watchEvery = 20 * time.Millisecond

// Watch looks at the memory until the function that it returns is called.
func (s *Server) Watch() (stop func() (Peak, error)) {
	done := make(chan struct{})
	var peak Peak
	var failed error
	var wait sync.WaitGroup
	wait.Go(func() {
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		for failed == nil {
			m, err := s.Memory("RssAnon", "RssFile")
			if failed = err; err == nil {
				if m[0]+m[1] > peak.Anonymous+peak.File {
					peak = Peak{m[0], m[1]}
				}
			}
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	})
	return func() (Peak, error) {
		close(done)
		wait.Wait()
		return peak, failed
	}
}

// Gauge reads one metric of the server without labels.
func (s *Server) Gauge(name string) (float64, error) {
	body, err := s.Get("/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(body)) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(rest), 64)
		}
	}
	return 0, fmt.Errorf("no metric %s", name)
}
