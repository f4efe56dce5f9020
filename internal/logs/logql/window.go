package logql

import (
	"cmp"
	"math"
	"slices"
)

// grid is the evaluation times start, start+step, … of a query, in nanoseconds. The window of time t
// is (t-window, t].
type grid struct {
	start, step int64
	n           int
	window      int64
}

// steps returns the first and the last evaluation time whose window holds ts. lo > hi: none.
func (g grid) steps(ts int64) (lo, hi int) {
	return max(0, ceilDiv(ts-g.start, g.step)), min(g.n, ceilDiv(ts+g.window-g.start, g.step)) - 1
}

func ceilDiv(a, b int64) int {
	q := a / b
	if a%b > 0 {
		q++
	}
	return int(q)
}

// acc folds samples. Two of adjacent runs of samples merge into one, so windows that overlap share
// the work: each sample is folded once, whatever the range and the step.
type acc struct {
	n           float64
	sum         float64 // sum; mean for the deviations
	extra       float64 // min, max, squared deviations or counter resets
	first, last float64
	from, to    int64     // time of first and last, in nanoseconds
	values      []float64 // quantile only
}

// fold is how an operation adds, merges and finishes.
type fold struct {
	add    func(a *acc, v float64)
	merge  func(a *acc, b *acc)
	finish func(a *acc) float64
	gather bool // merging keeps every value
}

func one(a *acc, v float64) {
	if a.n == 0 {
		a.first = v
	}
	a.n++
	a.sum += v
	a.last = v
}

func both(a, b *acc) {
	if a.n == 0 {
		a.first, a.from = b.first, b.from
	}
	a.n += b.n
	a.sum += b.sum
	a.last, a.to = b.last, b.to
}

func sums(finish func(*acc) float64) fold { return fold{add: one, merge: both, finish: finish} }

func extreme(less func(a, b float64) bool) fold {
	return fold{
		add: func(a *acc, v float64) {
			if a.n == 0 || less(v, a.extra) || math.IsNaN(a.extra) {
				a.extra = v
			}
			a.n++
		},
		merge: func(a, b *acc) {
			if a.n == 0 || less(b.extra, a.extra) || math.IsNaN(a.extra) {
				a.extra = b.extra
			}
			a.n += b.n
		},
		finish: func(a *acc) float64 { return a.extra },
	}
}

// deviation folds by Welford's method; Chan's formula merges.
func deviation(finish func(*acc) float64) fold {
	return fold{
		add: func(a *acc, v float64) {
			a.n++
			d := v - a.sum
			a.sum += d / a.n
			a.extra += d * (v - a.sum)
		},
		merge: func(a, b *acc) {
			if b.n == 0 {
				return
			}
			d, n := b.sum-a.sum, a.n+b.n
			a.extra += b.extra + d*d*a.n*b.n/n
			a.sum += d * b.n / n
			a.n = n
		},
		finish: finish,
	}
}

// foldOf returns the fold of a range operation. seconds is the window.
func foldOf(e *RangeAgg) fold {
	seconds := e.Range.Interval.Seconds()
	perSecond := func(a *acc) float64 { return a.sum / seconds }
	switch e.Op {
	case OpRate, OpBytesRate:
		return sums(perSecond)
	case OpCount, OpAbsent:
		return sums(func(a *acc) float64 { return a.n })
	case OpSum, OpBytes:
		return sums(func(a *acc) float64 { return a.sum })
	case OpAvg:
		return sums(func(a *acc) float64 { return a.sum / a.n })
	case OpFirst:
		return sums(func(a *acc) float64 { return a.first })
	case OpLast:
		return sums(func(a *acc) float64 { return a.last })
	case OpMin:
		return extreme(func(a, b float64) bool { return a < b })
	case OpMax:
		return extreme(func(a, b float64) bool { return a > b })
	case OpStdvar:
		return deviation(func(a *acc) float64 { return a.extra / a.n })
	case OpStddev:
		return deviation(func(a *acc) float64 { return math.Sqrt(a.extra / a.n) })
	case OpQuantile:
		return quantileFold(*e.Param)
	}
	return counterFold(seconds)
}

func quantileFold(q float64) fold {
	return fold{
		gather: true,
		add:    func(a *acc, v float64) { a.n++; a.values = append(a.values, v) },
		merge:  func(a, b *acc) { a.n += b.n; a.values = append(a.values, b.values...) },
		finish: func(a *acc) float64 {
			slices.Sort(a.values)
			return quantile(q, a.values)
		},
	}
}

