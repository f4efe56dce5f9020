package loki

import (
	"net/http"
	"strings"

	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/logs/logql"
)

// categorizeFlag asks for the parts of each entry's label set apart.
const categorizeFlag = "categorize-labels"

func wantsCategories(r *http.Request) bool {
	for _, v := range r.Header.Values("X-Loki-Response-Encoding-Flags") {
		for flag := range strings.SplitSeq(v, ",") {
			if strings.TrimSpace(flag) == categorizeFlag {
				return true
			}
		}
	}
	return false
}

// autoFields is the parameter that has fields of JSON and logfmt lines known without a parser stage.
const autoFields = "hune_auto_fields"

func (h *Handler) rangeQuery(w http.ResponseWriter, r *http.Request) error {
	p := h.params(w, r)
	q := p.rangeQuery()
	if q.TraceID = p.get(traceParam); q.TraceID != "" && p.get("start") == "" && p.get("end") == "" && p.get("since") == "" {
		if _, err := logql.ParseLogQuery(q.Expr); err == nil {
			q.Kind, q.Start, q.End, q.Step = logs.TraceRows, 0, endOfTime, 0
		}
	}
	return h.answer(w, r, p, q)
}

// rangeQuery reads the parameters of a query over a range of time.
func (p *params) rangeQuery() *logs.Query {
	q := &logs.Query{Kind: logs.Range, Expr: p.get("query")}
	q.Limit = p.limit("limit", 100)
	q.Start, q.End = p.bounds()
	q.Direction = p.direction()
	q.Step = p.step(q.Start, q.End)
	q.Interval = p.interval()
	q.AutoFields = p.get(autoFields) == "true"
	return q
}

// traceParam restricts a range query to the entries that name a trace. A log query needs no time range then.
const traceParam = "hune_trace_id"

// endOfTime is when the last entry can be, in nanoseconds: no write is taken for a later time.
const endOfTime = int64(9_214_646_400e9)

// traceLogs answers with the entries that name a trace, the oldest first, whenever they were.
func (h *Handler) traceLogs(w http.ResponseWriter, r *http.Request) error {
	p := h.params(w, r)
	q := &logs.Query{Kind: logs.TraceRows, Expr: p.get("query"), TraceID: r.PathValue("id"), Direction: logs.Forward}
	q.Limit = p.limit("limit", 100)
	q.Start, q.End = p.time("start", 0), p.time("end", endOfTime)
	if p.get("direction") != "" {
		q.Direction = p.direction()
	}
	if p.err == nil && q.Start > q.End {
		p.failf("end timestamp must not be before or equal to start time")
	}
	if p.err != nil {
		return p.err
	}
	return h.encoded(w, r, q, true)
}

func (h *Handler) instantQuery(w http.ResponseWriter, r *http.Request) error {
	p := h.params(w, r)
	q := &logs.Query{Kind: logs.Instant, Expr: p.get("query")}
	q.Limit = p.limit("limit", 100)
	q.End = p.instant(h.o.Now().UnixNano())
	q.Start = q.End
	q.Direction = p.direction()
	q.AutoFields = p.get(autoFields) == "true"
	return h.answer(w, r, p, q)
}

func (h *Handler) answer(w http.ResponseWriter, r *http.Request, p *params, q *logs.Query) error {
	explains := p.explains()
	if p.err != nil {
		return p.err
	}
	// Checked here so that a bad query costs no queue slot.
	expr, err := logql.Parse(q.Expr)
	if err != nil {
		return err
	}
	if explains {
		if wantsParquet(r) {
			refuseParquet(w, "application/json")
			return nil
		}
		return h.explain(w, r, q)
	}
	_, isLog := expr.(*logql.LogQuery)
	return h.encoded(w, r, q, isLog)
}

// encoded runs q and encodes its answer.
func (h *Handler) encoded(w http.ResponseWriter, r *http.Request, q *logs.Query, isLog bool) error {
	q.Tags = queryTags(r)
	res, err := h.run(r.Context(), q)
	if err != nil {
		return err
	}
	if wantsProto(r) {
		return writeProtoResult(w, res, q, isLog, wantsCategories(r))
	}
	if wantsParquet(r) {
		return writeParquet(w, res, q, isLog, h.o.Version)
	}
	e := getEncoder()
	defer e.put()
	e.result(res, q, isLog, wantsCategories(r))
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	_, _ = w.Write(e.buf)
	return nil
}

func (h *Handler) formatQuery(w http.ResponseWriter, r *http.Request) {
	p := h.params(w, r)
	if p.err != nil {
		writeError(w, p.err)
		return
	}
	expr, err := logql.Parse(p.get("query"))
	if err != nil {
		writeJSON(w, http.StatusBadRequest, map[string]string{"status": "invalid-query", "error": err.Error()})
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "success", "data": logql.Pretty(expr)})
}
