package otlp

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/limits"
)

const (
	pb = "application/x-protobuf"
	js = "application/json"
)

type request interface {
	MarshalProto() ([]byte, error)
	MarshalJSON() ([]byte, error)
}

func encode(t testing.TB, r request, contentType string) []byte {
	t.Helper()
	marshal := r.MarshalProto
	if contentType == js {
		marshal = r.MarshalJSON
	}
	data, err := marshal()
	require.NoError(t, err)
	return data
}

func post(h *Handler, path, contentType, contentEncoding string, data []byte) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(data)).WithContext(as("t1"))
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Content-Encoding", contentEncoding)
	w := httptest.NewRecorder()
	h.Routes()[path].ServeHTTP(w, r)
	return w
}

// partial decodes the answer of any signal.
func partial(t *testing.T, path, contentType string, data []byte) (rejected int64, message string) {
	t.Helper()
	decode := func(fromProto, fromJSON func([]byte) error) {
		if contentType == js {
			require.NoError(t, fromJSON(data))
			return
		}
		require.NoError(t, fromProto(data))
	}
	switch {
	case strings.HasSuffix(path, "metrics"):
		m := pmetricotlp.NewExportResponse()
		decode(m.UnmarshalProto, m.UnmarshalJSON)
		return m.PartialSuccess().RejectedDataPoints(), m.PartialSuccess().ErrorMessage()
	case strings.HasSuffix(path, "logs"):
		m := plogotlp.NewExportResponse()
		decode(m.UnmarshalProto, m.UnmarshalJSON)
		return m.PartialSuccess().RejectedLogRecords(), m.PartialSuccess().ErrorMessage()
	}
	m := ptraceotlp.NewExportResponse()
	decode(m.UnmarshalProto, m.UnmarshalJSON)
	return m.PartialSuccess().RejectedSpans(), m.PartialSuccess().ErrorMessage()
}

func statusOf(t *testing.T, w *httptest.ResponseRecorder) *status.Status {
	t.Helper()
	var s status.Status
	switch w.Header().Get("Content-Type") {
	case js:
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &s))
	case pb:
		require.NoError(t, proto.Unmarshal(w.Body.Bytes(), &s))
	default:
		t.Fatalf("content type %q", w.Header().Get("Content-Type"))
	}
	return &s
}

func requestsByPath(bad bool) map[string]request {
	return map[string]request{
		"/v1/metrics": metricsRequestOf(bad), "/otlp/v1/metrics": metricsRequestOf(bad), "/api/v1/otlp/v1/metrics": metricsRequestOf(bad),
		"/v1/logs": logsRequestOf(bad), "/v1/traces": tracesRequestOf(bad), "/otlp/v1/traces": tracesRequestOf(bad),
	}
}

func TestHTTP(t *testing.T) {
	for path := range requestsByPath(false) {
		for _, contentType := range []string{pb, js, "application/json; charset=utf-8"} {
			t.Run(path+" "+contentType, func(t *testing.T) {
				h, s := newHandler(t, nil)
				plain, _, _ := strings.Cut(contentType, ";")
				w := post(h, path, contentType, "", encode(t, requestsByPath(false)[path], plain))
				require.Equal(t, 200, w.Code, w.Body)
				require.Equal(t, plain, w.Header().Get("Content-Type"))
				rejected, _ := partial(t, path, plain, w.Body.Bytes())
				require.Zero(t, rejected)
				require.Equal(t, 1, s.samples+s.entries+s.spans)
				require.Equal(t, map[string]int{"t1": 1}, s.tenants)

				w = post(h, path, contentType, "", encode(t, requestsByPath(true)[path], plain))
				require.Equal(t, 200, w.Code, w.Body)
				rejected, message := partial(t, path, plain, w.Body.Bytes())
				require.EqualValues(t, 1, rejected)
				require.NotEmpty(t, message)
				require.Equal(t, 2, s.samples+s.entries+s.spans)

				w = post(h, path, contentType, "", nil)
				require.Equal(t, 200, w.Code, "an empty body is an empty request")
				require.Equal(t, 2, s.samples+s.entries+s.spans)
			})
		}
	}
}

