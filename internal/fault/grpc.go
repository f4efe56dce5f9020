package fault

import (
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

var grpcCodes = [...]codes.Code{
	Internal: codes.Internal, Invalid: codes.InvalidArgument, TooLarge: codes.ResourceExhausted,
	RateLimited: codes.ResourceExhausted, Unavailable: codes.Unavailable, NotFound: codes.NotFound,
	Unprocessable: codes.FailedPrecondition, Unsupported: codes.InvalidArgument, NotYet: codes.Unimplemented,
	Canceled: codes.Canceled, Timeout: codes.DeadlineExceeded,
}

// GRPCStatus returns err as a gRPC status. Where the client should wait the status carries a
// google.rpc.RetryInfo, without which OTLP clients don't repeat RESOURCE_EXHAUSTED. It returns nil
// for a nil err.
func GRPCStatus(err error) *status.Status {
	if err == nil {
		return nil
	}
	s := status.New(grpcCodes[ClassOf(err)], err.Error())
	if wait := RetryAfter(err); wait > 0 {
		if with, derr := s.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(wait)}); derr == nil {
			return with
		}
	}
	return s
}
