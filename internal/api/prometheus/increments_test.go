package prometheus

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/distributor"
	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/tenant"
)

// taker is a Pusher that keeps the last batch, and says what it is told to.
type taker struct {
	tenant string
	got    metrics.Batch
	result metrics.PushResult
	err    error
}

func (p *taker) PushMetrics(ctx context.Context, b *metrics.Batch) (metrics.PushResult, error) {
	p.tenant, _ = tenant.FromContext(ctx)
	p.got = metrics.Batch{OwnIncrements: b.OwnIncrements}
	for _, s := range b.Series {
		s.Samples, s.Histograms = append([]metrics.Sample(nil), s.Samples...), append([]metrics.HistogramSample(nil), s.Histograms...)
		s.Exemplars = append([]exemplar.Exemplar(nil), s.Exemplars...)
		if s.Metadata != nil {
			m := *s.Metadata
			s.Metadata = &m
		}
		s.Valid = false
		p.got.Series = append(p.got.Series, s)
	}
	return p.result, p.err
}

// Increments come to another member as they were, and its answer comes back.
func TestIncrementsOfMembers(t *testing.T) {
	p := &taker{}
	s := newServer(t, func(o *Options) { o.Pusher = p })
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := s.do(r)
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.Code)
		_, _ = io.Copy(w, answer.Body)
	}))
	defer server.Close()
	client, addr := distributor.DeltaClient{HTTP: server.Client()}, strings.TrimPrefix(server.URL, "http://")
	fh := tsdbutil.GenerateTestFloatHistogram(3)
	sent := &metrics.Batch{Series: []metrics.Series{
		{Labels: labels.FromStrings("__name__", "orders_total", "job", "shop"), Delta: true, Samples: []metrics.Sample{{Start: 1000, T: 2000, V: 3}, {T: 3000, V: .5}},
			Exemplars: []exemplar.Exemplar{{Labels: labels.FromStrings("trace_id", "t"), Value: 1, Ts: 1500, HasTs: true}},
			Metadata:  &metadata.Metadata{Type: "counter", Help: "Orders.", Unit: "1"}},
		{Labels: labels.FromStrings("__name__", "took"), Delta: true, Histograms: []metrics.HistogramSample{{Start: 1000, T: 2000, FH: fh}}},
		{Labels: labels.FromStrings("__name__", "took_whole"), Delta: true, Histograms: []metrics.HistogramSample{{Start: 1000, T: 2000, H: tsdbutil.GenerateTestHistogram(3)}}},
	}}
	p.result = metrics.PushResult{Samples: 2, Histograms: 2, Exemplars: 1}
	r, err := client.Send(t.Context(), addr, "team", sent)
	require.NoError(t, err)
	require.Equal(t, p.result, r)
	require.Equal(t, "team", p.tenant)
	require.True(t, p.got.OwnIncrements)
	require.Equal(t, sent.Series, p.got.Series)

	p.result = metrics.PushResult{Samples: 1, Rejected: []metrics.Rejection{{Reason: "delta_out_of_order", Message: "it is late", Count: 1}, {Reason: "x", Message: "it is odd", Count: 2}}}
	r, err = client.Send(t.Context(), addr, "team", sent)
	require.NoError(t, err)
	require.Equal(t, metrics.PushResult{Samples: 1, Rejected: []metrics.Rejection{{Reason: "delta_refused", Message: "it is late\nit is odd (and 1 more: x)", Count: 3}}}, r)

	for _, c := range []struct {
		err  error
		want fault.Class
	}{
		{&fault.Error{Class: fault.RateLimited, Err: errors.New("slower")}, fault.RateLimited},
		{&fault.Error{Class: fault.Unavailable, Err: errors.New("starting")}, fault.Unavailable},
		{errors.New("broken"), fault.Unavailable},
	} {
		p.result, p.err = metrics.PushResult{}, c.err
		_, err = client.Send(t.Context(), addr, "team", sent)
		require.Equal(t, c.want, fault.ClassOf(err))
		require.ErrorContains(t, err, c.err.Error())
		require.ErrorContains(t, err, "member "+addr)
	}
	server.Close()
	_, err = client.Send(t.Context(), addr, "team", sent)
	require.Equal(t, fault.Unavailable, fault.ClassOf(err))

	// The next request, which is decoded into the same memory, is an ordinary one.
	p.err = nil
	require.Equal(t, http.StatusNoContent, s.writeV1(series(pairs("__name__", "m"), prompb.Sample{Timestamp: at(0), Value: 1})).Code)
	require.False(t, p.got.OwnIncrements)
	require.False(t, p.got.Series[0].Delta)
}
