package storeapi

import "github.com/hune-io/hune/internal/metrics"

// Stores says what is known of each server.
func (c *Client) Stores() []metrics.StoreStatus {
	list, _ := c.endpoints()
	out := make([]metrics.StoreStatus, len(list))
	for i, e := range list {
		e.mu.RLock()
		out[i] = metrics.StoreStatus{Address: e.addr, Component: e.component, LabelSets: e.labelSets, MinTime: e.mint, MaxTime: e.maxt, Checked: e.checked, Err: e.err}
		e.mu.RUnlock()
	}
	return out
}
