package distributor

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/ring"
)

// DeltaOwners says which distributor of a cluster adds up the increments of a series: sums of several would be mixed under the same
// labels.
type DeltaOwners interface {
	// Owner returns the address of the distributor that adds up series with this hash; "": this one, or nobody knows.
	Owner(hash uint32) string
	// Send has a distributor add up increments and store the sums. What it refuses is in the result. An error says that
	// nothing may be taken for stored; the same increments may be sent again, and are added once.
	Send(ctx context.Context, owner, tenant string, b *metrics.Batch) (metrics.PushResult, error)
}

// deltaHash is the place of a series in the ring, by the bytes of its labels.
func deltaHash(tenant string, labels []byte) uint32 { return ring.Hash(tenant, string(labels)) }

// sendDeltas cuts the increments out of b that others add up, sends them there, and waits for them to be stored. n is the
// samples that were cut.
func (d *Distributor) sendDeltas(ctx context.Context, w *write, b *metrics.Batch) (result metrics.PushResult, n int, err error) {
	if d.deltaOwners == nil || b.OwnIncrements || !hasDeltas(b) {
		return result, 0, nil
	}
	parcels := map[string]*metrics.Batch{}
	kept := b.Series[:0]
	var key []byte
	for _, s := range b.Series {
		owner := ""
		if s.Delta {
			key = s.Labels.Bytes(key[:0])
			owner = d.deltaOwners.Owner(deltaHash(w.tenant, key))
		}
		if owner == "" {
			kept = append(kept, s)
			continue
		}
		if parcels[owner] == nil {
			parcels[owner] = &metrics.Batch{}
		}
		parcels[owner].Series = append(parcels[owner].Series, s)
		n += len(s.Samples) + len(s.Histograms)
	}
	clear(b.Series[len(kept):])
	b.Series = kept
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	for owner, parcel := range parcels {
		g.Go(func() error {
			r, err := d.deltaOwners.Send(ctx, owner, w.tenant, parcel)
			mu.Lock()
			defer mu.Unlock()
			result.Samples, result.Histograms, result.Exemplars = result.Samples+r.Samples, result.Histograms+r.Histograms, result.Exemplars+r.Exemplars
			result.Rejected = append(result.Rejected, r.Rejected...)
			return err
		})
	}
	return result, n, g.Wait()
}

// DeltaOwnersChanged forgets the sums of series that others add up now. If they come back they begin anew: to go on from an old
// sum, beside what the other has counted meanwhile, would count that once more.
func (d *Distributor) DeltaOwnersChanged() {
	if d.deltaOwners == nil {
		return
	}
	d.deltas.forget(func(tenant, labels string) bool { return d.deltaOwners.Owner(ring.Hash(tenant, labels)) != "" })
}
