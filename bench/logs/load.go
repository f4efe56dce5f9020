package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/golang/snappy"
	"github.com/grafana/loki/pkg/push"

	"github.com/hune-io/hune/internal/loggen"
	"github.com/hune-io/hune/internal/tenant"
)

// load is requests that were made before the clock starts.
type load struct {
	requests []request
	lines    int
	bytes    int // of the lines
}

// request is the body of a push.
type request struct {
	contentType string
	body        []byte
}

// http makes a request of the tenant of all blocks.
func (r request) http(ctx context.Context) *http.Request {
	ctx = tenant.NewContext(ctx, tenantID)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://hune/loki/api/v1/push", bytes.NewReader(r.body))
	if err != nil {
		panic("a constant URL: " + err.Error())
	}
	req.Header.Set("Content-Type", r.contentType)
	return req
}

// pushed is what a request has of one stream.
type pushed struct {
	set, pod string
	times    []time.Time
	lines    []string
}

// A request has some lines of one pod of each set, about 400 KB, as an agent on a busy node sends.
const (
	podsOfSet    = 4
	linesOfBatch = 250
)

// feed is one stream of lines.
type feed struct {
	*loggen.Stream
	set, pod string
}

// load makes requests with as many bytes of each set that imitates a system as b asks for.
func (b *bench) load(encode func([]pushed) request) *load {
	var feeds [podsOfSet][]feed
	sets := 0
	for _, set := range b.sets {
		if set.Adversarial {
			continue // a push must be UTF-8
		}
		sets++
		for pod := range feeds {
			feeds[pod] = append(feeds[pod], feed{set.Stream(b.seed + uint64(pod)), set.Name, fmt.Sprintf("%s-%d", set.Name, pod)})
		}
	}
	l := &load{}
	for i := 0; sets > 0 && l.bytes < b.size*sets; i++ {
		var streams []pushed
		for _, f := range feeds[i%podsOfSet] {
			p := f.next(linesOfBatch)
			for _, line := range p.lines {
				l.bytes += len(line)
			}
			l.lines += len(p.lines)
			streams = append(streams, p)
		}
		l.requests = append(l.requests, encode(streams))
	}
	return l
}

// next takes n lines of a stream.
func (f feed) next(n int) pushed {
	p := pushed{set: f.set, pod: f.pod}
	var line []byte
	for range n {
		var at int64
		line, at = f.Append(line[:0])
		p.times = append(p.times, time.Unix(0, at))
		p.lines = append(p.lines, string(line))
	}
	return p
}

func jsonRequest(streams []pushed) request {
	type stream struct {
		Stream map[string]string `json:"stream"`
		Values [][2]string       `json:"values"`
	}
	var body struct {
		Streams []stream `json:"streams"`
	}
	for _, p := range streams {
		s := stream{Stream: map[string]string{"app": p.set, "pod": p.pod, "env": "prod"}}
		for i, line := range p.lines {
			s.Values = append(s.Values, [2]string{strconv.FormatInt(p.times[i].UnixNano(), 10), line})
		}
		body.Streams = append(body.Streams, s)
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false) // agents don't
	if err := enc.Encode(body); err != nil {
		panic("a push without anything that JSON lacks: " + err.Error())
	}
	return request{"application/json", buf.Bytes()}
}

func protobufRequest(streams []pushed) request {
	var body push.PushRequest
	for _, p := range streams {
		s := push.Stream{Labels: fmt.Sprintf(`{app=%q, env="prod", pod=%q}`, p.set, p.pod)}
		for i, line := range p.lines {
			s.Entries = append(s.Entries, push.Entry{Timestamp: p.times[i], Line: line})
		}
		body.Streams = append(body.Streams, s)
	}
	b, err := body.Marshal()
	if err != nil {
		panic("a push that was just made: " + err.Error())
	}
	return request{"application/x-protobuf", snappy.Encode(nil, b)}
}
