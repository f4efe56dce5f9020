package traces

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/block"
)

var rewrite = flag.Bool("rewrite", false, "write golden files anew")

// goldenTraces use every field and every type of value.
func goldenTraces() []*Trace {
	shopResource := &Resource{ServiceName: "cart", SchemaURL: "https://opentelemetry.io/schemas/1.26.0", DroppedAttributesCount: 1,
		Attributes: []Attribute{{Key: "service.name", Str: "cart"}, {Key: "host.cpus", Type: TypeInt, Int: 8}}}
	bare := &Resource{}
	scope := &Scope{Name: "lib", Version: "1.2", SchemaURL: "s", DroppedAttributesCount: 2, Attributes: []Attribute{{Key: "scope.on", Type: TypeBool, Int: 1}}}
	full := &Span{ID: SpanID{1}, Name: "GET /cart", Kind: KindServer, Status: StatusError, StatusMessage: "no such cart", TraceState: "a=b", Flags: 0x101,
		Start: genBase + 500, End: genBase + 2_000_500, DroppedAttributes: 3, DroppedEvents: 4, DroppedLinks: 5, Resource: shopResource, Scope: scope,
		Attributes: []Attribute{
			{Key: "string", Str: "text"}, {Key: "int", Type: TypeInt, Int: -7}, {Key: "float", Type: TypeFloat, Float: 2.5},
			{Key: "nan", Type: TypeFloat, Float: math.NaN()}, {Key: "bool", Type: TypeBool, Int: 1},
			{Key: "strings", Type: TypeStringArray, Array: []Attribute{{Str: "a"}, {Str: "b"}}},
			{Key: "ints", Type: TypeIntArray, Array: []Attribute{{Type: TypeInt, Int: 1}, {Type: TypeInt, Int: math.MinInt64}}},
			{Key: "floats", Type: TypeFloatArray, Array: []Attribute{{Type: TypeFloat, Float: math.Copysign(0, -1)}}},
			{Key: "bools", Type: TypeBoolArray, Array: []Attribute{{Type: TypeBool}, {Type: TypeBool, Int: 1}}},
			{Key: "bytes", Type: TypeOpaque, Raw: []byte("\x3a\x03abc")}, {Key: "unset", Type: TypeOpaque}, {Key: "string", Str: "twice"},
		},
		Events: []Event{{Time: genBase + 700, Name: "exception", DroppedAttributesCount: 6, Attributes: []Attribute{{Key: "exception.type", Str: "E"}}}, {Name: "early"}},
		Links:  []Link{{TraceID: ID{9}, SpanID: SpanID{8}, TraceState: "l=1", Flags: 1, DroppedAttributesCount: 7, Attributes: []Attribute{{Key: "link.kind", Str: "follows"}}}},
	}
	child := &Span{ID: SpanID{2}, ParentID: SpanID{1}, Name: "SELECT", Kind: KindClient, Start: genBase + 600, End: genBase + 1000, Resource: shopResource, Scope: scope}
	orphan := &Span{ID: SpanID{3}, ParentID: SpanID{0xaa}, Name: "lost", Start: genBase + 900, End: genBase + 800, Resource: bare, Scope: &Scope{}}
	other := &Span{ID: SpanID{3, 1}, ParentID: SpanID{0xbb}, Name: "lost", Start: genBase + 900, End: genBase + 901, Resource: bare, Scope: &Scope{}}
	sibling := &Span{ID: SpanID{3, 2}, ParentID: SpanID{0xaa}, Name: "lost", Start: genBase + 901, End: genBase + 902, Resource: bare, Scope: &Scope{}}
	out := []*Trace{{ID: ID{1, 15: 1}, Spans: []*Span{full, child, orphan, other, sibling}}}
	// Enough spans for attribute columns: 20 small traces.
	for i := range 20 {
		s := &Span{ID: SpanID{4, byte(i)}, Name: fmt.Sprintf("job %d", i%3), Kind: KindInternal, Status: StatusOK, Start: genBase + uint64(i+1)*1e9, End: genBase + uint64(i+1)*1e9 + 5e6,
			Resource: shopResource, Scope: scope, Attributes: []Attribute{{Key: "job.id", Str: fmt.Sprintf("j-%d", i)}, {Key: "attempt", Type: TypeInt, Int: int64(i % 2)},
				{Key: "ratio", Type: TypeFloat, Float: float64(i) / 4}, {Key: "tags", Type: TypeStringArray, Array: []Attribute{{Str: "x"}, {Str: fmt.Sprint(i % 5)}}},
				{Key: "dry", Type: TypeBool, Int: int64(i % 2)}, {Key: "blob", Type: TypeOpaque, Raw: []byte{0x3a, 1, byte(i)}}},
			Events: []Event{{Time: genBase, Name: "tick", Attributes: []Attribute{{Key: "n", Type: TypeInt, Int: int64(i)}}}},
			Links:  []Link{{TraceID: ID{1, 15: 1}, SpanID: SpanID{1}, Attributes: []Attribute{{Key: "w", Type: TypeFloat, Float: 1}}}}}
		out = append(out, &Trace{ID: ID{2, 15: byte(i)}, Spans: []*Span{s}})
	}
	return out
}

