package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hune-io/hune/bench/internal/process"
)

// profile saves a profile of the server, asked for at path of its debug pages.
func (b *bench) profile(s *process.Server, name, path string) error {
	data, err := s.Get("/debug/pprof/" + path)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(b.profiles, name), data, 0o644)
}

// during runs f and saves a profile of the processor time of so many seconds meanwhile, if profiles are asked for.
func (b *bench) during(s *process.Server, what string, seconds int, f func() error) error {
	if b.profiles == "" {
		return f()
	}
	done := make(chan error, 1)
	name := strings.Map(func(r rune) rune {
		if r == ' ' || r == ',' {
			return '-'
		}
		return r
	}, what)
	go func() { done <- b.profile(s, name+".cpu", fmt.Sprintf("profile?seconds=%d", seconds)) }()
	err := f()
	if e := <-done; err == nil {
		err = e
	}
	if err == nil {
		err = b.profile(s, name+".heap", "heap")
	}
	return err
}
