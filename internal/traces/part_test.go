package traces

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"
	"sort"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/block"
)

// memory is an object store of one object.
type memory []byte

func (m memory) ReadRange(_ context.Context, _ string, off, n int64) ([]byte, error) {
	if off >= int64(len(m)) {
		return nil, nil
	}
	return m[off:min(off+n, int64(len(m)))], nil
}

func headOf(t require.TestingT, batches ...[]*Trace) *Head {
	h := NewHead(HeadOptions{})
	for _, b := range batches {
		r, err := h.Append(&Batch{OTLP: encodeTraces(b)})
		require.NoError(t, err)
		require.Empty(t, r.Rejected)
	}
	return h
}

func blockBytes(t require.TestingT, h *Head) []byte {
	var buf bytes.Buffer
	_, _, err := encodeBlock(&buf, block.Fast, func(b *blockWriter) error { return h.writeTo(context.Background(), b) })
	require.NoError(t, err)
	return buf.Bytes()
}

func openBytes(data []byte, opts block.ReaderOptions) (*Block, error) {
	r, err := block.Open(context.Background(), memory(data), "test", int64(len(data)), opts)
	if err != nil {
		return nil, err
	}
	return OpenBlock(context.Background(), r)
}

func blockOf(t require.TestingT, traces ...[]*Trace) *Block {
	return blockOfHead(t, headOf(t, traces...))
}

func blockOfHead(t require.TestingT, h *Head) *Block {
	b, err := openBytes(blockBytes(t, h), block.ReaderOptions{SuffixLen: 1 << 10})
	require.NoError(t, err)
	return b
}

func collect[T any](t require.TestingT, seq iter.Seq2[T, error]) []T {
	var out []T
	for v, err := range seq {
		require.NoError(t, err)
		out = append(out, v)
	}
	return out
}

// newestOf is the order in which parts answer.
func newestOf(traces []*Trace) []*Trace {
	out := slices.Clone(traces)
	sort.Slice(out, func(i, j int) bool {
		a, _ := out[i].Bounds()
		b, _ := out[j].Bounds()
		return newestFirst(a, out[i].ID, b, out[j].ID) < 0
	})
	return out
}

// mergeByID joins traces of equal ID: what a tenant's data means, whatever the parts.
func mergeByID(t require.TestingT, lists ...[]*Trace) []*Trace {
	byID := map[ID][]*Trace{}
	var ids []ID
	for _, list := range lists {
		for _, t := range arrived(t, list) {
			if byID[t.ID] == nil {
				ids = append(ids, t.ID)
			}
			byID[t.ID] = append(byID[t.ID], t)
		}
	}
	var out []*Trace
	for _, id := range ids {
		out = append(out, JoinTraces(byID[id]...))
	}
	return out
}

