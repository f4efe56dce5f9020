package main

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hune-io/hune/internal/loggen"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/logs/logql"
)

// searchPart asks every query of every set, cold, and compares with scans of the same lines.
func searchPart(ctx context.Context, b *bench) error {
	fmt.Println("Processor time, cold: the block was opened, nothing of its pages is decoded, directories are read and decoded. The row \"directories\" is that alone.")
	fmt.Println("Read: bytes of the block without directories, in so many requests; directories: their bytes, as often as they were read.")
	fmt.Println("Snappy: 256 KB chunks are decompressed and every line is looked at; zstd: 1 MB chunks, one search over each.")
	fmt.Println()
	fmt.Println("| set | query | hits | ours ms | ms per 30 MB | read | requests | directories | snappy scan | zstd and search | demands |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|---|")
	gains := map[loggen.QueryKind]*geomean{}
	for _, set := range b.sets {
		if err := b.searchSet(ctx, b.corpus(set), gains); err != nil {
			return fmt.Errorf("%s: %w", set.Name, err)
		}
	}
	fmt.Println()
	fmt.Println("| kind of query, all but adversarial | how many times faster than the snappy scan, geometric mean |")
	fmt.Println("|---|---|")
	for _, k := range []loggen.QueryKind{loggen.StaticWord, loggen.AbsentWord, loggen.LoneID, loggen.Partial, loggen.FieldText, loggen.Regexp,
		loggen.NumericFilter, loggen.UnwrapSum, loggen.CountAll, loggen.CountWord} {
		if g := gains[k]; g != nil {
			fmt.Printf("| %s | %.1f |\n", k, g.value())
		}
	}
	return nil
}

func (b *bench) searchSet(ctx context.Context, c *corpus, gains map[loggen.QueryKind]*geomean) error {
	s, err := b.store(ctx, c)
	if err != nil {
		return err
	}
	defer func() { _ = s.close() }()
	if err := s.printDirectories(ctx); err != nil {
		return err
	}
	base := newBaseline(c)
	defer base.dec.Close()
	for _, q := range c.set.Queries {
		needle, ok := q.Needle(c.lines)
		if !ok {
			return fmt.Errorf("no line has anything for %+v", q)
		}
		f, err := s.ask(ctx, q, needle)
		if err != nil {
			return fmt.Errorf("%s %q: %w", q.Kind, needle, err)
		}
		if err := base.compare(q, needle, &f); err != nil {
			return err
		}
		s.row(q, needle, f)
		if !c.set.Adversarial {
			if gains[q.Kind] == nil {
				gains[q.Kind] = &geomean{}
			}
			gains[q.Kind].add(rate(f.scan, f.took))
		}
	}
	return nil
}

// found is the answer to a query and what it cost.
type found struct {
	answer            float64
	took              time.Duration
	read, directories reads
	scan, index       time.Duration // of the baselines; index 0: it can't
}

// coldRuns is how often a query is asked for the least of its times.
const coldRuns = 5

// ask answers q from a cold block.
func (s *stored) ask(ctx context.Context, q loggen.Query, needle string) (f found, err error) {
	f.took, err = s.time(ctx, coldRuns, func(ctx context.Context, blk *logs.Block) (err error) {
		f.answer, err = answer(ctx, blk, s.corpus, q, needle)
		return err
	})
	f.read, f.directories = s.file.data, s.file.directories
	return f, err
}

// answer is what q asks for: a number of lines, or a sum.
func answer(ctx context.Context, blk *logs.Block, c *corpus, q loggen.Query, needle string) (float64, error) {
	selector := fmt.Sprintf("{set=%q}", c.set.Name)
	switch q.Kind {
	case loggen.CountAll:
		return evaluate(ctx, blk, c, "sum(count_over_time("+selector+"[%s]))")
	case loggen.CountWord:
		return evaluate(ctx, blk, c, "sum(count_over_time("+selector+fmt.Sprintf(" |= %q", needle)+"[%s]))")
	case loggen.NumericFilter:
		return evaluate(ctx, blk, c, fmt.Sprintf("sum(count_over_time(%s | %s | %s >= %g ", selector, q.Parser, q.Field, q.Least)+"[%s]))")
	case loggen.UnwrapSum:
		return evaluate(ctx, blk, c, fmt.Sprintf("sum(sum_over_time(%s | %s | unwrap %s ", selector, q.Parser, q.Field)+"[%s]))")
	}
	sel := everything(c.set)
	sel.Filters = []logs.LineFilter{{Regexp: q.Kind == loggen.Regexp, Match: []string{needle}}}
	n, err := countRows(ctx, blk, sel)
	return float64(n), err
}

