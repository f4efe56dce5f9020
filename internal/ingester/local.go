package ingester

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/hune-io/hune/internal/block"
)

// localFile reads ranges of one block's data file. The file stays open, so that queries under way go
// on reading after the block was forgotten and its name removed; the runtime closes it when the last of
// them lets go.
type localFile struct{ f *os.File }

// ReadRange implements block.RangeReader.
func (l localFile) ReadRange(_ context.Context, _ string, off, n int64) ([]byte, error) {
	size, err := l.size()
	if err != nil {
		return nil, err
	}
	buf := make([]byte, max(0, min(n, size-off)))
	if _, err := l.f.ReadAt(buf, off); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return buf, nil
}

func (l localFile) size() (int64, error) {
	info, err := l.f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// openLocal opens the block in dir.
func openLocal(ctx context.Context, dir string) (*block.Reader, error) {
	f, err := os.Open(filepath.Join(dir, block.DataFile))
	if err != nil {
		return nil, err
	}
	l := localFile{f}
	size, err := l.size()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	r, err := block.Open(ctx, l, f.Name(), size, block.ReaderOptions{})
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return r, nil
}

// readLocalMeta reads the meta file of the block in dir.
func readLocalMeta(dir string) (*block.Meta, error) {
	data, err := os.ReadFile(filepath.Join(dir, block.MetaFile))
	if err != nil {
		return nil, err
	}
	return block.DecodeMeta(data)
}
