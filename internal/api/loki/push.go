package loki

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"sync"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/api/body"
	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/logs"
)

// maxItems bounds the entries, labels and streams of one push: the smallest takes a few bytes of the
// body and some dozens of memory. Agents stay below 100,000.
const maxItems = 2 << 20

var errTooMany = fault.Errorf(fault.TooLarge, "the push has more than %d streams, entries and labels: send smaller requests", maxItems)

// pushDecoder turns a body into a batch. Lines and metadata point into the body, so the batch is
// valid as long as the body.
type pushDecoder struct {
	batch    logs.Batch
	rejected []logs.Rejection
	cache    *labelCache
	entries  []logs.Entry
	metadata []logs.Label
	pairs    []logs.Label
	arena    []byte // unescaped texts
	items    int
	streams  int // seen, whether kept or not
}

var pushDecoders = sync.Pool{New: func() any { return &pushDecoder{} }}

// Decoders that grew beyond these are not kept.
const (
	maxPooledEntries = 1 << 16
	maxPooledArena   = 4 << 20
)

func (d *pushDecoder) reset() {
	clear(d.batch.Streams)
	clear(d.entries)
	clear(d.metadata)
	clear(d.pairs)
	d.batch.Streams, d.entries, d.metadata, d.pairs = d.batch.Streams[:0], d.entries[:0], d.metadata[:0], d.pairs[:0]
	d.batch.Rejected = nil
	d.rejected, d.arena, d.items, d.streams = nil, d.arena[:0], 0, 0
}

func (d *pushDecoder) put() {
	if cap(d.entries) > maxPooledEntries || cap(d.metadata) > maxPooledEntries || cap(d.batch.Streams) > maxPooledEntries || cap(d.arena) > maxPooledArena {
		return
	}
	d.reset() // nothing may keep the body alive
	pushDecoders.Put(d)
}

// count bounds what the body makes us allocate.
func (d *pushDecoder) count() error {
	if d.items++; d.items > maxItems {
		return errTooMany
	}
	return nil
}

func (d *pushDecoder) reject(reason, message string, n int) {
	for i := range d.rejected {
		if r := &d.rejected[i]; r.Reason == reason && r.Message == message {
			r.Count += n
			return
		}
	}
	// Messages beyond the first few help nobody.
	if len(d.rejected) >= maxRejections {
		d.rejected[len(d.rejected)-1].Count += n
		return
	}
	d.rejected = append(d.rejected, logs.Rejection{Reason: reason, Message: message, Count: n})
}

const maxRejections = 20

const (
	reasonInvalidLabels   = "invalid_labels"
	reasonDuplicateLabels = "duplicate_label_names"
	reasonBadTimestamp    = "invalid_timestamp"
)

// addStream appends the entries since from as a stream.
func (d *pushDecoder) addStream(ls labels.Labels, from int) {
	if len(d.entries) > from {
		d.batch.Streams = append(d.batch.Streams, logs.Stream{Labels: ls, Entries: d.entries[from:len(d.entries):len(d.entries)]})
	}
}

// badLabels rejects the entries since from for the labels of their stream.
func (d *pushDecoder) badLabels(text string, err error, from int) {
	n := max(len(d.entries)-from, 1)
	var twice *logs.DuplicateLabelError
	if errors.As(err, &twice) {
		d.reject(reasonDuplicateLabels, fmt.Sprintf("stream '%s' has duplicate label name: '%s'", clip(text), clip(twice.Name)), n)
		d.entries = d.entries[:from]
		return
	}
	d.reject(reasonInvalidLabels, fmt.Sprintf("error parsing labels '%s' with error: %s", clip(text), err), n)
	d.entries = d.entries[:from]
}

// clip shortens what a message quotes.
func clip(s string) string {
	const most = 256
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

func (h *Handler) push(w http.ResponseWriter, r *http.Request) {
	if err := h.pushed(r); err != nil {
		writeError(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (h *Handler) pushed(r *http.Request) error {
	d := pushDecoders.Get().(*pushDecoder)
	defer d.put()
	d.cache = h.labels
	buf, err := h.decode(r, d)
	if buf != nil {
		defer buf.Release()
	}
	if err != nil {
		return err
	}
	if d.streams == 0 {
		return fault.Errorf(fault.Unprocessable, "error at least one valid stream is required for ingestion")
	}
	rejected := d.rejected
	if len(d.batch.Streams)+len(rejected) > 0 {
		d.batch.Rejected = rejected
		res, err := h.o.Pusher.PushLogs(r.Context(), &d.batch)
		if err != nil {
			return err
		}
		rejected = append(rejected, res.Rejected...)
	}
	return rejections(rejected)
}

// rejections is the error that names what was not stored, or nil.
func rejections(all []logs.Rejection) error {
	if len(all) == 0 {
		return nil
	}
	total, class := 0, fault.Invalid
	var b strings.Builder
	for _, r := range all {
		total += r.Count
		if r.Reason == logs.ReasonStreamLimit || r.Reason == logs.ReasonStreamRate {
			class = fault.RateLimited
		}
		if b.Len() > 0 {
			b.WriteString("\n")
		}
		b.WriteString(r.Message)
		if r.Count > 1 {
			fmt.Fprintf(&b, " (%d entries)", r.Count)
		}
	}
	if len(all) > 1 {
		fmt.Fprintf(&b, "\ntotal ignored: %d entries; all others were stored", total)
	}
	return fault.Errorf(class, "%s", b.String())
}

// decode reads the body into d. The buffer must outlive the batch.
func (h *Handler) decode(r *http.Request, d *pushDecoder) (*body.Buffer, error) {
	contentType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil && r.Header.Get("Content-Type") != "" {
		return nil, fault.Errorf(fault.Unsupported, "unreadable Content-Type %q: %w", clip(r.Header.Get("Content-Type")), err)
	}
	switch contentType {
	case "application/json":
		buf, err := body.Read(r, h.o.BodyLimits)
		if err != nil {
			return nil, err
		}
		return buf, d.json(buf.Bytes())
	case "", "application/x-protobuf", "application/octet-stream":
		buf, err := h.readProto(r)
		if err != nil {
			return nil, err
		}
		return buf, d.proto(buf.Bytes())
	}
	return nil, fault.Errorf(fault.Unsupported, "unsupported Content-Type %q: use application/json or application/x-protobuf", clip(contentType))
}

// readProto undoes the compression of a protobuf push: snappy, unless the headers name another.
func (h *Handler) readProto(r *http.Request) (*body.Buffer, error) {
	switch strings.ToLower(r.Header.Get("Content-Encoding")) {
	case "", "snappy":
		return body.ReadSnappyBlock(r, h.o.BodyLimits)
	}
	return body.Read(r, h.o.BodyLimits)
}
