package logs

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// genBatch draws a batch that keeps the contract of Batch: a few streams that come back, times that
// collide, exact repeats, any bytes.
func genBatch(t *rapid.T) *Batch {
	b := &Batch{}
	for range rapid.IntRange(0, 5).Draw(t, "streams") {
		s := Stream{Labels: genLabels(t)}
		for range rapid.IntRange(0, 12).Draw(t, "entries") {
			s.Entries = append(s.Entries, genEntry(t))
		}
		b.Streams = append(b.Streams, s)
	}
	return b
}

func genLabels(t *rapid.T) labels.Labels {
	var pairs []Label
	for _, name := range []string{"app", "env", "pod"} {
		if v := rapid.SampledFrom([]string{"", "a", "b", "ünï"}).Draw(t, name); v != "" {
			pairs = append(pairs, Label{name, v})
		}
	}
	ls, err := NewLabels(pairs)
	if err != nil {
		t.Fatal(err)
	}
	return ls
}

func genEntry(t *rapid.T) Entry {
	e := Entry{Timestamp: rapid.Int64Range(0, 40).Draw(t, "ts")}
	switch rapid.IntRange(0, 3).Draw(t, "kind of line") {
	case 0:
		e.Line = string(rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "bytes"))
	default:
		e.Line = rapid.SampledFrom([]string{"", "error one", "info two", "boom error", strings.Repeat("long ", 50)}).Draw(t, "line")
	}
	var md []Label
	for _, name := range []string{"detected_level", "trace_id", "user"} {
		if v := rapid.SampledFrom([]string{"", "", "x", "y"}).Draw(t, name); v != "" {
			md = append(md, Label{name, v})
		}
	}
	e.Metadata = md
	return e
}

func TestRecordRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := genBatch(t)
		tenant := rapid.String().Draw(t, "tenant")
		prefix := rapid.SliceOfN(rapid.Byte(), 0, 5).Draw(t, "prefix")
		rec := AppendRecord(slices.Clone(prefix), tenant, b)
		require.Equal(t, prefix, rec[:len(prefix)])
		gotTenant, got, err := DecodeRecord(rec[len(prefix):])
		require.NoError(t, err)
		require.Equal(t, tenant, gotTenant)
		requireSameBatch(t, b, got)
	})
}

func requireSameBatch(t require.TestingT, want, got *Batch) {
	require.Len(t, got.Streams, len(want.Streams))
	for i := range want.Streams {
		require.True(t, labels.Equal(want.Streams[i].Labels, got.Streams[i].Labels))
		require.Len(t, got.Streams[i].Entries, len(want.Streams[i].Entries))
		for j, e := range want.Streams[i].Entries {
			require.Equal(t, e, got.Streams[i].Entries[j])
		}
	}
}

func TestRecordLarge(t *testing.T) {
	long := strings.Repeat("0123456789", chunkBytes/8) // crosses chunks
	b := &Batch{Streams: []Stream{
		{Labels: labels.FromStrings("app", "a"), Entries: []Entry{
			{math.MinInt64, long, nil}, {math.MaxInt64, "x", nil}, {0, long, []Label{{"k", long}}},
		}},
		{Labels: labels.FromStrings("app", strings.Repeat("v", 100_000)), Entries: []Entry{{1, "", nil}}},
	}}
	rec := AppendRecord(nil, "t", b)
	require.Less(t, len(rec), 1<<20)
	_, got, err := DecodeRecord(rec)
	require.NoError(t, err)
	requireSameBatch(t, b, got)
}

// A record stands alone: nothing of an earlier one stays in the pooled encoder.
func TestRecordEncoderIsReset(t *testing.T) {
	b := &Batch{Streams: []Stream{{Labels: labels.FromStrings("a", "b"), Entries: []Entry{{1, "x", []Label{{"k", "v"}}}}}}}
	first := AppendRecord(nil, "t", b)
	for range 4 {
		AppendRecord(nil, "other", &Batch{Streams: []Stream{{Labels: labels.FromStrings("c", "d"), Entries: []Entry{{7, "y", nil}}}}})
		require.Equal(t, first, AppendRecord(nil, "t", b))
	}
}

