package tempo

import (
	"context"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"

	"github.com/hune-io/hune/internal/api/rpc"
	"github.com/hune-io/hune/internal/traces"
)

// RegisterGRPC adds tempopb.StreamingQuerier, which Grafana asks on the port of the HTTP API. The
// tenant must be in the context of every request.
//
// A request is the same question as that of the HTTP API: it is read as the parameters of one, so
// that both have the same defaults, limits and errors.
func (a *API) RegisterGRPC(r grpc.ServiceRegistrar) {
	rpc.NewService("tempopb.StreamingQuerier").
		Stream("Search", a.streamSearch).
		Stream("SearchTags", a.streamTagsV1).
		Stream("SearchTagsV2", a.streamTagsV2).
		Stream("SearchTagValues", a.streamValuesV1).
		Stream("SearchTagValuesV2", a.streamValuesV2).
		Stream("MetricsQueryRange", func(ctx context.Context, req []byte, send func([]byte) error) error {
			return a.streamMetrics(ctx, req, traces.MetricsRange, send)
		}).
		Stream("MetricsQueryInstant", func(ctx context.Context, req []byte, send func([]byte) error) error {
			return a.streamMetrics(ctx, req, traces.MetricsInstant, send)
		}).
		Register(r)
}

// maxPacket is about how large a message of a stream gets; clients take 4 MiB by default.
const maxPacket = 1 << 20

// setNumber sets a parameter unless the field is zero, which is how protobuf says "not given".
func setNumber(v url.Values, name string, n uint64) {
	if n != 0 {
		v.Set(name, strconv.FormatUint(n, 10))
	}
}

// searchParams reads a SearchRequest.
func searchParams(req []byte) (url.Values, error) {
	v := url.Values{}
	var tags strings.Builder
	err := rpc.Fields(req, func(f rpc.Field) error {
		switch f.Number {
		case 1:
			return appendTag(&tags, f.Bytes)
		case 2:
			v.Set("minDuration", (time.Duration(uint32(f.Bits)) * time.Millisecond).String())
		case 3:
			v.Set("maxDuration", (time.Duration(uint32(f.Bits)) * time.Millisecond).String())
		case 4:
			setNumber(v, "limit", f.Bits)
		case 5:
			setNumber(v, "start", f.Bits)
		case 6:
			setNumber(v, "end", f.Bits)
		case 8:
			v.Set("q", string(f.Bytes))
		case 9:
			setNumber(v, "spss", f.Bits)
		}
		return nil
	})
	v.Set("tags", tags.String())
	return v, err
}

// appendTag appends an entry of the map of tags as logfmt.
func appendTag(b *strings.Builder, entry []byte) error {
	var key, value string
	err := rpc.Fields(entry, func(f rpc.Field) error {
		switch f.Number {
		case 1:
			key = string(f.Bytes)
		case 2:
			value = string(f.Bytes)
		}
		return nil
	})
	if b.Len() > 0 {
		b.WriteByte(' ')
	}
	b.WriteString(key + "=" + strconv.Quote(value))
	return err
}

// streamSearch answers a search piece by piece, newest first. Each message has the traces that are
// new since the last one; together they are the answer of the HTTP API.
func (a *API) streamSearch(ctx context.Context, req []byte, send func([]byte) error) error {
	v, err := searchParams(req)
	if err != nil {
		return err
	}
	q, legacy, err := a.searchQuery(v)
	if err != nil {
		return err
	}
	windows := searchWindows(q.Start, q.End)
	left := q.Limit
	var seen traces.Inspected
	for i, w := range windows {
		part := *q
		part.Start, part.End, part.Limit = w.start, w.end, left
		res, err := a.run(ctx, &part)
		if err != nil {
			return err
		}
		seen.Add(&res.Inspected)
		done, total := res.Inspected.JobCounts()
		seen.Jobs += done
		seen.TotalJobs += total
		var found []traces.FoundTrace
		for _, f := range res.Found {
			// What began before has its turn in the window in which it began: traces come newest first,
			// whatever is found when.
			if i == len(windows)-1 || f.Start >= w.start {
				found = append(found, f)
			}
		}
		left -= len(found)
		// A window that has not begun is one job, as far as is known. The last message says that nothing is left to do.
		total = seen.TotalJobs + int64(len(windows)-1-i)
		if done = seen.Jobs; left <= 0 || i == len(windows)-1 {
			done = total
		}
		if err := sendFound(found, !legacy, protoMetrics(&seen, done, total), send); err != nil {
			return err
		}
		if left <= 0 {
			return nil
		}
	}
	return nil
}

// sendFound sends traces in as many messages as their size asks for, at least one.
func sendFound(found []traces.FoundTrace, spanSets bool, metrics []byte, send func([]byte) error) error {
	for {
		n, size := 0, 0
		for n < len(found) && (n == 0 || size < maxPacket) {
			size += len(protoFound(&found[n], spanSets))
			n++
		}
		if err := send(protoSearch(nil, found[:n], spanSets, metrics)); err != nil {
			return err
		}
		if found = found[n:]; len(found) == 0 {
			return nil
		}
	}
}

// minWindow is the shortest range that is worth a piece of a search of its own.
const minWindow = 5 * uint64(time.Minute)

