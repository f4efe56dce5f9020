package storeapi

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
)

// Codec is the codec that clients of the StoreAPI must use.
func Codec() encoding.CodecV2 { return codec{} }

// codec reads messages into memory of their own. Labels and chunks of Thanos's messages point into what
// they were decoded from, and gRPC's own codec uses that again for the next message.
type codec struct{}

// Name implements encoding.CodecV2.
func (codec) Name() string { return "proto" }

// Marshal implements encoding.CodecV2.
func (codec) Marshal(v any) (mem.BufferSlice, error) {
	m, ok := v.(interface{ Marshal() ([]byte, error) })
	if !ok {
		return nil, fmt.Errorf("storeapi: %T is no message", v)
	}
	data, err := m.Marshal()
	return mem.BufferSlice{mem.SliceBuffer(data)}, err
}

// Unmarshal implements encoding.CodecV2.
func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(interface{ Unmarshal([]byte) error })
	if !ok {
		return fmt.Errorf("storeapi: %T is no message", v)
	}
	return m.Unmarshal(data.Materialize())
}
