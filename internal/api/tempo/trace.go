package tempo

import (
	"net/http"
	"sort"
	"strings"

	"github.com/hune-io/hune/internal/api/rpc"
	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/traces"
)

// parseTraceID reads 1 to 32 hexadecimal digits with the reference's error texts.
func parseTraceID(s string) (traces.ID, error) {
	for i, r := range s {
		if !strings.ContainsRune("0123456789abcdefABCDEF", r) {
			return traces.ID{}, fault.Invalidf("trace IDs can only contain hex characters: invalid character %q at position %d", r, i+1)
		}
	}
	id, err := traces.ParseID(s)
	return id, fault.New(fault.Invalid, err)
}

func (a *API) traceByID(r *http.Request) (*traces.Result, error) {
	id, err := parseTraceID(r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	t, err := byIDRange(r.URL.Query())
	if err != nil {
		return nil, err
	}
	return a.run(r.Context(), &traces.Query{Kind: traces.ByID, ID: id, Start: t.start, End: t.end})
}

// wantsProtobuf reports whether the client prefers protobuf to JSON.
func wantsProtobuf(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "application/protobuf")
}

// traceV1 answers {"batches":[…]}, or 404 without a body.
func (a *API) traceV1(w http.ResponseWriter, r *http.Request) error {
	res, err := a.traceByID(r)
	if err != nil {
		return err
	}
	if res.Trace == nil || len(res.Trace.Spans) == 0 {
		w.WriteHeader(http.StatusNotFound)
		return nil
	}
	if wantsProtobuf(r) {
		return write(w, "application/protobuf", traces.ToOTLP(res.Trace))
	}
	return writeJSON(w, appendTrace(nil, "batches", res.Trace))
}

// traceV2 answers {"trace":{"resourceSpans":[…]}}; the trace is empty if there is none.
func (a *API) traceV2(w http.ResponseWriter, r *http.Request) error {
	res, err := a.traceByID(r)
	if err != nil {
		return err
	}
	part, partial, err := partOf(r.URL.Query(), res.Trace)
	if err != nil {
		return err
	}
	if wantsProtobuf(r) {
		return write(w, "application/protobuf", protoTrace(part, partial))
	}
	o := open(nil)
	o.field("trace")
	if part == nil || len(part.Spans) == 0 {
		o.b = append(o.b, "{}"...)
	} else {
		o.b = appendTrace(o.b, "resourceSpans", part)
	}
	if partial {
		o.text("status", "PARTIAL")
		o.text("message", partialMessage)
	}
	if r.URL.Query().Get("hune_analysis") == "true" && res.Trace != nil {
		o.field("hune")
		o.b = appendAnalysis(o.b, res.Trace)
	}
	o.field("metrics")
	m := open(o.b)
	m.long("inspectedBytes", uint64(res.Inspected.Bytes))
	o.b = m.close()
	return writeJSON(w, o.close())
}

// partialMessage explains the status PARTIAL, which tells clients that there is more of the trace.
const partialMessage = "the trace has more spans than the query asks for"

// protoTrace is a TraceByIDResponse message.
func protoTrace(t *traces.Trace, partial bool) []byte {
	var otlp []byte
	if t != nil && len(t.Spans) > 0 {
		otlp = traces.ToOTLP(t)
	}
	b := rpc.AppendMessage(nil, 1, otlp)
	if partial {
		b = rpc.AppendString(rpc.AppendUint(b, 3, 1), 4, partialMessage)
	}
	return b
}

// appendTrace appends {name:[…]} with the spans by resource and scope, in order of arrival.
func appendTrace(b []byte, name string, t *traces.Trace) []byte {
	spans := append([]*traces.Span(nil), t.Spans...)
	sort.SliceStable(spans, func(i, j int) bool { return spans[i].Order < spans[j].Order })
	o := open(b)
	o.field(name)
	o.b = append(o.b, '[')
	for i, group := range groupBy(spans, func(s *traces.Span) any { return s.Resource }) {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = appendResourceSpans(o.b, t.ID, group)
	}
	o.b = append(o.b, ']')
	return o.close()
}

// groupBy divides spans by a comparable key, in the order in which the keys occur.
func groupBy(spans []*traces.Span, key func(*traces.Span) any) [][]*traces.Span {
	at := map[any]int{}
	var out [][]*traces.Span
	for _, s := range spans {
		k := key(s)
		i, ok := at[k]
		if !ok {
			i = len(out)
			at[k] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], s)
	}
	return out
}

