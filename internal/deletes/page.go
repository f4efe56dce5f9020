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

	"github.com/hune-io/hune/internal/signal"
)

// pageVersion is the version of deletes.json that this package writes and reads.
const pageVersion = 1

// maxPage bounds a deletes.json before it is read: maxRequests of the longest queries take less.
const maxPage = 32 << 20

// Request is one wish of a user to delete data of a signal.
type Request struct {
	ID string `json:"id"`
	// Query says what is meant of logs and traces, Selector of metrics.
	Query    string `json:"query,omitempty"`
	Selector string `json:"selector,omitempty"`
	// Start and End bound what is meant, both inclusive: in Unix nanoseconds, of metrics in milliseconds.
	Start   int64     `json:"start"`
	End     int64     `json:"end"`
	Created time.Time `json:"created"`
	// Found is how many traces a request to delete traces is about.
	Found int `json:"found,omitempty"`
	// Begun says that blocks may have been written without the data: it can't all come back.
	Begun bool `json:"begun,omitempty"`
	// Processed is when no block held the data any more. Zero: not yet.
	Processed time.Time `json:"processed,omitzero"`
}

// page is the requests of one tenant, the oldest first: the content of TENANT/SIGNAL/deletes.json.
type page struct {
	Version  int       `json:"version"`
	Requests []Request `json:"requests"`
}

// ErrUnreadable says that a tenant's deletes.json can't be read: it is damaged, or a later version of
// the program wrote it. It is not overwritten.
var ErrUnreadable = errors.New("unreadable list of deletes")

func pagePath(s signal.Signal, tenant string) string {
	return path.Join(tenant, string(s), "deletes.json")
}

// read returns a tenant's page; an empty one if there is none.
func read(ctx context.Context, bkt objstore.Bucket, s signal.Signal, tenant string) (*page, error) {
	name := pagePath(s, tenant)
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
	p := &page{}
	if err := json.Unmarshal(content, p); err != nil {
		return nil, err
	}
	if p.Version != pageVersion {
		return nil, fmt.Errorf("version %d, this program reads %d", p.Version, pageVersion)
	}
	seen := map[string]bool{}
	for i, r := range p.Requests {
		if r.ID == "" || seen[r.ID] {
			return nil, fmt.Errorf("request %d has no ID of its own", i)
		}
		seen[r.ID] = true
	}
	return p, nil
}

// write replaces a tenant's page, in one step.
func write(ctx context.Context, bkt objstore.Bucket, s signal.Signal, tenant string, p *page) error {
	content, err := json.MarshalIndent(p, "", "\t")
	if err != nil {
		return err
	}
	if err := bkt.Upload(ctx, pagePath(s, tenant), bytes.NewReader(append(content, '\n'))); err != nil {
		return fmt.Errorf("write %s: %w", pagePath(s, tenant), err)
	}
	return nil
}
