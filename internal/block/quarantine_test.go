package block

import (
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"

	"github.com/hune-io/hune/internal/signal"
)

func TestQuarantine(t *testing.T) {
	bkt := objstore.NewInMemBucket()
	good, bad, gone := ulid.MustParse("01J00000000000000000000001"), ulid.MustParse("01J00000000000000000000002"), ulid.MustParse("01J00000000000000000000003")
	for _, name := range []string{good.String() + "/meta.json", bad.String() + "/meta.json", bad.String() + "/data.hune",
		"deletes.json", "nonsense/x", "nonsense.quarantine.json", strings.ToLower(good.String()) + ".quarantine.json"} {
		require.NoError(t, bkt.Upload(t.Context(), "a/logs/"+name, strings.NewReader("{}")))
	}
	require.NoError(t, bkt.Upload(t.Context(), "a/traces/"+bad.String()+"/meta.json", strings.NewReader("{}")))
	q := Quarantine{Reason: "corrupt", At: time.Unix(1, 0).UTC()}
	for range 2 {
		require.NoError(t, SetAside(t.Context(), bkt, "a", signal.Logs, bad, q))
		require.NoError(t, SetAside(t.Context(), bkt, "a", signal.Logs, gone, q))
		use, aside, err := Catalog(t.Context(), bkt, "a", signal.Logs)
		require.NoError(t, err)
		require.Equal(t, []ulid.ULID{good}, use)
		require.Equal(t, []ulid.ULID{bad, gone}, aside)
	}
	require.JSONEq(t, `{"reason": "corrupt", "at": "1970-01-01T00:00:01Z"}`, string(bkt.Objects()["a/logs/"+bad.String()+".quarantine.json"]))
	use, aside, err := Catalog(t.Context(), bkt, "a", signal.Traces)
	require.NoError(t, err)
	require.Equal(t, []ulid.ULID{bad}, use, "signals are apart")
	require.Empty(t, aside)
	ids, err := IDs(t.Context(), bkt, "a", signal.Logs)
	require.NoError(t, err)
	require.Equal(t, []ulid.ULID{good, bad}, ids, "retention still sees it")

	for range 2 {
		require.NoError(t, Readmit(t.Context(), bkt, "a", signal.Logs, bad))
		use, _, err = Catalog(t.Context(), bkt, "a", signal.Logs)
		require.NoError(t, err)
		require.Equal(t, []ulid.ULID{good, bad}, use)
	}
}
