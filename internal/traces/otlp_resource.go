package traces

import "strings"

// resourceCache keeps the resources that a walker has read: a sender has few, and sends them with every request.
// Those that limits changed are not kept.
type resourceCache struct {
	limits Limits // under which they were read
	known  map[string]Resource
}

const (
	maxKnownResources = 128
	maxKnownResource  = 8 << 10 // bytes of the message
)

// resourceOf reads a Resource message into r, which has no attributes yet.
func (w *walker) resourceOf(data string, r *Resource) error {
	c := w.resources
	if c == nil || len(data) > maxKnownResource {
		return w.resourceMessage(data, r)
	}
	limits := w.limits
	limits.Oldest, limits.Newest = 0, 0
	if c.known == nil || c.limits != limits || len(c.known) >= maxKnownResources {
		c.limits, c.known = limits, make(map[string]Resource)
	}
	if known, ok := c.known[data]; ok {
		r.Attributes, r.DroppedAttributesCount = known.Attributes, known.DroppedAttributesCount
		return nil
	}
	repaired := w.repaired
	w.repaired = false
	own := strings.Clone(data)
	err := w.resourceMessage(own, r)
	if err == nil && !w.repaired {
		r.Attributes = r.Attributes[:len(r.Attributes):len(r.Attributes)] // who adds to them copies them
		c.known[own] = Resource{Attributes: r.Attributes, DroppedAttributesCount: r.DroppedAttributesCount}
	}
	w.repaired = w.repaired || repaired
	return err
}