func TestLokiLogsPath(t *testing.T) {
	h, s := newHandler(t, nil)
	w := post(h, "/otlp/v1/logs", pb, "", encode(t, logsRequestOf(false), pb))
	require.Equal(t, 204, w.Code)
	require.Empty(t, w.Body.Bytes())
	require.Equal(t, 1, s.entries)
	w = post(h, "/otlp/v1/logs", pb, "", encode(t, logsRequestOf(true), pb))
	require.Equal(t, 200, w.Code, "a partial success has something to say")
}

func TestTracesGoOnAsTheyCame(t *testing.T) {
	h, s := newHandler(t, nil)
	data := encode(t, tracesRequestOf(false), pb)
	data = append(data, 0x7a, 1, 'x') // an unknown field, which a decoder would lose
	require.Equal(t, 200, post(h, "/v1/traces", pb, "", data).Code)
	require.Equal(t, data, s.otlp)
}

func TestContentEncodings(t *testing.T) {
	data := encode(t, logsRequestOf(false), pb)
	compress := map[string]func(io.Writer) io.WriteCloser{
		"gzip": func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
		"zstd": func(w io.Writer) io.WriteCloser { z, _ := zstd.NewWriter(w); return z },
		"deflate": func(w io.Writer) io.WriteCloser {
			z, _ := flate.NewWriter(w, 1)
			return z
		},
		"snappy": func(w io.Writer) io.WriteCloser { return snappy.NewBufferedWriter(w) },
	}
	for name, writer := range compress {
		h, s := newHandler(t, nil)
		var buf bytes.Buffer
		w := writer(&buf)
		_, err := w.Write(data)
		require.NoError(t, err)
		require.NoError(t, w.Close())
		rec := post(h, "/v1/logs", pb, name, buf.Bytes())
		require.Equal(t, 200, rec.Code, "%s: %s", name, rec.Body)
		require.Equal(t, 1, s.entries)
	}
}

