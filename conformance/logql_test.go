package conformance

import (
	"cmp"
	"context"
	"iter"
	"log/slog"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/api/loki"
	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/frontend"
	"github.com/hune-io/hune/internal/job"
	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/logs/logql"
	"github.com/hune-io/hune/internal/tenant"
	"github.com/hune-io/hune/internal/traces/traceql"
)

// logqlMemory is the plainest logs.Source there can be: all rows in one sorted list. It takes writes
// as the distributor does.
type logqlMemory struct {
	enricher *logs.Enricher
	rows     []memoryRow
	seen     map[string]bool
	sorted   bool
}

type memoryRow struct {
	labels labels.Labels
	entry  logs.Entry
	seq    int
}

func newLogQLMemory() *logqlMemory {
	return &logqlMemory{enricher: logs.NewEnricher(logs.DefaultEnrichOptions()), seen: map[string]bool{}}
}

func (m *logqlMemory) PushLogs(_ context.Context, b *logs.Batch) (logs.PushResult, error) {
	m.sorted = false
	var res logs.PushResult
	for i := range b.Streams {
		s := &b.Streams[i]
		m.enricher.Stream(s)
		for _, e := range s.Entries {
			e.Line = string([]byte(e.Line))
			key := s.Labels.String() + "\x00" + time.Unix(0, e.Timestamp).String() + "\x00" + e.Line
			md := make([]logs.Label, len(e.Metadata))
			for i, l := range e.Metadata {
				md[i] = logs.Label{Name: string([]byte(l.Name)), Value: string([]byte(l.Value))}
				key += "\x00" + l.Name + "\x01" + l.Value
			}
			e.Metadata = md
			if !m.seen[key] {
				m.seen[key] = true
				m.rows = append(m.rows, memoryRow{s.Labels, e, len(m.rows)})
			}
			res.Entries++
		}
	}
	return res, nil
}

func (m *logqlMemory) sort() {
	if m.sorted {
		return
	}
	m.sorted = true
	slices.SortFunc(m.rows, func(a, b memoryRow) int {
		return cmp.Or(cmp.Compare(a.entry.Timestamp, b.entry.Timestamp), labels.Compare(a.labels, b.labels), cmp.Compare(a.seq, b.seq))
	})
}

func compileMatchers(t []logs.Matcher) []*labels.Matcher {
	out := make([]*labels.Matcher, 0, len(t))
	for _, m := range t {
		out = append(out, labels.MustNewMatcher(m.Type, m.Name, m.Value))
	}
	return out
}

func matchesAll(ms []*labels.Matcher, ls labels.Labels) bool {
	for _, m := range ms {
		if !m.Matches(ls.Get(m.Name)) {
			return false
		}
	}
	return true
}

func (m *logqlMemory) SelectRows(_ context.Context, _ string, s logs.Select) iter.Seq2[*logs.Rows, error] {
	m.sort()
	ms := compileMatchers(s.Matchers)
	return func(yield func(*logs.Rows, error) bool) {
		batch := &logs.Rows{}
		send := func() bool {
			ok := len(batch.Lines) == 0 || yield(batch, nil)
			*batch = logs.Rows{}
			return ok
		}
		for i := range m.rows {
			r := &m.rows[i]
			if s.Direction == logs.Backward {
				r = &m.rows[len(m.rows)-1-i]
			}
			if r.entry.Timestamp < s.Start || r.entry.Timestamp >= s.End || !matchesAll(ms, r.labels) || !s.Shard.Has(r.labels) {
				continue
			}
			batch.Streams = append(batch.Streams, r.labels)
			batch.Stream = append(batch.Stream, uint32(len(batch.Stream)))
			batch.Timestamps = append(batch.Timestamps, r.entry.Timestamp)
			batch.Lines = append(batch.Lines, []byte(r.entry.Line))
			batch.Metadata = append(batch.Metadata, r.entry.Metadata)
			if len(batch.Lines) == 500 && !send() {
				return
			}
		}
		send()
	}
}

func (m *logqlMemory) Scan(ctx context.Context, tenant string, s logs.Select, visit func(context.Context, *logs.Page) error) error {
	s.Direction = logs.Forward
	return logs.ScanRows(ctx, s, m.SelectRows(ctx, tenant, s), visit)
}

func (m *logqlMemory) Extents(ctx context.Context, tenant string, start, end int64, ms []logs.Matcher) ([]logs.Extent, error) {
	found, err := m.Series(ctx, tenant, start, end, [][]logs.Matcher{ms})
	out := make([]logs.Extent, len(found))
	for i, ls := range found {
		out[i] = logs.Extent{Labels: ls, Oldest: start, Newest: end}
	}
	return out, err
}

