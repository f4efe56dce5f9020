package collector

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"path"
	"reflect"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/extensionmiddleware"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/limits"
)

var guardType = component.MustNewType("hune_guard")

// newGuardFactory returns the factory of the extension `hune_guard`: a middleware for the servers of
// OTLP receivers that refuses requests which can't be decoded safely (limits.CheckOTLPLogs says
// which). Without it a small compressed request can end the whole process.
func newGuardFactory() extension.Factory {
	return extension.NewFactory(guardType, func() component.Config { return &struct{}{} },
		func(context.Context, extension.Settings, component.Config) (extension.Extension, error) {
			return guard{}, nil
		},
		component.StabilityLevelStable)
}

type guard struct{}

var (
	_ extensionmiddleware.HTTPServer = guard{}
	_ extensionmiddleware.GRPCServer = guard{}
)

// Start implements component.Component.
func (guard) Start(context.Context, component.Host) error { return nil }

// Shutdown implements component.Component.
func (guard) Shutdown(context.Context) error { return nil }

// checks are found by what follows the last slash of a request's path, or by the request's type.
var checks = map[string]func([]byte) error{
	"logs": limits.CheckOTLPLogs, "ExportLogsServiceRequest": limits.CheckOTLPLogs,
	"metrics": limits.CheckOTLPMetrics, "ExportMetricsServiceRequest": limits.CheckOTLPMetrics,
	"traces": limits.CheckOTLPTraces, "ExportTraceServiceRequest": limits.CheckOTLPTraces,
}

var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// maxPooledBody keeps one huge request from pinning its buffer for ever.
const maxPooledBody = 4 << 20

// GetHTTPHandler implements extensionmiddleware.HTTPServer. The handler runs behind the server's
// decompression and its limit on the size of the body.
func (guard) GetHTTPHandler(context.Context) (extensionmiddleware.WrapHTTPHandlerFunc, error) {
	return func(_ context.Context, next http.Handler) (http.Handler, error) {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			buf := bodies.Get().(*bytes.Buffer)
			buf.Reset()
			defer func() {
				if buf.Cap() <= maxPooledBody {
					bodies.Put(buf)
				}
			}()
			if _, err := buf.ReadFrom(r.Body); err != nil {
				refuse(w, err)
				return
			}
			if err := checkBody(r, buf.Bytes()); err != nil {
				refuse(w, err)
				return
			}
			_ = r.Body.Close()
			r.Body = io.NopCloser(bytes.NewReader(buf.Bytes()))
			next.ServeHTTP(w, r)
		}), nil
	}, nil
}

func checkBody(r *http.Request, data []byte) error {
	if mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err == nil && mediaType == "application/json" {
		return limits.CheckOTLPJSON(data)
	}
	if check := checks[path.Base(r.URL.Path)]; check != nil {
		return check(data)
	}
	return nil // the receiver doesn't know the path either
}

// refuse answers as the receiver would: too large is 413, the rest a bad request.
func refuse(w http.ResponseWriter, err error) {
	code := http.StatusBadRequest
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) || fault.ClassOf(err) == fault.TooLarge {
		code = http.StatusRequestEntityTooLarge
	}
	http.Error(w, err.Error(), code)
}

// GetGRPCServerOptions implements extensionmiddleware.GRPCServer.
func (guard) GetGRPCServerOptions(context.Context) ([]grpc.ServerOption, error) {
	codec := encoding.GetCodecV2("proto")
	if codec == nil {
		return nil, errors.New("no codec is registered for protobuf")
	}
	return []grpc.ServerOption{grpc.ForceServerCodecV2(guardCodec{codec})}, nil
}

// guardCodec checks a request before the codec below decodes it.
type guardCodec struct{ encoding.CodecV2 }

// Unmarshal implements encoding.CodecV2. The request types are internal to pdata, so they are told
// by name; a renamed type would show in the test.
func (c guardCodec) Unmarshal(data mem.BufferSlice, v any) error {
	check := checks[typeName(v)]
	if check == nil {
		return c.CodecV2.Unmarshal(data, v)
	}
	buf := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buf.Free()
	if err := check(buf.ReadOnlyData()); err != nil {
		return err
	}
	return c.CodecV2.Unmarshal(mem.BufferSlice{buf}, v)
}

func typeName(v any) string {
	if t := reflect.TypeOf(v); t != nil && t.Kind() == reflect.Pointer {
		return t.Elem().Name()
	}
	return ""
}
