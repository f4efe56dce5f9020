package generator

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/traces"
)

// shop makes requests of 50 traces as a busy service mesh sends them: 14 spans a trace in 12 services of 4
// instances, 15 attributes a span, 10 a resource.
func shop(b *testing.B, r *rand.Rand, now time.Time) *traces.Batch {
	b.Helper()
	const services, perTrace, atOnce = 12, 14, 50
	byService := [services * 4][]*traces.Trace{}
	for range atOnce {
		var id traces.ID
		binary.BigEndian.PutUint64(id[8:], r.Uint64()|1)
		pod := r.IntN(4)
		var parent traces.SpanID
		for i := range perTrace {
			s := &traces.Span{ParentID: parent, Name: fmt.Sprintf("GET /api/v1/resource-%d", i), Kind: traces.KindClient,
				Start: uint64(now.Add(-time.Duration(r.IntN(1e9))).UnixNano()), End: uint64(now.UnixNano())}
			binary.BigEndian.PutUint64(s.ID[:], r.Uint64()|1)
			if i%2 == 0 {
				s.Kind = traces.KindServer
			}
			if i%5 == 4 {
				s.Kind = traces.KindInternal
			}
			for a := range 15 {
				s.Attributes = append(s.Attributes, text(fmt.Sprintf("http.request.header.%d", a), fmt.Sprintf("value-%d", r.IntN(1000))))
			}
			parent = s.ID
			at := i/2%services*4 + pod
			byService[at] = append(byService[at], &traces.Trace{ID: id, Spans: []*traces.Span{s}})
		}
	}
	var out []byte
	for i, ts := range byService {
		if len(ts) == 0 {
			continue
		}
		res := &traces.Resource{Attributes: []traces.Attribute{text("service.name", fmt.Sprintf("service-%d", i/4)), text("service.instance.id", fmt.Sprint(i))}}
		for a := range 8 {
			res.Attributes = append(res.Attributes, text(fmt.Sprintf("k8s.something.%d", a), fmt.Sprintf("some-value-%d", i)))
		}
		out = traces.AppendResourceSpans(out, res, &traces.Scope{Name: "io.opentelemetry.http"}, ts)
	}
	batch, _, err := traces.Check(out, traces.Limits{})
	require.NoError(b, err)
	return &batch
}

func benchState(b *testing.B, change func(*limits.Limits)) (*state, []*batch, int) {
	l := limits.DefaultConfig()
	if change != nil {
		change(&l)
	}
	now := time.Now()
	s := newState("a", &l, now, newMeters(prometheus.NewRegistry(), newQueue(1)), nil, newOutbox())
	r := rand.New(rand.NewPCG(1, 2))
	var batches []*batch
	spans := 0
	for range 8 {
		t := shop(b, r, now)
		batches = append(batches, &batch{tenant: "a", received: now, spans: t.Spans, otlp: t.OTLP})
		spans += t.Spans
	}
	return s, batches, spans / 8
}

// BenchmarkConsume is what a span costs behind the queue.
func BenchmarkConsume(b *testing.B) {
	for _, c := range []struct {
		name   string
		change func(*limits.Limits)
	}{
		{"defaults", nil},
		{"three dimensions", func(l *limits.Limits) {
			l.Traces.Generator.SpanMetrics.Dimensions = []string{"k8s.something.1", "http.request.header.no", "http.method"}
		}},
		{"native", func(l *limits.Limits) { l.Traces.Generator.Histograms = "native" }},
		{"span metrics alone", func(l *limits.Limits) { l.Traces.Generator.ServiceGraphs.Enabled = false }},
	} {
		b.Run(c.name, func(b *testing.B) {
			s, batches, spans := benchState(b, c.change)
			b.ReportAllocs()
			i, before := 0, cpu()
			for b.Loop() {
				if err, ok := s.consume(batches[i%len(batches)]); err != nil || !ok {
					b.Fatal(err)
				}
				i++
			}
			b.ReportMetric(float64(cpu()-before)/float64(b.N*spans), "cpu-ns/span")
		})
	}
}

// BenchmarkObserve is what a span costs the write that brings it.
func BenchmarkObserve(b *testing.B) {
	_, batches, spans := benchState(b, nil)
	q := newQueue(1 << 30)
	t := &traces.Batch{OTLP: batches[0].otlp, Spans: batches[0].spans}
	b.ReportAllocs()
	before := cpu()
	for b.Loop() {
		if !q.put("a", time.Time{}, t) {
			b.Fatal("full")
		}
		q.release(<-q.batches)
	}
	b.ReportMetric(float64(cpu()-before)/float64(b.N*spans), "cpu-ns/span")
}

// cpu is the processor time that the process has used, which a busy machine doesn't change.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
