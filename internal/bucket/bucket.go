// Package bucket opens the object storage where blocks live, and is the only one that talks to it.
//
// All providers are thanos-io/objstore's but the default one, a folder of the local filesystem: ours
// writes an object beside its place, syncs it, renames it and syncs the folder, so that an object is
// there whole or not at all, after a power cut too.
//
// What Open returns counts every operation in metrics (objstore_bucket_…) and, where the context
// carries a Counter, what one query costs.
package bucket

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/thanos-io/objstore"
	"github.com/thanos-io/objstore/client"

	"github.com/hune-io/hune/internal/fault"
)

// Open makes a client of the configured bucket; dataDir is where the default one lives. Most clients
// (filesystem, s3) ask nobody anything yet, so that a process can start while its bucket is down.
func Open(cfg Config, dataDir string, logger *slog.Logger, reg prometheus.Registerer) (objstore.InstrumentedBucket, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("open bucket: %w", err)
	}
	b, err := open(cfg, dataDir, logger)
	if err != nil {
		return nil, fmt.Errorf("open bucket: %w", err)
	}
	if p := strings.Trim(cfg.Prefix, "/"); p != "" {
		b = objstore.NewPrefixedBucket(b, p)
	}
	return &counted{objstore.WrapWithMetrics(b, reg, b.Name())}, nil
}

func open(cfg Config, dataDir string, logger *slog.Logger) (objstore.Bucket, error) {
	if cfg.Provider == Filesystem {
		dir := cfg.Filesystem.Directory
		if dir == "" {
			dir = filepath.Join(dataDir, "bucket")
		}
		return OpenFilesystem(dir)
	}
	kind, conf := cfg.section()
	return client.NewBucketFromConfig(kitLogger{logger}, &client.BucketConfig{Type: objstore.ObjProvider(kind), Config: conf}, "hune", nil)
}

// kitLogger passes the messages of objstore on to slog.
type kitLogger struct{ to *slog.Logger }

var _ log.Logger = kitLogger{}

func (l kitLogger) Log(kv ...any) error {
	if l.to == nil {
		return nil
	}
	level, msg := slog.LevelInfo, "object storage"
	var args []any
	for i := 0; i+1 < len(kv); i += 2 {
		key, value := fmt.Sprint(kv[i]), kv[i+1]
		switch key {
		case "level":
			// An unknown level stays at info.
			_ = level.UnmarshalText([]byte(fmt.Sprint(value)))
		case "msg":
			args = append(args, "detail", value)
		default:
			args = append(args, key, value)
		}
	}
	l.to.Log(context.Background(), level, msg, args...)
	return nil
}

// Ranger reads ranges of objects; it is the block.RangeReader over a bucket.
type Ranger struct {
	Bucket objstore.BucketReader
}

// maxRange bounds one range, whose buffer is allocated before the first byte has come.
const maxRange = 1 << 30

// ReadRange returns n bytes of object name from off on, fewer only if the object ends there. An
// object that is missing is a fault.NotFound.
func (r Ranger) ReadRange(ctx context.Context, name string, off, n int64) ([]byte, error) {
	if off < 0 || n < 0 || n > maxRange {
		return nil, fmt.Errorf("read %s: range %d+%d is not valid", name, off, n)
	}
	if n == 0 {
		return nil, nil
	}
	rc, err := r.Bucket.GetRange(ctx, name, off, n)
	if err != nil {
		return nil, r.wrap(err, name, off, n)
	}
	defer rc.Close()
	buf := make([]byte, n)
	k, err := io.ReadFull(rc, buf)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return buf[:k:k], nil
	}
	if err != nil {
		return nil, r.wrap(err, name, off, n)
	}
	return buf, nil
}

func (r Ranger) wrap(err error, name string, off, n int64) error {
	wrapped := fmt.Errorf("read %s at %d+%d: %w", name, off, n, err)
	if r.Bucket.IsObjNotFoundErr(err) {
		return fault.New(fault.NotFound, wrapped)
	}
	return wrapped
}
