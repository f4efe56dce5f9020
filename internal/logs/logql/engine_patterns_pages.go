package logql

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/column"
	"github.com/hune-io/hune/internal/logs"
)

// patternScan finds patterns page by page, several at once. Rows of a page whose lines are of a template that
// was found when the page was written follow the pattern that the template is: they are counted by their
// times and levels, and their lines are not rebuilt. Lines of JSON and logfmt are read: what their templates
// say is which keys they have, not which message. So are rows without columns, the newest.
type patternScan struct {
	step  int64
	lines atomic.Int64 // read one by one

	mu    sync.Mutex // guards what follows
	pages []pagePatterns
	all   *clusterer
}

// pagePatterns are the clusters of one page. The place of the page makes the answer independent of which page
// is done first.
type pagePatterns struct {
	oldest   int64
	stream   labels.Labels
	clusters []*cluster
}

// maxPatternPages bounds how many pages wait to be put in order.
const maxPatternPages = 1000

// patternLevels are the levels whose rows are found in the column of levels. Rows of others are read.
var patternLevels = [...]string{"info", "unknown", "error", "warn", "debug", "trace", "critical", "fatal"}

// scanPatterns answers where all rows that pass the filters count.
func (r *run) scanPatterns(sel logs.Select, step int64) (*clusterer, error) {
	s := &patternScan{step: step, all: newClusterer(step)}
	err := r.src.Scan(r.ctx, r.tenant, sel, func(ctx context.Context, p *logs.Page) error {
		read := r.stats.Snapshot()
		if err := r.checkRead(read.LinesProcessed, read.BytesProcessed); err != nil {
			return err
		}
		return s.page(ctx, p)
	})
	if err == nil && r.ctx.Err() != nil {
		err = context.Cause(r.ctx)
	}
	if err != nil {
		return nil, err
	}
	s.join()
	return s.all, nil
}

func (s *patternScan) page(ctx context.Context, p *logs.Page) error {
	if p.Among.IsNone() {
		return nil
	}
	c := newClusterer(s.step)
	rest, err := s.templates(ctx, p, c)
	if err != nil {
		return err
	}
	if err := s.each(ctx, p, rest, c); err != nil {
		return err
	}
	s.give(p, c)
	return nil
}

// labelledLevel reports whether a stream names the level: it hides the one in the metadata.
func labelledLevel(p *logs.Page) bool {
	return slices.ContainsFunc(p.Streams, func(ls labels.Labels) bool { return ls.Has(logs.DetectedLevel) })
}

// templates counts the rows of templates and returns the others.
func (s *patternScan) templates(ctx context.Context, p *logs.Page, c *clusterer) (rest column.Set, err error) {
	if !p.HasColumns() || labelledLevel(p) {
		return p.Among, nil
	}
	if err := p.Open(ctx); err != nil {
		return rest, err
	}
	lines := p.Lines()
	if lines.Kind != column.Text {
		return p.Among, nil
	}
	level := p.Metadata(logs.DetectedLevel)
	if _, overflow := p.MetadataKeys(); overflow || level == nil {
		return p.Among, nil
	}
	ts, err := p.Timestamps(ctx)
	if err != nil {
		return rest, err
	}
	var rows [][]uint32 // by template
	var levelOf []uint8 // by row: index in patternLevels, plus one
	err = p.Ask(ctx, func(r *column.Reader) {
		rows, levelOf = make([][]uint32, len(lines.Templates)), make([]uint8, p.Rows)
		for k := range lines.Templates {
			rows[k] = r.TemplateRows(lines, k)
		}
		for i, name := range patternLevels {
			markRows(levelOf, r.Match(level, column.Equal, []byte(name)), uint8(i+1))
		}
	})
	if err != nil {
		return rest, err
	}
	others := block.NewBitmap(p.Rows)
	for k := range lines.Templates {
		t := &lines.Templates[k]
		s.template(p, t, rows[k], levelOf, ts, c, others)
	}
	return column.SetOf(others), nil
}

func markRows(levelOf []uint8, rows column.Set, level uint8) {
	if rows.IsAll() {
		for i := range levelOf {
			levelOf[i] = level
		}
		return
	}
	if bits := rows.Bits(); bits != nil {
		for i := bits.Next(0); i >= 0; i = bits.Next(i + 1) {
			levelOf[i] = level
		}
	}
}

// template counts the rows of one template by level, or adds them to others. No rows means all.
func (s *patternScan) template(p *logs.Page, t *column.Template, rows []uint32, levelOf []uint8, ts []int64, c *clusterer, others *block.Bitmap) {
	var found [len(patternLevels) + 1]map[int64]float64
	visit := func(row int) {
		level := levelOf[row]
		if !p.Among.Has(row) {
			return
		}
		if t.Mode != column.Generic || level == 0 {
			others.Set(row)
			return
		}
		if found[level] == nil {
			found[level] = map[int64]float64{}
		}
		found[level][floorTo(ts[row]/1e9, s.step)]++
	}
	if rows == nil {
		for row := range p.Rows {
			visit(row)
		}
	}
	for _, row := range rows {
		visit(int(row))
	}
	for i, counts := range found {
		if counts != nil {
			c.words = splitWords(c.words[:0], strings.Join(t.Pieces, wildcard))
			c.count(patternLevels[i-1], counts)
		}
	}
}

// each reads rows one by one, until enough lines were read.
func (s *patternScan) each(ctx context.Context, p *logs.Page, rows column.Set, c *clusterer) error {
	if rows.IsNone() || s.lines.Load() >= maxPatternLines {
		return nil
	}
	return p.Each(ctx, rows, func(stream uint32, ts int64, line []byte, md []logs.Label) bool {
		level := p.Streams[stream].Get(logs.DetectedLevel)
		for i := 0; level == "" && i < len(md); i++ {
			if md[i].Name == logs.DetectedLevel {
				level = md[i].Value
			}
		}
		c.add(ts, line, level)
		return s.lines.Add(1) < maxPatternLines
	})
}

// give takes over the clusters of a page.
func (s *patternScan) give(p *logs.Page, c *clusterer) {
	g := pagePatterns{oldest: math.MaxInt64, clusters: c.all}
	for _, r := range p.Runs {
		if r.Oldest < g.oldest {
			g.oldest, g.stream = r.Oldest, p.Streams[r.Stream]
		}
	}
	g.stream = g.stream.Copy() // the page's is valid only until the visit ends
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pages = append(s.pages, g); len(s.pages) >= maxPatternPages {
		s.join()
	}
}

// join puts the clusters of the pages together. s.mu must be held, or no other be there.
func (s *patternScan) join() {
	slices.SortStableFunc(s.pages, func(a, b pagePatterns) int {
		return cmp.Or(cmp.Compare(a.oldest, b.oldest), labels.Compare(a.stream, b.stream))
	})
	for _, g := range s.pages {
		for _, cl := range g.clusters {
			s.all.words = append(s.all.words[:0], cl.words...)
			s.all.count(cl.level, cl.counts)
		}
	}
	s.pages = s.pages[:0]
}
