package ingester

import (
	"context"
	"os"
	"path/filepath"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/signal"
	"github.com/hune-io/hune/internal/traces"
)

// This file is where the two columnar signals plug in.

type logHead struct{ *logs.Head }

func (h logHead) Append(b *logs.Batch) (logs.AppendResult, error) { return h.Head.Append(b), nil }

// Replay seals as it goes: a log that grew long must not fill the memory at start.
func (h logHead) Replay(b *logs.Batch) (bool, error) {
	whole := h.Head.Append(b).Refused == 0
	return whole, h.Head.Seal(context.Background())
}

func (h logHead) Part() logs.Part { return h.Head }

// directoryCacheBytes is what the blocks that wait for stores to find them keep of the directories of their
// pages.
const directoryCacheBytes = 32 << 20

// groupCacheBytes is the same of blocks of traces, with where spans are in their traces.
const groupCacheBytes = 32 << 20

func logsKind(opts Options) kind[logs.Batch, logs.Part, logs.AppendResult] {
	directories := logs.NewDirectoryCache(directoryCacheBytes)
	return kind[logs.Batch, logs.Part, logs.AppendResult]{
		signal: signal.Logs,
		newHead: func(string) head[logs.Batch, logs.Part, logs.AppendResult] {
			return logHead{logs.NewHead(opts.LogHead)}
		},
		encode: logs.AppendRecord,
		decode: logs.DecodeRecord,
		openBlock: func(ctx context.Context, r *block.Reader) (logs.Part, error) {
			return logs.OpenBlockWith(ctx, r, directories)
		},
	}
}

type traceHead struct{ *traces.Head }

func (h traceHead) Part() traces.Part { return h.Head }

// Replay seals as it goes, as that of logs does.
func (h traceHead) Replay(b *traces.Batch) (bool, error) {
	r, err := h.Head.Replay(b)
	if err == nil {
		err = h.Head.Seal(context.Background())
	}
	return len(r.Rejected) == 0, err
}

func tracesKind(opts Options) kind[traces.Batch, traces.Part, traces.PushResult] {
	groups := traces.NewGroupCache(groupCacheBytes)
	spill := filepath.Join(opts.Dir, string(signal.Traces), "sealed")
	_ = os.RemoveAll(spill) // nothing, or what an earlier process had open and could not remove
	return kind[traces.Batch, traces.Part, traces.PushResult]{
		signal: signal.Traces,
		newHead: func(tenant string) head[traces.Batch, traces.Part, traces.PushResult] {
			o := opts.TraceHead(tenant)
			o.SpillDir = spill
			return traceHead{traces.NewHead(o)}
		},
		encode: traces.AppendRecord,
		decode: traces.DecodeRecord,
		openBlock: func(ctx context.Context, r *block.Reader) (traces.Part, error) {
			return traces.OpenBlockWith(ctx, r, groups)
		},
	}
}
