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

func (h *Handler) rangeQuery(w http.ResponseWriter, r *http.Request) error {
	p := h.params(w, r)
	q := &logs.Query{Kind: logs.Range, Expr: p.get("query")}
	q.Limit = p.limit("limit", 100)
	q.Start, q.End = p.bounds()
	q.Direction = p.direction()
	q.Step = p.step(q.Start, q.End)
	q.Interval = p.interval()
	return h.answer(w, r, p, q)
}

func (h *Handler) instantQuery(w http.ResponseWriter, r *http.Request) error {
	p := h.params(w, r)
	q := &logs.Query{Kind: logs.Instant, Expr: p.get("query")}
	q.Limit = p.limit("limit", 100)
	q.End = p.time("time", h.o.Now().UnixNano())
	q.Start = q.End
	q.Direction = p.direction()
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
		return h.explain(w, r, q)
	}
	res, err := h.run(r.Context(), q)
	if err != nil {
		return err
	}
	e := getEncoder()
	defer e.put()
	_, isLog := expr.(*logql.LogQuery)
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
