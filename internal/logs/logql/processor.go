package logql

import "github.com/hune-io/hune/internal/logs"

// Processor runs live rows through the stages of a log query, for tailing. It is used by one
// goroutine.
type Processor struct {
	p       *pipeline
	set     *labelSet
	streams map[string]*stream
	key     []byte
}

// maxLiveStreams bounds what a tail remembers of the streams that it saw.
const maxLiveStreams = 10_000

// NewProcessor compiles the stages of q.
func NewProcessor(q *LogQuery) (*Processor, error) {
	p, err := compile(q.Stages)
	if err != nil {
		return nil, classed(err)
	}
	return &Processor{p: p, set: newLabelSet(logHints(p.filters)), streams: map[string]*stream{}}, nil
}

// Filters are the line filters of q that a source may apply early.
func Filters(q *LogQuery) []logs.LineFilter { return pushdown(q.Stages) }

// Process returns the entries of rows that pass, by final label set, in the order of rows. They share no
// memory with rows.
func (p *Processor) Process(rows *logs.Rows) []logs.StreamResult {
	var res logs.Result
	c := newCollector(p.p, &res, len(rows.Lines)+1)
	c.set = p.set
	if len(p.streams) > maxLiveStreams {
		clear(p.streams)
	}
	for i, line := range rows.Lines {
		var md []logs.Label
		if rows.Metadata != nil {
			md = rows.Metadata[i]
		}
		// The error is always nil: collecting does not fail.
		_, _ = c.row(p.stream(rows, rows.Stream[i]), rows.Timestamps[i], line, md)
	}
	return res.Streams
}

func (p *Processor) stream(rows *logs.Rows, i uint32) *stream {
	p.key = rows.Streams[i].Bytes(p.key[:0])
	s := p.streams[string(p.key)]
	if s == nil {
		s = newStream(uint32(len(p.streams)), rows.Streams[i].Copy())
		p.streams[string(p.key)] = s
	}
	return s
}
