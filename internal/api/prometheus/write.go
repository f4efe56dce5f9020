package prometheus

import (
	"context"
	"errors"
	"fmt"
	"math"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/api/body"
	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/tenant"
)

// The response headers of remote write 2.0: how much of the request is stored.
const (
	headerSamples    = "X-Prometheus-Remote-Write-Samples-Written"
	headerHistograms = "X-Prometheus-Remote-Write-Histograms-Written"
	headerExemplars  = "X-Prometheus-Remote-Write-Exemplars-Written"
)

// The messages of remote write, as the proto parameter of the content type names them.
const (
	messageV1 = "prometheus.WriteRequest"
	messageV2 = "io.prometheus.write.v2.Request"
)

// write serves remote write 1.0 and 2.0. What is invalid is answered with 400 and named, the rest
// of the request is stored all the same; senders don't repeat after 4xx.
func (a *API) write(w http.ResponseWriter, r *http.Request) {
	message, err := writeMessage(r.Header.Get("Content-Type"))
	if err != nil {
		a.writeError(w, err)
		return
	}
	d := getDecoder(nil)
	defer d.put()
	result, err := a.store(r, d, message)
	if message == messageV2 {
		h := w.Header()
		h.Set(headerSamples, strconv.Itoa(result.Samples))
		h.Set(headerHistograms, strconv.Itoa(result.Histograms))
		h.Set(headerExemplars, strconv.Itoa(result.Exemplars))
	}
	if err == nil {
		err = rejection(result.Rejected, message)
	}
	if err != nil {
		a.writeError(w, err)
		return
	}
	if result.Deduplicated > 0 && result.Deduplicated == result.Samples+result.Histograms+result.Exemplars {
		w.WriteHeader(http.StatusAccepted) // all of it is what another replica has sent
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// store reads, decodes and pushes the request.
func (a *API) store(r *http.Request, d *decoder, message string) (metrics.PushResult, error) {
	read := body.Read
	if r.Header.Get("Content-Encoding") == "" { // both versions are always compressed so
		read = body.ReadSnappyBlock
	}
	buf, err := read(r, a.opts.Limits)
	if err != nil {
		return metrics.PushResult{}, err
	}
	defer buf.Release()
	if err := a.decode(r.Context(), d, message, buf.Bytes()); err != nil {
		var classed *fault.Error
		if !errors.As(err, &classed) {
			err = fault.Invalidf("decode remote write request: %w", err)
		}
		return metrics.PushResult{}, err
	}
	if r.Header.Get(metrics.IncrementsHeader) != "" {
		d.batch.OwnIncrements = true
		for i := range d.batch.Series {
			d.batch.Series[i].Delta = true
		}
	}
	var result metrics.PushResult
	if len(d.batch.Series) > 0 {
		if result, err = a.opts.Pusher.PushMetrics(r.Context(), &d.batch); err != nil {
			return metrics.PushResult{}, err
		}
	}
	d.rejected.Merge(result.Rejected)
	result.Rejected = d.rejected.List()
	return result, nil
}

// decode reads a message. The label sets of series that the tenant has come from where they are stored.
func (a *API) decode(ctx context.Context, d *decoder, message string, data []byte) error {
	d.cache = a.labels
	if id, err := tenant.FromContext(ctx); err == nil && a.opts.Known != nil {
		if known := a.opts.Known(id); known != nil {
			defer known.Close()
			d.cache = stored{known}
		}
	}
	if message == messageV2 {
		return d.decodeV2(data)
	}
	return d.decodeV1(data)
}

// stored are label sets that are found where they are stored.
type stored struct{ Known }

func (s stored) get(hash uint64, ls labels.Labels) (labels.Labels, bool) { return s.Labels(hash, ls) }

func (stored) put(uint64, labels.Labels) {}

// writeMessage says which message a content type announces. None at all is 1.0, which had no parameter.
func writeMessage(contentType string) (string, error) {
	if contentType == "" {
		return messageV1, nil
	}
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return "", fault.Errorf(fault.Unsupported, "invalid Content-Type %q: %w", contentType, err)
	}
	if !strings.EqualFold(media, "application/x-protobuf") {
		return "", fault.Errorf(fault.Unsupported, "expected application/x-protobuf as the first (media) part, got %s content-type", contentType)
	}
	switch proto := params["proto"]; proto {
	case "", messageV1:
		return messageV1, nil
	case messageV2:
		return messageV2, nil
	default:
		return "", fault.Errorf(fault.Unsupported, "unknown remote write protobuf message %q: only %s and %s are accepted", proto, messageV1, messageV2)
	}
}

// rejection is the 400 that tells of what was refused. Exemplars are data as any other in 2.0, where a success
// says that every one is written; with 1.0, which doesn't know them, refused exemplars alone are no reason to
// trouble a sender: Prometheus doesn't either.
func rejection(groups []metrics.Rejection, message string) error {
	var texts []string
	for _, g := range groups {
		switch {
		case message == messageV1 && g.OfExemplars():
		case g.Count > 1:
			texts = append(texts, fmt.Sprintf("%s (and %d more: %s)", g.Message, g.Count-1, g.Reason))
		default:
			texts = append(texts, g.Message)
		}
	}
	if len(texts) == 0 {
		return nil
	}
	return fault.Invalidf("%s", strings.Join(texts, "\n"))
}

// writeError answers in plain text, as remote write does.
func (a *API) writeError(w http.ResponseWriter, err error) {
	status := fault.Status(err)
	setRetryAfter(w, err)
	if status >= http.StatusInternalServerError && fault.ClassOf(err) == fault.Internal {
		a.opts.Logger.Error("remote write failed", "err", err)
	}
	http.Error(w, err.Error(), status)
}

func setRetryAfter(w http.ResponseWriter, err error) {
	after := fault.RetryAfter(err)
	if after <= 0 {
		switch fault.ClassOf(err) {
		case fault.RateLimited, fault.Unavailable:
			after = time.Second
		default:
			return
		}
	}
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(after.Seconds()))))
}
