package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A write that is under way when the process is asked to stop is finished: the roles behind the port
// stop after it.
func TestStopFinishesRequestsUnderWay(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir, quiet)
	began := time.Now()
	body := string(lokiPush(map[string]string{"job": "stop"}, [][2]string{{fmt.Sprint(began.UnixNano()), "under way"}}))
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "POST /loki/api/v1/push HTTP/1.1\r\nHost: hune\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body[:10])
	require.NoError(t, err)
	pause(200 * time.Millisecond)
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	pause(500 * time.Millisecond)
	_, err = conn.Write([]byte(body[10:]))
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusNoContent, resp.StatusCode)
	select {
	case err := <-p.done:
		require.NoError(t, err, "exit status\n%s", p.log)
	case <-time.After(10 * time.Second):
		t.Fatalf("hune took longer than 10 s to stop\n%s", p.log)
	}

	p = start(t, dir, quiet)
	require.Equal(t, map[string]int{"under way": 1}, p.lokiLines(`{job="stop"}`, began.Add(-time.Minute), time.Now(), nil))
	p.stop()
}
