package loki

import (
	"math"
	"net/http"
	"sort"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/hune-io/hune/internal/logs"
)

// protoType is the media type of Loki's messages.
const protoType = "application/vnd.google.protobuf"

func wantsProto(r *http.Request) bool { return r.Header.Get("Accept") == protoType }

// proto is a message being appended to. The messages are those of Loki's queryrange.QueryResponse, logproto
// and stats packages; every answer is a QueryResponse with a google.rpc.Status that says OK, and one of:
//
//	2 series  3 labels  4 stats  5 prom  6 streams  11 detected fields  12 patterns  13 detected labels
type proto []byte

func (p *proto) text(field protowire.Number, s string) {
	if s != "" {
		*p = protowire.AppendString(protowire.AppendTag(*p, field, protowire.BytesType), s)
	}
}

func (p *proto) int(field protowire.Number, n int64) {
	if n != 0 {
		*p = protowire.AppendVarint(protowire.AppendTag(*p, field, protowire.VarintType), uint64(n))
	}
}

func (p *proto) double(field protowire.Number, v float64) {
	if v != 0 {
		*p = protowire.AppendFixed64(protowire.AppendTag(*p, field, protowire.Fixed64Type), math.Float64bits(v))
	}
}

// message appends a message that fill makes. Its length is known when it is there: it is moved by the bytes
// that the length takes.
func (p *proto) message(field protowire.Number, fill func(*proto)) {
	*p = protowire.AppendTag(*p, field, protowire.BytesType)
	from := len(*p)
	fill(p)
	n := len(*p) - from
	var head [10]byte
	size := protowire.AppendVarint(head[:0], uint64(n))
	*p = append(*p, size...)
	copy((*p)[from+len(size):], (*p)[from:from+n])
	copy((*p)[from:], size)
}

// writeProto answers with the part of a QueryResponse that has the number.
func writeProto(w http.ResponseWriter, field protowire.Number, fill func(*proto)) error {
	var p proto
	p.message(1, func(*proto) {}) // code 0: OK
	p.message(field, fill)
	w.Header().Set("Content-Type", protoType)
	_, _ = w.Write(p) // the client has gone away: nobody is left to tell
	return nil
}

const success = "success"

// apiVersion is the version of the API in answers.
const apiVersion = 1

func writeProtoStrings(w http.ResponseWriter, res *logs.Result) error {
	return writeProto(w, 3, func(p *proto) {
		p.text(1, success)
		for _, s := range res.Strings {
			p.message(2, func(p *proto) { *p = append(*p, s...) })
		}
		p.int(3, apiVersion)
		p.message(5, func(p *proto) { p.stats(&res.Stats) })
	})
}

func writeProtoSeries(w http.ResponseWriter, res *logs.Result) error {
	return writeProto(w, 2, func(p *proto) {
		p.text(1, success)
		for _, ls := range res.Series {
			p.message(2, func(p *proto) {
				ls.Range(func(l labels.Label) { p.pair(1, l.Name, l.Value) })
			})
		}
		p.int(3, apiVersion)
		p.message(5, func(p *proto) { p.stats(&res.Stats) })
	})
}

func (p *proto) pair(field protowire.Number, name, value string) {
	p.message(field, func(p *proto) {
		p.text(1, name)
		p.text(2, value)
	})
}

func writeProtoIndexStats(w http.ResponseWriter, res *logs.Result) error {
	return writeProto(w, 4, func(p *proto) {
		p.message(1, func(p *proto) {
			p.int(1, res.StreamCount)
			p.int(2, res.Index.Pages)
			p.int(3, res.Index.Bytes)
			p.int(4, res.Index.Entries)
		})
	})
}

// writeProtoResult answers a query.
func writeProtoResult(w http.ResponseWriter, res *logs.Result, q *logs.Query, isLog, categorize bool) error {
	if isLog {
		return writeProtoStreams(w, res, q, categorize)
	}
	switch {
	case q.Kind == logs.Range:
		return writeProtoProm(w, "matrix", res.Matrix, &res.Stats)
	case res.Scalar != nil:
		return writeProtoProm(w, "scalar", []logs.SampleSeries{{Points: []logs.Point{*res.Scalar}}}, &res.Stats)
	}
	return writeProtoProm(w, "vector", vectorSeries(res.Vector), &res.Stats)
}

// vectorSeries makes a series of each sample.
func vectorSeries(all []logs.VectorSample) []logs.SampleSeries {
	out := make([]logs.SampleSeries, len(all))
	for i, s := range all {
		out[i] = logs.SampleSeries{Labels: s.Labels, Points: []logs.Point{s.Point}}
	}
	return out
}

