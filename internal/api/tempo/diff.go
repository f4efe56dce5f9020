package tempo

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/traces"
	"github.com/hune-io/hune/internal/traces/analysis"
)

// maxDiffBody bounds the body of a diff request, which names two traces.
const maxDiffBody = 64 << 10

// diffSide names one of the two traces; times are Unix seconds.
type diffSide struct {
	TraceID string `json:"traceId"`
	Start   uint64 `json:"start"`
	End     uint64 `json:"end"`
}

// diff answers POST /api/v2/traces/diff: two traces side by side. Tempo's endpoint is experimental
// and its formats are its own; the request is the same, the answer is Hune's.
func (a *API) diff(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		Base, Compare diffSide
		Format        string
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxDiffBody))
	if err := d.Decode(&req); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fault.Invalidf("malformed request: %w", err)
	}
	if req.Format != "" && req.Format != "hune-v1" {
		return fault.Invalidf("unknown format %q: there is hune-v1", req.Format)
	}
	base, err := a.diffTrace(r.Context(), "base", req.Base)
	if err != nil {
		return err
	}
	compare, err := a.diffTrace(r.Context(), "compare", req.Compare)
	if err != nil {
		return err
	}
	return writeJSON(w, appendDiff(nil, base, compare))
}

func (a *API) diffTrace(ctx context.Context, name string, side diffSide) (*traces.Trace, error) {
	id, err := parseTraceID(side.TraceID)
	if err != nil {
		return nil, fault.Invalidf("%s: %w", name, err)
	}
	if side.End != 0 && side.Start >= side.End {
		return nil, fault.Invalidf("%s: %w", name, startBeforeEnd(side.Start, side.End))
	}
	q := &traces.Query{Kind: traces.ByID, ID: id, Start: side.Start * second, End: side.End * second}
	if side.Start != 0 && side.End == 0 {
		q.End = uint64(a.opts.Now().UnixNano())
	}
	res, err := a.run(ctx, q)
	if err != nil {
		return nil, err
	}
	if res.Trace == nil || len(res.Trace.Spans) == 0 {
		return nil, fault.Errorf(fault.NotFound, "%s: trace %s is not there", name, side.TraceID)
	}
	return res.Trace, nil
}

func appendDiff(b []byte, base, compare *traces.Trace) []byte {
	rows := analysis.Diff(base, compare)
	o := open(b)
	o.field("base")
	o.b = appendDiffSummary(o.b, base)
	o.field("compare")
	o.b = appendDiffSummary(o.b, compare)
	var added, removed, changed uint64
	for i := range rows {
		switch r := &rows[i]; {
		case r.Base == nil:
			added++
		case r.Compare == nil:
			removed++
		case rowStatus(r) == "changed":
			changed++
		}
	}
	o.number("added", added)
	o.number("removed", removed)
	o.number("changed", changed)
	o.field("spans")
	o.b = append(o.b, '[')
	for i := range rows {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = appendDiffRow(o.b, &rows[i])
	}
	o.b = append(o.b, ']')
	return o.close()
}

func appendDiffSummary(b []byte, t *traces.Trace) []byte {
	o := open(b)
	o.text("traceId", t.ID.String())
	start, end := t.Bounds()
	o.long("startTimeUnixNano", start)
	o.long("durationNanos", end-start)
	o.number("spanCount", uint64(len(t.Spans)))
	errs := uint64(0)
	for _, s := range t.Spans {
		if s.Status == traces.StatusError {
			errs++
		}
	}
	o.number("errorCount", errs)
	return o.close()
}

// rowStatus names the state of a span: added, removed, changed (another status or attribute), same.
func rowStatus(r *analysis.SpanChange) string {
	switch {
	case r.Base == nil:
		return "added"
	case r.Compare == nil:
		return "removed"
	case len(r.Attributes) > 0, r.Base.Status != r.Compare.Status, r.Base.StatusMessage != r.Compare.StatusMessage:
		return "changed"
	}
	return "same"
}

func appendDiffRow(b []byte, r *analysis.SpanChange) []byte {
	s := r.Base
	if s == nil {
		s = r.Compare
	}
	o := open(b)
	o.number("depth", uint64(r.Depth))
	o.text("service", analysis.Service(s))
	o.text("name", s.Name)
	o.text("diff", rowStatus(r))
	if r.Base != nil {
		o.field("base")
		o.b = appendDiffSpan(o.b, r.Base)
	}
	if r.Compare != nil {
		o.field("compare")
		o.b = appendDiffSpan(o.b, r.Compare)
	}
	if len(r.Attributes) > 0 {
		o.field("attributes")
		o.b = append(o.b, '[')
		for i := range r.Attributes {
			if i > 0 {
				o.b = append(o.b, ',')
			}
			c := open(o.b)
			c.text("scope", r.Attributes[i].Scope)
			c.text("key", r.Attributes[i].Key)
			if v := r.Attributes[i].Base; v != nil {
				c.field("base")
				c.b = appendValue(c.b, v)
			}
			if v := r.Attributes[i].Compare; v != nil {
				c.field("compare")
				c.b = appendValue(c.b, v)
			}
			o.b = c.close()
		}
		o.b = append(o.b, ']')
	}
	return o.close()
}

func appendDiffSpan(b []byte, s *traces.Span) []byte {
	o := open(b)
	o.text("spanID", s.ID.String())
	o.long("startTimeUnixNano", s.Start)
	if s.End > s.Start {
		o.long("durationNanos", s.End-s.Start)
	}
	switch s.Status {
	case traces.StatusOK:
		o.text("status", "ok")
	case traces.StatusError:
		o.text("status", "error")
		o.text("statusMessage", s.StatusMessage)
	}
	return o.close()
}
