package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
)

// countedFile is a block in a file and what was read of it. It is a block.RangeReader.
type countedFile struct {
	f *os.File

	mu          sync.Mutex
	learning    bool
	known       map[extent]bool // what was read while learning: directories
	data        reads
	directories reads
}

// extent is a part of the file.
type extent struct{ offset, length int64 }

// reads is so many requests for so many bytes.
type reads struct{ requests, bytes int64 }

func (r *reads) add(n int64) {
	r.requests++
	r.bytes += n
}

func openCounted(name string) (*countedFile, error) {
	f, err := os.Open(name)
	return &countedFile{f: f, known: map[extent]bool{}}, err
}

// ReadRange implements block.RangeReader.
func (c *countedFile) ReadRange(ctx context.Context, name string, off, n int64) ([]byte, error) {
	return c.AppendRange(ctx, make([]byte, 0, n), name, off, n)
}

// AppendRange is ReadRange into memory of the caller, as caches of pages have it.
func (c *countedFile) AppendRange(_ context.Context, dst []byte, _ string, off, n int64) ([]byte, error) {
	c.count(extent{off, n})
	at := len(dst)
	dst = slices.Grow(dst, int(n))[:at+int(n)]
	if _, err := c.f.ReadAt(dst[at:], off); err != nil {
		return nil, fmt.Errorf("read %d bytes at %d of %s: %w", n, off, c.f.Name(), err)
	}
	return dst, nil
}

func (c *countedFile) count(e extent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.learning {
		c.known[e] = true
	}
	if c.known[e] {
		c.directories.add(e.length)
	} else {
		c.data.add(e.length)
	}
}

// learn takes everything that is read until reset for directories.
func (c *countedFile) learn() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.learning = true
}

// reset counts from zero again.
func (c *countedFile) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.learning, c.data, c.directories = false, reads{}, reads{}
}