func (m *logqlMemory) Estimate(_ context.Context, _ string, s logs.Select) (logs.Estimate, error) {
	ms := compileMatchers(s.Matchers)
	var e logs.Estimate
	for _, r := range m.rows {
		if r.entry.Timestamp >= s.Start && r.entry.Timestamp < s.End && matchesAll(ms, r.labels) && s.Shard.Has(r.labels) {
			e.Rows++
			e.Bytes += int64(len(r.entry.Line))
		}
	}
	return e, nil
}

func (m *logqlMemory) Series(_ context.Context, _ string, start, end int64, sets [][]logs.Matcher) ([]labels.Labels, error) {
	found := map[string]labels.Labels{}
	for _, r := range m.rows {
		if r.entry.Timestamp < start || r.entry.Timestamp >= end {
			continue
		}
		ok := len(sets) == 0
		for _, ms := range sets {
			ok = ok || matchesAll(compileMatchers(ms), r.labels)
		}
		if ok {
			found[r.labels.String()] = r.labels
		}
	}
	out := make([]labels.Labels, 0, len(found))
	for _, ls := range found {
		out = append(out, ls)
	}
	slices.SortFunc(out, labels.Compare)
	return out, nil
}

// Volume adds up single rows, stream by stream and group by group.
func (m *logqlMemory) Volume(_ context.Context, _ string, q logs.VolumeQuery) ([]logs.Volume, error) {
	ms := compileMatchers(q.Matchers)
	found := map[string]*logs.Volume{}
	for _, r := range m.rows {
		if r.entry.Timestamp < q.Start || r.entry.Timestamp >= q.End || !matchesAll(ms, r.labels) {
			continue
		}
		size := int64(len(r.entry.Line))
		for _, l := range r.entry.Metadata {
			size += int64(len(l.Value))
			if l.Name != logs.DetectedLevel {
				size += int64(len(l.Name))
			}
		}
		for _, group := range volumeGroups(&q, r.labels) {
			if q.Only != nil && !slices.ContainsFunc(q.Only, func(ls labels.Labels) bool { return labels.Equal(ls, group) }) {
				continue
			}
			v := found[group.String()]
			if v == nil {
				v = &logs.Volume{Labels: group, Pages: 1}
				found[group.String()] = v
			}
			v.Entries++
			v.Bytes += size
			if q.Step > 0 {
				step := int((r.entry.Timestamp - q.Start) / q.Step)
				v.Steps = append(v.Steps, make([]int64, max(step+1-len(v.Steps), 0))...)
				v.Steps[step] += size
			}
		}
	}
	out := make([]logs.Volume, 0, len(found))
	for _, v := range found {
		out = append(out, *v)
	}
	return out, nil
}

// volumeGroups returns the groups that a stream counts for.
func volumeGroups(q *logs.VolumeQuery, ls labels.Labels) (out []labels.Labels) {
	switch q.Groups {
	case logs.GroupLabels:
		return []labels.Labels{labels.NewBuilder(ls).Keep(q.By...).Labels()}
	case logs.GroupNames:
		ls.Range(func(l labels.Label) {
			if len(q.By) == 0 || slices.Contains(q.By, l.Name) {
				b := labels.NewScratchBuilder(1)
				b.Add(l.Name, "")
				out = append(out, b.Labels())
			}
		})
		return out
	}
	return []labels.Labels{ls}
}

// logqlRunner runs jobs on one source without a network in between.
type logqlRunner struct {
	engine *logql.Engine
	source logs.Source
}

func (r logqlRunner) Run(ctx context.Context, j job.Job) (job.Result, error) {
	res, err := r.engine.Run(ctx, j.Tenant, j.Logs, r.source)
	return job.Result{Logs: res}, err
}

// fixedSplit cuts every query that can be cut into the same number of jobs.
type fixedSplit struct {
	*logql.Engine
	split logql.Split
}

func (f fixedSplit) Coordinate(ctx context.Context, tenant string, q *logs.Query, _ logql.Split, ask logql.Ask) (*logs.Result, error) {
	return f.Engine.Coordinate(ctx, tenant, q, f.split, ask)
}

