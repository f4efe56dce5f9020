package distributor

import (
	"context"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/signal"
)

// PushLogs checks and completes b and hands what is left to the ingester. The batch may be
// changed: rejected entries are cut out of it in place.
func (d *Distributor) PushLogs(ctx context.Context, b *logs.Batch) (logs.PushResult, error) {
	w, err := d.begin(ctx, signal.Logs)
	if err != nil {
		return logs.PushResult{}, err
	}
	defer d.end(w)
	for _, r := range b.Rejected {
		d.discarded.Add(w.signal, r.Reason, w.tenant, r.Count)
	}
	l := &w.limits.Logs
	entries, bytes := w.checkLogs(b, d.enrichers.of(l))
	err = d.limitRate(w, bytes, entries, float64(l.IngestionRate), float64(l.IngestionBurst), func() string {
		return fmt.Sprintf("ingestion rate limit exceeded for user %s (limit: %d bytes/sec) while attempting to ingest '%d' lines totaling '%d' bytes, reduce log volume or contact your Loki administrator to see if the limit can be increased",
			w.tenant, int64(l.IngestionRate), entries, bytes)
	})
	if err != nil {
		return logs.PushResult{}, err
	}
	entries, bytes = d.limitStreams(w, b, entries, bytes)
	var result logs.PushResult
	if len(b.Streams) > 0 {
		if result, err = d.ingester.PushLogs(ctx, w.tenant, b); err != nil {
			return logs.PushResult{}, err
		}
		d.metrics.records.WithLabelValues(string(w.signal)).Add(float64(entries))
		d.metrics.bytes.WithLabelValues(string(w.signal)).Add(float64(bytes))
	}
	for _, r := range result.Rejected {
		w.rejected.add(r.Reason, r.Count, text(r.Message))
	}
	result.Rejected = nil
	for _, r := range w.rejected {
		result.Rejected = append(result.Rejected, logs.Rejection{Reason: r.reason, Message: r.message, Count: r.count})
	}
	return result, nil
}

// checkLogs cuts what is not allowed out of b, completes the rest, and returns how many entries
// and bytes are left.
func (w *write) checkLogs(b *logs.Batch, enricher *logs.Enricher) (entries, bytes int) {
	win := w.nanos()
	kept := b.Streams[:0]
	for i := range b.Streams {
		s := &b.Streams[i]
		if len(s.Entries) == 0 {
			continue
		}
		if reason, message := checkStream(s.Labels, &w.limits.Logs); reason != "" {
			w.rejected.add(reason, len(s.Entries), message)
			continue
		}
		bytes += w.checkEntries(s, win)
		if len(s.Entries) == 0 {
			continue
		}
		// After the checks, so that nobody searches a line that is too long for its level.
		enricher.Stream(s)
		entries += len(s.Entries)
		kept = append(kept, *s)
	}
	clear(b.Streams[len(kept):])
	b.Streams = kept
	return entries, bytes
}

// checkStream returns the reason why a label set can't be a stream, or "".
func checkStream(lbls labels.Labels, l *limits.LogsLimits) (string, func() string) {
	c := labelCheck{maxName: l.MaxLabelNameLength, maxValue: l.MaxLabelValueLength, legacyNames: true}
	lbls.Range(func(lb labels.Label) { c.next(lb) })
	if c.count > 0 && c.bad == labelOK && (l.MaxLabelNamesPerSeries <= 0 || c.count <= l.MaxLabelNamesPerSeries) {
		return "", nil
	}
	return streamFault(c, lbls, l)
}

func streamFault(c labelCheck, lbls labels.Labels, l *limits.LogsLimits) (string, func() string) {
	switch {
	case c.count == 0:
		return reasonMissingLabels, text("error at least one label pair is required per stream")
	case l.MaxLabelNamesPerSeries > 0 && c.count > l.MaxLabelNamesPerSeries:
		return reasonTooManyLabels, func() string {
			return fmt.Sprintf("entry for stream '%s' has %d label names; limit %d", clip(lbls.String()), c.count, l.MaxLabelNamesPerSeries)
		}
	}
	switch c.bad {
	case labelNameTooLong:
		return reasonLabelNameTooLong, func() string {
			return fmt.Sprintf("stream '%s' has label name too long: '%s'", clip(lbls.String()), clip(c.label.Name))
		}
	case labelValueTooLong:
		return reasonLabelValueTooLong, func() string {
			return fmt.Sprintf("stream '%s' has label value too long: '%s'", clip(lbls.String()), clip(c.label.Value))
		}
	case labelDuplicate:
		return reasonDuplicateLabels, func() string {
			return fmt.Sprintf("stream '%s' has duplicate label name: '%s'", clip(lbls.String()), clip(c.label.Name))
		}
	}
	return reasonInvalidLabels, func() string {
		return fmt.Sprintf("error parsing labels '%s' with error: %s", clip(fmt.Sprintf("%q", lbls.String())), c.bad.describe(c.label))
	}
}

