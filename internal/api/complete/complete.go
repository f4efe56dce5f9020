// Package complete answers /api/hune/v1/complete: what is wrong with a query that is being typed, and what may
// come at the cursor, for editors. It reads no data: which labels, attributes and values there are, the paths of
// each signal say. Errors are {"error": TEXT} with status 400.
package complete

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/hune-io/hune/internal/logs/logql"
	"github.com/hune-io/hune/internal/traces/traceql"
)

// Answer says what may come. Places are byte offsets into the query.
type Answer struct {
	Faults []Fault `json:"faults"`
	Wants  []Want  `json:"wants"`
	// Prefix is what stands before the cursor of the word that a choice replaces, which is [From, To).
	Prefix string `json:"prefix"`
	From   int    `json:"from"`
	To     int    `json:"to"`
	// Selector is what to ask for labels and values with: a stream selector, or conditions on spans.
	Selector string `json:"selector,omitempty"`
}

// Fault is something wrong in [From, To). Line and Column count from 1.
type Fault struct {
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	From    int    `json:"from"`
	To      int    `json:"to"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
}

// Want is something that may come. Text is the word itself; without it the kind says what is wanted, of the
// label or attribute named by Label.
type Want struct {
	Kind  string `json:"kind"`
	Text  string `json:"text,omitempty"`
	Label string `json:"label,omitempty"`
}

// maxBody bounds a form.
const maxBody = 1 << 20

// Register adds the handler to mux.
func Register(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/hune/v1/complete", serve)
	mux.HandleFunc("POST /api/hune/v1/complete", serve)
}

func serve(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	status, body := http.StatusOK, map[string]any{}
	if a, err := answer(r); err != nil {
		status, body["error"] = http.StatusBadRequest, err.Error()
	} else {
		body["status"], body["data"] = "success", a
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client may have gone away
}

func answer(r *http.Request) (*Answer, error) {
	if err := r.ParseForm(); err != nil {
		return nil, err
	}
	query := r.Form.Get("query")
	at, err := cursor(r.Form.Get("cursor"), query)
	if err != nil {
		return nil, err
	}
	switch signal := r.Form.Get("signal"); signal {
	case "", "logs":
		return logs(query, at), nil
	case "traces":
		return traces(query, at), nil
	default:
		return nil, fmt.Errorf("signal %q is not logs or traces", signal)
	}
}

// cursor reads a byte offset into query; without one it is the end.
func cursor(text, query string) (int, error) {
	if text == "" {
		return len(query), nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > len(query) || n < len(query) && !utf8.RuneStart(query[n]) {
		return 0, fmt.Errorf("cursor %q is no byte offset of a character of the query", text)
	}
	return n, nil
}

func logs(query string, at int) *Answer {
	d := logql.ParseTolerant(query, at)
	a := &Answer{Faults: []Fault{}, Wants: []Want{}, Prefix: d.Prefix, From: d.From, To: d.To, Selector: d.Selector}
	for _, f := range d.Faults {
		a.Faults = append(a.Faults, Fault{f.Msg, f.Hint, f.From, f.To, f.Line, f.Col})
	}
	for _, w := range d.Wants {
		a.Wants = append(a.Wants, Want{string(w.Kind), w.Text, w.Label})
	}
	return a
}

func traces(query string, at int) *Answer {
	c := traceql.Complete(query, at)
	a := &Answer{Faults: []Fault{}, Wants: []Want{}, Prefix: query[min(c.Start, at):at], From: c.Start, To: c.End, Selector: c.Filter}
	for _, f := range traceql.Faults(query) {
		before := query[:f.Start]
		line := strings.LastIndexByte(before, '\n') + 1
		a.Faults = append(a.Faults, Fault{f.Msg, f.Hint, f.Start, f.End, strings.Count(before, "\n") + 1, utf8.RuneCountInString(before[line:]) + 1})
	}
	if c.Names {
		a.Wants = append(a.Wants, Want{Kind: "attribute", Label: c.Scope.String()})
	}
	if c.Values != "" {
		a.Wants = append(a.Wants, Want{Kind: "value", Label: c.Values})
	}
	if c.Number {
		a.Wants = append(a.Wants, Want{Kind: "number"})
	}
	for _, one := range c.Choices {
		a.Wants = append(a.Wants, Want{Kind: one.Kind, Text: one.Text})
	}
	return a
}
