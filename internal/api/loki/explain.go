package loki

import (
	"net/http"
	"strconv"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/logs"
)

// explains reports whether a request asks how its query would be answered. It is Hune's own.
func (p *params) explains() bool {
	v := p.get("explain")
	if v == "" {
		return false
	}
	yes, err := strconv.ParseBool(v)
	if err != nil {
		p.failf("explain: %q is neither true nor false", v)
	}
	return yes
}

// explain answers with the plan of q and what indexes tell of its cost.
func (h *Handler) explain(w http.ResponseWriter, r *http.Request, q *logs.Query) error {
	q.Explain = true
	res, err := h.run(r.Context(), q)
	if err != nil {
		return err
	}
	if res.Plan == nil {
		return fault.Errorf(fault.Internal, "no plan came for %s", q.Expr)
	}
	var answer struct {
		Status string `json:"status"`
		Data   struct {
			Plan     string            `json:"plan"`
			Tree     logs.PlanNode     `json:"tree"`
			Estimate logs.PlanEstimate `json:"estimate"`
		} `json:"data"`
	}
	answer.Status = "success"
	answer.Data.Plan, answer.Data.Tree, answer.Data.Estimate = res.Plan.Text, res.Plan.Tree, res.Plan.Estimate
	writeJSON(w, http.StatusOK, answer)
	return nil
}
