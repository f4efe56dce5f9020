package body

import (
	"context"
	"math"

	"github.com/apache/thrift/lib/go/thrift"
)

// Thrift returns a reader of a message in Thrift's binary protocol.
func Thrift(data []byte) thrift.TProtocol {
	t := thrift.NewTMemoryBufferLen(len(data))
	_, _ = t.Write(data) // memory takes everything
	return thrift.NewTBinaryProtocolConf(t, &thrift.TConfiguration{MaxMessageSize: int32(min(len(data)+1, math.MaxInt32))})
}

// CheckThrift walks a value of the given type. Generated readers make room for as many elements as
// a list claims to have: walking first finds lies without believing them.
func CheckThrift(ctx context.Context, data []byte, typ thrift.TType) error {
	return thrift.SkipDefaultDepth(ctx, Thrift(data), typ)
}
