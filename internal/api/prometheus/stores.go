package prometheus

import (
	"net/http"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/tenant"
)

// storeAnswer is a store in Thanos's answer to which there are.
type storeAnswer struct {
	Name      string          `json:"name"`
	LastCheck time.Time       `json:"lastCheck"`
	LastError *string         `json:"lastError"`
	LabelSets []labels.Labels `json:"labelSets"`
	MinTime   int64           `json:"minTime"`
	MaxTime   int64           `json:"maxTime"`
}

// stores lists by kind what queries read, as a Thanos Querier does: the head and the bucket of this process and other
// StoreAPI servers. The names are what storeMatch[] can choose from as __address__.
func (a *API) stores(w http.ResponseWriter, r *http.Request) {
	id, err := tenant.FromContext(r.Context())
	if err != nil {
		a.respond(w, r, nil, fault.New(fault.Invalid, err))
		return
	}
	out := map[string][]storeAnswer{}
	if a.opts.Stores != nil {
		for _, s := range a.opts.Stores(id) {
			answer := storeAnswer{Name: s.Address, LastCheck: s.Checked, LabelSets: s.LabelSets, MinTime: s.MinTime, MaxTime: s.MaxTime}
			if answer.LabelSets == nil {
				answer.LabelSets = []labels.Labels{}
			}
			if s.Err != nil {
				text := s.Err.Error()
				answer.LastError = &text
			}
			kind := s.Component
			if kind == "" {
				kind = "unknown"
			}
			out[kind] = append(out[kind], answer)
		}
	}
	a.respond(w, r, out, nil)
}
