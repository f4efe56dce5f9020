package main

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/traces"
)

func newBlockVerify() *cobra.Command {
	return &cobra.Command{Use: "verify FILE", Short: "Check all bytes of a block", Args: cobra.ExactArgs(1),
		Long: "Check every checksum of a block, decode all of it, and compare its rows with its index.\n" +
			"Where a meta.json stands beside FILE, the file must be as that says.\n" +
			"Prints a line for each fault and fails if there is one.",
		RunE: func(cmd *cobra.Command, args []string) error {
			faults := 0
			err := verifyBlock(cmd.Context(), args[0], func(err error) {
				faults++
				_, _ = fmt.Fprintln(cmd.OutOrStdout(), err)
			})
			if err != nil {
				return err
			}
			if faults > 0 {
				return fmt.Errorf("%s: faults found: %d", args[0], faults)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is whole\n", args[0])
			return err
		}}
}

// verifyBlock calls fault for everything that is wrong with a block.
func verifyBlock(ctx context.Context, name string, fault func(error)) (err error) {
	f, err := openBlockFile(ctx, name)
	if block.IsCorruption(err) {
		fault(err)
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	if err := f.verifyMeta(fault); err != nil {
		return err
	}
	infos, err := block.Inspect(ctx, f.Reader, knownSections()...)
	if err != nil {
		return err
	}
	whole := true
	for _, s := range infos {
		if s.Err == nil {
			continue
		}
		if !block.IsCorruption(s.Err) {
			s.Err = &block.CorruptionError{Block: f.name, Section: fmt.Sprintf("section %d", s.Kind), Offset: s.Offset, Err: s.Err}
		}
		whole = false
		fault(s.Err)
	}
	switch {
	case !whole:
		return nil
	case traces.IsBlock(f.Reader):
		return traces.Verify(ctx, f.Reader, fault)
	case !logs.IsBlock(f.Reader):
		return nil
	}
	return logs.Verify(ctx, f.Reader, fault)
}

// verifyMeta compares the file with the meta.json beside it, where there is one.
func (f *blockFile) verifyMeta(fault func(error)) error {
	name := filepath.Join(filepath.Dir(f.name), block.MetaFile)
	content, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	bad := func(format string, args ...any) {
		fault(&block.CorruptionError{Block: f.name, Section: block.MetaFile, Err: fmt.Errorf(format, args...)})
	}
	m, err := block.DecodeMeta(content)
	if err != nil {
		bad("%w", err)
		return nil
	}
	crc := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	if _, err := io.Copy(crc, io.NewSectionReader(f.file, 0, f.Size())); err != nil {
		return err
	}
	if got := (block.File{Size: f.Size(), CRC32C: crc.Sum32()}); got != m.Data {
		bad("%s has %d bytes with crc32c %08x, want %d with %08x", block.DataFile, got.Size, got.CRC32C, m.Data.Size, m.Data.CRC32C)
	}
	return nil
}