func TestRecordHostile(t *testing.T) {
	chunk := func(payload []byte) []byte { return appendChunk([]byte{recordVersion}, payload) }
	uv := func(vs ...uint64) (p []byte) {
		for _, v := range vs {
			p = binary.AppendUvarint(p, v)
		}
		return p
	}
	f := func(name string, rec []byte) {
		t.Helper()
		_, _, err := DecodeRecord(rec)
		require.ErrorIs(t, err, ErrBadRecord, name)
	}
	f("empty", nil)
	f("version", []byte{9})
	f("no payload", []byte{recordVersion})
	f("chunk length", []byte{recordVersion, 0xff, 0xff, 0xff, 0x7f})
	f("chunk bomb", append([]byte{recordVersion, 5}, uv(1<<31)...))
	f("chunk larger than allowed", appendChunk([]byte{recordVersion}, make([]byte, chunkBytes+1)))
	f("s2 garbage", []byte{recordVersion, 3, 10, 0xff, 0xff})
	f("tenant length", chunk(uv(99)))
	f("symbols", chunk(uv(0, 1<<40)))
	f("streams", chunk(uv(0, 0, 1<<40)))
	f("labels", chunk(uv(0, 0, 1, 1<<30, 0)))
	f("symbol", chunk(uv(0, 1, 0, 1, 1, 0, 7, 0)))
	f("entries", chunk(uv(0, 0, 1, 0, 1<<30)))
	f("metadata", chunk(uv(0, 0, 1, 0, 1, 0, 0, 1<<30)))
	f("trailing", chunk(uv(0, 0, 0, 0)))
	f("same label twice", chunk(append(uv(0, 1, 1), append([]byte("a"), uv(1, 2, 0, 0, 0, 0, 0)...)...)))
	f("long symbol", chunkAll(append(append(uv(0, 1, maxLabelPart+1), make([]byte, maxLabelPart+1)...), uv(0)...)))

	// One symbol named by many labels of many streams: more than a thousand times the record.
	p := append(uv(0, 1, 1<<20), make([]byte, 1<<20)...)
	p = append(p, uv(5000)...)
	for range 5000 {
		p = append(p, uv(1, 0, 0, 0)...)
	}
	f("amplification", chunkAll(p))
}

func chunkAll(p []byte) []byte {
	rec := []byte{recordVersion}
	for len(p) > 0 {
		n := min(len(p), chunkBytes)
		rec = appendChunk(rec, p[:n])
		p = p[n:]
	}
	return rec
}

func FuzzDecodeRecord(f *testing.F) {
	b := &Batch{Streams: []Stream{{Labels: labels.FromStrings("app", "a", "env", "b"), Entries: []Entry{{5, "line one", []Label{{"k", "v"}}}, {4, "line two", nil}}}}}
	f.Add(AppendRecord(nil, "tenant", b))
	f.Add([]byte{recordVersion})
	f.Fuzz(func(t *testing.T, rec []byte) {
		tryRecord(t, rec)
		// The same bytes as a payload: the fuzzer would never get past s2 otherwise.
		if len(rec) < chunkBytes {
			tryRecord(t, appendChunk([]byte{recordVersion}, rec))
		}
	})
}

func tryRecord(t *testing.T, rec []byte) {
	if n, err := s2.DecodedLen(rec); err == nil && n > 64<<20 {
		return
	}
	tenant, b, err := DecodeRecord(rec)
	if err != nil {
		return
	}
	gotTenant, got, err := DecodeRecord(AppendRecord(nil, tenant, b))
	require.NoError(t, err)
	require.Equal(t, tenant, gotTenant)
	requireSameBatch(t, b, got)
}
