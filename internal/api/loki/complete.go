package loki

import (
	"net/http"
	"strconv"
	"unicode/utf8"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/logs/logql"
)

// completion is the answer of /api/hune/v1/complete. Places are byte offsets into the query.
type completion struct {
	Faults   []completionFault `json:"faults"`
	Wants    []completionWant  `json:"wants"`
	Prefix   string            `json:"prefix"`
	From     int               `json:"from"`
	To       int               `json:"to"`
	Selector string            `json:"selector,omitempty"`
}

type completionFault struct {
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	From    int    `json:"from"`
	To      int    `json:"to"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
}

type completionWant struct {
	Kind  string `json:"kind"`
	Text  string `json:"text,omitempty"`
	Label string `json:"label,omitempty"`
}

// complete says what is wrong with a query that is being typed, and what may come at the cursor. It reads no data:
// which labels and values there are, the paths for labels say.
func (h *Handler) complete(w http.ResponseWriter, r *http.Request) error {
	p := h.params(w, r)
	query := p.get("query")
	cursor := p.cursor(query)
	switch signal := p.get("signal"); signal {
	case "", "logs":
	case "traces", "metrics":
		p.fail(fault.Errorf(fault.NotYet, "completion of queries of %s is not supported yet", signal))
	default:
		p.failf("signal %q is not logs, traces or metrics", signal)
	}
	if p.err != nil {
		return p.err
	}
	d := logql.ParseTolerant(query, cursor)
	out := completion{Faults: []completionFault{}, Wants: []completionWant{}, Prefix: d.Prefix, From: d.From, To: d.To, Selector: d.Selector}
	for _, f := range d.Faults {
		out.Faults = append(out.Faults, completionFault{f.Msg, f.Hint, f.From, f.To, f.Line, f.Col})
	}
	for _, want := range d.Wants {
		out.Wants = append(out.Wants, completionWant{string(want.Kind), want.Text, want.Label})
	}
	writeJSON(w, http.StatusOK, map[string]any{"status": "success", "data": out})
	return nil
}

// cursor reads a byte offset into query; without the parameter it is the end.
func (p *params) cursor(query string) int {
	text := p.get("cursor")
	if text == "" {
		return len(query)
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > len(query) || n < len(query) && !utf8.RuneStart(query[n]) {
		p.failf("cursor %q is no byte offset of a character of the query", text)
	}
	return n
}
