package logs

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/prometheus/prometheus/model/labels"
)

// HeadOptions are a program's choices for a Head; zero values take the defaults.
type HeadOptions struct {
	// Block says how pages are laid out.
	Block BlockOptions
	// SealBytes is how much of lines and metadata is kept as it came before it is to be sealed, at most.
	// Default 32 MiB. Less makes pages of many small streams worse, more makes searches of the newest rows
	// slower.
	SealBytes int64
}

const defaultSealBytes = 32 << 20

// streamShare is how much of a stream makes a part of a page that is worth reading alone. With few streams
// a buffer is sealed as soon as they have about so much each: pages in which many streams mix cost every
// search for one of them.
const streamShare = 1 << 20

// Head holds the recent entries of one tenant in memory. It is a Part; safe for concurrent use.
//
//	Append ──► buffer ──full──► full buffers ──Seal──► batches of encoded pages ──WriteBlock──► block
//	           as they came                            the form that blocks have
//
// The newest rows are kept as they came. When they are enough for good pages they are sealed: encoded in
// the form of a block, in memory, where a search finds them as fast as in a block. WriteBlock puts the
// pages into the file as they are. Encoding is not Append's business: who owns the head calls Seal.
//
// Entries may arrive in any order of time. An entry that the head has already (same stream,
// timestamp, line and metadata) is dropped.
type Head struct {
	options HeadOptions

	mu      sync.RWMutex
	streams map[uint64]*knownLabels // by hash of labels, chained
	batches []*batch                // sealed, oldest first
	full    []*buffer               // to be sealed, oldest first
	active  *buffer
	size    int64 // of batches and streams
	rows    int   // of batches and full

	sealMu sync.Mutex // one Seal at a time
	lookup lookup     // guarded by mu
}

// knownLabels is what the head knows of a stream whatever becomes of its rows.
type knownLabels struct {
	labels labels.Labels
	next   *knownLabels
	newest int64 // no row of the stream that left the active buffer is newer
}

// knownOverhead is what a stream costs beside its labels.
const knownOverhead = 120

// NewHead returns an empty Head.
func NewHead(options HeadOptions) *Head {
	options.Block.setDefaults()
	if options.SealBytes <= 0 {
		options.SealBytes = defaultSealBytes
	}
	return &Head{options: options, streams: map[uint64]*knownLabels{}, active: newBuffer()}
}

// AppendResult says what became of the entries of a batch.
type AppendResult struct {
	Added      int
	Duplicates int // were there already
	Refused    int // larger than a page of a block can be
}

// What one entry may hold, in bytes. A page of a block has room for one such entry; the limits that
// users set are far below.
const (
	maxLine     = 128 << 20
	maxMetadata = 4 << 20
)

// Append adds a batch that keeps the contract of Batch. It copies what it keeps.
func (h *Head) Append(b *Batch) AppendResult {
	var res AppendResult
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range b.Streams {
		s := &b.Streams[i]
		if len(s.Entries) == 0 {
			continue
		}
		hash := s.Labels.Hash()
		known := h.known(s.Labels, hash)
		h.active.append(known.labels, hash, s.Entries, func(e *Entry) bool {
			return e.Timestamp <= known.newest && h.older(known, hash, e)
		}, &res)
	}
	if h.active.fills(&h.options) {
		h.rotate()
	}
	return res
}

// fills reports whether the buffer has enough for good pages.
func (h *buffer) fills(o *HeadOptions) bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	pages := max(float64(h.raw)/float64(o.Block.PageBytes), float64(h.rows)/float64(o.Block.PageRows))
	// Seven eighths: the batch that fills a page must not leave a rest for another one.
	least := max(0.875, float64(len(h.streams)*streamShare)/float64(o.Block.PageBytes))
	return pages >= min(least, float64(o.SealBytes)/float64(o.Block.PageBytes))
}

// known finds or makes what is known of a stream. h.mu must be held.
func (h *Head) known(ls labels.Labels, hash uint64) *knownLabels {
	for k := h.streams[hash]; k != nil; k = k.next {
		if labels.Equal(k.labels, ls) {
			return k
		}
	}
	k := &knownLabels{labels: ls.Copy(), next: h.streams[hash], newest: noTime.max}
	h.streams[hash] = k
	h.size += knownOverhead + int64(ls.ByteSize())
	return k
}