// checkEntries cuts bad entries out of s and returns the bytes of the rest.
func (w *write) checkEntries(s *logs.Stream, win window) (bytes int) {
	l := &w.limits.Logs
	kept := s.Entries[:0]
	for i := range s.Entries {
		e := s.Entries[i]
		if !win.ok(e.Timestamp) {
			w.rejectEntryTime(s.Labels, e.Timestamp, win)
			continue
		}
		if limit := int(l.MaxLineSize); limit > 0 && len(e.Line) > limit {
			if !l.MaxLineSizeTruncate {
				w.rejectLine(s.Labels, len(e.Line), limit)
				continue
			}
			e.Line = truncate(e.Line, limit)
		}
		size := metadataBytes(e.Metadata)
		if !w.metadataFits(s.Labels, size, len(e.Metadata)) {
			continue
		}
		bytes += len(e.Line) + size
		kept = append(kept, e)
	}
	clear(s.Entries[len(kept):])
	s.Entries = kept
	return bytes
}

func (w *write) rejectLine(lbls labels.Labels, size, limit int) {
	w.rejected.add(reasonLineTooLong, 1, func() string {
		return fmt.Sprintf("max entry size '%d' bytes exceeded for stream '%s' while adding an entry with length '%d' bytes",
			limit, clip(lbls.String()), size)
	})
}

// metadataFits checks the structured metadata of one entry, and rejects the entry if it is too much.
func (w *write) metadataFits(lbls labels.Labels, size, count int) bool {
	l := &w.limits.Logs
	if limit := int(l.MaxStructuredMetadataSize); limit > 0 && size > limit {
		w.rejected.add(reasonMetadataTooLarge, 1, func() string {
			return fmt.Sprintf("stream '%s' has structured metadata too large: '%d' bytes, limit: '%d' bytes", clip(lbls.String()), size, limit)
		})
		return false
	}
	if limit := l.MaxStructuredMetadataEntriesCount; limit > 0 && count > limit {
		w.rejected.add(reasonMetadataTooMany, 1, func() string {
			return fmt.Sprintf("stream '%s' has too many structured metadata labels: '%d', limit: '%d'", clip(lbls.String()), count, limit)
		})
		return false
	}
	return true
}

func metadataBytes(md []logs.Label) (n int) {
	for i := range md {
		n += len(md[i].Name) + len(md[i].Value)
	}
	return n
}

// truncate cuts a line to at most limit bytes without splitting a rune.
func truncate(line string, limit int) string {
	for limit > 0 && !utf8.RuneStart(line[limit]) {
		limit--
	}
	return line[:limit]
}

func (w *write) rejectEntryTime(lbls labels.Labels, t int64, win window) {
	reason := win.classify(t)
	w.rejected.add(reason, 1, func() string {
		stream, at := clip(lbls.String()), formatTime(time.Unix(0, t))
		switch reason {
		case reasonInvalidTimestamp:
			return fmt.Sprintf("entry for stream '%s' has invalid timestamp: %d", stream, t)
		case reasonTooOld:
			return fmt.Sprintf("entry for stream '%s' has timestamp too old: %s, oldest acceptable timestamp is: %s",
				stream, at, formatTime(time.Unix(0, win.oldest)))
		}
		return fmt.Sprintf("entry for stream '%s' has timestamp too new: %s", stream, at)
	})
}

// enrichers are the four ways in which a tenant's logs may be completed: [service name][level].
type enrichers [2][2]*logs.Enricher

func newEnrichers() (e enrichers) {
	for service := range 2 {
		for level := range 2 {
			o := logs.DefaultEnrichOptions()
			if service == 0 {
				o.ServiceNameLabels = nil
			}
			if level == 0 {
				o.LevelFields = nil
			}
			e[service][level] = logs.NewEnricher(o)
		}
	}
	return e
}

func (e *enrichers) of(l *limits.LogsLimits) *logs.Enricher {
	return e[index(l.DiscoverServiceName)][index(l.DiscoverLogLevels)]
}

func index(b bool) int {
	if b {
		return 1
	}
	return 0
}
