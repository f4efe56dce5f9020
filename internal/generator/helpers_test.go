package generator

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/value"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/tenant"
	"github.com/hune-io/hune/internal/traces"
)

// No test may leave a goroutine behind. One is started when the client of an object storage is imported, and
// never ends.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/baidubce/bce-sdk-go/util/log.NewLogger.func1"))
}

// recorder keeps what is pushed, by tenant and series.
type recorder struct {
	mu     sync.Mutex
	err    error
	series map[string]*metrics.Series
}

func newRecorder() *recorder { return &recorder{series: map[string]*metrics.Series{}} }

func (r *recorder) PushMetrics(ctx context.Context, b *metrics.Batch) (metrics.PushResult, error) {
	id, err := tenant.FromContext(ctx)
	if err != nil {
		return metrics.PushResult{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return metrics.PushResult{}, r.err
	}
	for _, s := range b.Series {
		key := id + " " + s.Labels.String()
		have := r.series[key]
		if have == nil {
			have = &metrics.Series{Labels: s.Labels}
			r.series[key] = have
		}
		have.Samples = append(have.Samples, s.Samples...)
		have.Histograms = append(have.Histograms, s.Histograms...)
		have.Exemplars = append(have.Exemplars, s.Exemplars...)
		if s.Metadata != nil {
			have.Metadata = s.Metadata
		}
	}
	return metrics.PushResult{}, nil
}

// fail makes pushes fail, or end failing.
func (r *recorder) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

// get returns the only series with a name whose labels hold all those given.
func (r *recorder) get(t *testing.T, name string, pairs ...string) *metrics.Series {
	t.Helper()
	found := r.all(name, pairs...)
	require.Len(t, found, 1, "series %s %q", name, pairs)
	return found[0]
}

func (r *recorder) all(name string, pairs ...string) (found []*metrics.Series) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.series {
		ok := s.Labels.Get("__name__") == name
		for i := 0; i < len(pairs); i += 2 {
			ok = ok && s.Labels.Get(pairs[i]) == pairs[i+1]
		}
		if ok {
			c := *s // more may be pushed while the test looks
			c.Samples, c.Histograms, c.Exemplars = slices.Clone(s.Samples), slices.Clone(s.Histograms), slices.Clone(s.Exemplars)
			found = append(found, &c)
		}
	}
	return found
}

// newest returns the last value of a series.
func newest(s *metrics.Series) float64 { return s.Samples[len(s.Samples)-1].V }

func isStale(s *metrics.Series) bool { return value.IsStaleNaN(newest(s)) }

// dump prints the last values of the series whose names have a prefix, one a line, sorted.
func (r *recorder) dump(prefix string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var lines []string
	for key, s := range r.series {
		if name := s.Labels.Get("__name__"); !strings.HasPrefix(name, prefix) || strings.HasSuffix(name, "_bucket") {
			continue
		}
		_, ls, _ := strings.Cut(key, " ")
		if len(s.Samples) > 0 {
			lines = append(lines, fmt.Sprintf("%s %g", ls, math.Round(newest(s)*1e6)/1e6))
		}
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

// span is a span of a test; times are from its start.
type span struct {
	service    string
	trace, id  uint64
	parent     uint64
	name       string
	kind       traces.Kind
	status     traces.Status
	message    string
	state      string
	took       time.Duration
	ended      time.Time // zero: the clock's time
	attributes []traces.Attribute
	onResource []traces.Attribute
}

func text(key, v string) traces.Attribute { return traces.Attribute{Key: key, Str: v} }

// encode makes one OTLP message of spans.
func encode(t testing.TB, now time.Time, spans ...span) *traces.Batch {
	t.Helper()
	var out []byte
	for _, s := range spans {
		end := s.ended
		if end.IsZero() {
			end = now
		}
		sp := &traces.Span{Name: s.name, Kind: s.kind, Status: s.status, StatusMessage: s.message, TraceState: s.state,
			Start: uint64(end.Add(-s.took).UnixNano()), End: uint64(end.UnixNano()), Attributes: s.attributes}
		tr := &traces.Trace{Spans: []*traces.Span{sp}}
		binary.BigEndian.PutUint64(tr.ID[8:], s.trace)
		binary.BigEndian.PutUint64(sp.ID[:], s.id)
		binary.BigEndian.PutUint64(sp.ParentID[:], s.parent)
		r := &traces.Resource{ServiceName: s.service, Attributes: slices.Clone(s.onResource)}
		if s.service != "" {
			r.Attributes = append([]traces.Attribute{text("service.name", s.service)}, r.Attributes...)
		}
		out = traces.AppendResourceSpans(out, r, &traces.Scope{}, []*traces.Trace{tr})
	}
	b, refused, err := traces.Check(out, traces.Limits{})
	require.NoError(t, err)
	require.Empty(t, refused)
	return &b
}

// start runs a generator in a synctest bubble.
func start(t *testing.T, change func(*limits.Limits), cfg func(*Config)) (*Generator, *recorder, *prometheus.Registry) {
	t.Helper()
	l := limits.DefaultConfig()
	if change != nil {
		change(&l)
	}
	o, err := limits.New(l, nil)
	require.NoError(t, err)
	require.NoError(t, CheckPolicies(&l))
	c := DefaultConfig()
	if cfg != nil {
		cfg(&c)
	}
	r, reg := newRecorder(), prometheus.NewPedanticRegistry()
	g := New(Options{Config: c, Limits: o, Pusher: r, Logger: slog.New(slog.DiscardHandler), Registerer: reg, Now: time.Now})
	require.NoError(t, g.StartAsync(context.Background()))
	require.NoError(t, g.AwaitRunning(context.Background()))
	t.Cleanup(func() { stop(t, g) })
	return g, r, reg
}

// sleep lets time pass in the bubble, and what is due happen.
func sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func stop(t *testing.T, g *Generator) {
	t.Helper()
	g.StopAsync()
	require.NoError(t, g.AwaitTerminated(context.Background()))
}

func reader(s string) *strings.Reader { return strings.NewReader(s) }

// gathered returns the sum of a metric of the generator about itself.
func gathered(t *testing.T, reg *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// tenants is how many tenants have counters.
func tenants(g *Generator) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.tenants)
}
