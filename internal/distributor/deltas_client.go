package distributor

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/golang/snappy"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/tenant"
)

const (
	// deltaTimeout bounds how long the owner of increments is waited for. Who has sent them waits as well.
	deltaTimeout = 10 * time.Second
	// maxDeltaAnswer bounds what is read of its answer.
	maxDeltaAnswer = 4096
	// deltaRetry is when a sender may try again whose increments could not be sent on.
	deltaRetry = 5 * time.Second
)

// DeltaClient sends increments to other distributors by remote write 2.0, marked with metrics.IncrementsHeader.
type DeltaClient struct {
	HTTP *http.Client
	// Place is DeltaOwners.Owner.
	Place func(hash uint32) string
}

// Owner implements DeltaOwners.
func (c DeltaClient) Owner(hash uint32) string { return c.Place(hash) }

// Send implements DeltaOwners.
func (c DeltaClient) Send(ctx context.Context, owner, id string, b *metrics.Batch) (metrics.PushResult, error) {
	message, offered, err := encodeIncrements(b)
	if err != nil {
		return metrics.PushResult{}, fmt.Errorf("encode increments: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, deltaTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+owner+"/api/v1/write", bytes.NewReader(message))
	if err != nil {
		return metrics.PushResult{}, err
	}
	r.Header.Set("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request")
	r.Header.Set("Content-Encoding", "snappy")
	r.Header.Set(tenant.Header, id)
	r.Header.Set(metrics.IncrementsHeader, "1")
	resp, err := c.HTTP.Do(r)
	if err != nil {
		return metrics.PushResult{}, unsent(owner, err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxDeltaAnswer))
	if err != nil {
		return metrics.PushResult{}, unsent(owner, err)
	}
	return incrementsAnswer(owner, resp, strings.TrimSpace(string(text)), offered)
}

// unsent is an error that lets the sender try again.
func unsent(owner string, err error) error {
	return &fault.Error{Class: fault.Unavailable, Reason: "delta_owner", RetryAfter: deltaRetry,
		Err: fmt.Errorf("member %s adds up these increments: %w", owner, err)}
}

// incrementsAnswer reads what a distributor says to increments, of which so many were offered.
func incrementsAnswer(owner string, resp *http.Response, text string, offered int) (metrics.PushResult, error) {
	written := func(name string) int {
		n, _ := strconv.Atoi(resp.Header.Get("X-Prometheus-Remote-Write-" + name + "-Written"))
		return max(n, 0)
	}
	out := metrics.PushResult{Samples: written("Samples"), Histograms: written("Histograms"), Exemplars: written("Exemplars")}
	switch resp.StatusCode {
	case http.StatusOK, http.StatusAccepted, http.StatusNoContent:
		return out, nil
	case http.StatusBadRequest:
		refused := max(1, offered-out.Samples-out.Histograms)
		out.Rejected = []metrics.Rejection{{Reason: "delta_refused", Count: refused, Message: text}}
		return out, nil
	case http.StatusTooManyRequests:
		return metrics.PushResult{}, &fault.Error{Class: fault.RateLimited, Reason: "rate_limited", RetryAfter: deltaRetry, Err: fmt.Errorf("member %s: %s", owner, text)}
	}
	return metrics.PushResult{}, unsent(owner, fmt.Errorf("%s: %s", resp.Status, text))
}

// encodeIncrements makes a message of a batch, and counts its samples.
func encodeIncrements(b *metrics.Batch) (message []byte, samples int, err error) {
	symbols := writev2.NewSymbolTable()
	req := writev2.Request{Timeseries: make([]writev2.TimeSeries, 0, len(b.Series))}
	for i := range b.Series {
		s := &b.Series[i]
		ts := writev2.TimeSeries{LabelsRefs: symbols.SymbolizeLabels(s.Labels, nil)}
		for _, p := range s.Samples {
			ts.Samples = append(ts.Samples, writev2.Sample{Value: p.V, Timestamp: p.T, StartTimestamp: p.Start})
		}
		for _, p := range s.Histograms {
			var h writev2.Histogram
			if p.H != nil {
				h = writev2.FromIntHistogram(p.T, p.H)
			} else {
				h = writev2.FromFloatHistogram(p.T, p.FH)
			}
			h.StartTimestamp = p.Start
			ts.Histograms = append(ts.Histograms, h)
		}
		for _, e := range s.Exemplars {
			ts.Exemplars = append(ts.Exemplars, writev2.Exemplar{LabelsRefs: symbols.SymbolizeLabels(e.Labels, nil), Value: e.Value, Timestamp: e.Ts})
		}
		if m := s.Metadata; m != nil {
			ts.Metadata = writev2.Metadata{Type: writev2.FromMetadataType(m.Type), HelpRef: symbols.Symbolize(m.Help), UnitRef: symbols.Symbolize(m.Unit)}
		}
		samples += len(s.Samples) + len(s.Histograms)
		req.Timeseries = append(req.Timeseries, ts)
	}
	req.Symbols = symbols.Symbols()
	data, err := req.Marshal()
	return snappy.Encode(nil, data), samples, err
}
