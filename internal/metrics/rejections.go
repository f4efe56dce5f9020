package metrics

import "strings"

// ExemplarReason is part of the reason of every Rejection of exemplars. A sender is not told to
// drop or repeat samples because of them.
const ExemplarReason = "exemplar"

// OfExemplars reports whether the rejection is about exemplars, not samples.
func (r Rejection) OfExemplars() bool { return strings.Contains(r.Reason, ExemplarReason) }

// Rejections groups refused samples by reason, keeping the message of the first of each. The zero
// value is ready to use. There are a dozen reasons, so that a list is enough.
type Rejections struct{ groups []Rejection }

// Add counts n refusals. message is called for the first of a reason only.
func (r *Rejections) Add(reason string, n int, message func() string) {
	for i := range r.groups {
		if r.groups[i].Reason == reason {
			r.groups[i].Count += n
			return
		}
	}
	r.groups = append(r.groups, Rejection{Reason: reason, Message: message(), Count: n})
}

// Merge adds the groups of another list.
func (r *Rejections) Merge(groups []Rejection) {
	for _, g := range groups {
		r.Add(g.Reason, g.Count, func() string { return g.Message })
	}
}

// List returns the groups in the order of their first refusal.
func (r *Rejections) List() []Rejection { return r.groups }