// searchWindows divides a range into pieces, newest first, each twice as long as the one before, so
// that a first answer comes soon. Without a range there is one piece.
func searchWindows(start, end uint64) []timeRange {
	const pieces = 4
	unit := (end - start) / (1<<pieces - 1)
	if start == 0 && end == 0 || unit < minWindow {
		return []timeRange{{start, end}}
	}
	var out []timeRange
	to := end
	for i := range pieces {
		from := to - unit<<i
		if i == pieces-1 {
			from = start
		}
		out = append(out, timeRange{from, to})
		to = from - 1
	}
	return out
}

// metadataParams reads a SearchTagsRequest or a SearchTagValuesRequest.
func metadataParams(req []byte, values bool) (v url.Values, tag string, err error) {
	v = url.Values{}
	err = rpc.Fields(req, func(f rpc.Field) error {
		switch {
		case f.Number == 1 && values:
			tag = string(f.Bytes)
		case f.Number == 1:
			v.Set("scope", string(f.Bytes))
		case f.Number == 2:
			v.Set("q", string(f.Bytes))
		case values && f.Number == 4, !values && f.Number == 3:
			setNumber(v, "start", f.Bits)
		case values && f.Number == 5, !values && f.Number == 4:
			setNumber(v, "end", f.Bits)
		case values && f.Number == 6, !values && f.Number == 5:
			setNumber(v, "limit", f.Bits)
		}
		return nil
	})
	return v, tag, err
}

func (a *API) streamTagsV1(ctx context.Context, req []byte, send func([]byte) error) error {
	v, _, err := metadataParams(req, false)
	if err != nil {
		return err
	}
	names, res, err := a.tagNames(ctx, v)
	if err != nil {
		return err
	}
	var b []byte
	for _, n := range names {
		b = rpc.AppendMessage(b, 1, []byte(n))
	}
	return send(rpc.AppendMessage(b, 2, protoMetadata(&res.Inspected)))
}

func (a *API) streamTagsV2(ctx context.Context, req []byte, send func([]byte) error) error {
	v, _, err := metadataParams(req, false)
	if err != nil {
		return err
	}
	res, err := a.tagScopes(ctx, v)
	if err != nil {
		return err
	}
	var b []byte
	for _, scope := range scopes {
		if keys := res.Tags[traces.TagScope(scope)]; len(keys) > 0 {
			m := rpc.AppendString(nil, 1, scope)
			for _, k := range keys {
				m = rpc.AppendMessage(m, 2, []byte(k))
			}
			b = rpc.AppendMessage(b, 1, m)
		}
	}
	return send(rpc.AppendMessage(b, 2, protoMetadata(&res.Inspected)))
}

func (a *API) streamValuesV1(ctx context.Context, req []byte, send func([]byte) error) error {
	v, tag, err := metadataParams(req, true)
	if err != nil {
		return err
	}
	res, err := a.tagValues(ctx, v, tag, true)
	if err != nil {
		return err
	}
	var b []byte
	for _, text := range valueTexts(res) {
		b = rpc.AppendMessage(b, 1, []byte(text))
	}
	return send(rpc.AppendMessage(b, 2, protoMetadata(&res.Inspected)))
}

func (a *API) streamValuesV2(ctx context.Context, req []byte, send func([]byte) error) error {
	v, tag, err := metadataParams(req, true)
	if err != nil {
		return err
	}
	res, err := a.tagValues(ctx, v, tag, false)
	if err != nil {
		return err
	}
	var b []byte
	for i := range res.Values {
		typ, text := typedValue(&res.Values[i])
		b = rpc.AppendMessage(b, 1, rpc.AppendString(rpc.AppendString(nil, 1, typ), 2, text))
	}
	return send(rpc.AppendMessage(b, 2, protoMetadata(&res.Inspected)))
}

// metricsParams reads a QueryRangeRequest or a QueryInstantRequest, whose times are nanoseconds.
func metricsParams(req []byte) (url.Values, error) {
	v := url.Values{}
	err := rpc.Fields(req, func(f rpc.Field) error {
		switch f.Number {
		case 1:
			v.Set("q", string(f.Bytes))
		case 2:
			setNumber(v, "start", f.Bits)
		case 3:
			setNumber(v, "end", f.Bits)
		case 4:
			if f.Bits != 0 {
				v.Set("step", time.Duration(f.Bits).String())
			}
		case 16:
			setNumber(v, "exemplars", f.Bits)
		}
		return nil
	})
	return v, err
}

// streamMetrics answers a metrics query: whole, in as many messages as the series need.
func (a *API) streamMetrics(ctx context.Context, req []byte, kind traces.QueryKind, send func([]byte) error) error {
	v, err := metricsParams(req)
	if err != nil {
		return err
	}
	q, err := a.metricsQuery(v, kind, "")
	if err != nil {
		return err
	}
	res, err := a.run(ctx, q)
	if err != nil {
		return err
	}
	done, total := res.Inspected.JobCounts()
	metrics := protoMetrics(&res.Inspected, done, total)
	var b []byte
	for i := range res.Series {
		if len(b) >= maxPacket {
			if err := send(rpc.AppendMessage(b, 2, metrics)); err != nil {
				return err
			}
			b = nil
		}
		if s := &res.Series[i]; kind == traces.MetricsRange || len(s.Samples) > 0 {
			b = rpc.AppendMessage(b, 1, protoSeries(s, kind == traces.MetricsInstant))
		}
	}
	return send(rpc.AppendMessage(b, 2, metrics))
}
