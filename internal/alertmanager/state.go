package alertmanager

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/nflog"
	"github.com/prometheus/alertmanager/silence"

	"github.com/hune-io/hune/internal/wal"
)

// The kinds of records in a tenant's log. The bytes behind the kind are:
//
//	'n'  entries of the notification log, in the format of Alertmanager's gossip and snapshots
//	's'  silences, in the same
//	'a'  alerts: a JSON array of savedAlert
//
// Records can be read in any order and more than once: each entry, silence and alert carries the time
// of its last change, and the youngest wins.
const (
	kindNotified = 'n'
	kindSilence  = 's'
	kindAlerts   = 'a'
)

// savedAlert is an alert on disk.
type savedAlert struct {
	Labels      map[string]string `json:"l"`
	Annotations map[string]string `json:"n,omitempty"`
	StartsAt    time.Time         `json:"s"`
	EndsAt      time.Time         `json:"e"`
	UpdatedAt   time.Time         `json:"u"`
	URL         string            `json:"g,omitempty"`
	Timeout     bool              `json:"t,omitempty"`
}

// journal is a tenant's state on disk: what was acknowledged or notified is in it, synced.
type journal struct {
	wal    *wal.WAL
	logger *slog.Logger

	// Changes that are announced under the locks of silences and notification log are collected here and
	// written by flush, outside of them.
	mu      sync.Mutex
	pending map[byte][]byte
	flushMu sync.Mutex
}

func openJournal(dir string, logger *slog.Logger) (*journal, error) {
	// The log is synced always, whatever the section wal says: a notification sent twice wakes people.
	w, err := wal.Open(dir, wal.Options{Sync: wal.SyncAlways, SegmentSize: 16 << 20, QueueBytes: 16 << 20, Logger: logger})
	if err != nil {
		return nil, err
	}
	return &journal{wal: w, logger: logger, pending: map[byte][]byte{}}, nil
}

// replay reads the state of earlier processes into what holds it.
func (j *journal) replay(ctx context.Context, notified *nflog.Log, silences *silence.Silences) (alerts map[string]*alert.Alert, err error) {
	restored := restore{}
	stats, err := j.wal.Replay(ctx, func(_ int, rec []byte) error {
		if len(rec) == 0 {
			return fmt.Errorf("%w: no kind", wal.ErrCorruptRecord)
		}
		var err error
		switch body := rec[1:]; rec[0] {
		case kindNotified:
			err = notified.Merge(body)
		case kindSilence:
			err = silences.Merge(body)
		case kindAlerts:
			err = restored.add(body)
		default:
			err = fmt.Errorf("kind %q is not known", rec[0])
		}
		if err != nil {
			return fmt.Errorf("%w: %w", wal.ErrCorruptRecord, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if stats.Damaged > 0 || stats.Undecoded > 0 {
		j.logger.Warn("part of the state of the alertmanager is damaged", "dir", j.wal.Dir(), "damaged", stats.Damaged, "undecoded", stats.Undecoded)
	}
	return restored, nil
}

// announced is for the broadcast hooks of silences and notification log; b must not change.
func (j *journal) announced(kind byte, b []byte) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.pending[kind]) == 0 {
		j.pending[kind] = append(j.pending[kind], kind)
	}
	j.pending[kind] = append(j.pending[kind], b...) // entries are delimited: several in a row are a state
}

// flush returns when everything announced before it is on disk.
func (j *journal) flush(ctx context.Context) error {
	j.flushMu.Lock()
	defer j.flushMu.Unlock()
	j.mu.Lock()
	todo := j.pending
	j.pending = map[byte][]byte{}
	j.mu.Unlock()
	var errs []error
	for _, rec := range todo {
		errs = append(errs, j.wal.Append(ctx, rec))
	}
	return errors.Join(errs...)
}

// maxAlertRecord is the number of alerts in one record of a compacted log.
const maxAlertRecord = 1000

// compact writes the whole state and removes what is before it.
func (j *journal) compact(ctx context.Context, notified, silences []byte, alerts []*alert.Alert) error {
	n, err := j.wal.NextSegment()
	if err != nil {
		return err
	}
	// What changes meanwhile is appended beside the state, which may already have it: both can be read.
	for kind, state := range map[byte][]byte{kindNotified: notified, kindSilence: silences} {
		if len(state) == 0 {
			continue
		}
		if err := j.wal.Append(ctx, append([]byte{kind}, state...)); err != nil {
			return err
		}
	}
	for len(alerts) > 0 {
		part := alerts[:min(len(alerts), maxAlertRecord)]
		alerts = alerts[len(part):]
		if err := j.appendAlerts(ctx, part); err != nil {
			return err
		}
	}
	return j.wal.Truncate(n)
}

func (j *journal) appendAlerts(ctx context.Context, alerts []*alert.Alert) error {
	saved := make([]savedAlert, len(alerts))
	for i, a := range alerts {
		saved[i] = save(a)
	}
	body, err := json.Marshal(saved)
	if err != nil {
		return err
	}
	return j.wal.Append(ctx, append([]byte{kindAlerts}, body...))
}

func (j *journal) close() error { return j.wal.Close() }
