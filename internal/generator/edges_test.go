package generator

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestEdgeKeysThatCollide: keys of one hash find no room after a while, and the others are not held up.
func TestEdgeKeysThatCollide(t *testing.T) {
	e := newEdgeStore(10_000)
	put := func(span uint64, hash uint32) bool {
		var key edgeKey
		binary.LittleEndian.PutUint64(key.span[:], span)
		return e.put(&key, hash, 0) != nil
	}
	fit := 0
	for span := range uint64(1000) {
		if put(span, 7) {
			fit++
		}
	}
	require.Equal(t, mostSteps, fit)
	require.True(t, put(1<<40, 1<<20|7<<8))
}

// TestEdgeHashes: IDs that are counted up, in either order of bytes, stand near the places that their hashes name.
func TestEdgeHashes(t *testing.T) {
	for name, order := range map[string]binary.ByteOrder{"big": binary.BigEndian, "little": binary.LittleEndian} {
		t.Run(name, func(t *testing.T) {
			e := newEdgeStore(100_000)
			for trace := range uint64(300) {
				for span := range uint64(100) {
					var key edgeKey
					order.PutUint64(key.trace[8:], trace)
					order.PutUint64(key.span[:], span)
					hash, at := e.find(&key)
					require.Less(t, at, int32(0))
					require.NotNil(t, e.put(&key, hash, 0))
				}
			}
		})
	}
}
