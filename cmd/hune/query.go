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

	"github.com/prometheus/common/model"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/hune-io/hune/internal/tenant"
)

// queryFlags are what the three query commands share.
type queryFlags struct {
	url, tenant, start, end, since, step string
	limit                                int
	json, instant                        bool
}

func newQuery() *cobra.Command {
	var f queryFlags
	q := &cobra.Command{Use: "query", Short: "Ask a running server"}
	pf := q.PersistentFlags()
	pf.StringVar(&f.url, "url", envOr("HUNE_URL", "http://127.0.0.1:4320"), "base `URL` of the server")
	pf.StringVar(&f.tenant, "tenant", os.Getenv("HUNE_TENANT"), "tenant `ID`, where multitenancy is on")
	pf.StringVar(&f.start, "from", "", "start `time` (RFC 3339 or Unix seconds), also --start; default: --since before the end")
	pf.StringVar(&f.end, "to", "", "end `time` (RFC 3339 or Unix seconds), also --end; default: now")
	pf.StringVar(&f.since, "since", "1h", "`length` of the range when there is no --start")
	pf.StringVar(&f.step, "step", "", "step of range queries, a `duration`; default: a 60th of the range")
	pf.IntVar(&f.limit, "limit", 100, "most entries or traces to return")
	pf.BoolVar(&f.json, "json", false, "print the server's JSON answer")
	pf.BoolVar(&f.instant, "instant", false, "metrics, logs: evaluate at the end of the range only; traces: metrics of the whole range")
	q.SetGlobalNormalizationFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		switch name {
		case "start":
			name = "from"
		case "end":
			name = "to"
		}
		return pflag.NormalizedName(name)
	})
	q.AddCommand(
		f.command("metrics EXPR", "Run a PromQL query", f.metrics),
		newQueryLogs(&f),
		newQueryTraces(&f),
	)
	return q
}

func envOr(name, def string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return def
}

func (f *queryFlags) command(use, short string, run func(ctx context.Context, w io.Writer, expr string) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return run(cmd.Context(), cmd.OutOrStdout(), args[0])
		}}
}

// timeRange returns the range asked for and its step.
func (f *queryFlags) timeRange() (start, end time.Time, step time.Duration, err error) {
	end = time.Now()
	if f.end != "" {
		if end, err = parseTime(f.end); err != nil {
			return start, end, 0, fmt.Errorf("--to: %w", err)
		}
	}
	if f.start != "" {
		if start, err = parseTime(f.start); err != nil {
			return start, end, 0, fmt.Errorf("--from: %w", err)
		}
	} else {
		since, err := model.ParseDuration(f.since)
		if err != nil {
			return start, end, 0, fmt.Errorf("--since: %w", err)
		}
		start = end.Add(-time.Duration(since))
	}
	if !start.Before(end) {
		return start, end, 0, fmt.Errorf("the range starts at %s, which is not before its end %s", start.Format(time.RFC3339), end.Format(time.RFC3339))
	}
	step = max(end.Sub(start)/60, time.Second).Round(time.Second)
	if f.step != "" {
		d, err := model.ParseDuration(f.step)
		if err != nil {
			return start, end, 0, fmt.Errorf("--step: %w", err)
		}
		step = time.Duration(d)
	}
	return start, end, step, nil
}

func parseTime(s string) (time.Time, error) {
	if sec, err := strconv.ParseFloat(s, 64); err == nil {
		return time.Unix(0, int64(sec*1e9)), nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return t, fmt.Errorf("%q is neither RFC 3339 nor Unix seconds", s)
	}
	return t, nil
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 1 << 30

// get asks the server and returns the body of a 200 answer.
func (f *queryFlags) get(ctx context.Context, path string, params url.Values) ([]byte, error) {
	u := strings.TrimSuffix(f.url, "/") + path
	if len(params) > 0 {
		u += "?" + params.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	if f.tenant != "" {
		req.Header.Set(tenant.Header, f.tenant)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", f.url, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, &answerError{resp.StatusCode, fmt.Sprintf("%s: %s", resp.Status, errorText(body))}
	}
	return body, nil
}

// answerError is what the server says instead of an answer.
type answerError struct {
	status int
	text   string
}

func (e *answerError) Error() string { return e.text }

// errorText returns the message in an error answer, JSON or plain.
func errorText(body []byte) string {
	var e struct{ Error, Message string }
	if json.Unmarshal(body, &e) == nil {
		if e.Error != "" {
			return e.Error
		}
		if e.Message != "" {
			return e.Message
		}
	}
	return strings.TrimSpace(string(body))
}

// fetch gets path into v, or prints the raw answer and returns false when --json was given.
func (f *queryFlags) fetch(ctx context.Context, w io.Writer, path string, params url.Values, v any) (bool, error) {
	body, err := f.get(ctx, path, params)
	if err != nil {
		return false, err
	}
	if f.json {
		_, err := fmt.Fprintln(w, strings.TrimSpace(string(body)))
		return false, err
	}
	if err := json.Unmarshal(body, v); err != nil {
		return false, fmt.Errorf("read the answer of %s: %w", path, err)
	}
	return true, nil
}