func TestHTTPErrors(t *testing.T) {
	var bomb bytes.Buffer
	zw := gzip.NewWriter(&bomb)
	_, err := zw.Write(make([]byte, 130<<20))
	require.NoError(t, err)
	require.NoError(t, zw.Close())
	tenMB := logsRequestOf(false)
	tenMB.Logs().ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).Body().SetStr(strings.Repeat("x", 10<<20))
	for name, c := range map[string]struct {
		path, contentType, encoding string
		body                        []byte
		status                      int
		code                        codes.Code
		text                        string
	}{
		"malformed protobuf":     {"/v1/logs", pb, "", []byte("\x0a\xff"), 400, codes.InvalidArgument, "malformed OTLP logs protobuf"},
		"malformed traces":       {"/v1/traces", pb, "", []byte("\x0a\xff"), 400, codes.InvalidArgument, "malformed OTLP traces"},
		"malformed metrics":      {"/v1/metrics", pb, "", []byte("\x0a\xff"), 400, codes.InvalidArgument, "malformed OTLP metrics"},
		"malformed JSON":         {"/v1/logs", js, "", []byte(`{"resourceLogs":[{]}`), 400, codes.InvalidArgument, "malformed OTLP logs JSON"},
		"JSON that is not UTF-8": {"/v1/traces", js, "", []byte("\"\xff\xfe"), 400, codes.InvalidArgument, "malformed OTLP traces JSON"},
		"bad trace ID":           {"/v1/traces", js, "", []byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"zz"}]}]}]}`), 400, codes.InvalidArgument, "malformed"},
		"nested":                 {"/v1/logs", js, "", bytes.Repeat([]byte("["), 1<<20), 400, codes.InvalidArgument, "nested more than 64 levels"},
		"content type":           {"/v1/logs", "text/plain", "", nil, 415, codes.InvalidArgument, `unsupported Content-Type "text/plain"`},
		"no content type":        {"/v1/logs", "", "", nil, 415, codes.InvalidArgument, "unsupported Content-Type"},
		"encoding":               {"/v1/logs", pb, "br", []byte("x"), 415, codes.InvalidArgument, `unsupported Content-Encoding "br"`},
		"not gzip":               {"/v1/logs", pb, "gzip", []byte("x"), 400, codes.InvalidArgument, "decode gzip request body"},
		"gzip bomb":              {"/v1/logs", pb, "gzip", bomb.Bytes(), 413, codes.ResourceExhausted, "decompressed request body is larger than the limit"},
		"too large":              {"/v1/logs", pb, "", make([]byte, 33<<20), 413, codes.ResourceExhausted, "request body is larger than the limit"},
		"nothing stored":         {"/v1/logs", js, "", encode(t, tenMB, js), 400, codes.InvalidArgument, "max entry size '262144' bytes exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			h, s := newHandler(t, nil)
			w := post(h, c.path, c.contentType, c.encoding, c.body)
			require.Equal(t, c.status, w.Code, w.Body)
			st := statusOf(t, w)
			require.Equal(t, c.code, codes.Code(st.GetCode()))
			require.Contains(t, st.GetMessage(), c.text)
			require.Less(t, w.Body.Len(), 1024)
			require.Empty(t, s.tenants)
			if c.contentType == pb {
				require.Equal(t, pb, w.Header().Get("Content-Type"))
			}
		})
	}
}

func TestHTTPBackpressure(t *testing.T) {
	for name, c := range map[string]struct {
		err        error
		status     int
		retryAfter string
	}{
		"rate":     {&fault.Error{Class: fault.RateLimited, RetryAfter: 1200 * time.Millisecond, Err: errors.New("x")}, 429, "2"},
		"full":     {&fault.Error{Class: fault.Unavailable, RetryAfter: time.Second, Err: errors.New("x")}, 503, "1"},
		"internal": {errors.New("disk on fire"), 503, ""},
	} {
		t.Run(name, func(t *testing.T) {
			for path, req := range requestsByPath(false) {
				h, s := newHandler(t, nil)
				s.err = c.err
				w := post(h, path, pb, "", encode(t, req, pb))
				require.Equal(t, c.status, w.Code)
				require.Equal(t, c.retryAfter, w.Header().Get("Retry-After"))
				require.Equal(t, c.err.Error(), statusOf(t, w).GetMessage())
			}
		})
	}
}

func TestHTTPMethodAndTenant(t *testing.T) {
	h, _ := newHandler(t, nil)
	w := httptest.NewRecorder()
	h.ServeLogs(w, httptest.NewRequest(http.MethodGet, "/v1/logs", nil))
	require.Equal(t, 405, w.Code)
	require.Equal(t, "POST", w.Header().Get("Allow"))

	w = httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "/v1/logs", bytes.NewReader(encode(t, logsRequestOf(false), pb)))
	r.Header.Set("Content-Type", pb)
	h.ServeLogs(w, r)
	require.Equal(t, 400, w.Code)
	require.Contains(t, statusOf(t, w).GetMessage(), "no org id")
}

func FuzzHTTP(f *testing.F) {
	for path, req := range requestsByPath(true) {
		f.Add(path, true, encode(f, req, pb))
		f.Add(path, false, encode(f, req, js))
	}
	h, _ := newHandler(f, func(l *limits.Limits) { l.CreationGracePeriod = 0 })
	f.Fuzz(func(t *testing.T, path string, proto bool, data []byte) {
		if h.Routes()[path] == nil {
			path = "/v1/metrics"
		}
		contentType := js
		if proto {
			contentType = pb
		}
		w := post(h, path, contentType, "", data)
		switch w.Code {
		case 200, 204:
		case 400:
			require.NotEmpty(t, statusOf(t, w).GetMessage())
		default:
			t.Fatalf("status %d: %s", w.Code, w.Body)
		}
	})
}
