package fault

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
)

func TestGRPCStatus(t *testing.T) {
	require.Nil(t, GRPCStatus(nil))
	require.Len(t, grpcCodes, len(statuses), "every class has a code")
	require.Equal(t, codes.Internal, GRPCStatus(errors.New("x")).Code())
	require.Equal(t, codes.InvalidArgument, GRPCStatus(fmt.Errorf("push: %w", Invalidf("x"))).Code())
	s := GRPCStatus(&Error{Class: RateLimited, RetryAfter: 1500 * time.Millisecond, Err: errors.New("slow down")})
	require.Equal(t, codes.ResourceExhausted, s.Code())
	require.Equal(t, "slow down", s.Message())
	require.Len(t, s.Details(), 1)
	require.Equal(t, 1500*time.Millisecond, s.Details()[0].(*errdetails.RetryInfo).GetRetryDelay().AsDuration())
}
