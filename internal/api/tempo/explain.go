package tempo

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/traces"
)

// explain answers, if the request asks for it, with the plan of q and what indexes tell of its cost. It is Hune's own.
func (a *API) explain(w http.ResponseWriter, r *http.Request, q *traces.Query) (done bool, err error) {
	text := r.URL.Query().Get("explain")
	if text == "" {
		return false, nil
	}
	if q.Explain, err = strconv.ParseBool(text); err != nil {
		return false, fault.Invalidf("invalid explain: %q is neither true nor false", text)
	}
	if !q.Explain {
		return false, nil
	}
	res, err := a.run(r.Context(), q)
	if err != nil {
		return false, err
	}
	if res.Plan == nil {
		return false, fault.Errorf(fault.Internal, "no plan came for %s", q.Expr)
	}
	type job struct {
		Start uint64 `json:"start,string"` // nanoseconds, 0: any
		End   uint64 `json:"end,string"`
	}
	var jobs []job
	for _, r := range res.Plan.Jobs {
		jobs = append(jobs, job(r))
	}
	body, err := json.Marshal(struct {
		Plan     string          `json:"plan"`
		Estimate traces.Estimate `json:"estimate"`
		Jobs     []job           `json:"jobs,omitempty"` // newest first
	}{res.Plan.Text, res.Plan.Estimate, jobs})
	if err != nil {
		return false, err
	}
	return true, writeJSON(w, body)
}