// partSuite checks that a part answers as want says it must.
func partSuite(t require.TestingT, p Part, want []*Trace, draw *rapid.T) {
	ctx := context.Background()
	want = newestOf(want)
	got := collect(t, p.SelectTraces(ctx, Select{}))
	requireSameTraces(t, want, got)
	for i := range want {
		one, err := p.TraceByID(ctx, want[i].ID)
		require.NoError(t, err)
		require.NotNil(t, one)
		requireSameTraces(t, want[i:i+1], []*Trace{one})
	}
	absent, err := p.TraceByID(ctx, ID{9, 9, 9, 9, 9})
	require.NoError(t, err)
	require.Nil(t, absent)

	pieces := collect(t, p.Pieces(ctx))
	require.Len(t, pieces, len(want))
	require.True(t, slices.IsSortedFunc(pieces, func(a, b Piece) int { return compareIDs(a.ID, b.ID) }))
	start, end := p.TimeRange()
	for _, piece := range pieces {
		i := slices.IndexFunc(want, func(tr *Trace) bool { return tr.ID == piece.ID })
		s, e := want[i].Bounds()
		require.Equal(t, Piece{want[i].ID, s, e}, piece)
		require.True(t, start <= s && end >= e)
	}

	// A range answers the traces that overlap it; a trace asked for by ID comes besides.
	sel := Select{Start: genBase + uint64(rapid.IntRange(0, 90_000).Draw(draw, "from"))*1000}
	sel.End = sel.Start + uint64(rapid.IntRange(0, 20_000).Draw(draw, "len"))*1000
	also := rapid.SampledFrom(want).Draw(draw, "also").ID
	for _, with := range [][]ID{nil, {also}} {
		sel.Also = with
		var inRange []*Trace
		for _, tr := range want {
			if s, e := tr.Bounds(); s <= sel.End && e >= sel.Start || hasID(with, tr.ID) {
				inRange = append(inRange, tr)
			}
		}
		requireSameTraces(t, inRange, collect(t, p.SelectTraces(ctx, sel)))
	}

	// Conditions let through exactly what the tests on whole traces let through.
	conds := genConditions(draw, want)
	for _, all := range []bool{true, false} {
		sel := Select{Conditions: conds, AllConditions: all}
		tests := compileConditions(sel)
		var match []*Trace
		for _, tr := range want {
			if tests.trace(tr) {
				match = append(match, tr)
			}
		}
		requireSameTraces(t, match, collect(t, p.SelectTraces(ctx, sel)))
	}

	tags := make(tagSet)
	for _, tr := range want {
		for _, s := range tr.Spans {
			tags.addAll(ScopeSpan, s.Attributes)
			tags.addAll(ScopeResource, s.Resource.Attributes)
			tags.add(ScopeResource, "service.name") // a resource without it has it empty
			tags.addAll(ScopeInstrumentation, s.Scope.Attributes)
			for _, e := range s.Events {
				tags.addAll(ScopeEvent, e.Attributes)
			}
			for _, l := range s.Links {
				tags.addAll(ScopeLink, l.Attributes)
			}
		}
	}
	for _, scope := range append(attributeScopes[:], "") {
		have, err := p.Tags(ctx, scope, 0, 0)
		require.NoError(t, err)
		require.Equal(t, tags.sorted(scope), have)
		for _, key := range []string{"http.route", "n", "flag", "service.name", "", "nowhere"} {
			requireValues(t, p, want, scope, key)
		}
	}
	for _, key := range []string{"name", "status", "kind", "statusMessage", "event:name", "instrumentation:name", "instrumentation:version", "span:name", "nothing"} {
		requireValues(t, p, want, ScopeIntrinsic, key)
	}
	if _, merged := p.(*mergedPart); !merged { // a part names the roots of its pieces
		requireValues(t, p, want, ScopeIntrinsic, "rootName")
		requireValues(t, p, want, ScopeIntrinsic, "trace:rootService")
	}
}

func requireValues(t require.TestingT, p Part, want []*Trace, scope TagScope, key string) {
	v := newValues(0)
	for _, tr := range want {
		k := key
		if scope == ScopeIntrinsic {
			k = canonicalIntrinsic(key)
		}
		v.addTrace(tr, scope, k)
	}
	got, err := p.TagValues(context.Background(), scope, key, 0, 0, 0)
	require.NoError(t, err)
	require.Equal(t, render(v.sorted()), render(got), "values of %s %q", scope, key)
	few, err := p.TagValues(context.Background(), scope, key, 0, 0, 2)
	require.NoError(t, err)
	require.Len(t, few, min(2, len(got)))
}

// render makes values comparable: NaN equals nothing.
func render(list []Attribute) []string {
	out := []string{}
	for i := range list {
		out = append(out, fmt.Sprintf("%d %x", list[i].Type, AppendValue(nil, &list[i])))
	}
	return out
}

// genConditions draws conditions about values that occur, and some that don't.
func genConditions(t *rapid.T, traces []*Trace) []Condition {
	var out []Condition
	for range rapid.IntRange(1, 3).Draw(t, "conditions") {
		span := rapid.SampledFrom(rapid.SampledFrom(traces).Draw(t, "trace").Spans).Draw(t, "span")
		c := Condition{Op: rapid.SampledFrom([]string{"=", "!=", ">", ">=", "<", "<=", "=~", "!~", "exists", "strange"}).Draw(t, "op")}
		switch rapid.IntRange(0, 4).Draw(t, "what") {
		case 0:
			c.Scope, c.Key, c.Operand = "intrinsic", "name", Attribute{Type: TypeString, Str: span.Name}
		case 1:
			c.Scope, c.Key, c.Operand = "intrinsic", "status", Attribute{Type: TypeInt, Int: int64(span.Status)}
		case 2:
			c.Scope, c.Key, c.Operand = "intrinsic", "duration", Attribute{Type: TypeInt, Int: duration(span)}
		case 3:
			c.Scope, c.Key, c.Operand = "intrinsic", "kind", Attribute{Type: TypeString, Str: kindNames[span.Kind]}
		default:
			c.Scope = rapid.SampledFrom([]string{"span", "resource", "event", "link", "instrumentation", ""}).Draw(t, "scope")
			a := genAttribute(t)
			if len(span.Attributes) > 0 && rapid.Bool().Draw(t, "own") {
				a = span.Attributes[0]
			}
			if a.Array != nil {
				a.Type, a.Str, a.Int, a.Float = a.Array[0].Type, a.Array[0].Str, a.Array[0].Int, a.Array[0].Float
			}
			c.Key, c.Operand = a.Key, a
		}
		out = append(out, c)
	}
	return out
}