const goldenFile = "testdata/v2.hune"

// TestGolden keeps blocks of version 2 readable for ever.
func TestGolden(t *testing.T) {
	fresh := blockBytes(t, headOf(t, goldenTraces()))
	require.Equal(t, fresh, blockBytes(t, headOf(t, goldenTraces())), "equal heads make equal blocks")
	if *rewrite {
		require.NoError(t, os.WriteFile(goldenFile, fresh, 0o644))
	}
	data, err := os.ReadFile(goldenFile)
	require.NoError(t, err)
	for _, data := range [][]byte{data, fresh} {
		b, err := openBytes(data, block.ReaderOptions{})
		require.NoError(t, err)
		got := collect(t, b.SelectTraces(context.Background(), Select{}))
		requireSameTraces(t, newestOf(arrived(t, goldenTraces())), got)
		var text strings.Builder
		for _, tr := range got {
			for _, s := range tr.Spans {
				fmt.Fprintf(&text, "%s %d %s\n", tr.ID, s.Order, describe(s))
			}
		}
		if *rewrite {
			require.NoError(t, os.WriteFile("testdata/v2.txt", []byte(text.String()), 0o644))
		}
		want, err := os.ReadFile("testdata/v2.txt")
		require.NoError(t, err)
		require.Equal(t, string(want), text.String())
	}
}

