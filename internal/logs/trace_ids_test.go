package logs

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/loggen"
)

const someTrace = "4bf92f3577b34da6a3ce929d0e0e4736"

func TestTraceKeys(t *testing.T) {
	for _, name := range []string{"trace_id", "traceid", "traceID", "TraceId", "trace.id", "trace-id", "otelTraceID", "dd.trace_id", "x-b3-traceid", "TRACE_ID"} {
		require.True(t, isTraceKey(name), name)
	}
	for _, name := range []string{"", "id", "trace", "trace_ids", "trac_id", "trace__id", "trace_idx", "span_id", "raceid", "_id", "-id"} {
		require.False(t, isTraceKey(name), name)
	}
}

func TestTraceIDsInLines(t *testing.T) {
	upper := strings.ToUpper(someTrace)
	for _, line := range []string{
		`{"trace_id":"` + someTrace + `"}`,
		`{"msg":"x","traceID": "` + someTrace + `","n":1}`,
		`{"inner":"{\"TraceId\": \"` + upper + `\"}"}`,
		`level=info traceID=` + someTrace,
		`trace_id="` + someTrace + `" msg="trace it"`,
		`otelTraceID=` + someTrace + ` otelSpanID=00f067aa0ba902b7`,
		`dd.trace.id: ` + someTrace + `, done`,
		`race trace traceid trace-id=` + someTrace,
		`0123456789abcdef0123 ` + someTrace + ` TRACE_ID=` + someTrace,
	} {
		n := 0
		eachTraceID([]byte(line), func(id *traceID) bool {
			n++
			require.Equal(t, someTrace, fmt.Sprintf("%x", id[:]), line)
			return true
		})
		require.Equal(t, 1, n, line)
	}
	for _, line := range []string{
		someTrace, "trace " + someTrace, "trace_id " + someTrace, "trace_id=" + someTrace[1:], "trace_id=" + someTrace + "0",
		"trace_id=" + someTrace[:31] + "g", "trace_id=" + someTrace[:30] + "AB", "race_id=" + someTrace, "trace_ids=" + someTrace,
		"trace", "trace_id", "trace_id=", "race", "", "span_id=" + someTrace, strings.Repeat(someTrace, 3),
	} {
		eachTraceID([]byte(line), func(*traceID) bool {
			t.Errorf("found one in %q", line)
			return false
		})
	}
}

// Lines stand in memory without anything between them; an ID never reaches into the next line.
func TestTraceIDsEndWithTheirLine(t *testing.T) {
	for cut := range len(someTrace) + 9 {
		text := "trace_id=" + someTrace
		var lines block.Values
		lines.AppendString("first")
		lines.AppendString(text[:cut])
		lines.AppendString(text[cut:] + "0")
		lines.AppendString("trace_id=" + someTrace)
		lines.AppendString("abc")
		var c traceCollector
		c.lines(&lines)
		id := traceID{}
		require.True(t, id.parse([]byte(someTrace)))
		require.Equal(t, []block.IDHash{id.hash()}, c.take(), cut)
	}
}

func FuzzTraceIDs(f *testing.F) {
	f.Add([]byte("trace_id="+someTrace+"trace.id: '"+someTrace), uint8(20))
	f.Add([]byte("traceidtraceid=race"), uint8(3))
	f.Fuzz(func(t *testing.T, text []byte, width uint8) {
		var lines block.Values
		want := map[block.IDHash]bool{}
		for line := range slices.Chunk(text, int(width)+1) {
			lines.Append(line)
			eachTraceID(line, func(id *traceID) bool {
				want[id.hash()] = true
				return true
			})
		}
		var c traceCollector
		c.lines(&lines)
		got := c.take()
		for _, h := range got {
			if !want[h] {
				t.Fatal("an ID that no line has")
			}
		}
		if len(got) != len(want) {
			t.Fatalf("%d IDs, want %d", len(got), len(want))
		}
	})
}

// genTraced makes rows that name one of three traces in one of several ways, or none.
func genTraced(t *rapid.T) *Batch {
	b := genBatch(t)
	for i := range b.Streams {
		for j := range b.Streams[i].Entries {
			e := &b.Streams[i].Entries[j]
			id := fmt.Sprintf("%032x", rapid.IntRange(10, 12).Draw(t, "trace"))
			switch rapid.IntRange(0, 6).Draw(t, "way") {
			case 0:
				e.Line += ` trace_id=` + id
			case 1:
				e.Line = `{"traceId":"` + strings.ToUpper(id) + `"}`
			case 2:
				e.Line += " " + id // not as the value of a key
			case 3:
				e.Metadata = []Label{{"otelTraceID", id}}
			case 4:
				e.Metadata = []Label{{"other", id}, {"trace_id", "none"}}
			}
		}
	}
	return b
}

