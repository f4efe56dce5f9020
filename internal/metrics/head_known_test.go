package metrics

import (
	"fmt"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"
)

// A series is known with the strings that the head holds, to its tenant alone, until the head forgets it.
func TestKnownSeries(t *testing.T) {
	h := openTestHeads(t, testHeadOptions(t, t.TempDir(), objstore.NewInMemBucket()))
	find := func(tenant string, ls labels.Labels) (labels.Labels, bool) {
		k := h.Known(tenant)
		defer k.Close()
		return k.Labels(ls.Hash(), ls)
	}
	set := func(i int) labels.Labels { return labels.FromStrings(labels.MetricName, "m", "i", fmt.Sprint(i)) }
	_, ok := find("a", set(1))
	require.False(t, ok, "there is no head")
	for i := range 10 {
		push(t, h, "a", Series{Labels: set(i), Samples: []Sample{{T: at(-time.Minute), V: 1}}})
	}
	one, ok := find("a", set(1))
	require.True(t, ok)
	require.Equal(t, set(1), one)
	again, _ := find("a", set(1))
	require.Equal(t, unsafe.StringData(one.Get("i")), unsafe.StringData(again.Get("i")), "they are the same memory")
	_, ok = find("a", set(10))
	require.False(t, ok)
	_, ok = find("b", set(1))
	require.False(t, ok)
	k := h.Known("a")
	_, ok = k.Labels(set(1).Hash(), set(2))
	require.False(t, ok, "a hash finds, it does not decide")
	k.Close()
	k.Close()

	// While batches are appended and heads are cut.
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() {
			for i := range 50 {
				for n := range 10 {
					if ls, ok := find("a", set(n)); ok && !labels.Equal(ls, set(n)) {
						t.Errorf("found %s", ls)
					}
				}
				if _, err := h.Append(testContext, "a", &Batch{Series: []Series{{Labels: set(100*w + i), Samples: []Sample{{T: at(time.Duration(i) * time.Second), V: 1}}}}}); err != nil {
					t.Error(err)
				}
				if i%25 == 0 {
					if err := h.Flush(testContext); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, h.Flush(t.Context()))
	require.NoError(t, h.Close())
	_, ok = find("a", set(1))
	require.False(t, ok, "it is closed")
}
