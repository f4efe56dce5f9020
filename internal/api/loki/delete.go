package loki

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/logs/deletes"
	"github.com/hune-io/hune/internal/tenant"
)

// Deleter takes requests to delete logs. Errors are classed.
type Deleter interface {
	// Add accepts a request for the rows from start to end, in Unix nanoseconds, both inclusive. They are
	// hidden from queries when it returns.
	Add(ctx context.Context, tenant, query string, start, end int64) (deletes.Request, error)
	// List returns the requests of a tenant, the oldest first.
	List(ctx context.Context, tenant string) ([]deletes.Request, error)
	// Cancel takes back a request; force also one of which some rows are gone for good.
	Cancel(ctx context.Context, tenant, id string, force bool) error
}

// deleteRequest is a request to delete as it is listed. Times are seconds with a fraction of three
// digits.
type deleteRequest struct {
	RequestID string     `json:"request_id"`
	StartTime model.Time `json:"start_time"`
	EndTime   model.Time `json:"end_time"`
	Query     string     `json:"query"`
	Status    string     `json:"status"`
	CreatedAt model.Time `json:"created_at"`
}

func (h *Handler) deleteRoutes() map[string]func(http.ResponseWriter, *http.Request) error {
	const path = "/loki/api/v1/delete"
	return map[string]func(http.ResponseWriter, *http.Request) error{
		"POST " + path: h.addDelete, "PUT " + path: h.addDelete, "GET " + path: h.listDeletes, "DELETE " + path: h.cancelDelete,
	}
}

func (h *Handler) addDelete(w http.ResponseWriter, r *http.Request) error {
	id, err := tenant.FromContext(r.Context())
	if err != nil {
		return fault.New(fault.Invalid, err)
	}
	p := h.params(w, r)
	query := p.get("query")
	if p.err == nil && query == "" {
		p.failf("query not set")
	}
	start, end := p.deleteRange()
	p.maxInterval(end - start)
	if p.err != nil {
		return p.err
	}
	if _, err := h.o.Deleter.Add(r.Context(), id, query, start, end); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// deleteRange reads start and end of a request to delete, in nanoseconds.
func (p *params) deleteRange() (start, end int64) {
	now := p.h.o.Now().UnixNano()
	if p.err == nil && p.get("start") == "" {
		p.failf("start time not set")
	}
	parse := func(name string, or int64) int64 {
		text := p.get(name)
		if text == "" || p.err != nil {
			return or
		}
		t, err := parseTime(text)
		if err != nil {
			p.failf("invalid %s time: require unix seconds or RFC3339 format", name)
		}
		return t
	}
	start, end = parse("start", 0), parse("end", now)
	switch {
	case p.err != nil:
	case end > now:
		p.failf("deletes in the future are not allowed")
	case start > end:
		p.failf("start time can't be greater than end time")
	case end-start < int64(time.Second) && end-start >= 0:
		p.failf("difference between start time and end time must be at least one second")
	}
	return start, end
}

// maxInterval checks max_interval, by which Loki cuts a request into pieces of work. Here it has no
// effect.
func (p *params) maxInterval(length int64) {
	text := p.get("max_interval")
	if text == "" || p.err != nil {
		return
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Second {
		p.failf("invalid max_interval: valid time units are 's', 'm', 'h'")
		return
	}
	if length >= 0 && int64(d) > length {
		p.failf("max_interval can't be greater than the interval to be deleted (%s)", time.Duration(length))
	}
}

func (h *Handler) listDeletes(w http.ResponseWriter, r *http.Request) error {
	id, err := tenant.FromContext(r.Context())
	if err != nil {
		return fault.New(fault.Invalid, err)
	}
	requests, err := h.o.Deleter.List(r.Context(), id)
	if err != nil {
		return err
	}
	out := make([]deleteRequest, len(requests))
	for i, q := range requests {
		out[i] = deleteRequest{RequestID: q.ID, StartTime: model.TimeFromUnixNano(q.Start), EndTime: model.TimeFromUnixNano(q.End), Query: q.Query,
			Status: "received", CreatedAt: model.TimeFromUnixNano(q.Created.UnixNano())}
		if !q.Processed.IsZero() {
			out[i].Status = "processed"
		}
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

func (h *Handler) cancelDelete(w http.ResponseWriter, r *http.Request) error {
	id, err := tenant.FromContext(r.Context())
	if err != nil {
		return fault.New(fault.Invalid, err)
	}
	query := r.URL.Query()
	request := query.Get("request_id")
	if request == "" {
		return fault.Invalidf("request_id not set")
	}
	force := false
	if text := query.Get("force"); text != "" {
		if force, err = strconv.ParseBool(strings.ToLower(text)); err != nil {
			return fault.Invalidf("invalid force: %q is neither true nor false", text)
		}
	}
	if err := h.o.Deleter.Cancel(r.Context(), id, request, force); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
