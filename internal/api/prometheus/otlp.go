package prometheus

import (
	"fmt"
	"mime"
	"net/http"
	"strings"

	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/hune-io/hune/internal/api/body"
	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/limits"
	"github.com/hune-io/hune/internal/metrics"
)

const (
	mediaProtobuf = "application/x-protobuf"
	mediaJSON     = "application/json"
)

// otlp serves OTLP/HTTP metrics at Prometheus's path. The answer has the media type of the request;
// what could not be stored is in its partial_success.
func (a *API) otlp(w http.ResponseWriter, r *http.Request) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != mediaProtobuf && media != mediaJSON {
		a.otlpError(w, mediaProtobuf, fault.Errorf(fault.Unsupported,
			"unsupported Content-Type %q: use %s or %s", r.Header.Get("Content-Type"), mediaProtobuf, mediaJSON))
		return
	}
	rejected, err := a.storeOTLP(r, media)
	if err != nil {
		a.otlpError(w, media, err)
		return
	}
	resp := pmetricotlp.NewExportResponse()
	if len(rejected) > 0 {
		var n int64
		var texts []string
		for _, g := range rejected {
			if !g.OfExemplars() {
				n += int64(g.Count)
			}
			texts = append(texts, fmt.Sprintf("%s (%d, %s)", g.Message, g.Count, g.Reason))
		}
		resp.PartialSuccess().SetRejectedDataPoints(n)
		resp.PartialSuccess().SetErrorMessage(strings.Join(texts, "\n"))
	}
	marshal := resp.MarshalProto
	if media == mediaJSON {
		marshal = resp.MarshalJSON
	}
	data, err := marshal()
	if err != nil {
		a.otlpError(w, media, err)
		return
	}
	w.Header().Set("Content-Type", media)
	_, _ = w.Write(data) // the client is gone if this fails
}

func (a *API) storeOTLP(r *http.Request, media string) ([]metrics.Rejection, error) {
	buf, err := body.Read(r, a.opts.Limits)
	if err != nil {
		return nil, err
	}
	defer buf.Release()
	req := pmetricotlp.NewExportRequest()
	check, decode := limits.CheckOTLPMetrics, req.UnmarshalProto
	if media == mediaJSON {
		check, decode = limits.CheckOTLPJSON, req.UnmarshalJSON
	}
	if err := check(buf.Bytes()); err != nil {
		return nil, fault.New(fault.Invalid, err)
	}
	if err := decode(buf.Bytes()); err != nil {
		return nil, fault.Invalidf("decode OTLP metrics: %w", err)
	}
	batch, rejected, err := metrics.FromOTLP(r.Context(), req.Metrics(), a.opts.OTLP)
	if err != nil {
		return nil, err
	}
	all := metrics.Rejections{}
	all.Merge(rejected)
	if len(batch.Series) > 0 {
		result, err := a.opts.Pusher.PushMetrics(r.Context(), batch)
		if err != nil {
			return nil, err
		}
		all.Merge(result.Rejected)
	}
	return all.List(), nil
}

// otlpError answers with a google.rpc.Status, as the OTLP specification asks.
func (a *API) otlpError(w http.ResponseWriter, media string, err error) {
	class := fault.ClassOf(err)
	httpStatus := fault.Status(err)
	code := codes.Internal
	switch class {
	case fault.Invalid, fault.TooLarge, fault.Unsupported, fault.Unprocessable:
		code = codes.InvalidArgument
	case fault.RateLimited:
		code = codes.ResourceExhausted
	case fault.Unavailable:
		code = codes.Unavailable
	case fault.Canceled:
		code = codes.Canceled
	case fault.Timeout:
		code = codes.DeadlineExceeded
	case fault.Internal:
		// OTLP clients repeat after 503, not after 500, and a failure of ours deserves it.
		httpStatus = http.StatusServiceUnavailable
		a.opts.Logger.Error("OTLP metrics failed", "err", err)
	}
	marshal := proto.Marshal
	if media == mediaJSON {
		marshal = protojson.Marshal
	}
	data, marshalErr := marshal(status.New(code, strings.ToValidUTF8(err.Error(), "�")).Proto())
	if marshalErr != nil {
		a.opts.Logger.Error("encode OTLP error", "err", marshalErr)
	}
	setRetryAfter(w, err)
	w.Header().Set("Content-Type", media)
	w.WriteHeader(httpStatus)
	_, _ = w.Write(data)
}
