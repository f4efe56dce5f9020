// Package redistest starts servers of Redis for tests.
package redistest

import (
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/freeport"
)

// Server is a redis-server of a test, which is killed when the test ends.
type Server struct {
	Addr string
	Args []string // of Start, beside those that say where it listens
	TLS  bool     // what it speaks

	t   testing.TB
	dir string
	cmd *exec.Cmd
}

// New returns a server that has not been started. Where there is none to start the test is skipped; with CI=true it fails.
func New(t testing.TB, args ...string) *Server {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		require.NotEqual(t, "true", os.Getenv("CI"), "nothing may be left out: there is no redis-server")
		t.Skip("redis-server is not installed: scripts/test.sh installs it where it may")
	}
	s := &Server{Addr: FreeAddr(t), Args: args, t: t, dir: t.TempDir()}
	t.Cleanup(s.Kill)
	return s
}

// FreeAddr returns an address of the loopback interface that nobody listens on.
func FreeAddr(t testing.TB) string {
	t.Helper()
	addr, err := freeport.Take()
	require.NoError(t, err)
	return addr
}

// Start starts the server, also again after Kill: with what it saved.
func (s *Server) Start() {
	s.t.Helper()
	_, port, err := net.SplitHostPort(s.Addr)
	require.NoError(s.t, err)
	args := []string{"--bind", "127.0.0.1", "--save", "", "--dir", s.dir}
	if s.TLS {
		args = append(args, "--port", "0", "--tls-port", port)
	} else {
		args = append(args, "--port", port)
	}
	s.Run(append(args, s.Args...)...)
}

// Run runs the program with these arguments, and waits until it listens at Addr.
func (s *Server) Run(args ...string) {
	s.t.Helper()
	s.cmd = exec.Command("redis-server", args...)
	require.NoError(s.t, s.cmd.Start())
	require.Eventually(s.t, func() bool {
		c, err := net.Dial("tcp", s.Addr)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}, time.Minute, 5*time.Millisecond, "redis-server listens")
}

// Kill ends the server at once, if it runs.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	s.cmd = nil
}

// Pause stops the server where it is, until it is killed or resumed.
func (s *Server) Pause() {
	s.t.Helper()
	require.NoError(s.t, s.cmd.Process.Signal(syscall.SIGSTOP))
	var status syscall.WaitStatus
	_, err := syscall.Wait4(s.cmd.Process.Pid, &status, syscall.WUNTRACED, nil)
	require.NoError(s.t, err)
	require.True(s.t, status.Stopped())
}

// Resume lets a server go on that was paused.
func (s *Server) Resume() {
	s.t.Helper()
	require.NoError(s.t, s.cmd.Process.Signal(syscall.SIGCONT))
}

// Do sends a command of words, and waits for the server to answer it.
func (s *Server) Do(command string) {
	s.t.Helper()
	c, err := net.Dial("tcp", s.Addr)
	require.NoError(s.t, err)
	defer func() { _ = c.Close() }()
	_, err = io.WriteString(c, command+"\r\n")
	require.NoError(s.t, err)
	_, err = c.Read(make([]byte, 1))
	require.NoError(s.t, err)
}