// Whatever holds the rows, a select by trace gives those that name it.
func TestSelectByTrace(t *testing.T) {
	ctx := context.Background()
	rapid.Check(t, func(t *rapid.T) {
		all := &model{}
		c := &Compaction{Options: BlockOptions{PageRows: rapid.SampledFrom([]int{0, 2, 9}).Draw(t, "page rows")}}
		var parts []Part
		for range rapid.IntRange(1, 3).Draw(t, "parts") {
			h := NewHead(HeadOptions{SealBytes: rapid.SampledFrom([]int64{1, 100, 0}).Draw(t, "seal")})
			for range rapid.IntRange(1, 3).Draw(t, "batches") {
				b := genTraced(t)
				all.append(b)
				h.Append(b)
			}
			if h.Rows() == 0 {
				continue
			}
			parts = append(parts, h)
			b, _ := blockOf(t, h, BlockOptions{PageRows: rapid.SampledFrom([]int{0, 1, 3, 9}).Draw(t, "rows")})
			c.Blocks = append(c.Blocks, b)
		}
		if len(parts) == 0 {
			return
		}
		var blocks []Part
		for _, b := range c.Blocks {
			blocks = append(blocks, b)
		}
		id := fmt.Sprintf("%032x", rapid.IntRange(9, 12).Draw(t, "wanted"))
		sel := Select{Start: math.MinInt64, End: math.MaxInt64, TraceID: id, Direction: Forward}
		q, err := compileTrace(id)
		require.NoError(t, err)
		wanted := func(rows []modelRow) (out []modelRow) {
			for _, r := range rows {
				if q.namedBy([]byte(r.Line), r.Metadata) {
					out = append(out, r)
				}
			}
			return out
		}
		everything := sel
		everything.TraceID = ""
		for name, src := range map[string]Source{"heads": sourceOf(parts...), "blocks": sourceOf(blocks...), "compacted": sourceOf(compactedBlock(t, c))} {
			want := wanted(collect(t, src.SelectRows(ctx, "t", everything)))
			require.Equal(t, printRows(want), printRows(collect(t, src.SelectRows(ctx, "t", sel))), name)
			n := 0
			found := make(chan int, 10_000)
			require.NoError(t, src.Scan(ctx, "t", sel, func(_ context.Context, p *Page) error {
				found <- p.Among.Count(p.Rows)
				return nil
			}))
			close(found)
			for k := range found {
				n += k
			}
			require.Equal(t, len(want), n, name)
		}
	})
}

func TestSelectRefusesBadTraceIDs(t *testing.T) {
	src := sourceOf(headOf(benchBatches(1, 1, 1)...))
	for _, id := range []string{"x", someTrace[1:], someTrace + "0", strings.Repeat("g", 32)} {
		for _, err := range src.SelectRows(t.Context(), "t", Select{End: 1, TraceID: id}) {
			require.ErrorContains(t, err, "32 hexadecimal digits")
		}
	}
}

// A compacted block knows the traces of pages that were copied, and of those that were merged.
func TestCompactionKeepsTraces(t *testing.T) {
	c := &Compaction{Options: BlockOptions{PageRows: 40}}
	for i := range 2 {
		b := &Batch{}
		for s := range 3 {
			st := Stream{Labels: labels.FromStrings("app", fmt.Sprint(i), "n", fmt.Sprint(s))}
			for k := range 40 + 15*s {
				st.Entries = append(st.Entries, Entry{Timestamp: int64(k), Line: fmt.Sprintf("traceID=%032x", 1000*i+100*s+k)})
			}
			b.Streams = append(b.Streams, st)
		}
		blk, _ := blockOf(t, headOf(b), BlockOptions{PageRows: 40})
		c.Blocks = append(c.Blocks, blk)
	}
	out := compactedBlock(t, c)
	require.NotZero(t, out.traceIDs.Entries)
	for i := range 2 {
		for s := range 3 {
			for k := range 40 + 15*s {
				sel := Select{Start: 0, End: 1000, TraceID: fmt.Sprintf("%032x", 1000*i+100*s+k)}
				require.Len(t, collect(t, out.SelectRows(t.Context(), sel)), 1, sel.TraceID)
			}
		}
	}
}