func writeProtoProm(w http.ResponseWriter, kind string, all []logs.SampleSeries, stats *logs.QueryStats) error {
	return writeProto(w, 5, func(p *proto) {
		p.message(1, func(p *proto) {
			p.text(1, success)
			p.message(2, func(p *proto) {
				p.text(1, kind)
				for i := range all {
					p.message(2, func(p *proto) { p.samples(&all[i]) })
				}
			})
		})
		p.message(2, func(p *proto) { p.stats(stats) })
	})
}

func (p *proto) samples(s *logs.SampleSeries) {
	s.Labels.Range(func(l labels.Label) { p.pair(1, l.Name, l.Value) })
	for _, pt := range s.Points {
		p.message(2, func(p *proto) {
			p.double(1, pt.V)
			p.int(2, pt.T)
		})
	}
}

func writeProtoStreams(w http.ResponseWriter, res *logs.Result, q *logs.Query, apart bool) error {
	streams := res.Streams
	if apart {
		streams = categorize(streams, q.Direction)
	} else {
		sort.SliceStable(streams, func(i, j int) bool { return labels.Compare(streams[i].Labels, streams[j].Labels) < 0 })
	}
	return writeProto(w, 6, func(p *proto) {
		p.text(1, success)
		p.message(2, func(p *proto) {
			p.text(1, "streams")
			for i := range streams {
				p.message(2, func(p *proto) {
					p.text(1, streams[i].Labels.String())
					for j := range streams[i].Entries {
						p.message(2, func(p *proto) { p.entry(&streams[i].Entries[j]) })
					}
				})
			}
		})
		if q.Direction == logs.Backward {
			p.int(5, 1)
		}
		p.int(6, int64(q.Limit))
		p.int(7, apiVersion)
		p.message(8, func(p *proto) { p.stats(&res.Stats) })
	})
}

func (p *proto) entry(e *logs.ResultEntry) {
	p.message(1, func(p *proto) {
		seconds := e.Timestamp / 1e9
		if e.Timestamp%1e9 < 0 {
			seconds-- // nanoseconds count forward, before 1970 too
		}
		p.int(1, seconds)
		p.int(2, e.Timestamp-seconds*1e9)
	})
	p.text(2, e.Line)
	for _, l := range e.Metadata {
		p.pair(3, l.Name, l.Value)
	}
	for _, l := range e.Parsed {
		p.pair(4, l.Name, l.Value)
	}
}

// stats appends what Hune counts of Loki's statistics: the summary.
func (p *proto) stats(s *logs.QueryStats) {
	seconds := time.Duration(s.ExecNanoseconds).Seconds()
	p.message(1, func(p *proto) {
		p.int(1, perSecond(s.BytesProcessed, seconds))
		p.int(2, perSecond(s.LinesProcessed, seconds))
		p.int(3, s.BytesProcessed)
		p.int(4, s.LinesProcessed)
		p.double(5, seconds)
		p.double(6, time.Duration(s.QueueNanoseconds).Seconds())
		p.int(8, s.EntriesReturned)
	})
}

// perSecond is 0 where no time has passed.
func perSecond(n int64, seconds float64) int64 {
	if seconds <= 0 {
		return 0
	}
	return int64(float64(n) / seconds)
}

func writeProtoFields(w http.ResponseWriter, res *logs.Result, limit int) error {
	return writeProto(w, 11, func(p *proto) {
		p.message(1, func(p *proto) {
			for i := range res.Fields {
				p.message(1, func(p *proto) { p.field(&res.Fields[i]) })
			}
			p.int(2, int64(limit))
			for _, v := range res.Strings {
				p.message(3, func(p *proto) { *p = append(*p, v...) })
			}
		})
	})
}

func (p *proto) field(f *logs.DetectedField) {
	p.text(1, f.Name)
	p.text(2, f.Type)
	p.int(3, int64(f.Cardinality))
	for _, s := range f.Parsers {
		p.text(4, s)
	}
	for _, s := range f.JSONPath {
		p.text(6, s)
	}
}

func writeProtoDetectedLabels(w http.ResponseWriter, res *logs.Result) error {
	return writeProto(w, 13, func(p *proto) {
		p.message(1, func(p *proto) {
			for _, f := range res.Fields {
				p.message(1, func(p *proto) {
					p.text(1, f.Name)
					p.int(2, int64(f.Cardinality))
				})
			}
		})
	})
}

func writeProtoPatterns(w http.ResponseWriter, res *logs.Result) error {
	return writeProto(w, 12, func(p *proto) {
		p.message(1, func(p *proto) {
			for i := range res.Pattern {
				p.message(1, func(p *proto) { p.pattern(&res.Pattern[i]) })
			}
		})
	})
}

func (p *proto) pattern(s *logs.PatternSeries) {
	p.text(1, s.Pattern)
	for _, pt := range s.Points {
		p.message(2, func(p *proto) {
			p.int(1, pt.T*1000)
			p.int(2, int64(pt.V))
		})
	}
	p.text(3, s.Level)
}
