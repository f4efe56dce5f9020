package traces

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/block"
)

// shop makes n traces of 14 spans and about 15 attributes a span, like those of an instrumented web
// shop, one every gap nanoseconds: random IDs, a few values per trace, most values per operation.
func shop(n int, gap uint64) []*Trace {
	r := rand.New(rand.NewPCG(1, 2))
	services := []string{"frontend", "cart", "checkout", "payment", "shipping", "catalog", "postgresql"}
	resources := make([]*Resource, len(services))
	for i, name := range services {
		resources[i] = &Resource{ServiceName: name, Attributes: []Attribute{
			{Key: "service.name", Str: name}, {Key: "service.namespace", Str: "shop"}, {Key: "service.version", Str: "1.4.2"},
			{Key: "deployment.environment", Str: "production"}, {Key: "k8s.pod.name", Str: name + "-7d9f8c6b5-x2x9k"}, {Key: "host.name", Str: fmt.Sprintf("node-%d", i%3)}}}
	}
	scope := &Scope{Name: "io.opentelemetry.http", Version: "2.1.0"}
	out := make([]*Trace, n)
	for i := range out {
		t := &Trace{}
		binary.BigEndian.PutUint64(t.ID[:], r.Uint64())
		binary.BigEndian.PutUint64(t.ID[8:], r.Uint64()|1)
		start := genBase + uint64(i)*gap
		user, request := fmt.Sprintf("user-%d", r.IntN(5000)), fmt.Sprintf("%016x", r.Uint64())
		for j := range 14 {
			k := j % len(services)
			s := &Span{Name: fmt.Sprintf("GET /api/%s/%d", services[k], j%3), Kind: Kind(1 + j%5), Start: start + uint64(j)*1e6 + uint64(r.IntN(1e5)),
				Resource: resources[k], Scope: scope, Order: uint32(j)}
			binary.BigEndian.PutUint64(s.ID[:], r.Uint64()|1)
			if j > 0 {
				s.ParentID = t.Spans[(j-1)/2].ID
			}
			s.End = s.Start + uint64(r.IntN(2e8))
			code := int64(200)
			if r.IntN(90) == 0 {
				s.Status, code = StatusError, 500
				s.Events = []Event{{Time: s.End, Name: "exception", Attributes: []Attribute{{Key: "exception.type", Str: "TimeoutError"}}}}
			}
			s.Attributes = []Attribute{{Key: "http.request.method", Str: "GET"}, {Key: "http.route", Str: "/api/" + services[k]},
				{Key: "http.response.status_code", Type: TypeInt, Int: code}, {Key: "url.path", Str: fmt.Sprintf("/api/%s/%d", services[k], r.IntN(300))},
				{Key: "app.user.id", Str: user}, {Key: "app.request.id", Str: request}, {Key: "thread.id", Type: TypeInt, Int: int64(r.IntN(64))},
				{Key: "server.address", Str: services[k]}, {Key: "network.protocol.version", Str: "1.1"}}
			t.Spans = append(t.Spans, s)
		}
		out[i] = t
	}
	return out
}

// request encodes traces as a collector sends them: the spans of one resource together.
func request(traces []*Trace) []byte {
	var rw rewriter
	for _, s := range traces[0].Spans[:7] {
		for _, t := range traces {
			for _, o := range t.Spans {
				if o.Resource == s.Resource {
					_ = rw.span(t.ID, o)
				}
			}
		}
	}
	return rw.finish()
}

func perSpan(b *testing.B, spans int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(spans), "ns/span")
	b.ReportMetric(float64(spans)*float64(b.N)/b.Elapsed().Seconds(), "spans/s")
}

func BenchmarkCheck(b *testing.B) {
	data := request(shop(200, 1e6))
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		_, _, err := Check(data, Limits{})
		require.NoError(b, err)
	}
	perSpan(b, 2800)
}

func BenchmarkDecodeOTLP(b *testing.B) {
	data := request(shop(200, 1e6))
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		_, err := DecodeOTLP(data)
		require.NoError(b, err)
	}
	perSpan(b, 2800)
}

func BenchmarkToOTLP(b *testing.B) {
	traces := shop(200, 1e6)
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = buf[:0]
		for _, t := range traces {
			buf = AppendOTLP(buf, t)
		}
	}
	perSpan(b, 2800)
}

