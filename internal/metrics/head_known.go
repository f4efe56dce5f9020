package metrics

import (
	"context"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
)

// KnownSeries finds the label sets of series that a tenant's head has, so that who reads them from a request keeps no copies
// of its own, neither for a moment nor for the next request. It is for one goroutine, and for a moment: until it is closed the
// head is neither cut nor closed. Appends in between wait for ever.
type KnownSeries struct {
	head *head // nil: no series are known
	app  storage.Appender
	refs storage.GetRef
}

// Known returns the series of a tenant that are known now. Close it.
func (h *Heads) Known(id string) *KnownSeries {
	t, err := h.head(id, false)
	if err != nil || t == nil {
		return &KnownSeries{}
	}
	t.gate.RLock()
	// Of all that the TSDB has, its appenders alone look for series by their labels.
	app := t.db.Head().Appender(context.Background())
	refs, _ := app.(storage.GetRef)
	return &KnownSeries{head: t, app: app, refs: refs}
}

// Labels returns the labels of the series that are equal to ls, which have this hash. They stay as they are; ls may be of
// memory that is written again.
func (k *KnownSeries) Labels(hash uint64, ls labels.Labels) (labels.Labels, bool) {
	if k.refs == nil {
		return labels.EmptyLabels(), false
	}
	ref, known := k.refs.GetRef(ls, hash)
	return known, ref != 0
}

// Close ends the look-up.
func (k *KnownSeries) Close() {
	if k.head == nil {
		return
	}
	_ = k.app.Rollback() // nothing was appended
	k.head.gate.RUnlock()
	k.head.release()
	*k = KnownSeries{}
}