func appendResourceSpans(b []byte, id traces.ID, spans []*traces.Span) []byte {
	o := open(b)
	o.field("resource")
	res := open(o.b)
	schema := ""
	if r := spans[0].Resource; r != nil {
		res.attributes("attributes", r.Attributes)
		res.number("droppedAttributesCount", uint64(r.DroppedAttributesCount))
		schema = r.SchemaURL
	}
	o.b = res.close()
	o.field("scopeSpans")
	o.b = append(o.b, '[')
	for i, group := range groupBy(spans, func(s *traces.Span) any { return s.Scope }) {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = appendScopeSpans(o.b, id, group)
	}
	o.b = append(o.b, ']')
	o.text("schemaUrl", schema)
	return o.close()
}

func appendScopeSpans(b []byte, id traces.ID, spans []*traces.Span) []byte {
	o := open(b)
	o.field("scope")
	sc := open(o.b)
	schema := ""
	if s := spans[0].Scope; s != nil {
		sc.text("name", s.Name)
		sc.text("version", s.Version)
		sc.attributes("attributes", s.Attributes)
		sc.number("droppedAttributesCount", uint64(s.DroppedAttributesCount))
		schema = s.SchemaURL
	}
	o.b = sc.close()
	o.field("spans")
	o.b = append(o.b, '[')
	for i, s := range spans {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = appendSpan(o.b, id, s)
	}
	o.b = append(o.b, ']')
	o.text("schemaUrl", schema)
	return o.close()
}

var kindNames = [...]string{
	traces.KindInternal: "SPAN_KIND_INTERNAL", traces.KindServer: "SPAN_KIND_SERVER", traces.KindClient: "SPAN_KIND_CLIENT",
	traces.KindProducer: "SPAN_KIND_PRODUCER", traces.KindConsumer: "SPAN_KIND_CONSUMER",
}

func appendSpan(b []byte, id traces.ID, s *traces.Span) []byte {
	o := open(b)
	o.field("traceId")
	o.b = appendBase64(o.b, id[:])
	o.field("spanId")
	o.b = appendBase64(o.b, s.ID[:])
	o.text("traceState", s.TraceState)
	if s.ParentID != (traces.SpanID{}) {
		o.field("parentSpanId")
		o.b = appendBase64(o.b, s.ParentID[:])
	}
	o.number("flags", uint64(s.Flags))
	o.text("name", s.Name)
	if int(s.Kind) < len(kindNames) {
		o.text("kind", kindNames[s.Kind])
	} else {
		o.number("kind", uint64(s.Kind))
	}
	o.long("startTimeUnixNano", s.Start)
	o.long("endTimeUnixNano", s.End)
	o.attributes("attributes", s.Attributes)
	o.number("droppedAttributesCount", uint64(s.DroppedAttributes))
	appendEvents(&o, s.Events)
	o.number("droppedEventsCount", uint64(s.DroppedEvents))
	appendLinks(&o, s.Links)
	o.number("droppedLinksCount", uint64(s.DroppedLinks))
	o.field("status")
	st := open(o.b)
	st.text("message", s.StatusMessage)
	switch s.Status {
	case traces.StatusUnset:
	case traces.StatusOK:
		st.text("code", "STATUS_CODE_OK")
	case traces.StatusError:
		st.text("code", "STATUS_CODE_ERROR")
	default:
		st.number("code", uint64(s.Status))
	}
	o.b = st.close()
	return o.close()
}

func appendEvents(o *object, events []traces.Event) {
	if len(events) == 0 {
		return
	}
	o.field("events")
	o.b = append(o.b, '[')
	for i := range events {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		e := open(o.b)
		e.long("timeUnixNano", events[i].Time)
		e.text("name", events[i].Name)
		e.attributes("attributes", events[i].Attributes)
		e.number("droppedAttributesCount", uint64(events[i].DroppedAttributesCount))
		o.b = e.close()
	}
	o.b = append(o.b, ']')
}

func appendLinks(o *object, links []traces.Link) {
	if len(links) == 0 {
		return
	}
	o.field("links")
	o.b = append(o.b, '[')
	for i := range links {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		l := open(o.b)
		l.field("traceId")
		l.b = appendBase64(l.b, links[i].TraceID[:])
		l.field("spanId")
		l.b = appendBase64(l.b, links[i].SpanID[:])
		l.text("traceState", links[i].TraceState)
		l.attributes("attributes", links[i].Attributes)
		l.number("droppedAttributesCount", uint64(links[i].DroppedAttributesCount))
		l.number("flags", uint64(links[i].Flags))
		o.b = l.close()
	}
	o.b = append(o.b, ']')
}
