package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// The page in docs must be what the code says.
func TestPageIsFresh(t *testing.T) {
	want, err := generate("../../..")
	require.NoError(t, err)
	got, err := os.ReadFile("../../../docs/configuration.md")
	require.NoError(t, err)
	require.Equal(t, string(want), string(got), `docs/configuration.md is stale: run "make docs"`)
}
