package ingester

import "time"

// LogsSettled reports whether every log entry of a tenant that was acknowledged before at has left this
// ingester: it is in the bucket, and answered from there alone.
func (i *Ingester) LogsSettled(tenant string, at time.Time) bool { return i.logs.settled(tenant, at) }

// TracesSettled is LogsSettled for spans.
func (i *Ingester) TracesSettled(tenant string, at time.Time) bool {
	return i.traces.settled(tenant, at)
}

func (c *columnar[B, P, R]) settled(tenant string, at time.Time) bool {
	t := c.lookup(tenant)
	if t == nil {
		return true
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.head.Rows() > 0 && t.since.Load() <= at.UnixNano() {
		return false
	}
	for _, g := range t.frozen {
		if g.since <= at.UnixNano() {
			return false
		}
	}
	return true
}
