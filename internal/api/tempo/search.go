package tempo

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"strconv"
	"sync"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/inturn"
	"github.com/hune-io/hune/internal/traces"
	"github.com/hune-io/hune/internal/traces/traceql"
)

// search answers TraceQL (q) or the older tags, minDuration and maxDuration, whose answers have no
// span sets.
func (a *API) search(w http.ResponseWriter, r *http.Request) error {
	q, legacy, err := a.searchQuery(r.URL.Query())
	if err != nil {
		return err
	}
	if done, err := a.explain(w, r, q); done || err != nil {
		return err
	}
	res, err := a.run(r.Context(), q)
	if err != nil {
		return err
	}
	return writeFound(r.Context(), w, res, !legacy)
}

// foundAtOnce is how many traces of a search answer are encoded in one piece, of some 200 kB.
const foundAtOnce = 256

// writeFound writes the answer to a search. A large one is encoded in pieces, side by side, and each is written while those
// after it are encoded: so the client begins to read early, and no answer takes memory of its own size.
func writeFound(ctx context.Context, w http.ResponseWriter, res *traces.Result, spanSets bool) error {
	pieces := max(1, (len(res.Found)+foundAtOnce-1)/foundAtOnce)
	encode := func(_ context.Context, i int) (*[]byte, error) {
		buf := answers.Get().(*[]byte)
		b := (*buf)[:0]
		var texts foundTexts
		if i == 0 {
			b = append(b, `{"traces":[`...)
		}
		for k := i * foundAtOnce; k < min(len(res.Found), (i+1)*foundAtOnce); k++ {
			if k > 0 {
				b = append(b, ',')
			}
			b = appendFound(b, &res.Found[k], spanSets, &texts)
		}
		if i == pieces-1 {
			o := object{b: append(b, ']')}
			appendSearchMetrics(&o, &res.Inspected)
			b = o.close()
		}
		*buf = b
		return buf, nil
	}
	send := func(_ int, buf *[]byte) (bool, error) {
		defer func() {
			if cap(*buf) <= maxPooledAnswer {
				answers.Put(buf)
			}
		}()
		if pieces == 1 {
			return false, writeJSON(w, *buf)
		}
		_, err := w.Write(*buf)
		return err == nil, nil // one that has gone needs no error
	}
	if pieces > 1 {
		w.Header().Set("Content-Type", "application/json")
	}
	return inturn.Run(ctx, pieces, func(int) int { return 1 + runtime.GOMAXPROCS(0) }, encode, send)
}

// answers are buffers for pieces of search answers: to let one of a hundred kilobytes grow from nothing costs more than to
// write it.
var answers = sync.Pool{New: func() any { return new([]byte) }}

// maxPooledAnswer keeps a huge piece from pinning its buffer.
const maxPooledAnswer = 4 << 20

func appendSearchMetrics(o *object, in *traces.Inspected) {
	o.field("metrics")
	m := open(o.b)
	m.number("inspectedTraces", uint64(in.Traces))
	m.long("inspectedBytes", uint64(in.Bytes))
	m.number("totalBlocks", uint64(in.Blocks))
	done, total := in.JobCounts()
	m.number("completedJobs", uint64(done))
	m.number("totalJobs", uint64(total))
	m.long("inspectedSpans", uint64(in.Spans))
	o.b = m.close()
}

func (a *API) searchQuery(v url.Values) (q *traces.Query, legacy bool, err error) {
	t, err := a.searchRange(v)
	if err != nil {
		return nil, false, err
	}
	q = &traces.Query{Kind: traces.Search, Start: t.start, End: t.end, Limit: traceql.DefaultLimit, SpansPerSpanSet: traceql.DefaultSpans}
	if err := a.searchLimits(v, q); err != nil {
		return nil, false, err
	}
	q.Expr = v.Get("q")
	if q.Expr != "" && v.Get("tags") != "" {
		return nil, false, fault.Invalidf("invalid request: can't specify tags and q in the same query")
	}
	lo, hi, err := durationBounds(v)
	if err != nil {
		return nil, false, err
	}
	if q.Expr == "" {
		q.Expr, err = legacyQuery(v.Get("tags"), lo, hi)
		return q, true, err
	}
	if _, err := traceql.Parse(q.Expr); err != nil {
		return nil, false, prefixed("invalid TraceQL query: ", err)
	}
	return q, false, nil
}

// prefixed classes an error of a query's text, keeping the class it has.
func prefixed(prefix string, err error) error {
	var f *fault.Error
	if errors.As(err, &f) {
		return err
	}
	return fault.New(fault.Invalid, fmt.Errorf("%s%w", prefix, err))
}

