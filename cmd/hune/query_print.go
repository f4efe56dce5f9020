package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// sampleAnswer is what Prometheus and Loki answer for samples.
type sampleAnswer struct {
	Data struct {
		ResultType string          `json:"resultType"`
		Result     json.RawMessage `json:"result"`
	} `json:"data"`
	Warnings []string `json:"warnings"`
}

type sampleSeries struct {
	Metric    map[string]string `json:"metric"`
	Value     []any             `json:"value"`
	Values    [][]any           `json:"values"`
	Histogram []any             `json:"histogram"`
}

const timeFormat = "2006-01-02 15:04:05.000"

func (f *queryFlags) metrics(ctx context.Context, w io.Writer, expr string) error {
	start, end, step, err := f.timeRange()
	if err != nil {
		return err
	}
	path, params := "/api/v1/query_range", url.Values{"query": {expr}}
	if f.instant {
		path = "/api/v1/query"
		params.Set("time", unixSeconds(end))
	} else {
		params.Set("start", unixSeconds(start))
		params.Set("end", unixSeconds(end))
		params.Set("step", strconv.FormatFloat(step.Seconds(), 'f', -1, 64))
	}
	var a sampleAnswer
	if ok, err := f.fetch(ctx, w, path, params, &a); !ok {
		return err
	}
	return printSamples(w, a)
}

func unixSeconds(t time.Time) string {
	return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64)
}

func printSamples(w io.Writer, a sampleAnswer) error {
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	switch a.Data.ResultType {
	case "scalar", "string":
		var v []any
		if err := json.Unmarshal(a.Data.Result, &v); err != nil {
			return err
		}
		printPoint(tw, "", v)
	default:
		var series []sampleSeries
		if err := json.Unmarshal(a.Data.Result, &series); err != nil {
			return err
		}
		for _, s := range series {
			name := labelText(s.Metric)
			for _, p := range append(s.Values, s.Value, s.Histogram) {
				printPoint(tw, name, p)
			}
		}
	}
	for _, warning := range a.Warnings {
		fmt.Fprintln(tw, "warning:", warning)
	}
	return tw.Flush()
}

func printPoint(w io.Writer, name string, p []any) {
	if len(p) != 2 {
		return
	}
	t, _ := p[0].(float64)
	value, ok := p[1].(string)
	if !ok {
		// A native histogram: its count and sum say most.
		if h, isMap := p[1].(map[string]any); isMap {
			value = fmt.Sprintf("count=%v sum=%v", h["count"], h["sum"])
		}
	}
	fmt.Fprintf(w, "%s\t%s\t%s\n", time.UnixMilli(int64(t*1000)).Format(timeFormat), name, value)
}

// labelText prints a label set as PromQL writes it.
func labelText(m map[string]string) string {
	var b strings.Builder
	b.WriteString(m["__name__"])
	first := true
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if k == "__name__" {
			continue
		}
		if first {
			b.WriteByte('{')
		} else {
			b.WriteString(", ")
		}
		first = false
		fmt.Fprintf(&b, "%s=%q", k, m[k])
	}
	if !first {
		b.WriteByte('}')
	} else if b.Len() == 0 {
		return "{}"
	}
	return b.String()
}