// tracedLines are JSON lines of which every tenth names a trace of its own.
func tracedLines(block, n int, id func(i int) string) *Batch {
	s := Stream{Labels: labels.FromStrings("app", fmt.Sprintf("app-%d", block%7))}
	for i := range n {
		line := fmt.Sprintf(`{"level":"info","msg":"request done","status":%d,"path":"/api/v1/items/%d"}`, 200+i%3, i*7919%1000)
		if i%10 == 0 {
			line = fmt.Sprintf(`{"level":"info","trace_id":%q,"msg":"request done","status":%d}`, id(i), 200+i%3)
		}
		s.Entries = append(s.Entries, Entry{Timestamp: int64(block)*1_000_000 + int64(i), Line: line})
	}
	return &Batch{Streams: []Stream{s}}
}

// Of five hundred blocks two have the trace. Without a time range, each block costs one request of at most
// a kilobyte, and only the two are opened; of their pages only those with the trace are read.
func TestTraceInManyBlocks(t *testing.T) {
	const blocks = 500
	l := &lazyBlocks{}
	holders := []int{123, 377}
	for i := range blocks {
		h := headOf(tracedLines(i, 2000, func(k int) string {
			if slices.Contains(holders, i) && (k == 500 || k == 510) {
				return someTrace
			}
			return fmt.Sprintf("%016x%016x", uint64(i+1)*0x9e3779b97f4a7c15, uint64(k+1)*0xc2b2ae3d27d4eb4f)
		}))
		h.options.Block = BlockOptions{PageRows: 250}
		l.add(t, h)
	}
	src := l.source()
	var stored int64
	for _, o := range l.objects {
		stored += int64(len(o.data))
	}
	ctx, stats := WithStats(t.Context())
	rows := collect(t, src.SelectRows(ctx, "t", Select{Start: math.MinInt64, End: math.MaxInt64, TraceID: someTrace, Direction: Forward}))
	require.Len(t, rows, 4)
	for _, r := range rows {
		require.Contains(t, r.Line, someTrace)
	}
	slices.Sort(l.opened)
	require.Equal(t, holders, l.opened)
	require.EqualValues(t, 2, stats.Snapshot().Pages, "the pages that hold it, of 16")
	for i, o := range l.objects {
		if slices.Contains(holders, i) {
			require.LessOrEqual(t, o.reads.Load(), int64(10), "block %d", i)
			continue
		}
		require.EqualValues(t, 1, o.reads.Load(), "block %d", i)
		require.LessOrEqual(t, o.bytes.Load(), int64(1024), "block %d", i)
	}
	requests, size := l.read()
	t.Logf("%d requests, %d bytes of %d stored", requests, size, stored)
	require.LessOrEqual(t, requests, int64(blocks+18))

	src = l.source()
	require.Empty(t, collect(t, src.SelectRows(ctx, "t", Select{Start: math.MinInt64, End: math.MaxInt64, TraceID: strings.Repeat("a", 32)})))
	require.Empty(t, l.opened)
}

// What the search for trace IDs takes of the time in which a page is encoded.
func BenchmarkTraceIDs(b *testing.B) {
	lines := map[string]*block.Values{"traced": {}}
	for _, e := range tracedLines(1, 30_000, func(i int) string { return fmt.Sprintf("%032x", i) }).Streams[0].Entries {
		lines["traced"].AppendString(e.Line)
	}
	for _, set := range loggen.Sets() {
		lines[set.Name] = set.Lines(1, 3<<20)
	}
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		b.Run(name, func(b *testing.B) {
			all := lines[name]
			b.SetBytes(int64(len(all.Data)))
			p := newPageBuilder(block.Fast)
			var search time.Duration
			ids := 0
			for b.Loop() {
				for i := range all.Len() {
					p.add(0, int64(i), all.At(i), nil)
				}
				began := time.Now()
				ids = len(p.traces(traceHexLen))
				search += time.Since(began)
				p.encode()
			}
			b.ReportMetric(float64(ids), "IDs")
			// The page was searched twice, once of it for the clock.
			b.ReportMetric(100*float64(search)/float64(b.Elapsed()-search), "%")
		})
	}
}
