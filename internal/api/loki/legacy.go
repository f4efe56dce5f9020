package loki

import (
	"net/http"
	"sort"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/logs/logql"
)

// legacyRoutes are the reading paths of the API before version 1. They answer with entries only, whose
// labels are a text and whose times are RFC 3339.
func (h *Handler) legacyRoutes() map[string]func(http.ResponseWriter, *http.Request) error {
	return map[string]func(http.ResponseWriter, *http.Request) error{
		"/api/prom/query":               h.legacyQuery,
		"/api/prom/label":               h.legacyLabels,
		"/api/prom/label/{name}/values": h.legacyLabelValues,
		"/api/prom/series":              h.series,
	}
}

func (h *Handler) legacyQuery(w http.ResponseWriter, r *http.Request) error {
	p := h.params(w, r)
	q := p.rangeQuery()
	if p.err != nil {
		return p.err
	}
	expr, err := p.legacyExpr()
	if err != nil {
		return err
	}
	if _, isLog := expr.(*logql.LogQuery); !isLog {
		return fault.Invalidf("legacy endpoints only support streams result type")
	}
	q.Expr = expr.String()
	res, err := h.run(r.Context(), q)
	if err != nil {
		return err
	}
	e := getEncoder()
	defer e.put()
	e.raw(`{"streams":`)
	e.legacyStreams(res.Streams)
	e.raw(`,"stats":`)
	e.stats(&res.Stats)
	e.raw("}\n")
	return e.send(w)
}

// legacyExpr reads query and, where given, regexp, which is a line filter behind it.
func (p *params) legacyExpr() (logql.Expr, error) {
	filter := p.get("regexp")
	if filter == "" {
		return logql.Parse(p.get("query"))
	}
	q, err := logql.ParseLogQuery(p.get("query"))
	if err != nil {
		return nil, err
	}
	return logql.Parse(q.String() + " |~ " + strconv.Quote(filter))
}

func (h *Handler) legacyLabels(w http.ResponseWriter, r *http.Request) error {
	return h.legacyStrings(w, r, &logs.Query{Kind: logs.LabelNames})
}

func (h *Handler) legacyLabelValues(w http.ResponseWriter, r *http.Request) error {
	return h.legacyStrings(w, r, &logs.Query{Kind: logs.LabelValues, Label: r.PathValue("name")})
}

func (h *Handler) legacyStrings(w http.ResponseWriter, r *http.Request, q *logs.Query) error {
	res, err := h.namesOf(w, r, q)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, struct {
		Values []string `json:"values,omitempty"`
	}{res.Strings})
	return nil
}

// legacyStreams appends [{"labels":"{a=\"b\"}","entries":[{"ts":"…","line":"…"}]}].
func (e *encoder) legacyStreams(all []logs.StreamResult) {
	sort.SliceStable(all, func(i, j int) bool { return labels.Compare(all[i].Labels, all[j].Labels) < 0 })
	e.raw("[")
	for i := range all {
		e.comma(i)
		e.raw(`{"labels":`)
		e.str(all[i].Labels.String())
		e.raw(`,"entries":[`)
		for j := range all[i].Entries {
			en := &all[i].Entries[j]
			e.comma(j)
			e.raw(`{"ts":`)
			e.rfc3339(en.Timestamp)
			e.raw(`,"line":`)
			e.str(en.Line)
			e.raw("}")
		}
		e.raw("]}")
	}
	e.raw("]")
}

func (e *encoder) rfc3339(ns int64) {
	e.buf = append(e.buf, '"')
	e.buf = time.Unix(0, ns).UTC().AppendFormat(e.buf, time.RFC3339Nano)
	e.buf = append(e.buf, '"')
}
