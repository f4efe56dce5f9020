// Package overrides keeps the settings that tenants make for themselves, in the bucket: one
// document a tenant, at TENANT/overrides/traces.json.
//
// A document has a version, which changes with every write. Writers that name the version they
// have seen are refused if it is no longer the current one. The check holds among the writers of
// one process; object storage has no transactions.
package overrides

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"sync"
	"time"

	"github.com/thanos-io/objstore"

	"github.com/hune-io/hune/internal/fault"
)

// NoVersion is the version of a document that is not there.
const NoVersion = "0"

var (
	// ErrNone means that the tenant has made no settings.
	ErrNone = fault.Errorf(fault.NotFound, "no user-configurable overrides are set")
	// ErrVersion means that the document changed since the caller read it: read it again.
	ErrVersion = errors.New("overrides version does not match")
)

// maxDocument bounds a document.
const maxDocument = 1 << 20

// Store reads and writes documents. Safe for concurrent use.
type Store struct {
	bucket objstore.Bucket
	now    func() time.Time
	mu     sync.Mutex // of writers

	// changed is told of what was written, nil for what was deleted. Optional.
	changed func(tenant string, l *Limits)
}

// New returns a store over a bucket. A nil now is time.Now.
func New(b objstore.Bucket, now func() time.Time) *Store {
	if now == nil {
		now = time.Now
	}
	return &Store{bucket: b, now: now}
}

// stored is the document in the bucket.
type stored struct {
	Version string          `json:"version"`
	Limits  json.RawMessage `json:"limits"`
}

func object(tenant string) string { return path.Join(tenant, "overrides", "traces.json") }

// Get returns a tenant's document in JSON and its version, or ErrNone.
func (s *Store) Get(ctx context.Context, tenant string) (limits []byte, version string, err error) {
	r, err := s.bucket.Get(ctx, object(tenant))
	if err != nil {
		if s.bucket.IsObjNotFoundErr(err) {
			return nil, NoVersion, ErrNone
		}
		return nil, "", fmt.Errorf("read overrides of %s: %w", tenant, err)
	}
	defer func() { _ = r.Close() }() // it was only read
	data, err := io.ReadAll(io.LimitReader(r, maxDocument*2))
	if err != nil {
		return nil, "", fmt.Errorf("read overrides of %s: %w", tenant, err)
	}
	var d stored
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, "", damaged(tenant, err)
	}
	return d.Limits, d.Version, nil
}

// Set replaces a tenant's document and returns the new version. seen is the version that the caller
// has read, NoVersion if there was none.
func (s *Store) Set(ctx context.Context, tenant string, limits []byte, seen string) (version string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	current, err := s.current(ctx, tenant)
	if err != nil {
		return "", err
	}
	if current != seen {
		return "", ErrVersion
	}
	return s.write(ctx, tenant, limits, current)
}

// Patch applies a JSON merge patch (RFC 7386) to a tenant's document, or to an empty one, and returns
// the new document and its version.
func (s *Store) Patch(ctx context.Context, tenant string, patch []byte) (limits []byte, version string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	limits, version, err = s.Get(ctx, tenant)
	if errors.Is(err, ErrNone) {
		limits = []byte("{}")
	} else if err != nil {
		return nil, "", err
	}
	if limits, err = mergePatch(limits, patch); err != nil {
		return nil, "", err
	}
	version, err = s.write(ctx, tenant, limits, version)
	return limits, version, err
}

// Delete removes a tenant's document.
func (s *Store) Delete(ctx context.Context, tenant, seen string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	current, err := s.current(ctx, tenant)
	if err != nil {
		return err
	}
	if current != seen {
		return ErrVersion
	}
	if current == NoVersion {
		return nil
	}
	if err := s.bucket.Delete(ctx, object(tenant)); err != nil && !s.bucket.IsObjNotFoundErr(err) {
		return fmt.Errorf("delete overrides of %s: %w", tenant, err)
	}
	s.tell(tenant, nil)
	return nil
}

func (s *Store) current(ctx context.Context, tenant string) (string, error) {
	_, version, err := s.Get(ctx, tenant)
	if errors.Is(err, ErrNone) {
		return NoVersion, nil
	}
	return version, err
}

// write checks and stores. Versions are times in microseconds and never repeat.
func (s *Store) write(ctx context.Context, tenant string, limits []byte, before string) (string, error) {
	l, err := ParseLimits(limits)
	if err != nil {
		return "", err
	}
	clean, err := json.Marshal(l)
	if err != nil {
		return "", fmt.Errorf("encode overrides of %s: %w", tenant, err)
	}
	last, _ := strconv.ParseInt(before, 10, 64) // "0" and what is damaged are before every time
	version := strconv.FormatInt(max(s.now().UnixMicro(), last+1), 10)
	data, err := json.Marshal(stored{version, clean})
	if err != nil {
		return "", fmt.Errorf("encode overrides of %s: %w", tenant, err)
	}
	if err := s.bucket.Upload(ctx, object(tenant), bytes.NewReader(data)); err != nil {
		return "", fmt.Errorf("store overrides of %s: %w", tenant, err)
	}
	s.tell(tenant, l)
	return version, nil
}

func (s *Store) tell(tenant string, l *Limits) {
	if s.changed != nil {
		s.changed(tenant, l)
	}
}

// mergePatch applies a merge patch: fields of objects are merged, null removes, all else replaces.
func mergePatch(doc, patch []byte) ([]byte, error) {
	var d, p any
	if err := json.Unmarshal(patch, &p); err != nil {
		return nil, fault.Invalidf("malformed patch: %w", err)
	}
	if err := json.Unmarshal(doc, &d); err != nil {
		return nil, fmt.Errorf("stored overrides are damaged: %w", err)
	}
	return json.Marshal(merged(d, p))
}

func merged(doc, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	d, ok := doc.(map[string]any)
	if !ok {
		d = map[string]any{}
	}
	for k, v := range p {
		if v == nil {
			delete(d, k)
		} else {
			d[k] = merged(d[k], v)
		}
	}
	return d
}
