package loki

import (
	"net/http"
	"strings"

	"github.com/hune-io/hune/internal/logs"
)

// ask runs q unless a parameter was wrong.
func (h *Handler) ask(r *http.Request, p *params, q *logs.Query) (*logs.Result, error) {
	if p.err != nil {
		return nil, p.err
	}
	return h.run(r.Context(), q)
}

// list is the answer of labels and label values; an empty one has no data.
type list struct {
	Status string   `json:"status"`
	Data   []string `json:"data,omitempty"`
}

func (h *Handler) strings(w http.ResponseWriter, r *http.Request, q *logs.Query) error {
	res, err := h.namesOf(w, r, q)
	if err != nil {
		return err
	}
	if wantsProto(r) {
		return writeProtoStrings(w, res)
	}
	writeJSON(w, http.StatusOK, list{success, res.Strings})
	return nil
}

// namesOf asks for names or values of labels.
func (h *Handler) namesOf(w http.ResponseWriter, r *http.Request, q *logs.Query) (*logs.Result, error) {
	p := h.params(w, r)
	q.Start, q.End = p.bounds()
	q.Expr = p.get("query")
	return h.ask(r, p, q)
}

func (h *Handler) labelNames(w http.ResponseWriter, r *http.Request) error {
	return h.strings(w, r, &logs.Query{Kind: logs.LabelNames})
}

func (h *Handler) labelValues(w http.ResponseWriter, r *http.Request) error {
	return h.strings(w, r, &logs.Query{Kind: logs.LabelValues, Label: r.PathValue("name")})
}

func (h *Handler) series(w http.ResponseWriter, r *http.Request) error {
	p := h.params(w, r)
	q := &logs.Query{Kind: logs.SeriesKind}
	q.Start, q.End = p.bounds()
	q.Match = append(append(q.Match, r.Form["match[]"]...), r.Form["match"]...)
	res, err := h.ask(r, p, q)
	if err != nil {
		return err
	}
	if wantsProto(r) {
		return writeProtoSeries(w, res)
	}
	e := getEncoder()
	defer e.put()
	e.raw(`{"status":"success","data":[`)
	for i, ls := range res.Series {
		e.comma(i)
		e.labels(ls)
	}
	e.raw("]}\n")
	return e.send(w)
}

// send writes the buffer. A client that has gone away is no error of ours.
func (e *encoder) send(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	_, _ = w.Write(e.buf)
	return nil
}

func (h *Handler) indexStats(w http.ResponseWriter, r *http.Request) error {
	p := h.params(w, r)
	q := &logs.Query{Kind: logs.StatsKind, Expr: p.get("query")}
	q.Start, q.End = p.bounds()
	res, err := h.ask(r, p, q)
	if err != nil {
		return err
	}
	if wantsProto(r) {
		return writeProtoIndexStats(w, res)
	}
	writeJSON(w, http.StatusOK, struct {
		Streams int64 `json:"streams"`
		Chunks  int64 `json:"chunks"`
		Bytes   int64 `json:"bytes"`
		Entries int64 `json:"entries"`
	}{res.StreamCount, res.Index.Pages, res.Index.Bytes, res.Index.Entries})
	return nil
}

func (h *Handler) volume(w http.ResponseWriter, r *http.Request) error {
	return h.volumes(w, r, logs.VolumeKind)
}

func (h *Handler) volumeRange(w http.ResponseWriter, r *http.Request) error {
	return h.volumes(w, r, logs.VolumeRange)
}

func (h *Handler) volumes(w http.ResponseWriter, r *http.Request, kind logs.QueryKind) error {
	p := h.params(w, r)
	q := &logs.Query{Kind: kind, Expr: p.get("query")}
	q.Start, q.End = p.bounds()
	q.Limit = p.limit("limit", 100)
	if kind == logs.VolumeRange {
		q.Step = p.step(q.Start, q.End)
	}
	for name := range strings.SplitSeq(p.get("targetLabels"), ",") {
		if name = strings.TrimSpace(name); name != "" {
			q.TargetLabels = append(q.TargetLabels, name)
		}
	}
	switch p.get("aggregateBy") {
	case "", "series":
	case "labels":
		q.ByLabels = true
	default:
		p.failf("invalid aggregation option")
	}
	res, err := h.ask(r, p, q)
	if err != nil {
		return err
	}
	switch {
	case !wantsProto(r):
	case len(res.Matrix) > 0:
		return writeProtoProm(w, "matrix", res.Matrix, &res.Stats)
	default:
		return writeProtoProm(w, "vector", vectorSeries(res.Vector), &res.Stats)
	}
	e := getEncoder()
	defer e.put()
	if len(res.Matrix) > 0 {
		e.raw(`{"status":"success","data":{"resultType":"matrix","result":`)
		e.matrix(res.Matrix)
	} else {
		e.raw(`{"status":"success","data":{"resultType":"vector","result":`)
		e.vector(res.Vector)
	}
	e.raw(`,"stats":`)
	e.stats(&res.Stats)
	e.raw("}}\n")
	return e.send(w)
}

