package traces

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/fault"
)

func TestHeadLimits(t *testing.T) {
	counted := map[string]int{}
	h := NewHead(HeadOptions{MaxTraceSpans: 10, Rejected: func(reason string, n int) { counted[reason] += n }})
	r, err := h.Append(&Batch{OTLP: encodeTraces(shop(2, 1e6))}) // 14 spans each
	require.NoError(t, err)
	require.Equal(t, 20, r.Spans)
	require.Equal(t, 20, h.Rows())
	require.Equal(t, []Rejection{{Reason: "trace_too_large", Message: r.Rejected[0].Message, Count: 8}}, r.Rejected)
	require.Equal(t, map[string]int{"trace_too_large": 8}, counted)

	h = NewHead(HeadOptions{MaxTraceBytes: 500})
	r, err = h.Append(&Batch{OTLP: encodeTraces(shop(1, 1e6))})
	require.NoError(t, err)
	require.Less(t, r.Spans, 10)
	require.Equal(t, 14-r.Spans, r.Rejected[0].Count)

	require.Equal(t, maxTraceSpans, NewHead(HeadOptions{MaxTraceSpans: 1 << 30}).opts.MaxTraceSpans)
}

func TestHeadDropsDuplicates(t *testing.T) {
	h := headOf(t, shop(3, 1e6))
	rows, size := h.Rows(), h.Size()
	r, err := h.Append(&Batch{OTLP: encodeTraces(shop(3, 1e6))})
	require.NoError(t, err)
	require.Zero(t, r.Spans)
	require.Equal(t, rows, h.Rows())
	require.InDelta(t, size, h.Size(), 0)

	// A trace of more spans than are compared one by one.
	big := shop(20, 1e6)
	for _, tr := range big {
		tr.ID = ID{1}
	}
	h = headOf(t, big)
	require.Equal(t, 280, h.Rows())
	_, err = h.Append(&Batch{OTLP: encodeTraces(big)})
	require.NoError(t, err)
	require.Equal(t, 280, h.Rows())
}

func TestHeadRefusesMalformed(t *testing.T) {
	h := NewHead(HeadOptions{})
	_, err := h.Append(&Batch{OTLP: []byte("\x0a\xff")})
	require.Equal(t, fault.Invalid, fault.ClassOf(err))
	start, end := h.TimeRange()
	require.Zero(t, start+end)
	require.Zero(t, h.Rows())
	require.Empty(t, collect(t, h.SelectTraces(context.Background(), Select{})))
}

// The head must not keep anything of the request: its buffer is used again.
func TestHeadKeepsNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sent := genTraces(t, 3, 4)
		data := encodeTraces(sent)
		h := NewHead(HeadOptions{})
		_, err := h.Append(&Batch{OTLP: data})
		require.NoError(t, err)
		want := newestOf(arrived(t, sent))
		for i := range data {
			data[i] = 0xff
		}
		requireSameTraces(t, want, collect(t, h.SelectTraces(context.Background(), Select{})))
	})
}

// Readers see whole spans while writers append, and a trace that came in pieces is one.
func TestHeadConcurrent(t *testing.T) {
	traces := shop(60, 1e6)
	h := NewHead(HeadOptions{})
	var wg sync.WaitGroup
	for half := range 2 {
		wg.Go(func() {
			for _, tr := range traces {
				piece := &Trace{ID: tr.ID, Spans: tr.Spans[half*7 : half*7+7]}
				_, err := h.Append(&Batch{OTLP: AppendOTLP(nil, piece)})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 2 {
		wg.Go(func() {
			for range 20 {
				for tr, err := range h.SelectTraces(context.Background(), Select{}) {
					if err != nil || len(tr.Spans)%7 != 0 {
						t.Errorf("%d spans, %v", len(tr.Spans), err)
					}
				}
				_, _ = h.TagValues(context.Background(), ScopeSpan, "http.route", 0, 0, 0)
				_ = h.Size()
			}
		})
	}
	wg.Wait()
	require.Equal(t, 60*14, h.Rows())
	for _, tr := range collect(t, h.SelectTraces(context.Background(), Select{})) {
		require.Len(t, tr.Spans, 14)
	}
}

func TestRecord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		otlp := encodeTraces(genTraces(t, 3, 3))
		name := rapid.StringMatching(`[a-z]{0,20}`).Draw(t, "tenant")
		rec := AppendRecord([]byte("before"), name, &Batch{OTLP: otlp, Spans: 7})
		require.Equal(t, "before", string(rec[:6]))
		got, b, err := DecodeRecord(rec[6:])
		require.NoError(t, err)
		require.Equal(t, name, got)
		require.Equal(t, 7, b.Spans)
		require.Equal(t, otlp, b.OTLP)
		for n := range len(rec) - 6 {
			_, _, err := DecodeRecord(rec[6 : 6+n])
			require.Error(t, err, "cut at %d", n)
		}
	})
	_, _, err := DecodeRecord([]byte("\x02abc"))
	require.ErrorContains(t, err, "unknown version")
}

func FuzzRecord(f *testing.F) {
	f.Add(AppendRecord(nil, "t", &Batch{OTLP: []byte(strings.Repeat("abc", 50)), Spans: 3}))
	f.Add([]byte("\x01\x01a\x02\xff\xff\xff\xff\x07"))
	f.Fuzz(func(t *testing.T, rec []byte) {
		name, b, err := DecodeRecord(rec)
		if err != nil {
			return
		}
		again, b2, err := DecodeRecord(AppendRecord(nil, name, b))
		if err != nil || again != name || b2.Spans != b.Spans || string(b2.OTLP) != string(b.OTLP) {
			t.Fatal(err)
		}
	})
}