func TestHead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sent := genTraces(t, 5, 5)
		h, want := headOf(t, sent), arrived(t, sent)
		partSuite(t, h, want, t)
		partSuite(t, h.frozenParts()[0], want, t)
	})
}

func TestBlock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sent := genTraces(t, 5, 5)
		partSuite(t, blockOf(t, sent), arrived(t, sent), t)
	})
}

// TestMerged spreads spans over heads and blocks, some over several, and wants the same answers as
// from one place.
func TestMerged(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole := genTraces(t, 5, 6)
		n := rapid.IntRange(2, 4).Draw(t, "parts")
		pieces := make([][]*Trace, n)
		for _, tr := range whole {
			cut := make([]*Trace, n)
			for _, s := range tr.Spans {
				for _, p := range rapid.SliceOfNDistinct(rapid.IntRange(0, n-1), 1, 2, rapid.ID[int]).Draw(t, "where") {
					if cut[p] == nil {
						cut[p] = &Trace{ID: tr.ID}
					}
					cut[p].Spans = append(cut[p].Spans, s)
				}
			}
			for p, c := range cut {
				if c != nil {
					pieces[p] = append(pieces[p], c)
				}
			}
		}
		var parts []Part
		for i, p := range pieces {
			if len(p) == 0 {
				continue
			}
			if i%2 == 0 {
				parts = append(parts, blockOf(t, p))
			} else {
				parts = append(parts, headOf(t, p))
			}
		}
		src := NewSource(func(context.Context, string, uint64, uint64) ([]Part, error) { return parts, nil })
		src.atOnce = rapid.SampledFrom([]int{0, 1, 16}).Draw(t, "at once") // 0, 1: by windows
		src.window = rapid.Uint64Range(1e6, 50e6).Draw(t, "window")
		partSuite(t, &mergedPart{PartOf(src, "t")}, mergeByID(t, pieces...), t)
	})
}

// mergedPart knows its time range, as the suite wants.
type mergedPart struct{ Part }

// A source behind a source, as an ingester is for a querier, with one that can't list its traces.
type opaqueSource struct{ Source }

func TestMergedSources(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole := genTraces(t, 4, 4)
		head, shipped := headOf(t, whole), blockOf(t, whole[:1])
		recent := NewSource(func(context.Context, string, uint64, uint64) ([]Part, error) { return []Part{head}, nil })
		var behind Source = recent
		if rapid.Bool().Draw(t, "opaque") {
			behind = opaqueSource{recent}
		}
		src := NewSource(func(context.Context, string, uint64, uint64) ([]Part, error) {
			return []Part{shipped, PartOf(behind, "t")}, nil
		})
		src.atOnce = rapid.SampledFrom([]int{1, 16}).Draw(t, "at once")
		src.window = rapid.Uint64Range(1e6, 50e6).Draw(t, "window")
		partSuite(t, &mergedPart{PartOf(src, "t")}, mergeByID(t, whole), t)
	})
}

// countingPart counts how often its IDs are listed.
type countingPart struct {
	Part
	listed *int
}

func (p countingPart) Pieces(ctx context.Context) iter.Seq2[Piece, error] {
	*p.listed++
	return p.Part.Pieces(ctx)
}

// A search that stops early over many blocks reads the newest of them only, a full one finds all.
func TestManyParts(t *testing.T) {
	listed := 0
	var parts []Part
	var want []*Trace
	for i := range 60 {
		traces := shop(3, 1e9)
		for j, tr := range traces {
			tr.ID = ID{byte(i), byte(j), 1}
			for _, s := range tr.Spans {
				s.Start += uint64(i) * 2 * joinWindow
				s.End += uint64(i) * 2 * joinWindow
			}
		}
		want = append(want, arrived(t, traces)...)
		parts = append(parts, countingPart{headOf(t, traces).frozenParts()[0], &listed})
	}
	src := NewSource(func(context.Context, string, uint64, uint64) ([]Part, error) { return parts, nil })
	want = newestOf(want)
	n := 0
	for tr, err := range src.SelectTraces(t.Context(), "t", Select{}) {
		require.NoError(t, err)
		require.Equal(t, want[n].ID, tr.ID)
		if n++; n == 5 {
			break
		}
	}
	require.Less(t, listed, 12)
	requireSameTraces(t, want, collect(t, src.SelectTraces(t.Context(), "t", Select{})))
	few := Select{Start: genBase + 20*joinWindow, End: genBase + 30*joinWindow + 1e6}
	require.Len(t, collect(t, src.SelectTraces(t.Context(), "t", few)), 5*3+1)
}
