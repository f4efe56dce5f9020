package block

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/hune-io/hune/internal/signal"
	"github.com/hune-io/hune/internal/tenant"
)

// The files of a block's folder.
const (
	MetaFile = "meta.json"
	DataFile = "data.hune"
)

// MetaVersion is the version of meta.json that this package writes and reads. A later version is
// refused; fields that are new within a version are ignored.
const MetaVersion = 1

// MaxSummaryLen bounds Meta.Summary: with it, a meta.json is smaller than the page that a request to
// object storage costs as much as.
const MaxSummaryLen = 40 << 10

// maxMetaLen bounds a meta.json before it is read.
const maxMetaLen = 1 << 20

// Meta describes a block; it is all that is needed to decide whether to open it.
type Meta struct {
	Version     int           `json:"version"`
	ULID        ulid.ULID     `json:"ulid"`
	Tenant      string        `json:"tenant"`
	Signal      signal.Signal `json:"signal"`
	MinTime     int64         `json:"min_time"`     // of the first row, nanoseconds since 1970
	MaxTime     int64         `json:"max_time"`     // of the last row, inclusive
	Rows        int64         `json:"rows"`         // log lines or spans
	RawBytes    int64         `json:"raw_bytes"`    // as it came in, uncompressed
	StoredBytes int64         `json:"stored_bytes"` // of all files but meta.json
	Level       int           `json:"level"`        // how often its rows were compacted; 0: cut from a head
	Sources     []ulid.ULID   `json:"sources,omitempty"`
	Producer    string        `json:"producer"` // program and version that wrote it
	Created     time.Time     `json:"created"`
	Data        File          `json:"data"` // data.hune
	// Summary, where there is one, says in the signal's own form what the block may hold, at most
	// MaxSummaryLen bytes. A reader that can't make sense of it goes without.
	Summary []byte `json:"summary,omitempty"`
}

// File is what a file of the block must be.
type File struct {
	Size   int64  `json:"size"`
	CRC32C uint32 `json:"crc32c"`
}

// Dir returns the folder of the block in its bucket.
func (m *Meta) Dir() string { return Dir(m.Tenant, m.Signal, m.ULID) }

// DataPath returns the object that a Reader opens.
func (m *Meta) DataPath() string { return path.Join(m.Dir(), DataFile) }

// Overlaps reports whether the block may hold rows between from and to, nanoseconds, both inclusive.
func (m *Meta) Overlaps(from, to int64) bool { return m.MinTime <= to && m.MaxTime >= from }

// Validate reports every fault of m.
func (m *Meta) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if m.Version != MetaVersion {
		return fmt.Errorf("version %d: %w, this program reads %d", m.Version, ErrVersion, MetaVersion)
	}
	if m.ULID.IsZero() {
		bad("ulid is missing")
	}
	if err := tenant.Validate(m.Tenant); err != nil {
		bad("tenant: %w", err)
	}
	if m.Signal != signal.Logs && m.Signal != signal.Traces {
		bad("signal %q is neither logs nor traces", m.Signal)
	}
	if m.MinTime > m.MaxTime {
		bad("min_time %d is after max_time %d", m.MinTime, m.MaxTime)
	}
	if m.Rows <= 0 {
		bad("rows %d is not above zero", m.Rows)
	}
	if m.RawBytes < 0 || m.Level < 0 {
		bad("raw_bytes %d or level %d is negative", m.RawBytes, m.Level)
	}
	if m.Data.Size < headerLen+tailLen {
		bad("data.size %d is too small for a block", m.Data.Size)
	}
	if m.StoredBytes < m.Data.Size {
		bad("stored_bytes %d is less than data.size %d", m.StoredBytes, m.Data.Size)
	}
	if len(m.Summary) > MaxSummaryLen {
		bad("summary of %d bytes, at most %d are allowed", len(m.Summary), MaxSummaryLen)
	}
	if m.Created.IsZero() {
		bad("created is missing")
	}
	return errors.Join(errs...)
}

// Encode returns the content of meta.json. Equal metas give equal bytes.
func (m *Meta) Encode() ([]byte, error) {
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("encode meta of block %s: %w", m.ULID, err)
	}
	b, err := json.MarshalIndent(m, "", "\t")
	return append(b, '\n'), err
}

// DecodeMeta reads a meta.json and checks it.
func DecodeMeta(b []byte) (*Meta, error) {
	m := &Meta{}
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(m); err != nil {
		return nil, fmt.Errorf("decode %s: %w", MetaFile, err)
	}
	if d.More() {
		return nil, fmt.Errorf("decode %s: more than one value", MetaFile)
	}
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("decode %s: %w", MetaFile, err)
	}
	return m, nil
}

// Dir returns the folder of a block in its bucket: TENANT/SIGNAL/ULID.
func Dir(tenantID string, s signal.Signal, id ulid.ULID) string {
	return path.Join(tenantID, string(s), id.String())
}
