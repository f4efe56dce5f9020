package body

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/golang/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/fault"
)

func request(encoding string, body []byte) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	if encoding != "" {
		r.Header.Set("Content-Encoding", encoding)
	}
	return r
}

func compress(t testing.TB, encoding string, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	var w io.WriteCloser
	var err error
	switch encoding {
	case "gzip":
		w = gzip.NewWriter(&buf)
	case "deflate":
		w, err = flate.NewWriter(&buf, flate.BestSpeed)
	case "zstd":
		w, err = zstd.NewWriter(&buf)
	case "snappy":
		return snappy.Encode(nil, data)
	case "snappy-framed":
		w = snappy.NewBufferedWriter(&buf)
	default:
		return data
	}
	require.NoError(t, err)
	_, err = w.Write(data)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return buf.Bytes()
}

func TestEncodings(t *testing.T) {
	want := []byte(strings.Repeat("what was sent, ", 1000))
	for _, encoding := range []string{"", "identity", "gzip", "deflate", "zstd", "snappy", "snappy-framed"} {
		t.Run(encoding, func(t *testing.T) {
			header := strings.TrimSuffix(encoding, "-framed")
			b, err := Read(request(header, compress(t, encoding, want)), Limits{})
			require.NoError(t, err)
			require.Equal(t, want, b.Bytes())
			b.Release()
		})
	}
}

func TestFaults(t *testing.T) {
	bomb := bytes.Repeat([]byte{0}, 1<<20)
	small := Limits{Compressed: 100_000, Decompressed: 500_000}
	for _, c := range []struct {
		name, encoding string
		body           []byte
		class          fault.Class
		text           string
	}{
		{"gzip bomb", "gzip", compress(t, "gzip", bomb), fault.TooLarge, "decompressed request body is larger than the limit of 500000 bytes"},
		{"zstd bomb", "zstd", compress(t, "zstd", bomb), fault.TooLarge, "decompressed request body is larger"},
		{"deflate bomb", "deflate", compress(t, "deflate", bomb), fault.TooLarge, "decompressed request body is larger"},
		{"snappy bomb", "snappy", compress(t, "snappy", bomb), fault.TooLarge, "decompressed request body is larger"},
		{"plain, too long", "", bomb, fault.TooLarge, "request body is larger than the limit of 100000 bytes"},
		{"not gzip", "gzip", []byte("hello"), fault.Invalid, "decode gzip request body: "},
		{"gzip cut short", "gzip", compress(t, "gzip", []byte("hello there"))[:15], fault.Invalid, "decode gzip request body: "},
		{"not zstd", "zstd", []byte("hello"), fault.Invalid, "decode zstd request body: "},
		{"not snappy", "snappy", []byte{0xff, 0xff, 0xff}, fault.Invalid, "decode snappy request body: "},
		{"snappy that lies about its length", "snappy", []byte{0xa0, 0x8d, 0x06, 0}, fault.Invalid, "decode snappy request body: "},
		{"unknown encoding", "br", nil, fault.Unsupported, `unsupported Content-Encoding "br"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := request(c.encoding, c.body)
			r.ContentLength = -1 // the header is not to be trusted
			_, err := Read(r, small)
			require.Error(t, err)
			require.Equal(t, c.class, fault.ClassOf(err), err)
			require.Contains(t, err.Error(), c.text)
		})
	}
}

func TestSnappyBlockIgnoresHeaders(t *testing.T) {
	b, err := ReadSnappyBlock(request("", compress(t, "snappy", []byte("payload"))), Limits{})
	require.NoError(t, err)
	require.Equal(t, "payload", string(b.Bytes()))
}

// Bodies under way share a budget: one that finds no room is asked to come again, and everything is
// given back.
func TestBudget(t *testing.T) {
	limits := Limits{InFlight: NewBudget(1000)}
	text := bytes.Repeat([]byte("x"), 600)
	for _, encoding := range []string{"", "gzip", "zstd", "deflate", "snappy", "snappy-framed"} {
		header := strings.TrimSuffix(encoding, "-framed")
		first, err := Read(request(header, compress(t, encoding, text)), limits)
		require.NoError(t, err, encoding)
		require.EqualValues(t, 600, limits.InFlight.Used(), encoding)
		_, err = Read(request(header, compress(t, encoding, text)), limits)
		require.Equal(t, fault.Unavailable, fault.ClassOf(err), encoding)
		require.Positive(t, fault.RetryAfter(err))
		require.EqualValues(t, 600, limits.InFlight.Used(), encoding)
		first.Release()
		require.Zero(t, limits.InFlight.Used(), encoding)
		_, err = Read(request("gzip", []byte("not gzip")), limits)
		require.Error(t, err)
		require.Zero(t, limits.InFlight.Used(), encoding)
	}
}

func FuzzRead(f *testing.F) {
	for _, encoding := range []string{"", "gzip", "deflate", "zstd", "snappy", "snappy-framed"} {
		f.Add(strings.TrimSuffix(encoding, "-framed"), compress(f, encoding, []byte("some text, some text")))
	}
	f.Fuzz(func(t *testing.T, encoding string, data []byte) {
		b, err := Read(request(encoding, data), Limits{Compressed: 1 << 16, Decompressed: 1 << 18})
		if err != nil {
			if c := fault.ClassOf(err); c == fault.Internal {
				t.Fatalf("bad input must not be our fault: %v", err)
			}
			return
		}
		if len(b.Bytes()) > 1<<18 {
			t.Fatalf("%d bytes are over the limit", len(b.Bytes()))
		}
		b.Release()
	})
}
