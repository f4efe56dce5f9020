package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/logs"
)

func newBlock() *cobra.Command {
	cmd := &cobra.Command{Use: "block", Short: "Look into a block of logs or traces",
		Long: "Look into a block of logs or traces: FILE is its data.hune, or the folder that holds it."}
	cmd.AddCommand(newBlockInspect(), newBlockDump(), newBlockVerify())
	return cmd
}

// fileRanges reads ranges of one file. It is a block.RangeReader.
type fileRanges struct{ *os.File }

func (f fileRanges) ReadRange(ctx context.Context, _ string, off, n int64) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	size, err := f.size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, max(0, min(n, size-off)))
	_, err = f.ReadAt(b, off)
	return b, err
}

func (f fileRanges) size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// blockFile is a block on disk.
type blockFile struct {
	*block.Reader
	name string // of the data file
	file fileRanges
}

func (f *blockFile) close() error { return f.file.Close() }

// openBlockFile opens a block. What is wrong with the bytes is a *block.CorruptionError.
func openBlockFile(ctx context.Context, name string) (*blockFile, error) {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		name = filepath.Join(name, block.DataFile)
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	f := &blockFile{name: name, file: fileRanges{file}}
	size, err := f.file.size()
	if err == nil {
		f.Reader, err = block.Open(ctx, f.file, name, size, block.ReaderOptions{})
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return f, nil
}

// withBlock makes what a command does with its FILE.
func withBlock(do func(cmd *cobra.Command, f *blockFile) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) (err error) {
		f, err := openBlockFile(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.close()) }()
		return do(cmd, f)
	}
}

// logs opens a block of logs.
func (f *blockFile) logs(ctx context.Context) (*logs.Block, error) {
	if !logs.IsBlock(f.Reader) {
		return nil, fmt.Errorf("%s is not a block of logs", f.name)
	}
	return logs.OpenBlock(ctx, f.Reader)
}
