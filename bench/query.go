package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/hune-io/hune/bench/internal/process"
)

// question is one query over the three data sets.
type question struct {
	name string
	path string // with parameters
}

// querySuite loads the three data sets, flushes half-way so that head and bucket both answer, and asks.
func querySuite(b *bench) error {
	dir, err := os.MkdirTemp(b.dir, "hune-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	s, err := b.start(dir, process.Quiet...)
	if err != nil {
		return err
	}
	records := map[string]int{}
	// The loads are scaled to 0.3 of the full sets for the ingest suite: undo that here.
	for _, l := range []*load{lokiProto(b.scale / 0.3), otlpTraces(b.scale / 0.3), remoteWrite1(b.scale)} {
		if err := l.send(s); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", l.name, err), s.Kill())
		}
		records[l.name] = l.records
	}
	if err := s.Post("/flush", "", nil); err != nil {
		return err
	}
	size, err := diskUse(filepath.Join(dir, "data", "bucket"))
	if err != nil {
		return err
	}
	fmt.Printf("%d log lines, %d spans, %d samples; %.0f MB in the bucket\n\n", records["Loki push, protobuf"], records["OTLP traces, HTTP protobuf"], records["remote write 1.0"], float64(size)/1e6)
	fmt.Println("| query | first ms | median of 5 ms | server CPU ms |")
	fmt.Println("|---|---|---|---|")
	for _, q := range questions(time.Now()) {
		if err := ask(s, q); err != nil {
			return err
		}
	}
	return s.Stop()
}

// ask asks a question several times and prints what it cost. columns, where given, are made of the first
// answer.
func ask(s *server, q question, columns ...func(answer []byte) (string, error)) error {
	more := ""
	var times []time.Duration
	cpu0, err := s.CPU()
	if err != nil {
		return err
	}
	const repeats = 5
	for i := range repeats + 1 {
		began := time.Now()
		answer, err := s.Get(q.path)
		if err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
		times = append(times, time.Since(began))
		if i > 0 {
			continue
		}
		for _, column := range columns {
			text, err := column(answer)
			if err != nil {
				return fmt.Errorf("%s: %w", q.name, err)
			}
			more += text + " | "
		}
	}
	cpu1, err := s.CPU()
	if err != nil {
		return err
	}
	first := times[0]
	rest := times[1:]
	slices.Sort(rest)
	fmt.Printf("| %s | %.1f | %s%.1f | %.0f |\n", q.name, ms(first), more, ms(rest[len(rest)/2]), ms(cpu1-cpu0)/(repeats+1))
	return nil
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }

func questions(now time.Time) []question {
	from := now.Add(-2 * time.Hour)
	logs := func(name, query string, more ...string) question {
		v := url.Values{"query": {query}, "start": {strconv.FormatInt(from.UnixNano(), 10)}, "end": {strconv.FormatInt(now.UnixNano(), 10)}, "limit": {"100"}}
		for i := 0; i+1 < len(more); i += 2 {
			v.Set(more[i], more[i+1])
		}
		return question{"logs: " + name, "/loki/api/v1/query_range?" + v.Encode()}
	}
	search := func(name, query string) question {
		v := url.Values{"q": {query}, "start": {strconv.FormatInt(from.Unix(), 10)}, "end": {strconv.FormatInt(now.Unix(), 10)}, "limit": {"20"}}
		return question{"traces: " + name, "/api/search?" + v.Encode()}
	}
	prom := func(name, query string) question {
		v := url.Values{"query": {query}, "start": {strconv.FormatInt(now.Add(-30*time.Minute).Unix(), 10)}, "end": {strconv.FormatInt(now.Unix(), 10)}, "step": {"15"}}
		return question{"metrics: " + name, "/api/v1/query_range?" + v.Encode()}
	}
	return []question{
		logs("newest 100 of one stream", `{app="app-1"}`),
		logs("newest 100 of all streams", `{env="prod"}`),
		logs("absent word, all streams", `{env="prod"} |= "nosuchword"`),
		logs("json filter, one stream", `{app="app-0"} | json | status >= 500 | latency_ms > 1990`),
		logs("count by level over time, one stream", `sum by (detected_level) (count_over_time({app="app-0"}[1m]))`, "step", "60"),
		{"logs: label values", "/loki/api/v1/label/app/values"},
		search("service and name, newest 20", `{resource.service.name="service-3" && name="operation 9"}`),
		search("errors slower than 100 ms", `{status=error && duration > 100ms}`),
		search("rare attribute, absent", `{span.app.request.id="nosuch"}`),
		{"traces: by id, absent", "/api/v2/traces/0102030405060708090a0b0c0d0e0f10"},
		{"traces: tag names", "/api/v2/search/tags"},
		prom("sum of one name by job (1,000 series)", `sum by (job) (bench_metric_1)`),
		prom("sum of all by job (100,000 series)", `sum by (job) ({__name__=~"bench_metric_.*"})`),
		{"metrics: label values", "/api/v1/label/instance/values"},
	}
}
