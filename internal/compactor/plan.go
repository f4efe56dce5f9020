package compactor

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/hune-io/hune/internal/block"
)

// The layout that compaction works towards: of each day as few blocks as hold about targetRaw bytes of
// lines each. On the way there, the blocks that ingesters cut every few minutes are first merged by
// windows of two hours, so that the current day doesn't fill up with hundreds of them.
const (
	shortWindow = 2 * time.Hour
	dayWindow   = 24 * time.Hour
	// Blocks of more than twice a day have rows of all times, such as a backfill. They are merged with
	// their like, by windows of weeks: with the blocks of one day they would make one that no query
	// could leave out.
	wideSpan   = 2 * dayWindow
	wideWindow = 20 * dayWindow

	// settle is how long after its end a window is taken for complete: what ingesters hold back
	// (ingester.logs.max_head_age) has come by then.
	settle = 30 * time.Minute

	// targetRaw is how many bytes of lines and metadata a block is to hold at most. A block of half of
	// it is left alone. More would make one job, and what it holds on the local disk, too large for
	// small machines; a query gains little from it, as it reads pages and not blocks.
	targetRaw = 512 << 20

	// targetStored bounds a block by what it takes in the bucket, where lines don't compress: a job has
	// its pages in memory.
	targetStored = 256 << 20

	// maxInputs bounds the blocks of one job: of each the index and a page are in memory.
	maxInputs = 64

	// openFan is how many small blocks a window that still fills up must have to be merged already.
	openFan = 8

	// growth is how many times larger than all the smaller ones together a block may be that is merged
	// with them: a few late lines are not worth writing a day anew.
	growth = 4

	// A block of less counts as so large: below, the requests to the bucket cost more than the bytes.
	leastRaw = 1 << 20
)

// job is one compaction: of several blocks one, or of one block the rest that is still wanted.
type job struct{ inputs []block.Meta }

// window is a group of blocks that may be merged.
type window struct {
	width  time.Duration
	number int64 // since 1970
}

func (w window) closed(now time.Time) bool {
	width := int64(w.width)
	if w.number >= (math.MaxInt64-int64(settle))/width-1 {
		return false
	}
	return now.UnixNano() >= (w.number+1)*width+int64(settle)
}

// plan says what to do with the current blocks of a tenant: which to merge, and which to write anew
// because they hold rows that must go (dirty). Jobs have no block in common. When nothing changes,
// carrying out one plan after the other ends with an empty one.
func plan(now time.Time, metas []block.Meta, dirty map[ulid.ULID]bool) []job {
	groups := map[window][]block.Meta{}
	for _, m := range metas {
		if m.RawBytes < targetRaw/2 && m.StoredBytes < targetStored/2 {
			w := windowOf(now, &m)
			groups[w] = append(groups[w], m)
		}
	}
	var jobs []job
	used := map[ulid.ULID]bool{}
	for _, w := range sortedWindows(groups) {
		least := 2
		if !w.closed(now) {
			least = openFan
		}
		for _, inputs := range merges(groups[w], least) {
			for _, m := range inputs {
				used[m.ULID] = true
			}
			jobs = append(jobs, job{inputs})
		}
	}
	for _, m := range metas {
		if dirty[m.ULID] && !used[m.ULID] {
			jobs = append(jobs, job{[]block.Meta{m}})
		}
	}
	return jobs
}

func windowOf(now time.Time, m *block.Meta) window {
	// A difference that doesn't fit is negative.
	if span := m.MaxTime - m.MinTime; span < 0 || span > int64(wideSpan) {
		return numbered(wideWindow, m.MaxTime)
	}
	if day := numbered(dayWindow, m.MaxTime); day.closed(now) {
		return day
	}
	return numbered(shortWindow, m.MaxTime)
}

func numbered(width time.Duration, t int64) window {
	n := t / int64(width)
	if t < 0 && t%int64(width) != 0 {
		n--
	}
	return window{width, n}
}

func sortedWindows(groups map[window][]block.Meta) []window {
	out := make([]window, 0, len(groups))
	for w := range groups {
		out = append(out, w)
	}
	slices.SortFunc(out, func(a, b window) int {
		return cmp.Or(cmp.Compare(a.number*int64(a.width/time.Hour), b.number*int64(b.width/time.Hour)), cmp.Compare(a.width, b.width))
	})
	return out
}

// merges chooses what of a window to merge: runs of at least so many blocks, each not much larger than
// the smaller ones before it together.
func merges(metas []block.Meta, least int) (out [][]block.Meta) {
	// Of blocks that weigh about the same those that follow each other go together: a block of two far ends would
	// have rows on both sides of its neighbours, and queries look at what is at one time in several blocks row by row.
	slices.SortFunc(metas, func(a, b block.Meta) int {
		return cmp.Or(cmp.Compare(class(&a), class(&b)), cmp.Compare(a.MinTime, b.MinTime), a.ULID.Compare(b.ULID))
	})
	for first := 0; first < len(metas); {
		sum, stored, end := weight(&metas[first]), metas[first].StoredBytes, first+1
		for end < len(metas) && end-first < maxInputs {
			w, s := weight(&metas[end]), metas[end].StoredBytes
			if w > growth*sum || sum+w > targetRaw || stored+s > targetStored {
				break
			}
			sum, stored = sum+w, stored+s
			end++
		}
		if end-first < least {
			first++
			continue
		}
		run := slices.Clone(metas[first:end])
		sortByTime(run)
		out = append(out, run)
		first = end
	}
	return out
}

func weight(m *block.Meta) int64 { return max(m.RawBytes, leastRaw) }

// class is a number that blocks share of which none weighs more than growth times another.
func class(m *block.Meta) int { return bits.Len64(uint64(weight(m)/leastRaw)) / bits.Len64(growth/2) }

// sortByTime puts older rows first, and of the same time those that were cut first.
func sortByTime(metas []block.Meta) {
	slices.SortFunc(metas, func(a, b block.Meta) int {
		return cmp.Or(cmp.Compare(a.MinTime, b.MinTime), a.ULID.Compare(b.ULID))
	})
}
