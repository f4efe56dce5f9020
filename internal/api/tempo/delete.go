package tempo

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/tenant"
	"github.com/hune-io/hune/internal/traces/deletes"
)

// Deleter takes requests to delete traces. Errors are classed.
type Deleter interface {
	// Add accepts a request for the traces that a search finds which overlap the time from start to end, in Unix
	// nanoseconds. They are hidden from queries when it returns.
	Add(ctx context.Context, tenant, query string, start, end int64) (deletes.Request, error)
	// List returns the requests of a tenant, the oldest first.
	List(ctx context.Context, tenant string) ([]deletes.Request, error)
	// Cancel takes back a request; force also one of which some traces are gone for good.
	Cancel(ctx context.Context, tenant, id string, force bool) error
}

// deleteRequest is a request to delete as it is listed, with the keys of Loki's and how many traces it is about.
type deleteRequest struct {
	RequestID string    `json:"request_id"`
	StartTime time.Time `json:"start_time"`
	EndTime   time.Time `json:"end_time"`
	Query     string    `json:"query"`
	Traces    int       `json:"traces"`
	Status    string    `json:"status"`
	CreatedAt time.Time `json:"created_at"`
}

func (a *API) registerDeletes(mux *http.ServeMux) {
	const path = "/api/hune/v1/traces/delete"
	mux.HandleFunc("POST "+path, a.handle(a.addDelete))
	mux.HandleFunc("PUT "+path, a.handle(a.addDelete))
	mux.HandleFunc("GET "+path, a.handle(a.listDeletes))
	mux.HandleFunc("DELETE "+path, a.handle(a.cancelDelete))
}

const maxDeleteForm = 64 << 10

func (a *API) addDelete(w http.ResponseWriter, r *http.Request) error {
	id, err := tenant.FromContext(r.Context())
	if err != nil {
		return err
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxDeleteForm)
	if err := r.ParseForm(); err != nil {
		return fault.Invalidf("read form: %w", err)
	}
	query := r.Form.Get("query")
	if query == "" {
		return fault.Invalidf("query not set")
	}
	start, end, err := a.deleteRange(r.Form.Get("start"), r.Form.Get("end"))
	if err != nil {
		return err
	}
	added, err := a.opts.Deleter.Add(r.Context(), id, query, start, end)
	if err != nil {
		return err
	}
	return writeDeletes(w, listed(added))
}

// deleteRange reads the range of a request to delete. It has no default start: to delete everything there ever was
// takes saying so.
func (a *API) deleteRange(startText, endText string) (start, end int64, err error) {
	now := a.opts.Now().UnixNano()
	end = now
	if startText == "" {
		return 0, 0, fault.Invalidf("start time not set")
	}
	t, err := parseTime("start", startText)
	if err != nil {
		return 0, 0, fault.New(fault.Invalid, err)
	}
	start = int64(t)
	if endText != "" {
		if t, err = parseTime("end", endText); err != nil {
			return 0, 0, fault.New(fault.Invalid, err)
		}
		end = int64(t)
	}
	switch {
	case end > now:
		return 0, 0, fault.Invalidf("deletes in the future are not allowed")
	case start > end:
		return 0, 0, fault.Invalidf("start time can't be greater than end time")
	}
	return start, end, nil
}

func (a *API) listDeletes(w http.ResponseWriter, r *http.Request) error {
	id, err := tenant.FromContext(r.Context())
	if err != nil {
		return err
	}
	requests, err := a.opts.Deleter.List(r.Context(), id)
	if err != nil {
		return err
	}
	out := make([]deleteRequest, len(requests))
	for i, q := range requests {
		out[i] = listed(q)
	}
	return writeDeletes(w, out)
}

func listed(q deletes.Request) deleteRequest {
	status := "received"
	if !q.Processed.IsZero() {
		status = "processed"
	}
	return deleteRequest{RequestID: q.ID, StartTime: time.Unix(0, q.Start).UTC(), EndTime: time.Unix(0, q.End).UTC(), Query: q.Query,
		Traces: q.Found, Status: status, CreatedAt: q.Created}
}

func (a *API) cancelDelete(w http.ResponseWriter, r *http.Request) error {
	id, err := tenant.FromContext(r.Context())
	if err != nil {
		return err
	}
	query := r.URL.Query()
	request := query.Get("request_id")
	if request == "" {
		return fault.Invalidf("request_id not set")
	}
	force := false
	if text := query.Get("force"); text != "" {
		if force, err = strconv.ParseBool(text); err != nil {
			return fault.Invalidf("invalid force: %q is neither true nor false", text)
		}
	}
	if err := a.opts.Deleter.Cancel(r.Context(), id, request, force); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func writeDeletes(w http.ResponseWriter, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return writeJSON(w, b)
}
