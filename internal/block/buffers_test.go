package block

import (
	"bytes"
	"math/bits"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestBuffersRoom(t *testing.T) {
	var b Buffers
	for _, n := range []int{0, 1, 1<<minBuffer - 1, 1 << minBuffer, 1<<minBuffer + 1, 1 << maxBuffer, 1<<maxBuffer + 1} {
		m := b.get(n)
		require.Empty(t, m)
		require.GreaterOrEqual(t, cap(m), n, "room for %d bytes", n)
		if n > 1<<minBuffer && n <= 1<<maxBuffer {
			require.Equal(t, 1<<bits.Len(uint(n-1)), cap(m), "a pooled size for %d bytes", n)
		}
		var none *Buffers
		require.GreaterOrEqual(t, cap(none.get(n)), n)
	}
	b.Release()
	require.Empty(t, b.lent)
	b.Release() // gives nothing back twice
}

// TestBuffersApart wants memory that is lent to be nobody else's until it is given back, whoever asks beside.
func TestBuffersApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.IntRange(1, 1<<(minBuffer+4)), 1, 40).Draw(t, "sizes")
		var wg sync.WaitGroup
		wrong := make([]bool, 4)
		for who := range wrong {
			wg.Go(func() {
				for range 3 {
					var b Buffers
					var mine [][]byte
					for k, n := range sizes {
						m := b.get(n)[:n]
						for i := range m {
							m[i] = byte(who + len(wrong)*k)
						}
						mine = append(mine, m)
					}
					for k, m := range mine {
						wrong[who] = wrong[who] || bytes.Count(m, []byte{byte(who + len(wrong)*k)}) != len(m)
					}
					b.Release()
				}
			})
		}
		wg.Wait()
		require.NotContains(t, wrong, true)
	})
}

// TestBuffersShared lends to several goroutines of one question.
func TestBuffersShared(t *testing.T) {
	var b Buffers
	var wg sync.WaitGroup
	lent := make([][]byte, 64)
	for i := range lent {
		wg.Go(func() {
			lent[i] = b.get(2000)[:2000]
			for k := range lent[i] {
				lent[i][k] = byte(i)
			}
		})
	}
	wg.Wait()
	for i, m := range lent {
		require.Equal(t, len(m), bytes.Count(m, []byte{byte(i)}))
	}
	b.Release()
}