// quantile interpolates in sorted values.
func quantile(q float64, sorted []float64) float64 {
	switch {
	case len(sorted) == 0 || math.IsNaN(q):
		return math.NaN()
	case q < 0:
		return math.Inf(-1)
	case q > 1:
		return math.Inf(1)
	}
	rank := q * float64(len(sorted)-1)
	lower := int(math.Floor(rank))
	upper := min(lower+1, len(sorted)-1)
	weight := rank - math.Floor(rank)
	return sorted[lower]*(1-weight) + sorted[upper]*weight
}

// counterFold is rate_counter: the growth with restarts taken out, extrapolated as Loki does. Loki
// takes the window to begin one range before the first sample and to end at the last, and counts that
// range in seconds against milliseconds made of nanoseconds, which leaves little of the extrapolation.
func counterFold(seconds float64) fold {
	return fold{
		add: func(a *acc, v float64) {
			if a.n > 0 && v < a.last {
				a.extra += a.last
			}
			one(a, v)
		},
		merge: func(a, b *acc) {
			if a.n > 0 && b.n > 0 && b.first < a.last {
				a.extra += a.last
			}
			a.extra += b.extra
			both(a, b)
		},
		finish: func(a *acc) float64 {
			if a.n < 2 {
				return 0
			}
			grown := a.last - a.first + a.extra
			sampled := float64(a.to-a.from) / 1000
			before := seconds
			if grown > 0 && a.first >= 0 {
				before = min(before, sampled*(a.first/grown))
			}
			if between := sampled / (a.n - 1); before >= between*1.1 {
				before = between / 2
			}
			return grown * ((sampled + before) / sampled) / seconds
		},
	}
}

// bucket is the samples of one series that belong to the same evaluation times.
type bucket struct {
	lo, hi int
	acc    acc
}

// buckets are a series' samples on their way to windows, in time order.
type buckets []bucket

func (b *buckets) add(f *fold, lo, hi int, ts int64, v float64) {
	if n := len(*b); n == 0 || (*b)[n-1].lo != lo || (*b)[n-1].hi != hi {
		*b = append(*b, bucket{lo: lo, hi: hi, acc: acc{from: ts}})
	}
	a := &(*b)[len(*b)-1].acc
	a.to = ts
	f.add(a, v)
}

// until returns the last time whose windows are those of ts, lo and hi.
func (g grid) until(lo, hi int) int64 {
	end := g.start + int64(lo)*g.step
	if hi+1 < g.n {
		end = min(end, g.start+int64(hi+1)*g.step-g.window)
	}
	return end
}

// addOnes adds n samples of 1, of which the first is at from and the last at to. It is for folds that
// sums makes.
func (b *buckets) addOnes(lo, hi int, from, to int64, n float64) {
	if k := len(*b); k == 0 || (*b)[k-1].lo != lo || (*b)[k-1].hi != hi {
		*b = append(*b, bucket{lo: lo, hi: hi, acc: acc{first: 1, from: from}})
	}
	a := &(*b)[len(*b)-1].acc
	a.n += n
	a.sum += n
	a.last, a.to = 1, to
}

// addAll adds samples that were folded already.
func (b *buckets) addAll(f *fold, lo, hi int, a *acc) {
	if k := len(*b); k > 0 && (*b)[k-1].lo == lo && (*b)[k-1].hi == hi {
		f.merge(&(*b)[k-1].acc, a)
		return
	}
	*b = append(*b, bucket{lo: lo, hi: hi, acc: *a})
}

// joined returns buckets that came in any order as windows wants them: by time, one for each lo and hi.
// Where order is given, equal ones are merged in that order.
func (b buckets) joined(f *fold, order func(a, b *acc) int) buckets {
	ordered := true
	for i := 1; i < len(b) && ordered; i++ {
		ordered = b[i-1].before(&b[i])
	}
	if ordered {
		return b // Fast path: they came in order of time.
	}
	b = b.sorted(order)
	out := b[:1]
	for i := 1; i < len(b); i++ {
		if last := &out[len(out)-1]; last.before(&b[i]) {
			out = append(out, b[i])
		} else {
			f.merge(&last.acc, &b[i].acc)
		}
	}
	clear(b[len(out):])
	return out
}

// merge adds those of others to b whose evaluation times b has, and returns the rest, for which it uses the
// memory of others. Both are joined.
func (b buckets) merge(f *fold, others buckets) buckets {
	if len(b) == 0 || len(others) == 0 {
		return others
	}
	rest := others[:0]
	k, _ := slices.BinarySearchFunc(b, others[0], func(x, y bucket) int { return cmp.Or(cmp.Compare(x.lo, y.lo), cmp.Compare(x.hi, y.hi)) })
	for i := range others {
		o := &others[i]
		for k < len(b) && b[k].before(o) {
			k++
		}
		if k < len(b) && b[k].lo == o.lo && b[k].hi == o.hi {
			f.merge(&b[k].acc, &o.acc)
		} else {
			rest = append(rest, *o)
		}
	}
	return rest
}