// logqlServer is the API over source, with the limits of the recorded server. With a split queries go through a
// frontend.
func logqlServer(t testing.TB, source logs.Source, pusher loki.Pusher, split logql.Split) http.Handler {
	engine := logql.NewEngine(logql.Options{Limits: func(string) logql.Limits {
		return logql.Limits{MaxLength: 721 * time.Hour}
	}})
	var runner job.Runner = logqlRunner{engine, source}
	if split.MaxJobs > 0 {
		l := limits.DefaultConfig()
		l.Queries.Timeout = 0
		overrides, err := limits.New(l, nil)
		if err != nil {
			t.Fatal(err)
		}
		runner = frontend.New(frontend.Options{Config: frontend.DefaultConfig(), Next: runner, Logs: fixedSplit{engine, split}, Traces: traceql.NewEngine(traceql.Options{}), Limits: overrides,
			Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: time.Now})
	}
	h := loki.New(loki.Options{Runner: runner, Pusher: pusher})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(tenant.NewContext(r.Context(), tenant.Anonymous)))
	})
}

// logqlHeads takes writes into heads as an ingester does; every that many entries a new head begins.
type logqlHeads struct {
	enricher *logs.Enricher
	every    int
	heads    []*logs.Head
	parts    []logs.Part // what answers; set when all is written
}

func (h *logqlHeads) PushLogs(_ context.Context, b *logs.Batch) (logs.PushResult, error) {
	if n := len(h.heads); n == 0 || h.heads[n-1].Rows() >= h.every {
		h.heads = append(h.heads, logs.NewHead(logs.HeadOptions{}))
	}
	for i := range b.Streams {
		h.enricher.Stream(&b.Streams[i])
	}
	res := h.heads[len(h.heads)-1].Append(b)
	return logs.PushResult{Entries: res.Added}, nil
}

func (h *logqlHeads) source() logs.Source {
	return logs.NewSource(func(context.Context, string, int64, int64) ([]logs.Part, error) { return h.parts, nil })
}

// dataFile reads ranges of a block's data file.
type dataFile struct{ *os.File }

func (f dataFile) ReadRange(_ context.Context, _ string, off, n int64) ([]byte, error) {
	buf := make([]byte, n)
	_, err := f.ReadAt(buf, off)
	return buf, err
}

// logqlBlock writes a head as a block and opens it.
func logqlBlock(t *testing.T, h *logs.Head) *logs.Block {
	t.Helper()
	dir := t.TempDir()
	meta := &block.Meta{ULID: ulid.MustParse("01J00000000000000000000000"), Tenant: tenant.Anonymous, Producer: "test", Created: time.Unix(1, 0)}
	if err := h.WriteBlock(t.Context(), dir, meta); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(dir, block.DataFile))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	r, err := block.Open(t.Context(), dataFile{f}, f.Name(), meta.Data.Size, block.ReaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := logs.OpenBlock(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestLogQLStored replays the corpus over a head, a block, and blocks with a head, and through a frontend that
// cuts queries by time and by streams.
func TestLogQLStored(t *testing.T) {
	for _, c := range []struct {
		name   string
		every  int
		blocks func(n int) int // how many of n heads become blocks
		split  logql.Split
	}{
		{"head", math.MaxInt, func(int) int { return 0 }, logql.Split{}},
		{"block", math.MaxInt, func(int) int { return 1 }, logql.Split{}},
		{"blocks and head", 9000, func(n int) int { return n - 1 }, logql.Split{}},
		{"head, frontend, 1 shard", math.MaxInt, func(int) int { return 0 }, logql.Split{Pieces: 1, Shards: 1, MaxJobs: 4}},
		{"block, frontend, 5 pieces of 7 shards", math.MaxInt, func(int) int { return 1 }, logql.Split{Pieces: 5, Shards: 7, MaxJobs: 4}},
		{"blocks and head, frontend, 7 shards", 9000, func(n int) int { return n - 1 }, logql.Split{Pieces: 1, Shards: 7, MaxJobs: 4}},
	} {
		t.Run(c.name, func(t *testing.T) {
			heads := &logqlHeads{enricher: logs.NewEnricher(logs.DefaultEnrichOptions()), every: c.every}
			target := Handler(logqlServer(t, heads.source(), heads, c.split))
			if err := LogQLLoad(target); err != nil {
				t.Fatal(err)
			}
			n := c.blocks(len(heads.heads))
			for i, h := range heads.heads {
				if i < n {
					heads.parts = append(heads.parts, logqlBlock(t, h))
				} else {
					heads.parts = append(heads.parts, h)
				}
			}
			LogQLCheck(t, target)
		})
	}
}

// TestLogQL replays what Loki answered against the engine over a plain list of rows.
func TestLogQL(t *testing.T) {
	memory := newLogQLMemory()
	target := Handler(logqlServer(t, memory, memory, logql.Split{}))
	if err := LogQLLoad(target); err != nil {
		t.Fatal(err)
	}
	if len(memory.rows) != 26_526 {
		t.Fatalf("loaded %d entries, want 26526", len(memory.rows))
	}
	LogQLCheck(t, target)
}
