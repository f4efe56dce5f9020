package traces

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
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
