package traces

import (
	"context"
	"os"
	"path/filepath"
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

// A head that seals what is quiet answers as one that doesn't, also for traces that go on after they were sealed, and
// wherever sealed row groups stand.
func TestHeadSealed(t *testing.T) {
	dir := t.TempDir()
	noDir := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(noDir, nil, 0o600))
	rapid.Check(t, func(t *rapid.T) {
		spill := rapid.SampledFrom([]string{"", filepath.Join(dir, "sealed"), noDir}).Draw(t, "spill")
		h := NewHead(HeadOptions{SpillDir: spill})
		batches := make([][]*Trace, rapid.IntRange(1, 4).Draw(t, "batches"))
		for _, tr := range genTraces(t, 5, 6) {
			for _, s := range tr.Spans {
				i := rapid.IntRange(0, len(batches)-1).Draw(t, "batch")
				b := &batches[i]
				if n := len(*b); n == 0 || (*b)[n-1].ID != tr.ID {
					*b = append(*b, &Trace{ID: tr.ID})
				}
				last := (*b)[len(*b)-1]
				last.Spans = append(last.Spans, s)
			}
		}
		sealed := make([][]*Trace, 1) // what is together is one piece
		rows := 0
		for _, b := range batches {
			if len(b) == 0 {
				continue
			}
			_, err := h.Append(&Batch{OTLP: encodeTraces(b)})
			require.NoError(t, err)
			sealed[len(sealed)-1] = append(sealed[len(sealed)-1], b...)
			switch rapid.IntRange(0, 3).Draw(t, "then") {
			case 0, 1:
				require.NoError(t, h.sealSome())
				sealed = append(sealed, nil)
				for _, g := range h.sealed.groups {
					require.Equal(t, spill == "" || spill == noDir, g.spilled == nil)
				}
			case 2:
				h.renew()
			}
			rows = h.Rows()
		}
		want := mergeByID(t, sealed...)
		partSuite(t, &mergedPart{h}, want, t)
		partSuite(t, &mergedPart{blockOfHead(t, h)}, want, t)
		spans := 0
		for _, tr := range want {
			spans += len(tr.Spans)
		}
		require.GreaterOrEqual(t, rows, spans)
	})
}

// Sealing keeps up with what arrives, and what it takes is what the spans take in a block.
func TestHeadSealsWhatIsQuiet(t *testing.T) {
	h := NewHead(HeadOptions{})
	sent := shop(9000, 1e6) // 126,000 spans
	for i := 0; i < len(sent); i += 300 {
		_, err := h.Append(&Batch{OTLP: request(sent[i : i+300])})
		require.NoError(t, err)
		require.NoError(t, h.Seal(context.Background()))
		require.LessOrEqual(t, h.open, openSpans+5000)
	}
	require.Equal(t, 126_000, h.Rows())
	require.GreaterOrEqual(t, len(h.sealed.groups), 2)
	require.Less(t, h.Size(), int64(126_000*131), "less than as records")
	for _, i := range []int{0, 4500, 8999} {
		got, err := h.TraceByID(context.Background(), sent[i].ID)
		require.NoError(t, err)
		requireSameTraces(t, arrived(t, sent[i:i+1]), []*Trace{got})
	}
	n := 0
	for tr, err := range h.SelectTraces(context.Background(), Select{}) {
		require.NoError(t, err)
		require.Equal(t, sent[len(sent)-1-n].ID, tr.ID)
		n++
	}
	require.Equal(t, 9000, n)
}
