package logql

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/logs"
)

// memory is a source over a list of rows. It yields small batches whose memory is overwritten when
// the sequence moves on, so that an engine that keeps what it must copy is found out.
type memory struct {
	rows  []row
	batch int
	limit int // rows handed out in the last SelectRows
}

type row struct {
	labels   labels.Labels
	ts       int64
	line     string
	metadata []logs.Label
}

func (m *memory) add(ls labels.Labels, ts int64, line string, md ...logs.Label) {
	m.rows = append(m.rows, row{ls, ts, line, md})
}

func (m *memory) match(r *row, start, end int64, ms []logs.Matcher) bool {
	if r.ts < start || r.ts >= end {
		return false
	}
	for _, x := range ms {
		if !labels.MustNewMatcher(x.Type, x.Name, x.Value).Matches(r.labels.Get(x.Name)) {
			return false
		}
	}
	return true
}

func (m *memory) SelectRows(_ context.Context, _ string, s logs.Select) iter.Seq2[*logs.Rows, error] {
	rows := slices.Clone(m.rows)
	slices.SortStableFunc(rows, func(a, b row) int { return cmp.Or(cmp.Compare(a.ts, b.ts), labels.Compare(a.labels, b.labels)) })
	if s.Direction == logs.Backward {
		slices.Reverse(rows)
	}
	return func(yield func(*logs.Rows, error) bool) {
		m.limit = 0
		out := &logs.Rows{}
		send := func() bool {
			if len(out.Lines) == 0 {
				return true
			}
			ok := yield(out, nil)
			for _, l := range out.Lines {
				for i := range l {
					l[i] = '!'
				}
			}
			*out = logs.Rows{}
			return ok
		}
		for i := range rows {
			r := &rows[i]
			if !m.match(r, s.Start, s.End, s.Matchers) || !s.Shard.Has(r.labels) {
				continue
			}
			m.limit++
			out.Streams = append(out.Streams, r.labels)
			out.Stream = append(out.Stream, uint32(len(out.Stream)))
			out.Timestamps = append(out.Timestamps, r.ts)
			out.Lines = append(out.Lines, []byte(r.line))
			out.Metadata = append(out.Metadata, r.metadata)
			if len(out.Lines) >= max(m.batch, 1) && !send() {
				return
			}
		}
		send()
	}
}

func (m *memory) Series(_ context.Context, _ string, start, end int64, sets [][]logs.Matcher) ([]labels.Labels, error) {
	found := map[string]labels.Labels{}
	for i := range m.rows {
		for _, ms := range append(sets, nil)[:max(len(sets), 1)] {
			if m.match(&m.rows[i], start, end, ms) {
				found[m.rows[i].labels.String()] = m.rows[i].labels
			}
		}
	}
	var out []labels.Labels
	for _, ls := range found {
		out = append(out, ls)
	}
	slices.SortFunc(out, labels.Compare)
	return out, nil
}

// Volume sums single rows.
func (m *memory) Volume(_ context.Context, _ string, q logs.VolumeQuery) ([]logs.Volume, error) {
	found := map[string]*logs.Volume{}
	for i := range m.rows {
		r := &m.rows[i]
		if !m.match(r, q.Start, q.End, q.Matchers) {
			continue
		}
		for _, group := range groupsOf(&q, r.labels) {
			if q.Only != nil && !slices.ContainsFunc(q.Only, func(o labels.Labels) bool { return labels.Equal(o, group) }) {
				continue
			}
			v := found[group.String()]
			if v == nil {
				v = &logs.Volume{Labels: group}
				found[group.String()] = v
			}
			v.Entries++
			v.Bytes += int64(len(r.line))
			if q.Step > 0 {
				for len(v.Steps) <= int((r.ts-q.Start)/q.Step) {
					v.Steps = append(v.Steps, 0)
				}
				v.Steps[(r.ts-q.Start)/q.Step] += int64(len(r.line))
			}
		}
	}
	var out []logs.Volume
	for _, v := range found {
		out = append(out, *v)
	}
	return out, nil
}

func groupsOf(q *logs.VolumeQuery, ls labels.Labels) (out []labels.Labels) {
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

func (m *memory) Scan(ctx context.Context, tenant string, s logs.Select, visit func(context.Context, *logs.Page) error) error {
	s.Direction = logs.Forward
	return logs.ScanRows(ctx, s, m.SelectRows(ctx, tenant, s), visit)
}

func (m *memory) Extents(context.Context, string, int64, int64, []logs.Matcher) ([]logs.Extent, error) {
	return nil, errors.ErrUnsupported
}

func (m *memory) Estimate(context.Context, string, logs.Select) (logs.Estimate, error) {
	return logs.Estimate{}, errors.ErrUnsupported
}

// load reads lines of the form
//
//	{app="api"} 10s k=v | line      an entry at 10 s with metadata
//	{app="api"} 0s+10s x3 | line    three, 10 s apart; ${i} in the line is 0, 1, 2
func (m *memory) load(t testing.TB, text string) {
	t.Helper()
	for l := range strings.SplitSeq(text, "\n") {
		if strings.TrimSpace(l) == "" {
			continue
		}
		head, line, ok := strings.Cut(l, "| ")
		end := strings.LastIndex(head, "}")
		if !ok || end < 0 {
			t.Fatalf("bad line %q", l)
		}
		ms, err := ParseMatchers(head[:end+1], true)
		if err != nil {
			t.Fatal(err)
		}
		var pairs []string
		for _, x := range ms {
			pairs = append(pairs, x.Name, x.Value)
		}
		at, step, n := "", time.Duration(0), 1
		var md []logs.Label
		for i, f := range strings.Fields(head[end+1:]) {
			switch {
			case i == 0:
				var every string
				if at, every, ok = strings.Cut(f, "+"); ok {
					step = duration(t, every)
				}
			case strings.HasPrefix(f, "x") && !strings.Contains(f, "="):
				_, _ = fmt.Sscanf(f, "x%d", &n)
			default:
				name, value, _ := strings.Cut(f, "=")
				md = append(md, logs.Label{Name: name, Value: value})
			}
		}
		for i := range n {
			m.add(labels.FromStrings(pairs...), int64(duration(t, at)+time.Duration(i)*step), strings.ReplaceAll(line, "${i}", fmt.Sprint(i)), md...)
		}
	}
}

func duration(t testing.TB, s string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
