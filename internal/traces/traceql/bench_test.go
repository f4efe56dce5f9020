package traceql

import (
	"context"
	"fmt"
	"testing"

	"github.com/hune-io/hune/internal/traces"
)

func BenchmarkParse(b *testing.B) {
	for _, q := range []string{
		`{ }`,
		`{ resource.service.name = "checkout" && span.http.response.status_code >= 500 && duration > 1.5s }`,
		`{ .a = "x" } >> ({ .b } && { kind = server }) | by(resource.service.name) | avg(duration) > 300ms | select(span.c)`,
		`{ status = error } | quantile_over_time(duration, .5, .9, .99) by (resource.service.name, name) | topk(10)`,
	} {
		b.Run(fmt.Sprintf("%d bytes", len(q)), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// benchSource has n traces of 10 spans with 12 attributes each.
func benchSource(n int) *memory {
	m := &memory{}
	services := []string{"edge", "shop", "cart", "db"}
	resources := make([]*traces.Resource, len(services))
	for i, s := range services {
		resources[i] = &traces.Resource{ServiceName: s, Attributes: []traces.Attribute{
			{Key: "service.name", Str: s}, {Key: "region", Str: "eu"}, {Key: "process.pid", Type: traces.TypeInt, Int: int64(i)},
		}}
	}
	scope := &traces.Scope{Name: "http"}
	for i := range n {
		t := &traces.Trace{}
		t.ID[15], t.ID[14], t.ID[13] = byte(i), byte(i>>8), byte(i>>16)
		for k := range 10 {
			s := &traces.Span{
				ID: traces.SpanID{byte(k + 1)}, Order: uint32(k), Name: fmt.Sprintf("op-%d", k), Kind: traces.Kind(1 + k%5), Scope: scope,
				Resource: resources[k%4], Start: epoch + uint64(i)*1e6 + uint64(k)*1e4, Status: traces.Status(2 * (1 - min(1, (i+k)%50))),
			}
			s.End = s.Start + uint64(1000+i%977)*uint64(k+1)
			if k > 0 {
				s.ParentID = traces.SpanID{byte(k/2 + 1)}
			}
			for a := range 9 {
				s.Attributes = append(s.Attributes, traces.Attribute{Key: fmt.Sprintf("attr.%d", a), Type: traces.TypeInt, Int: int64(i % (a + 2))})
			}
			t.Spans = append(t.Spans, s)
		}
		m.list = append(m.list, t)
	}
	return m
}

func BenchmarkEngine(b *testing.B) {
	const n = 10_000
	source := benchSource(n)
	engine := NewEngine(Options{})
	for _, c := range []struct{ name, expr string }{
		{"all", `{ }`},
		{"service", `{ resource.service.name = "nope" }`},
		{"last attribute", `{ span.attr.8 = 77 }`},
		{"regex", `{ name =~ "op-9.+" }`},
		{"structural", `{ name = "op-1" } >> { span.attr.8 = 77 }`},
		{"rate by", `{ } | rate() by (resource.service.name)`},
		{"quantile", `{ } | quantile_over_time(duration, .99) by (name)`},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			q := &traces.Query{Kind: traces.Search, Expr: c.expr, Start: epoch, End: epoch + n*1e6, Limit: 20}
			if c.name == "rate by" || c.name == "quantile" {
				q.Kind, q.Step = traces.MetricsRange, n*1e6/100
			}
			if c.name == "all" {
				q.Limit = n
			}
			spans := int64(0)
			for b.Loop() {
				res, err := engine.Run(context.Background(), "t", q, source)
				if err != nil {
					b.Fatal(err)
				}
				spans += res.Inspected.Spans
			}
			b.ReportMetric(float64(spans)/b.Elapsed().Seconds()/1e6, "Mspans/s")
		})
	}
}
