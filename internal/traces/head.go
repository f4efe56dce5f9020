package traces

import (
	"context"
	"iter"
	"math"
	"slices"
	"sync"
)

// HeadOptions bound a head. Zero values take the defaults.
type HeadOptions struct {
	MaxTraceSpans int // spans of one trace; more are refused. Default 100,000
	MaxTraceBytes int // of one trace's spans in memory, at most 28 MiB. Default 24 MiB
	// SpillDir is where sealed row groups go until they are a block. Default: they stay in memory.
	SpillDir string

	// Rejected, where set, is told of spans that Append refused by these limits, as its result says too.
	Rejected func(reason string, spans int)
}

const (
	defaultMaxTraceSpans = 100_000
	defaultMaxTraceBytes = 24 << 20
	// What a trace may be at most, whatever the options say: a block must be able to hold it in one
	// row group, within the counts that a reader believes. (An attribute takes at least two bytes.)
	maxTraceSpans = 500_000
	maxTraceBytes = 28 << 20
	// maxTraceChildren is how many events, or links, a trace has at most.
	maxTraceChildren = maxGroupChildren
)

func (o HeadOptions) orDefault() HeadOptions {
	if o.MaxTraceSpans <= 0 {
		o.MaxTraceSpans = defaultMaxTraceSpans
	}
	o.MaxTraceSpans = min(o.MaxTraceSpans, maxTraceSpans)
	if o.MaxTraceBytes <= 0 {
		o.MaxTraceBytes = defaultMaxTraceBytes
	}
	o.MaxTraceBytes = min(o.MaxTraceBytes, maxTraceBytes)
	return o
}

// Head is one tenant's recent spans in memory, by trace: spans are searchable when Append returns,
// and pieces of a trace that arrive apart are one trace. Safe for concurrent use.
//
// Spans are kept as records of a tenth of the size of their objects (see spanrecord.go) and become
// objects for the traces that are asked for, until they are sealed into row groups (see head_seal.go).
type Head struct {
	opts HeadOptions

	mu        sync.RWMutex
	traces    map[ID]*headTrace
	text      *interner
	resources []*Resource
	scopes    []*Scope
	resIDs    map[string]uint32 // by message and schema URL
	scopeIDs  map[string]uint32
	arena     []byte // the end of the chunk that records are cut from
	scratch   []byte
	tags      tagSet // of resources and scopes; the others are in text
	rows      int
	open      int   // spans that are records
	bytes     int64 // of records and traces
	rawBytes  int64 // of OTLP, as it came
	start     uint64
	end       uint64

	tableBytes int64 // of resources and scopes
	appends    uint64

	closing *headSnapshot // what is being sealed
	sealed  *sealedSet

	sealMu     sync.Mutex // one seal at a time; guards what follows
	sealedTags *tagList   // of the sealed row groups
	spill      *spillFile
}

// headTrace is the records of one trace, in the order of arrival. Records are never changed, so a
// reader may keep a shorter view of the slice.
type headTrace struct {
	id         ID
	spans      [][]byte
	start, end uint64
	bytes      int
	events     int
	links      int
	before     int                             // spans of the trace that are sealed
	touched    uint64                          // by which append
	keys       map[[recordKeyLen]byte]struct{} // from dedupeByMap spans on
}

const (
	arenaChunk = 256 << 10
	// dedupeByMap is where comparing with every span of the trace becomes slower than a map.
	dedupeByMap = 48
	// traceOverhead and spanOverhead are what a trace and a span take beside the record: struct,
	// map slot and slice header, with the room that append leaves.
	traceOverhead = 160
	spanOverhead  = 32
)

// NewHead returns an empty head.
func NewHead(opts HeadOptions) *Head {
	return &Head{opts: opts.orDefault(), traces: make(map[ID]*headTrace), text: newInterner(),
		resIDs: make(map[string]uint32), scopeIDs: make(map[string]uint32), tags: make(tagSet), start: math.MaxUint64, sealed: &sealedSet{}, sealedTags: newTagList()}
}

// Append adds the spans of a batch that Check has passed. Spans that are there already are dropped
// silently: retries are normal. The error says that the batch isn't valid OTLP, the result which
// spans were refused by the limits of a trace. Nothing of b is kept.
func (h *Head) Append(b *Batch) (PushResult, error) {
	r, err := h.append(b, h.opts.MaxTraceSpans, h.opts.MaxTraceBytes)
	if h.opts.Rejected != nil {
		for _, rejected := range r.Rejected {
			h.opts.Rejected(rejected.Reason, rejected.Count)
		}
	}
	return r, err
}

// Replay is Append for a batch that was in the log before a restart. It refuses only what no block can
// hold: spans may have been acknowledged when the limits were others, or when another head had a part of
// their trace.
func (h *Head) Replay(b *Batch) (PushResult, error) { return h.append(b, maxTraceSpans, maxTraceBytes) }