// TestManyGroups checks what one row group can't show: pruning, order over groups, ID pages.
func TestManyGroups(t *testing.T) {
	ctx := context.Background()
	sent := shop(4700, 10e6)
	h := NewHead(HeadOptions{})
	for part := range slices.Chunk(sent, 470) {
		_, err := h.Append(&Batch{OTLP: request(part)})
		require.NoError(t, err)
	}
	data := blockBytes(t, h)
	var mu sync.Mutex // ranges are read side by side
	var requests int
	var read int64
	b, err := openBytes(data, block.ReaderOptions{SuffixLen: 32 << 10, OnRead: func(n int64) {
		mu.Lock()
		defer mu.Unlock()
		requests, read = requests+1, read+n
	}})
	require.NoError(t, err)
	require.Greater(t, len(b.entries), 2)

	for _, s := range []Select{{}, {Start: genBase + 20e9, End: genBase + 21e9}, {Start: genBase + 46e9}, {End: genBase + 1e9}, {Start: 1, End: 2},
		{Conditions: []Condition{{Scope: "span", Key: "app.user.id", Op: "=", Operand: Attribute{Str: "user-78"}}}},
		{Conditions: []Condition{{Scope: "intrinsic", Key: "status", Op: "=", Operand: Attribute{Type: TypeInt, Int: 2}}}, Also: []ID{sent[7].ID}},
		{Conditions: []Condition{{Scope: "event", Key: "exception.type", Op: "exists"}, {Scope: "resource", Key: "service.name", Op: "=~", Operand: Attribute{Str: "c.*t"}}}, AllConditions: true},
	} {
		want, got := collect(t, h.SelectTraces(ctx, s)), collect(t, b.SelectTraces(ctx, s))
		require.Equal(t, idsOf(newestOf(want)), idsOf(want))
		require.Equal(t, idsOf(want), idsOf(got))
		n := min(20, len(want)) // to compare all spans of all takes longer than the rest
		requireSameTraces(t, want[:n], got[:n])
		requireSameTraces(t, want[len(want)-n:], got[len(want)-n:])
	}
	for i := range b.entries {
		_, err := b.directory(ctx, i)
		require.NoError(t, err)
	}
	for i := 0; i < len(sent); i += 777 {
		requests, read = 0, 0
		got, err := b.TraceByID(ctx, sent[i].ID)
		require.NoError(t, err)
		requireSameTraces(t, arrived(t, sent[i:i+1]), []*Trace{got})
		require.LessOrEqual(t, requests, 4) // filter of IDs, spine, times, attributes; directories are at hand
		require.Less(t, read, int64(len(data))/2, "one row group of several is read")
	}
	requests, read = 0, 0
	got, err := b.TraceByID(ctx, ID{1, 2, 3})
	require.NoError(t, err)
	require.Nil(t, got)
	require.LessOrEqual(t, requests, 1)
	require.Less(t, read, int64(2<<10))

	requests, read = 0, 0
	absent := Select{Conditions: []Condition{{Scope: "span", Key: "no.such.key", Op: "exists"}}}
	require.Empty(t, collect(t, b.SelectTraces(ctx, absent)))
	require.Less(t, read, int64(len(data))/10, "a key without a column reads no columns")

	// A consumer that stops gets no more.
	n := 0
	for range b.SelectTraces(ctx, Select{}) {
		if n++; n == 3 {
			break
		}
	}
	require.Equal(t, 3, n)

	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	for _, p := range []Part{h, b} {
		for tr, err := range p.SelectTraces(cancelled, Select{}) {
			require.Nil(t, tr)
			require.ErrorIs(t, err, context.Canceled)
		}
	}
}

func idsOf(traces []*Trace) []ID {
	ids := []ID{}
	for _, t := range traces {
		ids = append(ids, t.ID)
	}
	return ids
}

func TestWriteBlock(t *testing.T) {
	dir := t.TempDir()
	h := headOf(t, goldenTraces())
	var meta block.Meta
	require.NoError(t, h.WriteBlock(context.Background(), dir, &meta))
	data, err := os.ReadFile(filepath.Join(dir, block.DataFile))
	require.NoError(t, err)
	require.Equal(t, int64(len(data)), meta.Data.Size)
	require.Equal(t, meta.Data.Size, meta.StoredBytes)
	require.Equal(t, int64(25), meta.Rows)
	require.Equal(t, int64(genBase+500), meta.MinTime)
	require.Equal(t, int64(genBase+20e9+5e6), meta.MaxTime)
	require.Equal(t, int64(len(encodeTraces(goldenTraces()))), meta.RawBytes)
	_, err = openBytes(data, block.ReaderOptions{})
	require.NoError(t, err)

	require.ErrorContains(t, NewHead(HeadOptions{}).WriteBlock(context.Background(), dir, &meta), "empty")
	require.Error(t, h.WriteBlock(context.Background(), filepath.Join(dir, "nowhere"), &meta))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, h.WriteBlock(ctx, dir, &meta), context.Canceled)
}

