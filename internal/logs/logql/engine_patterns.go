package logql

import (
	"cmp"
	"hash/maphash"
	"slices"
	"strings"

	"github.com/hune-io/hune/internal/logs"
)

// Bounds of clustering.
const (
	maxPatterns      = 300     // reported
	maxClusters      = 4096    // held
	maxPatternLine   = 3000    // bytes of a line looked at
	maxPatternTokens = 128     // words of a line looked at
	maxPatternLines  = 500_000 // lines looked at
	patternSimilar   = 0.5     // share of equal words for a line to join a cluster
)

const wildcard = "<_>"

// cluster is lines of one level with the same number of words that agree in most of them. Words that
// differ are wildcards.
type cluster struct {
	words   []string
	members bool // of a JSON object: no blanks between them
	level   string
	total   float64
	counts  map[int64]float64 // by start of the step, in seconds
}

// clusterer finds templates: a line joins the cluster of its length, its first word's shape and its
// level that shares most words with it, and turns the words that differ into wildcards.
type clusterer struct {
	step   int64 // seconds
	seed   maphash.Seed
	groups map[uint64][]*cluster
	all    []*cluster
	words  []string
	lines  int
}

// findPatterns answers which templates the lines of a log query follow, and how often.
func (r *run) findPatterns() error {
	lq, err := ParseLogQuery(r.q.Expr)
	if err != nil {
		return err
	}
	step := r.q.Step
	if step <= 0 {
		step = DefaultStep(r.q.Start, r.q.End)
	}
	step = max(step/1e9, 1)
	p, err := compile(lq.Stages)
	if err != nil {
		return err
	}
	if onlyFilters(lq.Stages) && !r.noPushdown {
		sel := logs.Select{Matchers: lq.Matchers, Start: r.q.Start, End: max(r.q.End, r.q.Start+1), Filters: pushdown(lq.Stages)}
		c, err := r.scanPatterns(sel, step)
		if err != nil {
			return err
		}
		r.res.Pattern = c.result()
		return nil
	}
	c := newClusterer(step)
	set := newLabelSet(logHints(p.filters))
	sel := logs.Select{Matchers: lq.Matchers, Start: r.q.Start, End: max(r.q.End, r.q.Start+1), Direction: logs.Forward, Filters: pushdown(lq.Stages)}
	sel.Narrow = r.narrow(lq.Stages, set.hints)
	err = newRowReader(r).each(sel, func(base *stream, ts int64, line []byte, md []logs.Label) (bool, error) {
		set.reset(base, md)
		if line, ok := p.run(ts, line, set); ok {
			level, _, _ := set.get(logs.DetectedLevel)
			c.add(ts, line, level)
		}
		return c.lines < maxPatternLines, nil
	})
	if err != nil {
		return err
	}
	r.res.Pattern = c.result()
	return nil
}

// onlyFilters reports whether the stages are line filters that a source applies itself.
func onlyFilters(stages []Stage) bool {
	return keepsAll(stages) && !slices.ContainsFunc(stages, func(st Stage) bool { _, ok := st.(*LineFilter); return !ok })
}

func newClusterer(step int64) *clusterer {
	return &clusterer{step: step, seed: maphash.MakeSeed(), groups: map[uint64][]*cluster{}}
}

// count adds lines that the words at hand stand for, by the start of their steps.
func (c *clusterer) count(level string, counts map[int64]float64) {
	if len(c.words) == 0 {
		return
	}
	best := c.find(level)
	if best == nil {
		return
	}
	for t, n := range counts {
		best.total += n
		best.counts[t] += n
	}
}

func (c *clusterer) add(ts int64, line []byte, level string) {
	c.lines++
	if len(line) > maxPatternLine {
		line = line[:maxPatternLine]
	}
	c.words = splitWords(c.words[:0], view(line))
	if len(c.words) == 0 {
		return
	}
	best := c.find(level)
	if best == nil {
		return
	}
	best.total++
	best.counts[floorTo(ts/1e9, c.step)]++
}

// find returns the cluster of the words at hand, a new one if none is near.
func (c *clusterer) find(level string) *cluster {
	var h maphash.Hash
	h.SetSeed(c.seed)
	h.WriteString(level)
	h.WriteByte(byte(len(c.words)))
	first := shape(c.words[0])
	if m, ok := memberOf(first); ok {
		first = m.key
	}
	h.WriteString(first)
	key := h.Sum64()
	var best *cluster
	bestShare := patternSimilar
	for _, cl := range c.groups[key] {
		if share := similarity(cl.words, c.words); share >= bestShare {
			best, bestShare = cl, share
		}
	}
	if best != nil {
		for i, w := range c.words {
			if best.words[i] != w {
				best.words[i] = mergeWords(best.words[i], w)
			}
		}
		return best
	}
	if len(c.all) >= maxClusters {
		return nil
	}
	best = &cluster{level: strings.Clone(level), members: strings.HasPrefix(c.words[0], `{"`), words: make([]string, len(c.words)), counts: map[int64]float64{}}
	for i, w := range c.words {
		best.words[i] = strings.Clone(shape(w))
	}
	c.groups[key] = append(c.groups[key], best)
	c.all = append(c.all, best)
	return best
}

