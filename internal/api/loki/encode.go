package loki

import (
	"math"
	"slices"
	"sort"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/logs"
)

// encoder appends answers as JSON. Its buffer is reused.
type encoder struct{ buf []byte }

var encoders = sync.Pool{New: func() any { return &encoder{} }}

func getEncoder() *encoder { return encoders.Get().(*encoder) }

func (e *encoder) put() {
	if cap(e.buf) <= 4<<20 {
		e.buf = e.buf[:0]
		encoders.Put(e)
	}
}

func (e *encoder) raw(s string) { e.buf = append(e.buf, s...) }

const hex = "0123456789abcdef"

// str appends s quoted. What is not UTF-8 becomes U+FFFD.
func (e *encoder) str(s string) {
	e.buf = append(e.buf, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				e.buf = append(append(e.buf, s[from:i]...), `\ufffd`...)
				from = i + 1
			}
			i += n
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		e.buf = append(e.buf, s[from:i]...)
		switch c {
		case '"', '\\':
			e.buf = append(e.buf, '\\', c)
		case '\n':
			e.buf = append(e.buf, '\\', 'n')
		case '\r':
			e.buf = append(e.buf, '\\', 'r')
		case '\t':
			e.buf = append(e.buf, '\\', 't')
		default:
			e.buf = append(e.buf, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		from = i
	}
	e.buf = append(append(e.buf, s[from:]...), '"')
}

func (e *encoder) int(n int64) { e.buf = strconv.AppendInt(e.buf, n, 10) }

// comma separates the elements of a list.
func (e *encoder) comma(i int) {
	if i > 0 {
		e.buf = append(e.buf, ',')
	}
}

func (e *encoder) labels(ls labels.Labels) {
	e.raw("{")
	i := 0
	ls.Range(func(l labels.Label) {
		e.comma(i)
		e.str(l.Name)
		e.raw(":")
		e.str(l.Value)
		i++
	})
	e.raw("}")
}

func (e *encoder) pairs(ls []logs.Label) {
	e.raw("{")
	for i, l := range ls {
		e.comma(i)
		e.str(l.Name)
		e.raw(":")
		e.str(l.Value)
	}
	e.raw("}")
}

// point appends [seconds,"value"].
func (e *encoder) point(p logs.Point) {
	e.raw("[")
	e.seconds(p.T)
	e.raw(`,"`)
	e.float(p.V)
	e.raw(`"]`)
}

func (e *encoder) seconds(ms int64) {
	e.int(ms / 1000)
	if f := ms % 1000; f != 0 {
		if f < 0 {
			f = -f
		}
		e.buf = append(e.buf, '.', byte('0'+f/100), byte('0'+f/10%10), byte('0'+f%10))
		for e.buf[len(e.buf)-1] == '0' {
			e.buf = e.buf[:len(e.buf)-1]
		}
	}
}

func (e *encoder) float(v float64) {
	switch {
	case math.IsInf(v, 1):
		e.raw("+Inf")
	case math.IsInf(v, -1):
		e.raw("-Inf")
	default:
		e.buf = strconv.AppendFloat(e.buf, v, 'f', -1, 64)
	}
}

// result appends the answer of query and query_range.
func (e *encoder) result(res *logs.Result, q *logs.Query, isLog, categorize bool) {
	e.raw(`{"status":"success","data":{"resultType":"`)
	switch {
	case isLog:
		e.raw(`streams",`)
		if categorize {
			e.raw(`"encodingFlags":["` + categorizeFlag + `"],`)
		}
		e.raw(`"result":`)
		if categorize {
			e.categorized(res.Streams, q.Direction)
		} else {
			e.streams(res.Streams)
		}
	case q.Kind == logs.Range:
		e.raw(`matrix","result":`)
		e.matrix(res.Matrix)
	case res.Scalar != nil:
		// In milliseconds, unlike all other samples: so does Loki 3.7.
		e.raw(`scalar","result":[`)
		e.int(res.Scalar.T)
		e.raw(`,"`)
		e.float(res.Scalar.V)
		e.raw(`"]`)
	default:
		e.raw(`vector","result":`)
		e.vector(res.Vector)
	}
	e.raw(`,"stats":`)
	e.stats(&res.Stats)
	e.raw("}}\n")
}

func (e *encoder) streams(all []logs.StreamResult) {
	sort.SliceStable(all, func(i, j int) bool { return labels.Compare(all[i].Labels, all[j].Labels) < 0 })
	e.raw("[")
	for i := range all {
		e.comma(i)
		e.raw(`{"stream":`)
		e.labels(all[i].Labels)
		e.raw(`,"values":[`)
		for j := range all[i].Entries {
			e.comma(j)
			e.entry(&all[i].Entries[j])
			e.raw("]")
		}
		e.raw("]}")
	}
	e.raw("]")
}

// entry appends ["time","line" and leaves the bracket open.
func (e *encoder) entry(en *logs.ResultEntry) {
	e.raw(`["`)
	e.int(en.Timestamp)
	e.raw(`",`)
	e.str(en.Line)
}

// categorized appends streams by the labels of the stream alone; each entry says which of its labels
// are structured metadata and which a parser found.
func (e *encoder) categorized(all []logs.StreamResult, d logs.Direction) {
	groups := categorize(all, d)
	e.raw("[")
	for i, g := range groups {
		e.comma(i)
		e.raw(`{"stream":`)
		e.labels(g.Labels)
		e.raw(`,"values":[`)
		for j := range g.Entries {
			e.comma(j)
			en := &g.Entries[j]
			e.entry(en)
			e.raw(",{")
			if len(en.Metadata) > 0 {
				e.raw(`"structuredMetadata":`)
				e.pairs(en.Metadata)
			}
			if len(en.Parsed) > 0 {
				e.comma(len(en.Metadata))
				e.raw(`"parsed":`)
				e.pairs(en.Parsed)
			}
			e.raw("}]")
		}
		e.raw("]}")
	}
	e.raw("]")
}

// categorize groups the entries by the labels of their stream alone, in the direction of the query.
func categorize(all []logs.StreamResult, d logs.Direction) []logs.StreamResult {
	// Entries of one instant come in the order of their whole label sets, as text.
	text := make(map[*logs.ResultEntry]string, len(all))
	for i := range all {
		if len(all[i].Entries) > 0 {
			text[&all[i].Entries[0]] = all[i].Labels.String()
		}
	}
	key := func(s *logs.StreamResult) string {
		if len(s.Entries) == 0 {
			return ""
		}
		return text[&s.Entries[0]]
	}
	sort.SliceStable(all, func(i, j int) bool { return key(&all[i]) < key(&all[j]) })
	index := map[string]int{}
	var groups []logs.StreamResult
	b := labels.NewBuilder(labels.EmptyLabels())
	for _, s := range all {
		// Entries of one final label set may differ in where the labels are from.
		for from := 0; from < len(s.Entries); {
			to := from + 1
			for to < len(s.Entries) && sameOrigin(&s.Entries[from], &s.Entries[to]) {
				to++
			}
			b.Reset(s.Labels)
			for _, l := range s.Entries[from].Metadata {
				b.Del(l.Name)
			}
			for _, l := range s.Entries[from].Parsed {
				b.Del(l.Name)
			}
			ls := b.Labels()
			key := string(ls.Bytes(nil))
			n, ok := index[key]
			if !ok {
				n = len(groups)
				index[key] = n
				groups = append(groups, logs.StreamResult{Labels: ls})
			}
			groups[n].Entries = append(groups[n].Entries, s.Entries[from:to]...)
			from = to
		}
	}
	for i := range groups {
		entries := groups[i].Entries
		sort.SliceStable(entries, func(a, b int) bool {
			if d == logs.Backward {
				a, b = b, a
			}
			return entries[a].Timestamp < entries[b].Timestamp
		})
	}
	slices.SortFunc(groups, func(a, b logs.StreamResult) int { return labels.Compare(a.Labels, b.Labels) })
	return groups
}

func sameOrigin(a, b *logs.ResultEntry) bool {
	return slices.Equal(a.Metadata, b.Metadata) && slices.Equal(a.Parsed, b.Parsed)
}

func (e *encoder) matrix(all []logs.SampleSeries) {
	e.raw("[")
	for i, s := range all {
		e.comma(i)
		e.raw(`{"metric":`)
		e.labels(s.Labels)
		e.raw(`,"values":[`)
		for j, p := range s.Points {
			e.comma(j)
			e.point(p)
		}
		e.raw("]}")
	}
	e.raw("]")
}

func (e *encoder) vector(all []logs.VectorSample) {
	e.raw("[")
	for i, s := range all {
		e.comma(i)
		e.raw(`{"metric":`)
		e.labels(s.Labels)
		e.raw(`,"value":`)
		e.point(s.Point)
		e.raw("}")
	}
	e.raw("]")
}

// stats appends the statistics in Loki's shape; what Hune has no such thing for is 0.
func (e *encoder) stats(s *logs.QueryStats) {
	seconds := time.Duration(s.ExecNanoseconds).Seconds()
	field := func(name string, n int64) {
		e.raw(`"` + name + `":`)
		e.int(n)
		e.raw(",")
	}
	e.raw(`{"summary":{`)
	field("bytesProcessedPerSecond", perSecond(s.BytesProcessed, seconds))
	field("linesProcessedPerSecond", perSecond(s.LinesProcessed, seconds))
	field("totalBytesProcessed", s.BytesProcessed)
	field("totalLinesProcessed", s.LinesProcessed)
	e.raw(`"execTime":`)
	e.buf = strconv.AppendFloat(e.buf, seconds, 'f', -1, 64)
	e.raw(`,"queueTime":`)
	e.buf = strconv.AppendFloat(e.buf, time.Duration(s.QueueNanoseconds).Seconds(), 'f', -1, 64)
	e.raw(",")
	field("subqueries", s.Jobs)
	field("totalEntriesReturned", s.EntriesReturned)
	field("splits", s.Pieces)
	field("shards", s.Shards)
	field("totalPostFilterLines", s.PostFilterLines)
	e.raw(`"totalStructuredMetadataBytesProcessed":0},"querier":{"store":{`)
	field("totalChunksRef", s.Pages)
	field("totalChunksDownloaded", s.RangeReads)
	e.raw(`"chunksDownloadTime":0,"queryReferencedStructuredMetadata":false,"chunk":{"headChunkBytes":0,"headChunkLines":0,`)
	field("decompressedBytes", s.BytesProcessed)
	field("decompressedLines", s.LinesProcessed)
	field("compressedBytes", s.BytesRead)
	field("postFilterLines", s.PostFilterLines)
	e.raw(`"totalDuplicates":0,"headChunkStructuredMetadataBytes":0,"decompressedStructuredMetadataBytes":0},` +
		`"chunkRefsFetchTime":0,"congestionControlLatency":0,"pipelineWrapperFilteredLines":0}},` +
		`"ingester":{"totalReached":0,"totalChunksMatched":0,"totalBatches":0,"totalLinesSent":0,"store":{"totalChunksRef":0,` +
		`"totalChunksDownloaded":0,"chunksDownloadTime":0,"queryReferencedStructuredMetadata":false,"chunk":{"headChunkBytes":0,` +
		`"headChunkLines":0,"decompressedBytes":0,"decompressedLines":0,"compressedBytes":0,"totalDuplicates":0,"postFilterLines":0,` +
		`"headChunkStructuredMetadataBytes":0,"decompressedStructuredMetadataBytes":0},"chunkRefsFetchTime":0,` +
		`"congestionControlLatency":0,"pipelineWrapperFilteredLines":0}},"cache":{`)
	e.cacheStats(&s.Cache)
	e.raw(`},"index":{"totalChunks":0,"postFilterChunks":0,` +
		`"shardsDuration":0,"usedBloomFilters":false},"hune":{`)
	field("blocks", s.Blocks)
	field("jobs", s.Jobs)
	e.raw(`"memoryBytes":`)
	e.int(s.MemoryBytes)
	e.raw("}}")
}

// cacheStats says what of the answer came from the cache of results, if that was asked.
func (e *encoder) cacheStats(s *logs.CacheStats) {
	if s.Requested == 0 {
		return
	}
	e.raw(`"result":{"entriesFound":`)
	e.int(s.Found)
	e.raw(`,"entriesRequested":`)
	e.int(s.Requested)
	e.raw(`,"entriesStored":`)
	e.int(s.Stored)
	e.raw(`,"bytesReceived":0,"bytesSent":0,"requests":1,"downloadTime":0,"queryLengthServed":`)
	e.int(s.FoundNanoseconds)
	e.raw("}")
}