func (h *Head) append(b *Batch, maxSpans, maxBytes int) (PushResult, error) {
	w := walkers.Get().(*walker)
	defer w.release(&walkers)
	a := headAppender{h: h, w: w, maxSpans: maxSpans, maxBytes: maxBytes}
	w.limits, w.v, w.trusted = unlimited, &a, true
	h.mu.Lock()
	h.appends++
	err := w.walk(view(b.OTLP))
	h.rawBytes += int64(len(b.OTLP))
	h.mu.Unlock()
	return a.PushResult, err
}

// headAppender is the visitor that puts spans into a head, whose mu is held.
type headAppender struct {
	PushResult
	h          *Head
	w          *walker
	maxSpans   int // of a trace
	maxBytes   int
	resource   *Resource
	resourceID uint32
	scope      *Scope
	scopeID    uint32
}

func (a *headAppender) reject(reason, message string) {
	c := checker{rejections: a.Rejected}
	c.reject(reason, message)
	a.Rejected = c.rejections
}

func (a *headAppender) span(id ID, s *Span) error {
	h := a.h
	t := h.traces[id]
	if t == nil {
		t = &headTrace{id: id, start: math.MaxUint64}
		for _, x := range h.sealed.find(id) {
			t.before += int(x.spans)
		}
		h.traces[id] = t
		h.bytes += traceOverhead
	}
	if t.has(s) {
		return nil
	}
	if len(t.spans)+min(t.before, a.maxSpans) >= a.maxSpans || t.bytes >= a.maxBytes || t.events+len(s.Events) > maxTraceChildren || t.links+len(s.Links) > maxTraceChildren {
		a.reject("trace_too_large", "trace "+id.String()+" has reached the limit of its size")
		return nil
	}
	if s.Resource != a.resource {
		a.resource, a.resourceID = s.Resource, h.internResource(s.Resource, a.w.resourceRaw, a.w.resourceURL)
	}
	if s.Scope != a.scope {
		a.scope, a.scopeID = s.Scope, h.internScope(s.Scope, a.w.scopeRaw, a.w.scopeURL)
	}
	s.Order = uint32(len(t.spans))
	h.scratch = h.text.appendRecord(h.scratch[:0], s, a.resourceID, a.scopeID)
	record := h.keep(h.scratch)
	t.add(record, s)
	t.touched = h.appends
	h.rows++
	h.open++
	h.bytes += int64(len(record)) + spanOverhead
	h.start, h.end = min(h.start, t.start), max(h.end, t.end)
	a.Spans++
	return nil
}

// keep copies a record to memory that stays.
func (h *Head) keep(record []byte) []byte {
	if len(record) > cap(h.arena)-len(h.arena) {
		if len(record) > arenaChunk/4 {
			return slices.Clone(record)
		}
		h.arena = make([]byte, 0, arenaChunk)
	}
	n := len(h.arena)
	h.arena = append(h.arena, record...)
	return h.arena[n:len(h.arena):len(h.arena)]
}

func (h *Head) internResource(r *Resource, raw, url string) uint32 {
	h.scratch = append(append(append(h.scratch[:0], raw...), 0), url...)
	if id, ok := h.resIDs[string(h.scratch)]; ok {
		return id
	}
	key := string(h.scratch)
	c := *r
	c.SchemaURL, c.ServiceName = h.text.keep(r.SchemaURL), h.text.keep(r.ServiceName)
	c.Attributes = h.keepAttributes(r.Attributes)
	h.tags.addResource(&c)
	id := uint32(len(h.resources))
	h.resources = append(h.resources, &c)
	h.resIDs[key] = id
	h.tableBytes += int64(len(key)+len(c.Attributes)*128) + traceOverhead
	return id
}

func (h *Head) internScope(s *Scope, raw, url string) uint32 {
	h.scratch = append(append(append(h.scratch[:0], raw...), 0), url...)
	if id, ok := h.scopeIDs[string(h.scratch)]; ok {
		return id
	}
	key := string(h.scratch)
	c := *s
	c.Name, c.Version, c.SchemaURL = h.text.keep(s.Name), h.text.keep(s.Version), h.text.keep(s.SchemaURL)
	c.Attributes = h.keepAttributes(s.Attributes)
	h.tags.addAll(ScopeInstrumentation, c.Attributes)
	id := uint32(len(h.scopes))
	h.scopes = append(h.scopes, &c)
	h.scopeIDs[key] = id
	h.tableBytes += int64(len(key)+len(c.Attributes)*128) + traceOverhead
	return id
}

// keepAttributes copies attributes with their text interned.
func (h *Head) keepAttributes(attrs []Attribute) []Attribute {
	out := slices.Clone(attrs)
	for i := range out {
		a := &out[i]
		a.Key, a.Str = h.text.keep(a.Key), h.text.keep(a.Str)
		a.Array = h.keepAttributes(a.Array)
	}
	return out
}

func (t *headTrace) has(s *Span) bool {
	var key [recordKeyLen]byte
	appendSpanKey(key[:0], s)
	if t.keys != nil {
		_, ok := t.keys[key]
		return ok
	}
	for _, r := range t.spans {
		if [recordKeyLen]byte(r[:recordKeyLen]) == key {
			return true
		}
	}
	return false
}