// splitWords splits a line at blanks; a JSON object behind the commas of its members, which its words keep.
func splitWords(dst []string, line string) []string {
	if strings.HasPrefix(line, `{"`) {
		return splitMembers(dst, line)
	}
	for w := range strings.FieldsSeq(line) {
		if len(dst) == maxPatternTokens {
			break
		}
		dst = append(dst, w)
	}
	return dst
}

func splitMembers(dst []string, line string) []string {
	for len(dst) < maxPatternTokens {
		i := strings.Index(line, `,"`)
		if i < 0 {
			return append(dst, line)
		}
		dst = append(dst, line[:i+1])
		line = line[i+1:]
	}
	return dst
}

// member is a word that is a member of a JSON object, in pieces: "status":200,
type member struct{ key, value, end string }

func memberOf(w string) (m member, ok bool) {
	i := strings.LastIndex(w, `":`) // the innermost
	if i < 1 || w[i-1] == '\\' || w[0] != '{' && w[0] != '"' {
		return m, false
	}
	m.key = w[:i+2]
	m.value = strings.TrimRight(w[i+2:], ",}")
	m.end = w[i+2+len(m.value):]
	return m, true
}

// shape is the member with a value that varies.
func (m member) shape() string {
	if strings.HasPrefix(m.value, `"`) {
		return m.key + `"` + wildcard + `"` + m.end
	}
	return m.key + wildcard + m.end
}

// shape is the word with what varies taken out: the value of key=value that holds a digit or a wildcard, or
// the whole word if it does.
func shape(w string) string {
	if m, ok := memberOf(w); ok {
		if varies(m.value) {
			return m.shape()
		}
		return w
	}
	if !varies(w) {
		return w
	}
	if key, _, ok := strings.Cut(w, "="); ok && key != "" && !varies(key) {
		return key + "=" + wildcard
	}
	return wildcard
}

func varies(s string) bool {
	return strings.ContainsAny(s, "0123456789") || strings.Contains(s, wildcard)
}

func similarity(words, line []string) float64 {
	if len(words) != len(line) {
		return 0
	}
	same := 0
	for i, w := range words {
		if w == line[i] || w == shape(line[i]) {
			same++
		}
	}
	return float64(same) / float64(len(words))
}

func mergeWords(have, w string) string {
	if have == shape(w) {
		return have
	}
	if m, ok := memberOf(have); ok {
		if other, ok := memberOf(w); ok && m.key == other.key && m.end == other.end {
			if strings.HasPrefix(m.value, `"`) != strings.HasPrefix(other.value, `"`) {
				return m.key + wildcard + m.end
			}
			return m.shape()
		}
		return wildcard
	}
	key, _, ok := strings.Cut(have, "=")
	other, _, _ := strings.Cut(w, "=")
	if ok && key == other && key != "" {
		return key + "=" + wildcard
	}
	return wildcard
}

func (c *clusterer) result() []logs.PatternSeries {
	merged := map[string]*cluster{}
	var order []*cluster
	for _, cl := range c.all {
		name := cl.level + "\x00" + cl.pattern()
		if m := merged[name]; m != nil {
			m.total += cl.total
			for t, n := range cl.counts {
				m.counts[t] += n
			}
			continue
		}
		merged[name] = cl
		order = append(order, cl)
	}
	slices.SortFunc(order, func(a, b *cluster) int {
		return cmp.Or(cmp.Compare(b.total, a.total), strings.Compare(a.pattern(), b.pattern()), strings.Compare(a.level, b.level))
	})
	var out []logs.PatternSeries
	for _, cl := range order[:min(maxPatterns, len(order))] {
		p := logs.PatternSeries{Pattern: cl.pattern(), Level: cl.level}
		for t, n := range cl.counts {
			p.Points = append(p.Points, logs.Point{T: t, V: n})
		}
		slices.SortFunc(p.Points, func(a, b logs.Point) int { return cmp.Compare(a.T, b.T) })
		out = append(out, p)
	}
	return out
}

// pattern joins the words; wildcards in a row are one.
func (c *cluster) pattern() string {
	var b strings.Builder
	for i, w := range c.words {
		if i > 0 {
			if w == wildcard && c.words[i-1] == wildcard {
				continue
			}
			if !c.members {
				b.WriteByte(' ')
			}
		}
		b.WriteString(w)
	}
	return b.String()
}
