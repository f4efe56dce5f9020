package logs

import (
	"context"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/block"
)

// LabelSource is a Source that lists the names of labels, or the values of one, without making the label
// set of each stream. A picker of labels asks it about a hundred thousand streams at each keystroke.
type LabelSource interface {
	// LabelStrings returns the names of the labels of streams that match any of the matcher sets (none: all)
	// and have entries in [start, end), or with a name the values that it has there. They are sorted.
	LabelStrings(ctx context.Context, tenant string, start, end int64, matchers [][]Matcher, name string) ([]string, error)
}

// LabelStrings asks src, through its label sets if it lists no labels.
func LabelStrings(ctx context.Context, src Source, tenant string, start, end int64, matchers [][]Matcher, name string) ([]string, error) {
	if s, ok := src.(LabelSource); ok {
		return s.LabelStrings(ctx, tenant, start, end, matchers, name)
	}
	found, err := src.Series(ctx, tenant, start, end, matchers)
	if err != nil {
		return nil, err
	}
	return stringsOf(found, name), nil
}

func stringsOf(streams []labels.Labels, name string) []string {
	c := labelCollector{name: name}
	for _, ls := range streams {
		c.add(ls)
	}
	return c.sorted()
}

// labelLister is a Part that can do what a LabelSource does. The strings may be memory of the part.
type labelLister interface {
	labelStrings(ctx context.Context, start, end int64, matchers [][]Matcher, name string) ([]string, error)
}

var _, _, _, _ labelLister = (*buffer)(nil), (*pageSet)(nil), (*Head)(nil), (*lazyPart)(nil)

// LabelStrings implements LabelSource.
func (s *partsSource) LabelStrings(ctx context.Context, tenant string, start, end int64, matchers [][]Matcher, name string) ([]string, error) {
	u, err := s.union(ctx, tenant, start, end)
	if err != nil {
		return nil, err
	}
	return u.labelStrings(ctx, start, end, matchers, name)
}

func (u *union) labelStrings(ctx context.Context, start, end int64, matchers [][]Matcher, name string) ([]string, error) {
	if _, err := compileMatcherSets(matchers); err != nil {
		return nil, err
	}
	answers, err := askParts(ctx, u.overlapping(start, end), func(ctx context.Context, p Part) ([]string, error) {
		if l, ok := p.(labelLister); ok {
			return l.labelStrings(ctx, start, end, matchers, name)
		}
		found, err := p.Series(ctx, start, end, matchers)
		return stringsOf(found, name), err
	})
	if err != nil {
		return nil, err
	}
	for len(answers) > 1 { // each round halves them, so that no string is copied more often than need be
		n := 0
		for i := 0; i < len(answers); i += 2 {
			if answers[n] = answers[i]; i+1 < len(answers) {
				answers[n] = mergeStrings(answers[i], answers[i+1])
			}
			n++
		}
		answers = answers[:n]
	}
	if len(answers) == 0 {
		return nil, nil
	}
	return answers[0], nil
}

func (h *Head) labelStrings(ctx context.Context, start, end int64, matchers [][]Matcher, name string) ([]string, error) {
	return h.union().labelStrings(ctx, start, end, matchers, name)
}

func (p *remotePart) labelStrings(ctx context.Context, start, end int64, matchers [][]Matcher, name string) ([]string, error) {
	return LabelStrings(ctx, p.src, p.tenant, start, end, matchers, name)
}

func (p *lazyPart) labelStrings(ctx context.Context, start, end int64, matchers [][]Matcher, name string) ([]string, error) {
	if start <= p.Oldest && p.Newest < end && !slices.ContainsFunc(matchers, func(set []Matcher) bool { return len(set) > 0 }) {
		if all, ok := p.Summary.strings(name); ok {
			return all, nil // Fast path: the block is not opened.
		}
	}
	part, err := p.openFor(ctx, matchers...)
	if err != nil {
		return nil, err
	}
	if l, ok := part.(labelLister); ok {
		return l.labelStrings(ctx, start, end, matchers, name)
	}
	found, err := part.Series(ctx, start, end, matchers)
	return stringsOf(found, name), err
}

func (s *pageSet) labelStrings(ctx context.Context, start, end int64, matchers [][]Matcher, name string) ([]string, error) {
	has, err := s.streamsWithRows(ctx, start, end, matchers)
	if err != nil {
		return nil, err
	}
	return s.streams.strings(has, name), nil
}

func (s labelSets) strings(has *block.Bitmap, name string) []string {
	c := labelCollector{name: name}
	for i := has.Next(0); i >= 0; i = has.Next(i + 1) {
		c.add(s[i])
	}
	return c.sorted()
}

// strings marks the symbols that the streams use: they are in order, and no label set is made.
func (x *streamIndex) strings(has *block.Bitmap, name string) []string {
	if x.lists != nil && has.Count() == len(x.streams) {
		if all, err := x.lists.strings(name); err == nil {
			return all // Fast path: there are fewer values than streams.
		}
	}
	seen := block.NewBitmap(len(x.symbols))
	symbol, known := uint32(0), true
	if name != "" {
		symbol, known = x.find(name)
	}
	for i := has.Next(0); i >= 0 && known; i = has.Next(i + 1) {
		if name == "" {
			x.markNames(i, seen)
		} else if value, ok := x.value(i, symbol); ok {
			seen.Set(int(value))
		}
	}
	out := make([]string, 0, seen.Count())
	for i := seen.Next(0); i >= 0; i = seen.Next(i + 1) {
		out = append(out, x.symbol(uint32(i)))
	}
	return out
}

// markNames sets the symbols of the names of stream i.
func (x *streamIndex) markNames(i int, seen *block.Bitmap) {
	d := block.NewDecoder(x.data[x.streams[i]:])
	for range d.Uvarint() {
		seen.Set(int(d.Uvarint()))
		d.Uvarint()
	}
}

func (h *buffer) labelStrings(_ context.Context, start, end int64, matchers [][]Matcher, name string) ([]string, error) {
	sets, err := compileMatcherSets(matchers)
	if err != nil {
		return nil, err
	}
	return h.strings(start, end, sets, name), nil
}

// labelCollector gathers the names of labels, or the values of one.
type labelCollector struct {
	name  string
	found []string // with repeats
	tidy  int      // found is sorted and without repeats below
	last  []string // of the stream before: most streams have the same names, and values in runs
}

func (c *labelCollector) add(ls labels.Labels) {
	if c.name != "" {
		if value := ls.Get(c.name); value != "" {
			c.string(0, value)
		}
		return
	}
	i := 0
	ls.Range(func(l labels.Label) {
		c.string(i, l.Name)
		i++
	})
}

func (c *labelCollector) string(i int, s string) {
	if i < len(c.last) {
		if c.last[i] == s {
			return
		}
		c.last[i] = s
	} else {
		c.last = append(c.last, s)
	}
	if c.found = append(c.found, s); len(c.found) >= 2*c.tidy+manyRepeats {
		c.sorted()
	}
}

// manyRepeats bounds the strings that a labelCollector holds to twice those that differ, and this.
const manyRepeats = 32 << 10

func (c *labelCollector) sorted() []string {
	sortStrings(c.found)
	c.found = slices.Compact(c.found)
	c.tidy = len(c.found)
	return c.found
}
