package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/logs/logql"
)

// manyStreams is how many streams the questions about labels are asked of.
const manyStreams = 100_000

// indexPart asks for labels and series of a block of many streams.
func indexPart(ctx context.Context, b *bench) error {
	blk, err := b.manyStreams(ctx)
	if err != nil {
		return err
	}
	src := logs.NewSource(func(context.Context, string, int64, int64) ([]logs.Part, error) { return []logs.Part{blk}, nil })
	engine := logql.NewEngine(logql.Options{})
	fmt.Printf("%d streams of 10 namespaces, one block. Processor time in ms, the least of %d.\n\n", manyStreams, b.runs)
	fmt.Println("| question | found | ms | demands |")
	fmt.Println("|---|---|---|---|")
	for _, c := range []struct {
		name  string
		query logs.Query
	}{
		{"label names", logs.Query{Kind: logs.LabelNames}},
		{"values of namespace", logs.Query{Kind: logs.LabelValues, Label: "namespace"}},
		{"values of pod of a namespace", logs.Query{Kind: logs.LabelValues, Label: "pod", Expr: `{namespace="ns-3"}`}},
		{"series of an app", logs.Query{Kind: logs.SeriesKind, Match: []string{`{app="app-77"}`}}},
		{"series of a namespace", logs.Query{Kind: logs.SeriesKind, Match: []string{`{namespace="ns-3"}`}}},
		{"explain of a count", logs.Query{Kind: logs.Range, Expr: `sum(count_over_time({namespace="ns-3"}[1m]))`, Step: 1e9, Explain: true}},
	} {
		q := c.query
		q.Start, q.End = 0, int64(time.Hour)
		q.Step = int64(time.Minute)
		res, took, err := fastestOf(b.runs, func() (*logs.Result, error) { return engine.Run(ctx, tenantID, &q, src) }, nil)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		fmt.Printf("| %s | %d | %.1f | %s |\n", c.name, len(res.Strings)+len(res.Series), millis(took), atMost(20, "ms").mark(millis(took)))
	}
	return nil
}

func (b *bench) manyStreams(ctx context.Context) (*logs.Block, error) {
	head := logs.NewHead(logs.HeadOptions{})
	batch := &logs.Batch{}
	for i := range manyStreams {
		batch.Streams = append(batch.Streams, logs.Stream{Labels: labels.FromStrings("app", fmt.Sprintf("app-%d", i%1000), "namespace", fmt.Sprintf("ns-%d", i%10),
			"pod", fmt.Sprintf("pod-%d", i)), Entries: []logs.Entry{{Timestamp: int64(i) * 1e6, Line: "started"}, {Timestamp: int64(i)*1e6 + 1e9, Line: "ready"}}})
	}
	head.Append(batch)
	dir := filepath.Join(b.dir, "streams")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	meta := &block.Meta{Version: block.MetaVersion, ULID: ulid.MustNew(1, bytes.NewReader(make([]byte, 10))), Tenant: tenantID, Producer: "bench", Created: time.Unix(1, 0)}
	if err := head.WriteBlock(ctx, dir, meta); err != nil {
		return nil, err
	}
	file, err := openCounted(filepath.Join(dir, block.DataFile))
	if err != nil {
		return nil, err
	}
	r, err := block.Open(ctx, file, "streams", meta.Data.Size, block.ReaderOptions{})
	if err != nil {
		return nil, err
	}
	return logs.OpenBlock(ctx, r)
}
