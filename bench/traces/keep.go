package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hune-io/hune/internal/traces"
)

// folder returns the folder for the data, and what is done with it in the end.
func (b *bench) folder() (dir string, forget func(), err error) {
	if b.reuse != "" {
		return b.reuse, func() {}, nil
	}
	if dir, err = os.MkdirTemp(b.dir, "hune-bench-"); err != nil {
		return "", nil, err
	}
	if b.keep {
		fmt.Println("the data is in", dir)
		return dir, func() {}, nil
	}
	return dir, func() { _ = os.RemoveAll(dir) }, nil
}

// set is what questions about a set of spans need to know of it.
type set struct {
	From     time.Time
	IDs      []traces.ID
	Requests []string
}

const setFile = "set.json"

// save leaves what loadSet reads.
func (g *generator) save(dir string) error {
	data, err := json.Marshal(set{g.from, g.ids, g.requests})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, setFile), data, 0o644)
}

// loadSet returns a generator that knows what one of an earlier run has sent.
func loadSet(dir string) (*generator, error) {
	data, err := os.ReadFile(filepath.Join(dir, setFile))
	if err != nil {
		return nil, err
	}
	var s set
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("%s of %s: %w", setFile, dir, err)
	}
	return &generator{from: s.From, ids: s.IDs, requests: s.Requests}, nil
}