// sorted returns b by time, equal ones in the order that they had or, where it is given, in order. Buckets are
// large, and mostly a few ascending runs: they are moved once to where those of their first evaluation time begin.
func (b buckets) sorted(order func(a, b *acc) int) buckets {
	first, last := b[0].lo, b[0].lo
	for i := range b {
		first, last = min(first, b[i].lo), max(last, b[i].lo)
	}
	at := make([]int, last-first+2)
	for i := range b {
		at[b[i].lo-first+1]++
	}
	for k := 1; k < len(at); k++ {
		at[k] += at[k-1]
	}
	out := make(buckets, len(b))
	for i := range b {
		k := b[i].lo - first
		out[at[k]] = b[i]
		at[k]++
	}
	from := 0
	for _, to := range at[:len(at)-1] { // where each time's buckets end, by now
		out[from:to].sortEqual(order)
		from = to
	}
	return out
}

// sortEqual sorts buckets of one first evaluation time.
func (b buckets) sortEqual(order func(a, b *acc) int) {
	compare := func(x, y bucket) int {
		c := cmp.Compare(x.hi, y.hi)
		if c == 0 && order != nil {
			c = order(&x.acc, &y.acc)
		}
		return c
	}
	if len(b) > 1 && !slices.IsSortedFunc(b, compare) {
		slices.SortStableFunc(b, compare)
	}
}

// size returns the memory of b.
func (b buckets) size() int64 {
	n := int64(len(b)) * bucketBytes
	for i := range b {
		n += int64(len(b[i].acc.values)) * sampleBytes
	}
	return n
}

// before reports whether b belongs to earlier evaluation times than c.
func (b *bucket) before(c *bucket) bool { return b.lo < c.lo || b.lo == c.lo && b.hi < c.hi }

// windows calls yield for each evaluation time with samples in its window.
func (b buckets) windows(f *fold, n int, yield func(step int, v float64)) {
	switch {
	case allDisjoint(b):
		for i := range b {
			for k := b[i].lo; k <= b[i].hi; k++ {
				a := b[i].acc
				yield(k, f.finish(&a))
			}
		}
	case f.gather:
		b.gather(f, n, yield)
	default:
		w := slider{buckets: b, fold: f}
		for k := 0; k < n; k++ {
			if a, ok := w.at(k); ok {
				yield(k, f.finish(&a))
			}
		}
	}
}

// gather puts the values of each window together: for folds that don't get smaller by merging.
func (b buckets) gather(f *fold, n int, yield func(step int, v float64)) {
	var a acc
	from, next := 0, 0
	for k := 0; k < n; k++ {
		for next < len(b) && b[next].lo <= k {
			next++
		}
		for from < next && b[from].hi < k {
			from++
		}
		if from == next {
			continue
		}
		a = acc{values: a.values[:0]}
		for i := from; i < next; i++ {
			f.merge(&a, &b[i].acc)
		}
		yield(k, f.finish(&a))
	}
}

// allDisjoint reports whether no evaluation time sees two buckets.
func allDisjoint(b buckets) bool {
	for i := 1; i < len(b); i++ {
		if b[i].lo <= b[i-1].hi {
			return false
		}
	}
	return true
}

// slider merges the buckets of a sliding window with two stacks, so that a step costs a constant
// number of merges however many buckets its window holds: front[i] is buckets[i:mid] merged, back is
// buckets[mid:next].
type slider struct {
	buckets         buckets
	fold            *fold
	front           []acc
	from, mid, next int
	back            acc
	frontFrom       int
}

func (w *slider) at(k int) (acc, bool) {
	for w.next < len(w.buckets) && w.buckets[w.next].lo <= k {
		w.fold.merge(&w.back, &w.buckets[w.next].acc)
		w.next++
	}
	for w.from < w.next && w.buckets[w.from].hi < k {
		w.from++
	}
	if w.from >= w.mid {
		w.flip()
	}
	if w.from == w.next {
		return acc{}, false
	}
	out := w.front[w.from-w.frontFrom]
	if w.back.n > 0 {
		w.fold.merge(&out, &w.back)
	}
	return out, true
}

// flip makes the whole window the front.
func (w *slider) flip() {
	w.front = append(w.front[:0], make([]acc, w.next-w.from)...)
	for i := w.next - 1; i >= w.from; i-- {
		a := w.buckets[i].acc
		if i+1 < w.next {
			w.fold.merge(&a, &w.front[i+1-w.from])
		}
		w.front[i-w.from] = a
	}
	w.frontFrom, w.mid, w.back = w.from, w.next, acc{}
}
