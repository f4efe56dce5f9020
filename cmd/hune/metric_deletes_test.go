package main

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/storage/remote"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/thanos/pkg/store/storepb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/hune-io/hune/internal/metrics/storeapi"
)

// What is deleted is seen by no way of reading, before its samples are removed and after.
func TestDeletedIsNowhereToBeSeen(t *testing.T) {
	p := start(t, t.TempDir(), append(slices.Clone(quiet), "HUNE_METRICS_ADMIN_API=true", "HUNE_COMPACTOR_INTERVAL=1h"))
	push := func(name string, at time.Time) {
		t.Helper()
		code, body := p.post("/api/v1/write", "application/x-protobuf", remoteWrite(name, at, map[string]float64{name + "_value": 1}), map[string]string{"Content-Encoding": "snappy"})
		require.Equal(t, http.StatusNoContent, code, body)
	}
	for _, name := range []string{"kept", "secret"} {
		push(name, time.Now().Add(-time.Minute))
	}
	p.flush()
	for _, name := range []string{"kept", "secret"} {
		push(name, time.Now())
	}
	both := url.Values{"match[]": {`{__name__=~"kept|secret"}`}}
	reads := map[string]func() (int, string){
		"query": func() (int, string) {
			return p.get("/api/v1/query", url.Values{"query": {`last_over_time({__name__=~"kept|secret"}[1h])`}}, nil)
		},
		"series":                          func() (int, string) { return p.get("/api/v1/series", both, nil) },
		"names":                           func() (int, string) { return p.get("/api/v1/label/__name__/values", nil, nil) },
		"values of the series that match": func() (int, string) { return p.get("/api/v1/label/__name__/values", both, nil) },
		"federation":                      func() (int, string) { return p.get("/federate", both, nil) },
		"cardinality of values": func() (int, string) {
			return p.get("/api/v1/cardinality/label_values", url.Values{"label_names[]": {"__name__"}}, nil)
		},
		"active series": func() (int, string) {
			return p.get("/api/v1/cardinality/active_series", url.Values{"selector": both["match[]"]}, nil)
		},
		"remote read":          func() (int, string) { return p.remoteRead(t, "kept|secret", false) },
		"remote read, chunked": func() (int, string) { return p.remoteRead(t, "kept|secret", true) },
		"StoreAPI":             func() (int, string) { return http.StatusOK, strings.Join(p.storeSeries(t, "kept|secret"), "\n") },
	}
	look := func(step string, want bool) {
		t.Helper()
		for name, read := range reads {
			code, body := read()
			require.Equal(t, http.StatusOK, code, "%s, %s: %s", step, name, body)
			require.Contains(t, body, "kept", "%s, %s", step, name)
			require.Equal(t, want, strings.Contains(body, "secret"), "%s, %s: %s", step, name, body)
		}
	}
	look("before", true)
	code, body := p.post("/api/v1/admin/tsdb/delete_series?"+url.Values{"match[]": {"secret"}}.Encode(), "", nil, nil)
	require.Equal(t, http.StatusNoContent, code, body)
	look("hidden", false)
	code, body = p.post("/api/v1/admin/tsdb/clean_tombstones", "", nil, nil)
	require.Equal(t, http.StatusNoContent, code, body)
	look("cleaned", false)
	p.flush()
	look("shipped", false)
	p.stop()
}

// remoteRead returns the labels of the series of the last hour whose name matches.
func (p *process) remoteRead(t *testing.T, name string, chunked bool) (int, string) {
	t.Helper()
	req := &prompb.ReadRequest{Queries: []*prompb.Query{{StartTimestampMs: time.Now().Add(-time.Hour).UnixMilli(), EndTimestampMs: time.Now().UnixMilli(),
		Matchers: []*prompb.LabelMatcher{{Type: prompb.LabelMatcher_RE, Name: "__name__", Value: name}}}}}
	if chunked {
		req.AcceptedResponseTypes = []prompb.ReadRequest_ResponseType{prompb.ReadRequest_STREAMED_XOR_CHUNKS}
	}
	data, err := req.Marshal()
	require.NoError(t, err)
	resp, err := http.Post(p.url+"/api/v1/read", "application/x-protobuf", bytes.NewReader(snappy.Encode(nil, data)))
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	if resp.StatusCode != http.StatusOK {
		return resp.StatusCode, string(body)
	}
	var out strings.Builder
	if chunked {
		var frame prompb.ChunkedReadResponse
		for stream := remote.NewChunkedReader(bytes.NewReader(body), 1<<20, nil); ; {
			err := stream.NextProto(&frame)
			if errors.Is(err, io.EOF) {
				return resp.StatusCode, out.String()
			}
			require.NoError(t, err)
			for _, s := range frame.ChunkedSeries {
				out.WriteString(s.String())
			}
		}
	}
	body, err = snappy.Decode(nil, body)
	require.NoError(t, err)
	var answer prompb.ReadResponse
	require.NoError(t, answer.Unmarshal(body))
	for _, r := range answer.Results {
		for _, s := range r.Timeseries {
			out.WriteString(s.String())
		}
	}
	return resp.StatusCode, out.String()
}

// storeSeries returns the same over Thanos's StoreAPI.
func (p *process) storeSeries(t *testing.T, name string) (out []string) {
	t.Helper()
	conn, err := grpc.NewClient(strings.TrimPrefix(p.url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(storeapi.Codec())))
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	stream, err := storepb.NewStoreClient(conn).Series(t.Context(), &storepb.SeriesRequest{MinTime: time.Now().Add(-time.Hour).UnixMilli(), MaxTime: time.Now().UnixMilli(),
		Matchers: []storepb.LabelMatcher{{Type: storepb.LabelMatcher_RE, Name: "__name__", Value: name}}})
	require.NoError(t, err)
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return out
		}
		require.NoError(t, err)
		if s := m.GetSeries(); s != nil {
			converted, err := storeapi.ToSeries(s)
			require.NoError(t, err)
			out = append(out, converted.Labels.String())
		}
	}
}
