package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hune-io/hune/internal/freeport"
)

// server is a running hune.
type server struct {
	cmd    *exec.Cmd
	url    string
	grpc   string
	ready  time.Duration // from exec to the first 200 of /ready
	log    *os.File
	client *http.Client
}

// quiet turns off what makes data and work of its own.
var quiet = []string{"HUNE_TELEMETRY_ENABLED=false", "HUNE_SCRAPE_SELF=false", "HUNE_COLLECTOR_HOST_METRICS=false",
	"HUNE_LIMITS_QUERIES_TIMEOUT=10m"}

// start runs hune on dir and waits until it is ready.
func (b *bench) start(dir string, env ...string) (*server, error) {
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
	s := &server{url: "http://" + addrs[0], grpc: addrs[1], log: log,
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}}
	s.cmd = exec.Command(b.binary, "serve", "--data", filepath.Join(dir, "data"), "--http", addrs[0], "--otlp-grpc", addrs[1], "--otlp-http", addrs[2])
	s.cmd.Env = append(os.Environ(), env...)
	s.cmd.Stderr = log
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	for {
		resp, err := s.client.Get(s.url + "/ready")
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				s.ready = time.Since(began)
				return s, nil
			}
		}
		if time.Since(began) > 10*time.Minute {
			return nil, errors.Join(fmt.Errorf("hune was not ready in time, see %s", log.Name()), s.kill())
		}
		time.Sleep(2 * time.Millisecond)
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

// post sends a body and wants a 2xx answer.
func (s *server) post(path, contentType string, body []byte, header ...string) error {
	req, err := http.NewRequest(http.MethodPost, s.url+path, bytes.NewReader(body))
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
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		return nil, fmt.Errorf("%s %s: %s: %.300s", req.Method, req.URL.Path, resp.Status, body)
	}
	return body, nil
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

// memory returns values of /proc/PID/status in MB, by name.
func (s *server) memory(names ...string) ([]float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return nil, err
	}
	out := make([]float64, len(names))
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(line, ":")
		for i, name := range names {
			if key == name {
				kb, err := strconv.ParseFloat(strings.Fields(value)[0], 64)
				if err != nil {
					return nil, err
				}
				out[i] = kb / 1000
			}
		}
	}
	return out, nil
}

// gauge reads one metric of the server without labels.
func (s *server) gauge(name string) (float64, error) {
	body, err := s.get("/metrics")
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

func machine() string {
	model := "unknown processor"
	if data, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(data)) {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%s, %d cores, %s", model, runtime.NumCPU(), runtime.Version())
}

func diskUse(dir string) (int64, error) {
	var n int64
	err := filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	return n, err
}