// countRows counts the rows of a select.
func countRows(ctx context.Context, p logs.Part, sel logs.Select) (int, error) {
	var n atomic.Int64
	err := p.Scan(ctx, sel, func(_ context.Context, page *logs.Page) error {
		n.Add(int64(page.Among.Count(page.Rows)))
		return nil
	})
	return int(n.Load()), err
}

// openPages reads the directories of a select.
func openPages(ctx context.Context, p logs.Part, sel logs.Select) error {
	return p.Scan(ctx, sel, func(ctx context.Context, page *logs.Page) error { return page.Open(ctx) })
}

// evaluate runs a LogQL query that gives one number; format has a place for the range, which is all
// of the corpus.
func evaluate(ctx context.Context, blk *logs.Block, c *corpus, format string) (float64, error) {
	first, last := c.timestamps[0], c.timestamps[len(c.timestamps)-1]
	window := time.Duration(last-first).Truncate(time.Second) + 2*time.Second
	src := logs.NewSource(func(context.Context, string, int64, int64) ([]logs.Part, error) { return []logs.Part{blk}, nil })
	at := last + 1
	res, err := logql.NewEngine(logql.Options{}).Run(ctx, tenantID,
		&logs.Query{Kind: logs.Instant, Expr: fmt.Sprintf(format, window), Start: at, End: at}, src)
	if err != nil {
		return 0, err
	}
	switch len(res.Vector) {
	case 0:
		return 0, nil
	case 1:
		return res.Vector[0].V, nil
	}
	return 0, fmt.Errorf("%d values instead of one", len(res.Vector))
}

// share is n as a part of the block, in percent.
func (s *stored) share(n int64) float64 { return 100 * float64(n) / float64(s.meta.StoredBytes) }

// per30 is a time for so much more or less lines.
func (s *stored) per30(d time.Duration) float64 { return millis(d) * per30MB / mb(len(s.corpus.text)) }

// printDirectories prints what a query costs that looks at every directory and at nothing else.
func (s *stored) printDirectories(ctx context.Context) error {
	took, err := s.time(ctx, coldRuns, func(ctx context.Context, blk *logs.Block) error {
		return openPages(ctx, blk, everything(s.corpus.set))
	})
	d := s.file.directories
	fmt.Printf("| %s | directories | | %.2f | %.2f | | %d | %.1f %% | | | |\n", s.corpus.set.Name, millis(took), s.per30(took), d.requests, s.share(d.bytes))
	return err
}

// row prints what became of a query.
func (s *stored) row(q loggen.Query, needle string, f found) {
	share, gain := s.share(f.read.bytes), rate(f.scan, f.took)
	mark := ""
	if !s.corpus.set.Adversarial {
		d := demandsOn(q.Kind, wordHeavy[s.corpus.set.Name])
		mark = marks(d.millis.mark(s.per30(f.took)), d.share.mark(share), d.gain.mark(gain))
	}
	index := ""
	if f.index > 0 {
		index = fmt.Sprintf("%.1fx", rate(f.index, f.took))
	}
	fmt.Printf("| %s | %s | %.0f | %.2f | %.2f | %.1f %% | %d | %.1f %% | %.1fx | %s | %s |\n", s.corpus.set.Name, title(q, needle), f.answer,
		millis(f.took), s.per30(f.took), share, f.read.requests, s.share(f.directories.bytes), gain, index, mark)
}

// title names a query in a table.
func title(q loggen.Query, needle string) string {
	switch q.Kind {
	case loggen.CountAll:
		return string(q.Kind)
	case loggen.NumericFilter:
		return fmt.Sprintf("%s `%s >= %g`", q.Kind, q.Field, q.Least)
	case loggen.UnwrapSum:
		return fmt.Sprintf("%s `%s`", q.Kind, q.Field)
	}
	return fmt.Sprintf("%s `%s`", q.Kind, strings.ReplaceAll(needle, "|", `\|`)) // a bar ends a cell
}

// near reports whether two answers are equal but for the order in which floats were added.
func near(a, b float64) bool { return math.Abs(a-b) <= 1e-9*max(math.Abs(a), math.Abs(b)) }
