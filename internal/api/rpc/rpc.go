// Package rpc registers gRPC services whose messages stay bytes: the handlers read and write
// protobuf themselves, with protowire. It spares a generated package for services of which Hune
// answers a few methods, and the copy that decoding into generated types would be.
//
// The messages satisfy what pdata's codec, registered as "proto", asks of a message.
package rpc

import (
	"context"
	"fmt"
	"slices"

	_ "go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp" // registers the codec
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/hune-io/hune/internal/fault"
)

// Message is a protobuf message in its encoding.
type Message struct{ Data []byte }

// SizeProto returns the length of the message.
func (m *Message) SizeProto() int { return len(m.Data) }

// MarshalProto writes the message to dst.
func (m *Message) MarshalProto(dst []byte) int { return copy(dst, m.Data) }

// UnmarshalProto takes any bytes; the handler reads them. It copies: the codec takes its buffer back.
func (m *Message) UnmarshalProto(data []byte) error {
	m.Data = slices.Clone(data)
	return nil
}

// Service is a gRPC service under construction. Errors of handlers become statuses by their class
// (package fault) unless they are statuses already.
type Service struct{ desc grpc.ServiceDesc }

// NewService returns a service without methods. The name is the full one, as "tempopb.StreamingQuerier".
func NewService(name string) *Service {
	return &Service{grpc.ServiceDesc{ServiceName: name, HandlerType: (*any)(nil)}}
}

// Unary adds a method with one request and one answer.
func (s *Service) Unary(method string, handle func(ctx context.Context, request []byte) ([]byte, error)) *Service {
	full := "/" + s.desc.ServiceName + "/" + method
	s.desc.Methods = append(s.desc.Methods, grpc.MethodDesc{MethodName: method,
		Handler: func(srv any, ctx context.Context, dec func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
			in := new(Message)
			if err := dec(in); err != nil {
				return nil, err
			}
			call := func(ctx context.Context, req any) (any, error) {
				data, err := handle(ctx, req.(*Message).Data)
				if err != nil {
					return nil, statusOf(err)
				}
				return &Message{data}, nil
			}
			if interceptor == nil {
				return call(ctx, in)
			}
			return interceptor(ctx, in, &grpc.UnaryServerInfo{Server: srv, FullMethod: full}, call)
		}})
	return s
}

// Stream adds a method with one request and any number of answers. send may not be called after
// handle has returned; its error means that the client has gone.
func (s *Service) Stream(method string, handle func(ctx context.Context, request []byte, send func([]byte) error) error) *Service {
	s.desc.Streams = append(s.desc.Streams, grpc.StreamDesc{StreamName: method, ServerStreams: true,
		Handler: func(_ any, stream grpc.ServerStream) error {
			in := new(Message)
			if err := stream.RecvMsg(in); err != nil {
				return err
			}
			err := handle(stream.Context(), in.Data, func(data []byte) error { return stream.SendMsg(&Message{data}) })
			if err != nil {
				return statusOf(err)
			}
			return nil
		}})
	return s
}

// Register adds the service to r.
func (s *Service) Register(r grpc.ServiceRegistrar) { r.RegisterService(&s.desc, s) }

func statusOf(err error) error {
	if _, ok := status.FromError(err); ok {
		return err
	}
	return fault.GRPCStatus(err).Err()
}

// Field is one field of a message: Bytes for length-delimited ones, Bits for numbers.
type Field struct {
	Number protowire.Number
	Type   protowire.Type
	Bytes  []byte
	Bits   uint64
}

// Fields calls visit for each field of a message, in order; groups are skipped. Errors of the
// encoding are fault.Invalid, an error of visit ends the walk.
func Fields(data []byte, visit func(Field) error) error {
	for rest := data; len(rest) > 0; {
		num, typ, n := protowire.ConsumeTag(rest)
		if n < 0 {
			return malformed(len(data)-len(rest), n)
		}
		rest = rest[n:]
		f := Field{Number: num, Type: typ}
		switch typ {
		case protowire.VarintType:
			f.Bits, n = protowire.ConsumeVarint(rest)
		case protowire.Fixed64Type:
			f.Bits, n = protowire.ConsumeFixed64(rest)
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(rest)
			f.Bits = uint64(v)
		case protowire.BytesType:
			f.Bytes, n = protowire.ConsumeBytes(rest)
		default:
			n = protowire.ConsumeFieldValue(num, typ, rest)
		}
		if n < 0 {
			return malformed(len(data)-len(rest), n)
		}
		rest = rest[n:]
		if typ == protowire.StartGroupType {
			continue
		}
		if err := visit(f); err != nil {
			return err
		}
	}
	return nil
}

func malformed(at, n int) error {
	return fault.New(fault.Invalid, fmt.Errorf("malformed protobuf at byte %d: %w", at, protowire.ParseError(n)))
}

// AppendString appends a text field unless it is empty.
func AppendString(b []byte, num protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), s)
}

// AppendUint appends a varint field unless it is zero.
func AppendUint(b []byte, num protowire.Number, n uint64) []byte {
	if n == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), n)
}

// AppendMessage appends a message field.
func AppendMessage(b []byte, num protowire.Number, message []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), message)
}
