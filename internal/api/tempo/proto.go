package tempo

import (
	"math"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/hune-io/hune/internal/api/rpc"
	"github.com/hune-io/hune/internal/traces"
)

// The encoders append messages of tempo.proto (package tempopb, Apache-2.0). Numbers in the code are
// its field numbers.

func protoDouble(b []byte, num protowire.Number, f float64) []byte {
	if f == 0 {
		return b
	}
	return protowire.AppendFixed64(protowire.AppendTag(b, num, protowire.Fixed64Type), math.Float64bits(f))
}

// protoSearch appends a SearchResponse.
func protoSearch(b []byte, found []traces.FoundTrace, spanSets bool, metrics []byte) []byte {
	for i := range found {
		b = rpc.AppendMessage(b, 1, protoFound(&found[i], spanSets))
	}
	return rpc.AppendMessage(b, 2, metrics)
}

// protoMetrics is a SearchMetrics message.
func protoMetrics(in *traces.Inspected, done, total int64) []byte {
	var b []byte
	b = rpc.AppendUint(b, 1, uint64(in.Traces))
	b = rpc.AppendUint(b, 2, uint64(in.Bytes))
	b = rpc.AppendUint(b, 3, uint64(in.Blocks))
	b = rpc.AppendUint(b, 4, uint64(done))
	b = rpc.AppendUint(b, 5, uint64(total))
	b = rpc.AppendUint(b, 7, uint64(in.Spans))
	return rpc.AppendUint(b, 8, uint64(in.RangeReads))
}

// protoMetadata is a MetadataMetrics message.
func protoMetadata(in *traces.Inspected) []byte {
	var b []byte
	b = rpc.AppendUint(b, 1, uint64(in.Bytes))
	done, total := in.JobCounts()
	b = rpc.AppendUint(b, 2, uint64(total))
	b = rpc.AppendUint(b, 3, uint64(done))
	b = rpc.AppendUint(b, 4, uint64(in.Blocks))
	return rpc.AppendUint(b, 6, uint64(in.RangeReads))
}

func protoFound(f *traces.FoundTrace, spanSets bool) []byte {
	var b []byte
	b = rpc.AppendString(b, 1, strings.TrimLeft(f.ID.String(), "0"))
	b = rpc.AppendString(b, 2, f.RootServiceName)
	b = rpc.AppendString(b, 3, f.RootTraceName)
	b = rpc.AppendUint(b, 4, f.Start)
	b = rpc.AppendUint(b, 5, min(f.Duration/1e6, math.MaxUint32))
	if !spanSets || len(f.SpanSets) == 0 {
		return b
	}
	b = rpc.AppendMessage(b, 6, protoSpanSet(&f.SpanSets[0]))
	for i := range f.SpanSets {
		b = rpc.AppendMessage(b, 7, protoSpanSet(&f.SpanSets[i]))
	}
	for i := range f.Services {
		s := &f.Services[i]
		stats := rpc.AppendUint(nil, 1, uint64(s.Spans))
		stats = rpc.AppendUint(stats, 2, uint64(s.Errors))
		b = rpc.AppendMessage(b, 8, rpc.AppendMessage(rpc.AppendString(nil, 1, s.Service), 2, stats))
	}
	return b
}

func protoSpanSet(s *traces.SpanSet) []byte {
	var b []byte
	for i := range s.Spans {
		sp := &s.Spans[i]
		m := rpc.AppendString(nil, 1, sp.ID.String())
		m = rpc.AppendString(m, 2, sp.Name)
		m = rpc.AppendUint(m, 3, sp.Start)
		m = rpc.AppendUint(m, 4, sp.Duration)
		b = rpc.AppendMessage(b, 1, traces.AppendOTLPAttributes(m, 5, sp.Attributes))
	}
	b = rpc.AppendUint(b, 2, uint64(s.Matched))
	return traces.AppendOTLPAttributes(b, 3, s.Attributes)
}

// protoSeries is a TimeSeries message, or an InstantSeries.
func protoSeries(s *traces.SampleSeries, instant bool) []byte {
	b := traces.AppendOTLPAttributes(nil, 1, s.Labels)
	if instant {
		return protoDouble(b, 2, s.Samples[0].V)
	}
	for _, p := range s.Samples {
		if !p.Missing {
			b = rpc.AppendMessage(b, 2, rpc.AppendUint(protoDouble(nil, 1, p.V), 2, uint64(p.T)))
		}
	}
	for i := range s.Exemplars {
		x := &s.Exemplars[i]
		m := traces.AppendOTLPAttributes(nil, 1, x.Labels)
		b = rpc.AppendMessage(b, 4, rpc.AppendUint(protoDouble(m, 2, x.V), 3, uint64(x.T)))
	}
	return b
}
