package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/hune-io/hune/internal/tenant"
)

const (
	maxFrame   = 64 << 20 // bytes of one message of a tail
	maxRefusal = 64 << 10 // bytes of the answer that refuses a tail
)

// tailFrame is one message of a tail.
type tailFrame struct {
	Streams []logStream `json:"streams"`
	Dropped []struct {
		Timestamp string            `json:"timestamp"`
		Labels    map[string]string `json:"labels"`
	} `json:"dropped_entries"`
}

// follow prints entries as they come in, until the context ends or the server does.
func (f *logsFlags) follow(ctx context.Context, p *linePrinter, expr string) error {
	start, _, _, err := f.timeRange()
	if err != nil {
		return err
	}
	params := url.Values{"query": {expr}, "limit": {strconv.Itoa(f.limit)}, "start": {strconv.FormatInt(start.UnixNano(), 10)}}
	if f.delay > 0 {
		params.Set("delay_for", strconv.Itoa(int((f.delay+time.Second-1)/time.Second)))
	}
	if f.autoFields {
		params.Set("hune_auto_fields", "true")
	}
	conn, err := f.dial(ctx, params)
	if err != nil {
		return err
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(maxFrame)
	for {
		_, data, err := conn.Read(ctx)
		switch {
		case ctx.Err() != nil:
			_ = conn.Close(websocket.StatusNormalClosure, "")
			return nil
		case err != nil:
			return fmt.Errorf("tail of %s: %w", f.url, err)
		}
		if err := f.frame(p, data); err != nil {
			return err
		}
	}
}

func (f *logsFlags) frame(p *linePrinter, data []byte) error {
	if f.json {
		_, err := fmt.Fprintf(p.w, "%s\n", data)
		return err
	}
	var frame tailFrame
	if err := json.Unmarshal(data, &frame); err != nil {
		return fmt.Errorf("message of the tail: %w", err)
	}
	lines, err := linesOf(frame.Streams)
	if err != nil {
		return err
	}
	for _, l := range lines {
		if err := p.print(l); err != nil {
			return err
		}
	}
	if n := len(frame.Dropped); n > 0 {
		fmt.Fprintf(os.Stderr, "hune: %d entries were dropped: they come in faster than they are taken\n", n)
	}
	return nil
}

// dial opens the tail. A refusal is an answerError.
func (f *logsFlags) dial(ctx context.Context, params url.Values) (*websocket.Conn, error) {
	header := http.Header{}
	if f.tenant != "" {
		header.Set(tenant.Header, f.tenant)
	}
	u := strings.TrimSuffix(f.url, "/") + "/loki/api/v1/tail?" + params.Encode()
	conn, resp, err := websocket.Dial(ctx, u, &websocket.DialOptions{HTTPHeader: header})
	if err == nil {
		return conn, nil
	}
	if resp == nil || resp.Body == nil {
		return nil, err
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	_ = resp.Body.Close()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return nil, err
	}
	return nil, &answerError{resp.StatusCode, fmt.Sprintf("%s: %s", resp.Status, errorText(body))}
}
