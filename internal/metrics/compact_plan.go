package metrics

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/thanos-io/thanos/pkg/block/metadata"
	"github.com/thanos-io/thanos/pkg/compact/downsample"
)

// compactRanges are the lengths of blocks that compaction works towards, Thanos's, the longest first: a
// window that is over is merged at once to the longest block it can become.
var compactRanges = []time.Duration{14 * 24 * time.Hour, 2 * 24 * time.Hour, 8 * time.Hour, 2 * time.Hour}

const (
	// compactSettle is how long after its end a window is taken for complete: heads cut a range half a
	// range late, and out-of-order samples come an hour later still by default.
	compactSettle = 3 * time.Hour
	// maxCompactInputs bounds the blocks of one job: each is on the local disk, its index mapped.
	maxCompactInputs = 64
)

// compaction is one job: of several blocks one, or of one block a downsampled one.
type compaction struct {
	inputs     []*metadata.Meta
	resolution int64             // of the output, in milliseconds
	labels     map[string]string // of the output
	dedup      bool              // the inputs are of replicas that scraped at different times
	gone       *Deletions        // not to be in the output
}

// kind names the job in metrics.
func (c compaction) kind() string {
	if c.resolution != c.inputs[0].Thanos.Downsample.Resolution {
		return "downsample"
	}
	if len(c.inputs) == 1 {
		return "rewrite"
	}
	return "compact"
}

// planner says what to do with the blocks of a tenant.
type planner struct {
	now      time.Time
	keep     func(resolution int64) time.Duration // 0: for ever
	replicas []string                             // labels of replicas that scrape on their own
	apart    func(m *metadata.Meta) bool          // not to be merged; nil: none
	whole    func(m *metadata.Meta) bool          // not to be downsampled; nil: none
}

// plan returns the compactions that the blocks need, or the downsamplings if there are none. Jobs have no
// input in common. metas are blocks that are neither replaced nor to be deleted; all are those that are there, whatever
// their marks say.
func (p planner) plan(metas, all []*metadata.Meta) []compaction {
	var jobs []compaction
	merged := metas
	if p.apart != nil {
		merged = slices.DeleteFunc(slices.Clone(metas), p.apart)
	}
	for _, group := range p.groups(merged) {
		jobs = append(jobs, p.planGroup(group)...)
	}
	if len(jobs) > 0 {
		return jobs
	}
	return p.planDownsample(metas, all)
}

// groups puts blocks together that may be merged: of one resolution, with the same labels but for those of
// replicas.
func (p planner) groups(metas []*metadata.Meta) [][]*metadata.Meta {
	type key struct {
		resolution int64
		labels     string
	}
	found := map[key][]*metadata.Meta{}
	for _, m := range metas {
		k := key{m.Thanos.Downsample.Resolution, labels.FromMap(p.common(m)).String()}
		found[k] = append(found[k], m)
	}
	keys := slices.SortedFunc(maps.Keys(found), func(a, b key) int {
		return cmp.Or(cmp.Compare(a.resolution, b.resolution), cmp.Compare(a.labels, b.labels))
	})
	out := make([][]*metadata.Meta, len(keys))
	for i, k := range keys {
		out[i] = found[k]
		slices.SortFunc(out[i], func(a, b *metadata.Meta) int {
			return cmp.Or(cmp.Compare(a.MinTime, b.MinTime), a.ULID.Compare(b.ULID))
		})
	}
	return out
}

// common returns the labels of a block without those of replicas. Ingesters are replicas of each other,
// with the same samples at the same times.
func (p planner) common(m *metadata.Meta) map[string]string {
	out := maps.Clone(m.Thanos.Labels)
	if out == nil {
		out = map[string]string{}
	}
	delete(out, labelReplica)
	for _, name := range p.replicas {
		delete(out, name)
	}
	return out
}

