package main

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/hune-io/hune/internal/traces"
)

// otlpTrace is what of /api/v2/traces the table shows.
type otlpTrace struct {
	Trace struct {
		ResourceSpans []struct {
			Resource struct {
				Attributes []struct {
					Key   string
					Value struct{ StringValue string }
				}
			}
			ScopeSpans []struct{ Spans []otlpSpan }
		}
	}
}

type otlpSpan struct {
	SpanID            string `json:"spanId"`
	ParentSpanID      string `json:"parentSpanId"`
	Name              string
	StartTimeUnixNano string
	EndTimeUnixNano   string
	Status            struct{ Code, Message string }
	service           string
	start, end        int64
}

// printSpanIDs prints the IDs of spans as other answers write them.
func printSpanIDs(w io.Writer, spans []*otlpSpan) error {
	for _, s := range spans {
		id, err := base64.StdEncoding.DecodeString(s.SpanID)
		if err != nil {
			return fmt.Errorf("span ID %q in the answer: %w", s.SpanID, err)
		}
		if _, err := fmt.Fprintln(w, hex.EncodeToString(id)); err != nil {
			return err
		}
	}
	return nil
}

// oneTrace prints the spans of a trace as a tree.
func (f *tracesFlags) oneTrace(ctx context.Context, w io.Writer, id traces.ID) error {
	var a otlpTrace
	if ok, err := f.fetch(ctx, w, "/api/v2/traces/"+id.String(), url.Values{}, &a); !ok {
		return err
	}
	spans := map[string]*otlpSpan{}
	children := map[string][]*otlpSpan{}
	var all []*otlpSpan
	for _, rs := range a.Trace.ResourceSpans {
		service := ""
		for _, attr := range rs.Resource.Attributes {
			if attr.Key == "service.name" {
				service = attr.Value.StringValue
			}
		}
		for _, ss := range rs.ScopeSpans {
			for i := range ss.Spans {
				s := &ss.Spans[i]
				s.service = service
				s.start, _ = strconv.ParseInt(s.StartTimeUnixNano, 10, 64)
				s.end, _ = strconv.ParseInt(s.EndTimeUnixNano, 10, 64)
				spans[s.SpanID] = s
				all = append(all, s)
			}
		}
	}
	if len(all) == 0 {
		return fmt.Errorf("trace %s is not known", id)
	}
	slices.SortFunc(all, func(a, b *otlpSpan) int { return cmp.Compare(a.start, b.start) })
	if f.raw {
		return printSpanIDs(w, all)
	}
	for _, s := range all {
		parent := s.ParentSpanID
		if spans[parent] == nil || parent == s.SpanID {
			parent = ""
		}
		children[parent] = append(children[parent], s)
	}
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tw, "OFFSET\tDURATION\tSERVICE\tSPAN\tSTATUS")
	printed := map[*otlpSpan]bool{}
	var walk func(parent string, depth int)
	walk = func(parent string, depth int) {
		for _, s := range children[parent] {
			if printed[s] {
				continue
			}
			printed[s] = true
			status := strings.ToLower(strings.TrimPrefix(s.Status.Code, "STATUS_CODE_"))
			fmt.Fprintf(tw, "%s\t%s\t%s\t%s%s\t%s\n", time.Duration(s.start-all[0].start), time.Duration(s.end-s.start), s.service,
				strings.Repeat("  ", depth), s.Name, strings.TrimSpace(status+" "+s.Status.Message))
			walk(s.SpanID, depth+1)
		}
	}
	walk("", 0)
	return tw.Flush()
}