func (a *API) searchLimits(v url.Values, q *traces.Query) error {
	if v.Get("limit") != "" {
		n, err := optionalUint(v, "limit", 32)
		switch {
		case err != nil:
			return err
		case n == 0:
			return fault.Invalidf("invalid limit: must be a positive number")
		case n > uint64(a.opts.MaxLimit):
			return fault.Invalidf("limit %d exceeds max limit %d", n, a.opts.MaxLimit)
		}
		q.Limit = int(n)
	}
	n, err := optionalUint(v, "spss", 32)
	switch {
	case err != nil:
		return err
	case n > uint64(a.opts.MaxSpans):
		return fault.Invalidf("spans per span set exceeds %d. received %d", a.opts.MaxSpans, n)
	case n > 0:
		q.SpansPerSpanSet = int(n)
	}
	return nil
}

// appendFound appends one trace of a search answer.
func appendFound(b []byte, f *traces.FoundTrace, spanSets bool, texts *foundTexts) []byte {
	o := open(b)
	o.field("traceID")
	o.b = appendShortID(o.b, f.ID)
	o.text("rootServiceName", f.RootServiceName)
	o.text("rootTraceName", f.RootTraceName)
	o.long("startTimeUnixNano", f.Start)
	o.number("durationMs", f.Duration/1e6)
	if spanSets && len(f.SpanSets) > 0 {
		o.field("spanSet")
		from := len(o.b)
		o.b = appendSpanSet(o.b, &f.SpanSets[0], texts)
		first := o.b[from:]
		o.field("spanSets")
		o.b = append(append(o.b, '['), first...)
		for i := range f.SpanSets[1:] {
			o.b = appendSpanSet(append(o.b, ','), &f.SpanSets[i+1], texts)
		}
		o.b = append(o.b, ']')
		o.field("serviceStats")
		o.b = texts.appendServices(o.b, f.Services)
	}
	return o.close()
}

// appendShortID appends an ID without the zeros that it begins with.
func appendShortID(b []byte, id traces.ID) []byte {
	var digits [2 * len(id)]byte
	hex.Encode(digits[:], id[:])
	return append(append(append(b, '"'), bytes.TrimLeft(digits[:], "0")...), '"')
}

// foundTexts remembers what was appended last: traces of one kind share what is said of their services, and spans of one
// kind what is shown of their attributes.
type foundTexts struct {
	services     []traces.ServiceStats
	servicesText []byte
	attributes   [8]struct {
		list []traces.Attribute
		text []byte
	}
	next int // the slot of attributes that is taken next
}

func (t *foundTexts) appendServices(b []byte, services []traces.ServiceStats) []byte {
	if len(services) == 0 || len(services) != len(t.services) || &services[0] != &t.services[0] {
		t.services, t.servicesText = services, appendServices(t.servicesText[:0], services)
	}
	return append(b, t.servicesText...)
}

// appendAttributes appends attributes, of which there are some.
func (t *foundTexts) appendAttributes(b []byte, list []traces.Attribute) []byte {
	for i := range t.attributes {
		if k := &t.attributes[i]; len(k.list) == len(list) && &k.list[0] == &list[0] {
			return append(b, k.text...)
		}
	}
	k := &t.attributes[t.next]
	t.next = (t.next + 1) % len(t.attributes)
	k.list, k.text = list, appendAttributes(k.text[:0], list)
	return append(b, k.text...)
}

func appendServices(b []byte, services []traces.ServiceStats) []byte {
	b = append(b, '{')
	for i := range services {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, services[i].Service), `:{"spanCount":`...)
		b = strconv.AppendUint(b, uint64(services[i].Spans), 10) // one that has none isn't listed
		if n := services[i].Errors; n > 0 {
			b = append(b, `,"errorCount":`...)
			b = strconv.AppendUint(b, uint64(n), 10)
		}
		b = append(b, '}')
	}
	return append(b, '}')
}

func appendSpanSet(b []byte, s *traces.SpanSet, texts *foundTexts) []byte {
	o := open(b)
	if len(s.Spans) > 0 {
		o.field("spans")
		o.b = append(o.b, '[')
		for i := range s.Spans {
			if i > 0 {
				o.b = append(o.b, ',')
			}
			sp := open(o.b)
			sp.field("spanID")
			sp.b = append(hex.AppendEncode(append(sp.b, '"'), s.Spans[i].ID[:]), '"')
			sp.text("name", s.Spans[i].Name)
			sp.long("startTimeUnixNano", s.Spans[i].Start)
			sp.long("durationNanos", s.Spans[i].Duration)
			if list := s.Spans[i].Attributes; len(list) > 0 {
				sp.field("attributes")
				sp.b = texts.appendAttributes(sp.b, list)
			}
			o.b = sp.close()
		}
		o.b = append(o.b, ']')
	}
	o.number("matched", uint64(s.Matched))
	o.attributes("attributes", s.Attributes)
	return o.close()
}
