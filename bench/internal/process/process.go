// Package process runs a real hune for benchmarks: it starts the program on a folder, waits until it is ready, sends
// it requests, and reads from the system what it uses.
//
// Every Server that was started must be stopped or killed.
package process

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hune-io/hune/internal/freeport"
)

// Quiet are settings that turn off what makes data and work of its own.
var Quiet = []string{"HUNE_TELEMETRY_ENABLED=false", "HUNE_SCRAPE_SELF=false", "HUNE_COLLECTOR_HOST_METRICS=false",
	"HUNE_LIMITS_QUERIES_TIMEOUT=10m"}

// Server is a running hune. Safe for concurrent use until it is stopped.
type Server struct {
	URL   string
	GRPC  string        // address of OTLP over gRPC
	Ready time.Duration // from exec to the first 200 of /ready

	cmd    *exec.Cmd
	log    *os.File
	client *http.Client
}

const (
	// readyWithin is how long a start may take: it replays what an earlier run has left.
	readyWithin = 10 * time.Minute
	// connections is how many stay open between requests.
	connections = 16
)

// Start runs the program on dir, which gets its data and its log, with settings in env, and waits until it is ready.
func Start(binary, dir string, env ...string) (*Server, error) {
	var addrs [3]string
	for i := range addrs {
		var err error
		if addrs[i], err = freeport.Take(); err != nil {
			return nil, err
		}
	}
	log, err := os.Create(filepath.Join(dir, "hune.log"))
	if err != nil {
		return nil, err
	}
	s := &Server{URL: "http://" + addrs[0], GRPC: addrs[1], log: log,
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections}}}
	s.cmd = exec.Command(binary, "serve", "--data", filepath.Join(dir, "data"), "--http", addrs[0], "--otlp-grpc", addrs[1], "--otlp-http", addrs[2])
	s.cmd.Env = append(os.Environ(), env...)
	s.cmd.Stderr = log
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	for {
		_, err := s.Get("/ready")
		s.Ready = time.Since(began)
		if err == nil {
			return s, nil
		}
		if s.Ready > readyWithin {
			return nil, errors.Join(fmt.Errorf("hune was not ready in time, see %s: %w", log.Name(), err), s.Kill())
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// Stop ends the server as an operator does.
func (s *Server) Stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return errors.Join(s.cmd.Wait(), s.log.Close())
}

// Kill ends the server at once.
func (s *Server) Kill() error {
	err := s.cmd.Process.Kill()
	_ = s.cmd.Wait() // says that it was killed
	return errors.Join(err, s.log.Close())
}

// Post sends a body, with pairs of header names and values, and wants a 2xx answer.
func (s *Server) Post(path, contentType string, body []byte, header ...string) error {
	req, err := http.NewRequest(http.MethodPost, s.URL+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	_, err = s.do(req)
	return err
}

// Get returns the body of a 2xx answer.
func (s *Server) Get(path string) ([]byte, error) {
	req, err := http.NewRequest(http.MethodGet, s.URL+path, nil)
	if err != nil {
		return nil, err
	}
	return s.do(req)
}

// Read makes buf the body of a 2xx answer. Who asks again for many megabytes otherwise spends longer on memory for them than
// the server on the answer.
func (s *Server) Read(buf *bytes.Buffer, path string) error {
	req, err := http.NewRequest(http.MethodGet, s.URL+path, nil)
	if err != nil {
		return err
	}
	return s.read(buf, req)
}

func (s *Server) do(req *http.Request) ([]byte, error) {
	var buf bytes.Buffer
	err := s.read(&buf, req)
	return buf.Bytes(), err
}

func (s *Server) read(buf *bytes.Buffer, req *http.Request) error {
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	buf.Reset()
	_, err = buf.ReadFrom(resp.Body)
	if body := buf.Bytes(); err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s: %.300s", req.Method, req.URL.Path, resp.Status, body)
	}
	return err
}