func benchHead(b *testing.B, n int) *Head {
	b.Helper()
	h := NewHead(HeadOptions{})
	traces := shop(n, 10e6)
	for i := 0; i < n; i += 100 {
		_, err := h.Append(&Batch{OTLP: request(traces[i : i+100])})
		require.NoError(b, err)
	}
	return h
}

func BenchmarkHeadAppend(b *testing.B) {
	traces := shop(2000, 10e6)
	var requests [][]byte
	for i := 0; i < len(traces); i += 100 {
		requests = append(requests, request(traces[i:i+100]))
	}
	var h *Head
	b.ReportAllocs()
	for b.Loop() {
		h = NewHead(HeadOptions{})
		for _, r := range requests {
			_, err := h.Append(&Batch{OTLP: r})
			require.NoError(b, err)
		}
	}
	perSpan(b, h.Rows())
	b.ReportMetric(float64(h.Size())/float64(h.Rows()), "B/span")
}

func BenchmarkAppendRecord(b *testing.B) {
	batch := &Batch{OTLP: request(shop(200, 10e6)), Spans: 2800}
	var rec []byte
	b.SetBytes(int64(len(batch.OTLP)))
	b.ReportAllocs()
	for b.Loop() {
		rec = AppendRecord(rec[:0], "tenant", batch)
	}
	perSpan(b, batch.Spans)
	b.ReportMetric(float64(len(rec))/float64(batch.Spans), "B/span")
}

func BenchmarkWriteBlock(b *testing.B) {
	h := benchHead(b, 7000)
	var size int64
	b.ReportAllocs()
	for b.Loop() {
		var err error
		size, _, err = encodeBlock(io.Discard, block.Fast, func(w *blockWriter) error { return h.writeTo(b.Context(), w) })
		require.NoError(b, err)
	}
	perSpan(b, h.Rows())
	b.ReportMetric(float64(size)/float64(h.Rows()), "B/span")
}

// selections are the questions of the select benchmarks.
var selections = map[string]Select{
	"all":          {},
	"absent":       {Conditions: []Condition{{Scope: "span", Key: "app.user.id", Op: "=", Operand: Attribute{Str: "nobody"}}}},
	"needle":       {Conditions: []Condition{{Scope: "span", Key: "app.user.id", Op: "=", Operand: Attribute{Str: "user-78"}}}},
	"slow errors":  {Conditions: []Condition{{Scope: "intrinsic", Key: "status", Op: "=", Operand: Attribute{Type: TypeInt, Int: 2}}, {Scope: "intrinsic", Key: "duration", Op: ">", Operand: Attribute{Type: TypeInt, Int: 199e6}}}, AllConditions: true},
	"by service":   {Conditions: []Condition{{Scope: "resource", Key: "service.name", Op: "=", Operand: Attribute{Str: "nowhere"}}}},
	"short window": {Start: genBase + 10e9, End: genBase + 11e9},
}

func benchPart(b *testing.B, p Part, ids []ID) {
	for name, s := range selections {
		b.Run("select "+name, func(b *testing.B) {
			b.ReportAllocs()
			found := 0
			for b.Loop() {
				found = 0
				for _, err := range p.SelectTraces(b.Context(), s) {
					require.NoError(b, err)
					found++
				}
			}
			b.ReportMetric(float64(found), "traces")
		})
	}
	b.Run("select newest 20", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			n := 0
			for _, err := range p.SelectTraces(b.Context(), Select{}) {
				require.NoError(b, err)
				if n++; n == 20 {
					break
				}
			}
		}
	})
	b.Run("trace by id", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			t, err := p.TraceByID(b.Context(), ids[i%len(ids)])
			require.NoError(b, err)
			require.NotNil(b, t)
		}
	})
	b.Run("absent id", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			t, err := p.TraceByID(b.Context(), ID{1, 2, 3})
			require.NoError(b, err)
			require.Nil(b, t)
		}
	})
}

func benchIDs(b *testing.B, p Part) (ids []ID) {
	for piece, err := range p.Pieces(b.Context()) {
		require.NoError(b, err)
		ids = append(ids, piece.ID)
	}
	return ids
}

func BenchmarkHead(b *testing.B) {
	h := benchHead(b, 7000)
	benchPart(b, h, benchIDs(b, h))
}

func BenchmarkBlock(b *testing.B) {
	p, err := openBytes(blockBytes(b, benchHead(b, 7000)), block.ReaderOptions{})
	require.NoError(b, err)
	benchPart(b, p, benchIDs(b, p))
}