// ask asks a block everything and returns the first error.
func ask(b *Block) error {
	ctx := context.Background()
	var first error
	note := func(err error) { first = firstError(first, err) }
	for _, s := range []Select{{}, {Start: genBase, End: genBase + 1e10, AllConditions: true, Also: []ID{{1, 15: 1}}, Conditions: []Condition{
		{Scope: "", Key: "n", Op: "exists"}, {Scope: "intrinsic", Key: "name", Op: "!=", Operand: Attribute{Str: "x"}},
		{Scope: "intrinsic", Key: "duration", Op: ">", Operand: Attribute{Type: TypeInt}}, {Scope: "span", Key: "string", Op: "=", Operand: Attribute{Str: "text"}}}}} {
		for tr, err := range b.SelectTraces(ctx, s) {
			note(err)
			if tr != nil {
				AppendOTLP(nil, tr)
			}
		}
	}
	for p, err := range b.Pieces(ctx) {
		note(err)
		if err == nil {
			_, err = b.TraceByID(ctx, p.ID)
			note(err)
		}
	}
	_, err := b.Tags(ctx, "", 0, 0)
	note(err)
	for _, key := range []string{"job.id", "tags", "string", "n"} {
		_, err = b.TagValues(ctx, "", key, 0, 0, 0)
		note(err)
	}
	for _, key := range []string{"name", "status", "rootName", "event:name"} {
		_, err = b.TagValues(ctx, ScopeIntrinsic, key, 0, 0, 0)
		note(err)
	}
	return first
}

// FuzzBlock damages a block anywhere: every answer is right or an error.
func FuzzBlock(f *testing.F) {
	data, err := os.ReadFile(goldenFile)
	require.NoError(f, err)
	f.Add(data)
	for _, at := range []int{0, 100, len(data) / 2, len(data) - 40} {
		bad := bytes.Clone(data)
		bad[at] ^= 0x20
		f.Add(bad)
	}
	f.Add(data[:len(data)/2])
	f.Fuzz(func(t *testing.T, data []byte) {
		if b, err := openBytes(data, block.ReaderOptions{}); err == nil {
			_ = ask(b)
		}
	})
}

func flip(p []byte, i int) []byte {
	out := bytes.Clone(p)
	if i >= 0 && i < len(out) {
		out[i] ^= 0xff
	}
	return out
}

// Names and scopes that are nearly all different leave the classes; text of many megabytes is stored once.
func TestUnusualSpans(t *testing.T) {
	long := strings.Repeat("long ", 20_000)
	var sent []*Trace
	for i := range 5000 {
		s := &Span{ID: SpanID{1, byte(i >> 8), byte(i)}, Name: fmt.Sprintf("GET /cart/%d", i), Start: genBase + uint64(i)*1e6, End: genBase + uint64(i)*1e6 + 5,
			Resource: &Resource{}, Scope: &Scope{Name: fmt.Sprintf("scope %d", i)}}
		if i%20 == 0 {
			s.Attributes = []Attribute{{Key: "text", Str: long}, {Key: fmt.Sprintf("rare.%d", i), Type: TypeInt, Int: int64(i)}}
		}
		sent = append(sent, &Trace{ID: ID{1, 14: byte(i >> 8), 15: byte(i)}, Spans: []*Span{s}})
	}
	b := blockOf(t, sent)
	g, err := b.groupSet.open(context.Background(), 0)
	require.NoError(t, err)
	require.False(t, g.dir.classNames || g.dir.classScopes)
	require.True(t, slices.ContainsFunc(g.dir.columns, func(c columnDef) bool { return c.kind == kindTable }))
	want := newestOf(sent)
	requireSameTraces(t, want[:500], collect(t, b.SelectTraces(context.Background(), Select{}))[:500])
	for key, c := range map[int]Condition{
		77:   {Scope: "intrinsic", Key: "name", Op: "=", Operand: Attribute{Str: "GET /cart/77"}},
		1000: {Scope: "span", Key: "rare.1000", Op: "exists"},
		4040: {Scope: "span", Key: "rare.4040", Op: "=", Operand: Attribute{Type: TypeInt, Int: 4040}},
	} {
		got := collect(t, b.SelectTraces(context.Background(), Select{Conditions: []Condition{c}}))
		require.Len(t, got, 1)
		requireSameTraces(t, sent[key:key+1], got)
	}
	texts := collect(t, b.SelectTraces(context.Background(), Select{Conditions: []Condition{{Scope: "span", Key: "text", Op: "=", Operand: Attribute{Str: long}}}}))
	require.Len(t, texts, 250)
}