func (t *headTrace) add(record []byte, s *Span) {
	t.spans = append(t.spans, record)
	t.bytes += len(record)
	t.events += len(s.Events)
	t.links += len(s.Links)
	t.start, t.end = min(t.start, s.Start), max(t.end, s.Start, s.End)
	switch {
	case t.keys != nil:
		t.keys[[recordKeyLen]byte(record[:recordKeyLen])] = struct{}{}
	case len(t.spans) == dedupeByMap:
		t.keys = make(map[[recordKeyLen]byte]struct{}, 2*dedupeByMap)
		for _, r := range t.spans {
			t.keys[[recordKeyLen]byte(r[:recordKeyLen])] = struct{}{}
		}
	}
}

// Size returns the memory that the head holds, in bytes, estimated.
func (h *Head) Size() int64 {
	h.mu.RLock()
	defer h.mu.RUnlock()
	n := h.bytes + h.tableBytes + h.text.bytes + h.sealed.size
	if h.closing != nil {
		n += h.closing.bytes
	}
	return n
}

// Rows returns the number of spans.
func (h *Head) Rows() int {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.rows
}

// TimeRange implements Part.
func (h *Head) TimeRange() (start, end uint64) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.rows == 0 {
		return 0, 0
	}
	return h.start, h.end
}

// parts returns what the head has at this moment, unchanging, for the range of q; nil: all.
func (h *Head) parts(q *Select) []Part {
	h.mu.RLock()
	defer h.mu.RUnlock()
	var out []Part
	if open := h.openPart(q); len(open.traces) > 0 {
		out = append(out, open)
	}
	if h.closing != nil {
		out = append(out, h.closing)
	}
	if len(h.sealed.groups) > 0 {
		out = append(out, h.sealed.part())
	}
	return out
}

// frozenParts implements freezer.
func (h *Head) frozenParts() []Part { return h.parts(nil) }

// TraceByID implements Part.
func (h *Head) TraceByID(ctx context.Context, id ID) (*Trace, error) {
	h.mu.RLock()
	var pieces []*Trace
	if t := h.traces[id]; t != nil && len(t.spans) > 0 {
		r := h.reader()
		pieces = append(pieces, r.trace(id, t.spans))
	}
	closing, sealed := h.closing, h.sealed
	h.mu.RUnlock()
	if closing != nil {
		t, err := closing.TraceByID(ctx, id)
		if err != nil {
			return nil, err
		}
		pieces = append(pieces, t)
	}
	if len(sealed.find(id)) > 0 {
		t, err := sealed.part().TraceByID(ctx, id)
		if err != nil {
			return nil, err
		}
		pieces = append(pieces, t)
	}
	return JoinTraces(pieces...), nil
}

// SelectTraces implements Part.
func (h *Head) SelectTraces(ctx context.Context, s Select) iter.Seq2[*Trace, error] {
	return func(yield func(*Trace, error) bool) {
		q := &s
		if !h.allOpen() {
			q = nil // pieces of a trace that are not in the range may make it so
		}
		selectParts(ctx, h.parts(q), s, sharedTraces, answered{}, yield)
	}
}

// allOpen reports whether nothing is sealed.
func (h *Head) allOpen() bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.closing == nil && len(h.sealed.groups) == 0
}

// Pieces implements Part.
func (h *Head) Pieces(ctx context.Context) iter.Seq2[Piece, error] {
	return func(yield func(Piece, error) bool) {
		for joined, err := range mergePieces(ctx, h.parts(nil)) {
			if !yield(joined.Piece, err) || err != nil {
				return
			}
		}
	}
}

// Tags implements Part. It knows the keys of all its spans, whatever their time.
func (h *Head) Tags(_ context.Context, scope TagScope, start, end uint64) (map[TagScope][]string, error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	r := Select{Start: start, End: end}
	if h.rows == 0 || !r.overlaps(h.start, h.end) {
		return map[TagScope][]string{}, nil
	}
	return h.allTags().sorted(scope), nil
}

// allTags returns every key seen. mu must be held.
func (h *Head) allTags() tagSet {
	out := make(tagSet)
	for scope, keys := range h.tags {
		for k := range keys {
			out.add(scope, k)
		}
	}
	for place, seen := range h.text.tags {
		for id, is := range seen {
			if is {
				out.add(placeScopes[place], h.text.text[id])
			}
		}
	}
	return out
}

// TagValues implements Part.
func (h *Head) TagValues(ctx context.Context, scope TagScope, key string, start, end uint64, limit int) ([]Attribute, error) {
	v := newValues(limit)
	s := Select{Start: start, End: end}
	for _, p := range h.parts(&s) {
		list, err := p.TagValues(ctx, scope, key, start, end, limit)
		if err != nil {
			return nil, err
		}
		for i := range list {
			v.add(&list[i])
		}
	}
	return v.sorted(), nil
}

// reader returns a reader of the records that are there now. mu must be held.
func (h *Head) reader() recordReader {
	return recordReader{text: h.text.text, resources: h.resources, scopes: h.scopes}
}
