package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode/utf8"
)

// explanation is what a server says of a query that it doesn't run.
type explanation struct {
	Plan     *string        `json:"plan"`
	Estimate map[string]any `json:"estimate"`
}

// explained prints the plan and the estimate of a query. e is where answer, which the server's answer is read into, has
// them.
func (f *queryFlags) explained(ctx context.Context, w io.Writer, path string, params url.Values, answer any, e *explanation) error {
	params.Set("explain", "true")
	if ok, err := f.fetch(ctx, w, path, params, answer); !ok {
		return err
	}
	if e.Plan == nil {
		return fmt.Errorf("the server at %s doesn't explain queries", f.url)
	}
	if _, err := fmt.Fprintln(w, strings.TrimRight(*e.Plan, "\n")); err != nil {
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	names := make([]string, 0, len(e.Estimate))
	for name := range e.Estimate {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		text, err := json.Marshal(e.Estimate[name])
		if err != nil {
			return err
		}
		fmt.Fprintf(tw, "%s\t%s\n", name, strings.Trim(string(text), `"`))
	}
	return tw.Flush()
}

// setOutput checks --output.
func (f *queryFlags) setOutput(output string) (raw bool, err error) {
	switch output {
	case "table", "raw":
	case "json":
		f.json = true
	default:
		return false, fmt.Errorf("--output: %q is none of table, raw and json", output)
	}
	return output == "raw", nil
}

// queryFault is something wrong in the bytes from one place to another of a query, and what might have been meant.
type queryFault struct {
	from, to int
	hint     string
}

// pointTo adds the query to the error of a server that doesn't understand it, with a mark under each fault.
func pointTo(err error, expr string, faults []queryFault) error {
	var e *answerError
	if !errors.As(err, &e) || e.status != http.StatusBadRequest || len(faults) == 0 {
		return err
	}
	var b strings.Builder
	begin := 0 // of the line
	for line := range strings.SplitSeq(expr, "\n") {
		fmt.Fprintf(&b, "\n  %s", line)
		for _, fault := range faults {
			if fault.from < begin || fault.from > begin+len(line) {
				continue
			}
			column := utf8.RuneCountInString(expr[begin:fault.from])
			width := max(utf8.RuneCountInString(expr[fault.from:fault.to]), 1)
			fmt.Fprintf(&b, "\n  %s%s %s", strings.Repeat(" ", column), strings.Repeat("^", width), fault.hint)
		}
		begin += len(line) + 1
	}
	return fmt.Errorf("%w%s", err, strings.TrimRight(b.String(), " "))
}