func (p planner) planGroup(group []*metadata.Meta) []compaction {
	var jobs []compaction
	used := map[ulid.ULID]bool{}
	add := func(inputs []*metadata.Meta) {
		for _, m := range inputs {
			used[m.ULID] = true
		}
		jobs = append(jobs, p.job(inputs))
	}
	resolution := group[0].Thanos.Downsample.Resolution
	for _, inputs := range overlappingRuns(group) {
		if resolution > 0 {
			// Averages of replicas can't be merged: what overlaps is left alone, readers read one after the other.
			for _, m := range inputs {
				used[m.ULID] = true
			}
			continue
		}
		add(inputs[:min(len(inputs), maxCompactInputs)])
	}
	keep := p.keep(resolution)
	for _, r := range compactRanges {
		if keep > 0 && r > keep/2 {
			continue // the oldest of such a block would stay for much too long
		}
		for _, inputs := range p.windows(group, r, used) {
			add(inputs)
		}
	}
	return jobs
}

// overlappingRuns returns the runs of two or more blocks that overlap in time; the group is sorted by start.
func overlappingRuns(group []*metadata.Meta) (out [][]*metadata.Meta) {
	for first := 0; first < len(group); {
		end, next := group[first].MaxTime, first+1
		for ; next < len(group) && group[next].MinTime < end; next++ {
			end = max(end, group[next].MaxTime)
		}
		if next-first > 1 {
			out = append(out, group[first:next])
		}
		first = next
	}
	return out
}

// windows returns the blocks to merge to one of at most the given length: two or more of a window that is over.
func (p planner) windows(group []*metadata.Meta, length time.Duration, used map[ulid.ULID]bool) (out [][]*metadata.Meta) {
	width := length.Milliseconds()
	byWindow := map[int64][]*metadata.Meta{}
	for _, m := range group {
		w := floorDiv(m.MinTime, width)
		if !used[m.ULID] && m.MaxTime <= (w+1)*width && (w+1)*width+compactSettle.Milliseconds() <= p.now.UnixMilli() {
			byWindow[w] = append(byWindow[w], m)
		}
	}
	for _, w := range slices.Sorted(maps.Keys(byWindow)) {
		if n := len(byWindow[w]); n > 1 && n <= maxCompactInputs {
			out = append(out, byWindow[w])
		}
	}
	return out
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// job makes the job of merging blocks of one group.
func (p planner) job(inputs []*metadata.Meta) compaction {
	c := compaction{inputs: slices.Clone(inputs), resolution: inputs[0].Thanos.Downsample.Resolution, labels: p.common(inputs[0])}
	for _, name := range append([]string{labelReplica}, p.replicas...) {
		value, same := inputs[0].Thanos.Labels[name], true
		for _, m := range inputs {
			same = same && m.Thanos.Labels[name] == value
		}
		switch {
		case same && value != "":
			c.labels[name] = value
		case !same && slices.Contains(p.replicas, name):
			c.dedup = true
		}
	}
	return c
}

// planDownsample returns what is long enough to be downsampled and isn't yet: raw blocks of 40 hours and
// more to 5 minutes, and those of 10 days and more to an hour, as Thanos does.
func (p planner) planDownsample(metas, all []*metadata.Meta) []compaction {
	var jobs []compaction
	for _, step := range []struct{ from, to, least int64 }{
		{downsample.ResLevel0, downsample.ResLevel1, downsample.ResLevel1DownsampleRange},
		{downsample.ResLevel1, downsample.ResLevel2, downsample.ResLevel2DownsampleRange},
	} {
		done := map[ulid.ULID]bool{}
		for _, m := range all {
			if m.Thanos.Downsample.Resolution == step.to {
				for _, id := range m.Compaction.Sources {
					done[id] = true
				}
			}
		}
		for _, m := range metas {
			if p.whole != nil && p.whole(m) {
				continue
			}
			if m.Thanos.Downsample.Resolution == step.from && m.MaxTime-m.MinTime >= step.least && !p.expired(m, step.to) &&
				slices.ContainsFunc(m.Compaction.Sources, func(id ulid.ULID) bool { return !done[id] }) {
				jobs = append(jobs, compaction{inputs: []*metadata.Meta{m}, resolution: step.to, labels: m.Thanos.Labels})
			}
		}
	}
	return jobs
}

// expired reports whether a block would be past its retention at once.
func (p planner) expired(m *metadata.Meta, resolution int64) bool {
	keep := p.keep(resolution)
	return keep > 0 && m.MaxTime <= p.now.Add(-keep).UnixMilli()
}
