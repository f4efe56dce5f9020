package prometheus

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/hune-io/hune/internal/fault"
)

func otlpRequest(delta bool) pmetricotlp.ExportRequest {
	md := pmetric.NewMetrics()
	rm := md.ResourceMetrics().AppendEmpty()
	rm.Resource().Attributes().PutStr("service.name", "cart")
	ms := rm.ScopeMetrics().AppendEmpty().Metrics()
	g := ms.AppendEmpty()
	g.SetName("queue.depth")
	dp := g.SetEmptyGauge().DataPoints().AppendEmpty()
	dp.SetTimestamp(pcommon.NewTimestampFromTime(testNow))
	dp.SetIntValue(3)
	if delta {
		d := ms.AppendEmpty()
		d.SetName("d")
		s := d.SetEmptySum()
		s.SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
		s.DataPoints().AppendEmpty()
	}
	return pmetricotlp.NewExportRequestFromMetrics(md)
}

func (s *server) otlp(media string, data []byte) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/api/v1/otlp/v1/metrics", bytes.NewReader(data))
	r.Header.Set("Content-Type", media)
	return s.do(r)
}

func TestOTLP(t *testing.T) {
	for _, media := range []string{mediaProtobuf, mediaJSON} {
		for _, delta := range []bool{false, true} {
			s := newServer(t)
			req, resp := otlpRequest(delta), pmetricotlp.NewExportResponse()
			marshal, unmarshal := req.MarshalProto, resp.UnmarshalProto
			if media == mediaJSON {
				marshal, unmarshal = req.MarshalJSON, resp.UnmarshalJSON
			}
			data, err := marshal()
			require.NoError(t, err)
			w := s.otlp(media, data)
			require.Equal(t, http.StatusOK, w.Code, w.Body)
			require.Equal(t, media, w.Header().Get("Content-Type"))
			require.NoError(t, unmarshal(w.Body.Bytes()))
			require.Equal(t, delta, resp.PartialSuccess().RejectedDataPoints() == 1)
			require.Equal(t, delta, resp.PartialSuccess().ErrorMessage() != "")
			require.Contains(t, s.data("/api/v1/query?query=queue_depth"), `"job":"cart"`, "the good metric is stored in any case")
		}
	}
}

func TestOTLPErrors(t *testing.T) {
	s := newServer(t)
	require.Equal(t, http.StatusUnsupportedMediaType, s.otlp("text/plain", nil).Code)

	w := s.otlp(mediaProtobuf, []byte("hello, world"))
	require.Equal(t, http.StatusBadRequest, w.Code)
	var st spb.Status
	require.NoError(t, proto.Unmarshal(w.Body.Bytes(), &st))
	require.Contains(t, st.GetMessage(), "decode OTLP metrics")

	w = s.otlp(mediaJSON, []byte(`{"resourceMetrics":[{"scopeMetrics":7}]}`))
	require.Equal(t, http.StatusBadRequest, w.Code)
	require.NoError(t, protojson.Unmarshal(w.Body.Bytes(), &st))

	w = s.otlp(mediaJSON, bytes.Repeat([]byte(`[`), 1<<20))
	require.Equal(t, http.StatusBadRequest, w.Code)

	data, err := otlpRequest(false).MarshalProto()
	require.NoError(t, err)
	for class, want := range map[fault.Class]int{fault.RateLimited: 429, fault.Unavailable: 503, fault.Internal: 503, fault.TooLarge: 413} {
		s.push = func() error { return fault.New(class, errors.New("boom")) }
		w := s.otlp(mediaProtobuf, data)
		require.Equal(t, want, w.Code)
		require.Equal(t, want == 429 || class == fault.Unavailable, w.Header().Get("Retry-After") != "")
	}
}