type detectedLabel struct {
	Label       string `json:"label"`
	Cardinality uint64 `json:"cardinality"`
}

func (h *Handler) detectedLabels(w http.ResponseWriter, r *http.Request) error {
	p := h.params(w, r)
	q := &logs.Query{Kind: logs.DetectedLabels, Expr: p.get("query")}
	q.Start, q.End = p.bounds()
	res, err := h.ask(r, p, q)
	if err != nil {
		return err
	}
	if wantsProto(r) {
		return writeProtoDetectedLabels(w, res)
	}
	out := struct {
		DetectedLabels []detectedLabel `json:"detectedLabels,omitempty"`
	}{}
	for _, f := range res.Fields {
		out.DetectedLabels = append(out.DetectedLabels, detectedLabel{f.Name, f.Cardinality})
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

type detectedField struct {
	Label       string   `json:"label"`
	Type        string   `json:"type"`
	Cardinality uint64   `json:"cardinality"`
	Parsers     []string `json:"parsers"`
	JSONPath    []string `json:"jsonPath,omitempty"`
}

func (h *Handler) fieldsQuery(w http.ResponseWriter, r *http.Request, q *logs.Query) (*logs.Result, error) {
	p := h.params(w, r)
	q.Expr = p.get("query")
	q.Start, q.End = p.bounds()
	q.Limit = p.limit("limit", 1000)
	q.LineLimit = p.limit("line_limit", 100)
	if p.get("field_limit") != "" {
		q.Limit = p.limit("field_limit", 1000)
	}
	return h.ask(r, p, q)
}

func (h *Handler) detectedFields(w http.ResponseWriter, r *http.Request) error {
	q := &logs.Query{Kind: logs.DetectedFields}
	res, err := h.fieldsQuery(w, r, q)
	if err != nil {
		return err
	}
	if wantsProto(r) {
		return writeProtoFields(w, res, q.Limit)
	}
	out := struct {
		Fields []detectedField `json:"fields"`
		Limit  int             `json:"limit"`
	}{make([]detectedField, 0, len(res.Fields)), q.Limit}
	for _, f := range res.Fields {
		out.Fields = append(out.Fields, detectedField{f.Name, f.Type, f.Cardinality, f.Parsers, f.JSONPath})
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

func (h *Handler) detectedFieldValues(w http.ResponseWriter, r *http.Request) error {
	q := &logs.Query{Kind: logs.DetectedFieldValues, Label: r.PathValue("name")}
	res, err := h.fieldsQuery(w, r, q)
	if err != nil {
		return err
	}
	if wantsProto(r) {
		return writeProtoFields(w, res, q.Limit)
	}
	if len(res.Strings) == 0 {
		writeJSON(w, http.StatusOK, struct{}{})
		return nil
	}
	writeJSON(w, http.StatusOK, struct {
		Values []string `json:"values"`
		Limit  int      `json:"limit"`
	}{res.Strings, q.Limit})
	return nil
}

func (h *Handler) patterns(w http.ResponseWriter, r *http.Request) error {
	p := h.params(w, r)
	q := &logs.Query{Kind: logs.Patterns, Expr: p.get("query")}
	q.Start, q.End = p.bounds()
	q.Step = p.step(q.Start, q.End)
	res, err := h.ask(r, p, q)
	if err != nil {
		return err
	}
	if wantsProto(r) {
		return writeProtoPatterns(w, res)
	}
	e := getEncoder()
	defer e.put()
	e.raw(`{"status":"success","data":[`)
	for i, s := range res.Pattern {
		e.comma(i)
		e.raw(`{"pattern":`)
		e.str(s.Pattern)
		e.raw(`,"level":`)
		e.str(s.Level)
		e.raw(`,"samples":[`)
		for j, pt := range s.Points {
			e.comma(j)
			e.raw("[")
			e.int(pt.T)
			e.raw(",")
			e.int(int64(pt.V))
			e.raw("]")
		}
		e.raw("]}")
	}
	e.raw("]}\n")
	return e.send(w)
}
