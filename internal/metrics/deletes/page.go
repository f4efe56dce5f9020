package deletes

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"time"

	"github.com/thanos-io/objstore"

	"github.com/hune-io/hune/internal/metrics"
	"github.com/hune-io/hune/internal/signal"
)

// pageVersion is the version of deletes.json that this package writes and reads.
const pageVersion = 1

// maxPage bounds a deletes.json before it is read: maxRequests of the longest selectors take less.
const maxPage = 32 << 20

// Request is one wish of a user to delete samples.
type Request struct {
	ID string `json:"id"`
	// Selector is a PromQL series selector.
	Selector string `json:"selector"`
	// Start and End bound the samples, in Unix milliseconds, both inclusive.
	Start   int64     `json:"start"`
	End     int64     `json:"end"`
	Created time.Time `json:"created"`
	// Processed is when no block held the samples any more. Zero: not yet.
	Processed time.Time `json:"processed,omitzero"`
}

// deletion compiles r.
func (r Request) deletion() (metrics.Deletion, error) {
	ms, err := metrics.ParseSelector(r.Selector)
	return metrics.Deletion{ID: r.ID, Matchers: ms, Start: r.Start, End: r.End}, err
}

// page is the requests of one tenant, the oldest first: the content of TENANT/metrics/deletes.json.
type page struct {
	Version  int       `json:"version"`
	Requests []Request `json:"requests"`
}

// ErrUnreadable says that a tenant's deletes.json can't be read: it is damaged, or a later version of
// the program wrote it. It is not overwritten.
var ErrUnreadable = errors.New("unreadable list of deletes")

func pagePath(tenant string) string { return path.Join(tenant, string(signal.Metrics), "deletes.json") }

// read returns a tenant's page; an empty one if there is none.
func read(ctx context.Context, bkt objstore.Bucket, tenant string) (*page, error) {
	name := pagePath(tenant)
	var reader objstore.BucketReader = bkt
	if i, ok := bkt.(objstore.InstrumentedBucketReader); ok {
		reader = i.ReaderWithExpectedErrs(bkt.IsObjNotFoundErr)
	}
	rc, err := reader.Get(ctx, name)
	if err != nil {
		if bkt.IsObjNotFoundErr(err) {
			return &page{Version: pageVersion}, nil
		}
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	content, err := io.ReadAll(io.LimitReader(rc, maxPage+1))
	if err = errors.Join(err, rc.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	p, err := decode(content)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w: %w", name, ErrUnreadable, err)
	}
	return p, nil
}

func decode(content []byte) (*page, error) {
	if len(content) > maxPage {
		return nil, fmt.Errorf("more than %d bytes", maxPage)
	}
	var p page
	if err := json.Unmarshal(content, &p); err != nil {
		return nil, err
	}
	if p.Version != pageVersion {
		return nil, fmt.Errorf("version %d", p.Version)
	}
	ids := map[string]bool{}
	for _, r := range p.Requests {
		if r.ID == "" || ids[r.ID] {
			return nil, fmt.Errorf("request %q is there twice or has no name", r.ID)
		}
		ids[r.ID] = true
	}
	return &p, nil
}

func write(ctx context.Context, bkt objstore.Bucket, tenant string, p *page) error {
	content, err := json.MarshalIndent(p, "", "\t")
	if err != nil {
		return err
	}
	name := pagePath(tenant)
	if err := bkt.Upload(ctx, name, bytes.NewReader(append(content, '\n'))); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
