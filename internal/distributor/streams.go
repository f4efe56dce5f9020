package distributor

import (
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/logs"
)

// streamIdle is how long a stream without entries counts as active.
const streamIdle = 30 * time.Minute

// activeStreams counts the streams of tenants that have a limit on them. It remembers no more streams of a
// tenant than the limit allows. Safe for concurrent use.
type activeStreams struct {
	mu      sync.Mutex
	tenants map[string]map[uint64]time.Time // when a stream, by the hash of its labels, last had an entry
}

func newActiveStreams() *activeStreams {
	return &activeStreams{tenants: map[string]map[uint64]time.Time{}}
}

// admit reports whether a stream is active or may become so.
func (a *activeStreams) admit(tenant string, stream uint64, limit int, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	known := a.tenants[tenant]
	if known == nil {
		known = map[uint64]time.Time{}
		a.tenants[tenant] = known
	}
	if _, ok := known[stream]; !ok && len(known) >= limit {
		for s, last := range known {
			if now.Sub(last) > streamIdle {
				delete(known, s)
			}
		}
		if len(known) >= limit {
			return false
		}
	}
	known[stream] = now
	return true
}

// limitStreams cuts streams out of b that are over the limits of single streams and their number, and
// returns how many entries and bytes are left.
func (d *Distributor) limitStreams(w *write, b *logs.Batch, entries, bytes int) (int, int) {
	l := &w.limits.Logs
	if l.MaxStreamsPerTenant <= 0 && l.PerStreamRateLimit <= 0 {
		return entries, bytes // Fast path: no hashes.
	}
	kept := b.Streams[:0]
	for i := range b.Streams {
		s := &b.Streams[i]
		size := streamBytes(s)
		if reason, message := d.overStreamLimit(w, s.Labels, size, l); reason != "" {
			w.rejected.add(reason, len(s.Entries), message)
			entries -= len(s.Entries)
			bytes -= size
			continue
		}
		kept = append(kept, *s)
	}
	clear(b.Streams[len(kept):])
	b.Streams = kept
	return entries, bytes
}

func (d *Distributor) overStreamLimit(w *write, lbls labels.Labels, size int, l *limits.LogsLimits) (string, func() string) {
	hash := lbls.Hash()
	if limit := l.MaxStreamsPerTenant; limit > 0 && !d.streams.admit(w.tenant, hash, limit, w.now) {
		return reasonStreamLimit, func() string {
			return fmt.Sprintf("maximum active stream limit exceeded when trying to create stream %s, reduce the number of active streams (reduce labels or reduce label values), or contact your Loki administrator to see if the limit can be increased, user: '%s'",
				clip(lbls.String()), w.tenant)
		}
	}
	if rate := float64(l.PerStreamRateLimit); rate > 0 {
		key := string(binary.BigEndian.AppendUint64(append([]byte(w.tenant), 0), hash))
		if _, ok := d.streamRates.take(key, size, rate, float64(l.PerStreamRateLimitBurst), w.now); !ok {
			return reasonStreamRate, func() string {
				return fmt.Sprintf("Per stream rate limit exceeded (limit: %s/sec) while attempting to ingest for stream '%s' totaling %dB, consider splitting a stream via additional labels or contact your Loki administrator to see if the limit can be increased",
					l.PerStreamRateLimit, clip(lbls.String()), size)
			}
		}
	}
	return "", nil
}

// streamBytes is the size of a stream's entries without the level, which is found here and not sent.
func streamBytes(s *logs.Stream) (n int) {
	for i := range s.Entries {
		n += len(s.Entries[i].Line)
		for _, l := range s.Entries[i].Metadata {
			if l.Name != logs.DetectedLevel {
				n += len(l.Name) + len(l.Value)
			}
		}
	}
	return n
}
