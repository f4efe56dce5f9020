package jaeger

import (
	"context"
	"encoding/json"
	"math"
	"net/url"
	"strconv"
	"time"

	"google.golang.org/grpc"

	"github.com/hune-io/hune/internal/api/rpc"
	"github.com/hune-io/hune/internal/api/tracequery"
	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/traces"
)

// RegisterGRPC adds jaeger.api_v3.QueryService. Numbers below are those of its query_service.proto.
func (a *API) RegisterGRPC(r grpc.ServiceRegistrar) {
	rpc.NewService("jaeger.api_v3.QueryService").
		Stream("GetTrace", a.getTrace).
		Stream("FindTraces", a.findTraces).
		Unary("GetServices", a.getServices).
		Unary("GetOperations", a.getOperations).
		Unary("GetDependencies", a.getDependencies).
		Register(r)
}

func (a *API) getTrace(ctx context.Context, req []byte, send func([]byte) error) error {
	var id string
	var in tracequery.Range
	err := rpc.Fields(req, func(f rpc.Field) (err error) {
		switch f.Number {
		case 1:
			id = string(f.Bytes)
		case 2:
			in.Start, err = timestamp(f.Bytes)
		case 3:
			in.End, err = timestamp(f.Bytes)
		}
		return err
	})
	if err != nil {
		return err
	}
	parsed, err := traces.ParseID(id)
	if err != nil {
		return fault.New(fault.Invalid, err)
	}
	t, err := a.read.Trace(ctx, parsed, in)
	if err != nil {
		return err
	}
	if t == nil {
		return fault.Errorf(fault.NotFound, "trace not found")
	}
	return send(traces.ToOTLP(t))
}

// findTraces sends one message a trace.
func (a *API) findTraces(ctx context.Context, req []byte, send func([]byte) error) error {
	v := url.Values{}
	err := rpc.Fields(req, func(f rpc.Field) error {
		if f.Number == 1 {
			return queryParams(f.Bytes, v)
		}
		return nil
	})
	if err != nil {
		return err
	}
	q, err := a.searchParamsV3(v)
	if err != nil {
		return err
	}
	found, err := a.read.Find(ctx, q.expr, q.in, q.limit)
	if err != nil {
		return err
	}
	for _, t := range found {
		if err := send(traces.ToOTLP(t)); err != nil {
			return err
		}
	}
	return nil
}

// queryParams reads a TraceQueryParameters message as the parameters of the HTTP API.
func queryParams(data []byte, v url.Values) error {
	tags := map[string]string{}
	err := rpc.Fields(data, func(f rpc.Field) error {
		switch f.Number {
		case 1:
			v.Set("query.service_name", string(f.Bytes))
		case 2:
			v.Set("query.operation_name", string(f.Bytes))
		case 3:
			return mapEntry(f.Bytes, tags)
		case 4, 5:
			ns, err := timestamp(f.Bytes)
			if err != nil {
				return err
			}
			name := "query.start_time_min"
			if f.Number == 5 {
				name = "query.start_time_max"
			}
			v.Set(name, time.Unix(0, int64(ns)).UTC().Format(time.RFC3339Nano))
		case 6, 7:
			ns, err := timestamp(f.Bytes) // a Duration has the form of a Timestamp
			if err != nil {
				return err
			}
			name := "query.duration_min"
			if f.Number == 7 {
				name = "query.duration_max"
			}
			v.Set(name, time.Duration(ns).String())
		case 8:
			if f.Bits != 0 {
				v.Set("query.search_depth", strconv.FormatInt(int64(int32(f.Bits)), 10))
			}
		}
		return nil
	})
	if err != nil || len(tags) == 0 {
		return err
	}
	b, err := json.Marshal(tags)
	v.Set("query.attributes", string(b))
	return err
}

func mapEntry(data []byte, out map[string]string) error {
	var k, val string
	err := rpc.Fields(data, func(f rpc.Field) error {
		switch f.Number {
		case 1:
			k = string(f.Bytes)
		case 2:
			val = string(f.Bytes)
		}
		return nil
	})
	out[k] = val
	return err
}

// timestamp reads a google.protobuf.Timestamp as Unix nanoseconds.
func timestamp(data []byte) (uint64, error) {
	var sec, nanos uint64
	err := rpc.Fields(data, func(f rpc.Field) error {
		switch f.Number {
		case 1:
			sec = f.Bits
		case 2:
			nanos = f.Bits
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	if sec > math.MaxInt64/1_000_000_000-1 || nanos >= 1_000_000_000 {
		return 0, fault.Invalidf("time of %d s and %d ns is out of range", int64(sec), int64(nanos))
	}
	return sec*1_000_000_000 + nanos, nil
}

func (a *API) getServices(ctx context.Context, _ []byte) ([]byte, error) {
	names, err := a.read.Services(ctx, tracequery.Range{})
	var b []byte
	for _, n := range names {
		b = rpc.AppendMessage(b, 1, []byte(n))
	}
	return b, err
}

func (a *API) getOperations(ctx context.Context, req []byte) ([]byte, error) {
	var service, kind string
	err := rpc.Fields(req, func(f rpc.Field) error {
		switch f.Number {
		case 1:
			service = string(f.Bytes)
		case 2:
			kind = string(f.Bytes)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	ops, err := a.findOperations(ctx, service, kind)
	var b []byte
	for _, op := range ops {
		b = rpc.AppendMessage(b, 1, rpc.AppendString(rpc.AppendString(nil, 1, op.Name), 2, op.SpanKind))
	}
	return b, err
}

func (a *API) getDependencies(ctx context.Context, req []byte) ([]byte, error) {
	var in tracequery.Range
	err := rpc.Fields(req, func(f rpc.Field) (err error) {
		switch f.Number {
		case 1:
			in.Start, err = timestamp(f.Bytes)
		case 2:
			in.End, err = timestamp(f.Bytes)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if in.Start >= in.End {
		return nil, fault.Invalidf("start_time must be before end_time")
	}
	found, err := a.read.Dependencies(ctx, in)
	var b []byte
	for _, d := range found {
		m := rpc.AppendString(rpc.AppendString(nil, 1, d.Parent), 2, d.Child)
		b = rpc.AppendMessage(b, 1, rpc.AppendUint(m, 3, d.Calls))
	}
	return b, err
}
