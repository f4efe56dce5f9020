package rpc

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/hune-io/hune/internal/fault"
)

func TestService(t *testing.T) {
	s := grpc.NewServer()
	NewService("test.Echo").
		Unary("Say", func(_ context.Context, req []byte) ([]byte, error) {
			if len(req) == 0 {
				return nil, fault.Invalidf("nothing was said")
			}
			return append([]byte(">"), req...), nil
		}).
		Stream("Repeat", func(_ context.Context, req []byte, send func([]byte) error) error {
			for range 3 {
				if err := send(req); err != nil {
					return err
				}
			}
			return status.Error(codes.DataLoss, "no more")
		}).Register(s)
	l := bufconn.Listen(1 << 16)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	conn, err := grpc.NewClient("passthrough:echo", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	require.NoError(t, err)
	defer func() {
		require.NoError(t, conn.Close())
		s.Stop()
		if err := <-served; !errors.Is(err, grpc.ErrServerStopped) { // stopped before it began
			require.NoError(t, err)
		}
	}()

	out := new(Message)
	require.NoError(t, conn.Invoke(t.Context(), "/test.Echo/Say", &Message{[]byte("hi")}, out))
	require.Equal(t, ">hi", string(out.Data))
	err = conn.Invoke(t.Context(), "/test.Echo/Say", &Message{}, out)
	require.Equal(t, codes.InvalidArgument, status.Code(err))
	require.ErrorContains(t, err, "nothing was said")

	stream, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, "/test.Echo/Repeat")
	require.NoError(t, err)
	require.NoError(t, stream.SendMsg(&Message{[]byte("x")}))
	require.NoError(t, stream.CloseSend())
	for range 3 {
		require.NoError(t, stream.RecvMsg(out))
		require.Equal(t, "x", string(out.Data))
	}
	err = stream.RecvMsg(out)
	require.False(t, errors.Is(err, io.EOF))
	require.Equal(t, codes.DataLoss, status.Code(err))
}

func TestFields(t *testing.T) {
	b := AppendString(nil, 1, "a")
	b = AppendUint(b, 2, 300)
	b = AppendMessage(b, 3, nil)
	b = AppendUint(AppendString(b, 9, ""), 9, 0)
	var got []Field
	require.NoError(t, Fields(b, func(f Field) error {
		got = append(got, f)
		return nil
	}))
	require.Len(t, got, 3)
	require.Equal(t, "a", string(got[0].Bytes))
	require.Equal(t, uint64(300), got[1].Bits)
	require.Empty(t, got[2].Bytes)
	err := Fields(append(b, 0x0a, 9), func(Field) error { return nil })
	require.ErrorContains(t, err, "malformed protobuf at byte")
	require.Equal(t, fault.Invalid, fault.ClassOf(err))
}

func FuzzFields(f *testing.F) {
	f.Add(AppendMessage(AppendUint(nil, 2, 1), 3, []byte("x")))
	f.Add([]byte{0x0b, 0x0c})
	f.Fuzz(func(t *testing.T, data []byte) {
		read := 0
		_ = Fields(data, func(f Field) error {
			read += len(f.Bytes) + 1
			return nil
		})
		if read > len(data)*2 {
			t.Fatalf("%d bytes of fields in %d", read, len(data))
		}
	})
}
