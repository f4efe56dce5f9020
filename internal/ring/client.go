package ring

import (
	"context"

	"github.com/grafana/dskit/kv"
	dskit "github.com/grafana/dskit/ring"
)

// client leaves out writes of this process that change nothing.
//
// The rings know times in seconds, and of two versions of a member the one with the later time counts. A heartbeat within
// the second of another write, such as a change of state, is therefore no change, for which memberlist's CAS waits a second
// and tries again, while the lifecycler can do nothing else: a change of state that comes then waits behind it before it
// has a second of its own to wait for. That this process is alive in this second is known already.
type client struct {
	kv.Client
	self string
}

// CAS implements kv.Client.
func (c client) CAS(ctx context.Context, key string, f func(in any) (out any, retry bool, err error)) error {
	return c.Client.CAS(ctx, key, func(in any) (any, bool, error) {
		before, members, known := c.own(in)
		out, retry, err := f(in)
		if err != nil || out == nil || !known {
			return out, retry, err
		}
		if after, n, _ := c.own(out); n == members && after.Equal(&before) {
			return nil, false, nil
		}
		return out, retry, nil
	})
}

// own returns this process as a member, and how many members there are.
func (c client) own(ring any) (dskit.InstanceDesc, int, bool) {
	d, ok := ring.(*dskit.Desc)
	if !ok || d == nil {
		return dskit.InstanceDesc{}, 0, false
	}
	m, ok := d.Ingesters[c.self]
	return m, len(d.Ingesters), ok
}
