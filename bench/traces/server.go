package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// server is a running hune.
type server struct {
	cmd    *exec.Cmd
	url    string
	log    *os.File
	client *http.Client
}

// settings turn off what makes data and work of its own, and let the compactor look at the bucket often.
var settings = []string{"HUNE_TELEMETRY_ENABLED=false", "HUNE_SCRAPE_SELF=false", "HUNE_COLLECTOR_HOST_METRICS=false",
	"HUNE_COMPACTOR_INTERVAL=5s", "HUNE_COMPACTOR_DELETE_DELAY=10s", "HUNE_STORE_POLL_INTERVAL=2s"}

func start(binary, dir string) (*server, error) {
	var addrs [3]string
	for i := range addrs {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		addrs[i] = l.Addr().String()
		_ = l.Close()
	}
	log, err := os.Create(filepath.Join(dir, "hune.log"))
	if err != nil {
		return nil, err
	}
	s := &server{url: "http://" + addrs[0], log: log, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}}
	s.cmd = exec.Command(binary, "serve", "--data", filepath.Join(dir, "data"), "--http", addrs[0], "--otlp-grpc", addrs[1], "--otlp-http", addrs[2])
	s.cmd.Env = append(os.Environ(), settings...)
	s.cmd.Stderr = log
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		if _, err := s.get("/ready"); err == nil {
			return s, nil
		} else if time.Since(began) > time.Minute {
			return nil, errors.Join(fmt.Errorf("hune was not ready in time: %w", err), s.kill())
		}
	}
}

func (s *server) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return errors.Join(s.cmd.Wait(), s.log.Close())
}

func (s *server) kill() error {
	err := s.cmd.Process.Kill()
	_ = s.cmd.Wait() // says that it was killed
	return errors.Join(err, s.log.Close())
}

func (s *server) post(path string, body []byte) error {
	req, err := http.NewRequest(http.MethodPost, s.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	_, err = s.do(req)
	return err
}

func (s *server) get(path string) ([]byte, error) {
	req, err := http.NewRequest(http.MethodGet, s.url+path, nil)
	if err != nil {
		return nil, err
	}
	return s.do(req)
}

func (s *server) do(req *http.Request) ([]byte, error) {
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s: %.300s", req.Method, req.URL.Path, resp.Status, body)
	}
	return body, err
}

// cpu is the processor time that the server has used.
func (s *server) cpu() (time.Duration, error) {
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

// memory returns a value of /proc/PID/status in MB.
func (s *server) memory(name string) (float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if key, value, _ := strings.Cut(line, ":"); key == name {
			kb, err := strconv.ParseFloat(strings.Fields(value)[0], 64)
			return kb / 1000, err
		}
	}
	return 0, fmt.Errorf("no %s", name)
}