// older reports whether rows that left the active buffer include e. h.mu must be held.
func (h *Head) older(k *knownLabels, hash uint64, e *Entry) bool {
	for _, b := range h.full {
		if b.holds(k.labels, hash, e) {
			return true
		}
	}
	for i := len(h.batches) - 1; i >= 0; i-- {
		if h.lookup.holds(h.batches[i], k.labels, e) {
			return true
		}
	}
	return false
}

// rotate makes the active buffer a full one. h.mu must be held.
func (h *Head) rotate() {
	if h.active.Rows() == 0 {
		return
	}
	for _, st := range h.active.streams {
		k := h.known(st.labels, st.labels.Hash())
		k.newest = max(k.newest, st.times.max)
	}
	h.rows += h.active.Rows()
	h.full = append(h.full, h.active)
	h.active = newBuffer()
}

// Unsealed returns how many full buffers wait for Seal.
func (h *Head) Unsealed() int {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return len(h.full)
}

// Seal encodes the full buffers. Appends and selects go on meanwhile.
func (h *Head) Seal(ctx context.Context) error {
	h.sealMu.Lock()
	defer h.sealMu.Unlock()
	for {
		h.mu.RLock()
		var next *buffer
		if len(h.full) > 0 {
			next = h.full[0]
		}
		h.mu.RUnlock()
		if next == nil {
			return nil
		}
		b, err := sealBuffer(ctx, next, h.options.Block)
		if err != nil {
			return fmt.Errorf("seal recent logs: %w", err)
		}
		h.mu.Lock()
		h.batches = append(h.batches, b)
		h.full = slices.Delete(slices.Clone(h.full), 0, 1)
		h.size += b.size
		h.mu.Unlock()
	}
}

// Size returns how much memory the head holds, in bytes.
func (h *Head) Size() int64 {
	h.mu.RLock()
	defer h.mu.RUnlock()
	n := h.size + h.active.Size()
	for _, b := range h.full {
		n += b.Size()
	}
	return n
}

// Rows returns how many entries the head holds.
func (h *Head) Rows() int {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.rows + h.active.Rows()
}

// parts returns what the head consists of, oldest first. No row is in two of them.
func (h *Head) parts() []Part {
	h.mu.RLock()
	defer h.mu.RUnlock()
	out := make([]Part, 0, len(h.batches)+len(h.full)+1)
	for _, b := range h.batches {
		out = append(out, b)
	}
	for _, b := range h.full {
		out = append(out, b)
	}
	if h.active.Rows() > 0 {
		out = append(out, h.active)
	}
	return out
}

// TimeRange implements Part.
func (h *Head) TimeRange() (oldest, newest int64) {
	t := noTime
	for _, p := range h.parts() {
		lo, hi := p.TimeRange()
		t.join(timeRange{lo, hi})
	}
	return t.min, t.max
}

// union is the parts as one, for the questions of Part.
func (h *Head) union() *union { return &union{parts: h.parts(), distinct: true} }

// SelectRows implements Part.
func (h *Head) SelectRows(ctx context.Context, s Select) iter.Seq2[*Rows, error] {
	return func(yield func(*Rows, error) bool) {
		limited(h.union().selectRows(ctx, s), s.Limit)(yield)
	}
}

// limited ends a sequence after limit rows; 0: never.
func limited(rows iter.Seq2[*Rows, error], limit int) iter.Seq2[*Rows, error] {
	if limit == 0 {
		return rows
	}
	return func(yield func(*Rows, error) bool) {
		left := limit
		for r, err := range rows {
			if err != nil {
				yield(nil, err)
				return
			}
			if n := len(r.Timestamps); n > left {
				r.Stream, r.Timestamps, r.Lines = r.Stream[:left], r.Timestamps[:left], r.Lines[:left]
				if r.Metadata != nil {
					r.Metadata = r.Metadata[:left]
				}
			}
			left -= len(r.Timestamps)
			if !yield(r, nil) || left == 0 {
				return
			}
		}
	}
}

// Series implements Part.
func (h *Head) Series(ctx context.Context, start, end int64, matchers [][]Matcher) ([]labels.Labels, error) {
	return h.union().series(ctx, start, end, matchers)
}

// Volume implements Part.
func (h *Head) Volume(ctx context.Context, q VolumeQuery) ([]Volume, error) {
	return h.union().volume(ctx, q)
}

// Scan implements Part.
func (h *Head) Scan(ctx context.Context, s Select, visit func(context.Context, *Page) error) error {
	return h.union().scan(ctx, s, visit)
}

// Extents implements Part.
func (h *Head) Extents(ctx context.Context, start, end int64, matchers []Matcher) ([]Extent, error) {
	return h.union().extents(ctx, start, end, matchers)
}
