package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/jaegertracing/jaeger-idl/model/v1"
	"github.com/jaegertracing/jaeger-idl/proto-gen/api_v2"
	"github.com/jaegertracing/jaeger-idl/thrift-gen/agent"
	thriftjaeger "github.com/jaegertracing/jaeger-idl/thrift-gen/jaeger"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// receivers is a configuration of the collector with every receiver that is linked beside OTLP.
const receivers = `
collector:
  config:
    receivers:
      jaeger:
        protocols:
          grpc: {endpoint: %[1]q}
          thrift_http: {endpoint: %[2]q}
          thrift_compact: {endpoint: %[3]q}
          thrift_binary: {endpoint: %[4]q}
      zipkin: {endpoint: %[5]q}
      fluent_forward: {endpoint: %[6]q}
      file_log: {include: [%[7]q], start_at: beginning, poll_interval: 50ms}
    exporters:
      hune: {}
    service:
      pipelines:
        traces: {receivers: [jaeger, zipkin], exporters: [hune]}
        logs: {receivers: [fluent_forward, file_log], exporters: [hune]}
`

// jaegerBatch is one span of a service, whose number its name and IDs have.
func jaegerBatch(n int64, service string, at time.Time) *thriftjaeger.Batch {
	answer := int64(42)
	return &thriftjaeger.Batch{Process: &thriftjaeger.Process{ServiceName: service}, Spans: []*thriftjaeger.Span{{
		TraceIdLow: n, SpanId: n, OperationName: service + " op", StartTime: at.UnixMicro(), Duration: 1000,
		Tags: []*thriftjaeger.Tag{{Key: "answer", VType: thriftjaeger.TagType_LONG, VLong: &answer}},
	}}}
}

// sendPacket sends a batch as Jaeger's clients do: one call without an answer in one packet.
func sendPacket(t *testing.T, addr string, protocol thrift.TProtocolFactory, batch *thriftjaeger.Batch) {
	t.Helper()
	packet := thrift.NewTMemoryBuffer()
	require.NoError(t, agent.NewAgentClientFactory(packet, protocol).EmitBatch(t.Context(), batch))
	c, err := net.Dial("udp", addr)
	require.NoError(t, err)
	defer func() { _ = c.Close() }()
	_, err = c.Write(packet.Bytes())
	require.NoError(t, err)
}

// fluentMessage is one entry in Fluentd's forward protocol: [tag, seconds, {"log": line}] in MessagePack.
func fluentMessage(tag, line string, at time.Time) []byte {
	text := func(b []byte, s string) []byte { return append(append(b, 0xd9, byte(len(s))), s...) }
	b := text([]byte{0x93}, tag)
	seconds := at.Unix()
	b = append(b, 0xce, byte(seconds>>24), byte(seconds>>16), byte(seconds>>8), byte(seconds))
	return text(text(append(b, 0x81), "log"), line)
}

// Every receiver takes what its clients send, and it is found by the APIs.
func TestReceivers(t *testing.T) {
	dir := t.TempDir()
	grpcAddr, httpAddr, zipkinAddr, fluentAddr := freeAddr(t), freeAddr(t), freeAddr(t), freeAddr(t)
	compactAddr, binaryAddr, logFile := freeAddr(t), freeAddr(t), filepath.Join(dir, "app.log")
	config := filepath.Join(dir, "hune.yaml")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, receivers, grpcAddr, httpAddr, compactAddr, binaryAddr, zipkinAddr, fluentAddr, logFile), 0o600))
	p := start(t, filepath.Join(dir, "data"), quiet, "--config", config)
	now := time.Now().Truncate(time.Millisecond)

	conn, err := grpc.NewClient(grpcAddr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = api_v2.NewCollectorServiceClient(conn).PostSpans(t.Context(), &api_v2.PostSpansRequest{Batch: model.Batch{Process: model.NewProcess("jaeger-grpc", nil),
		Spans: []*model.Span{{TraceID: model.NewTraceID(0, 1), SpanID: 1, OperationName: "jaeger-grpc op", StartTime: now, Duration: time.Millisecond, Tags: []model.KeyValue{model.Int64("answer", 42)}}}}})
	require.NoError(t, err)

	data, err := thrift.NewTSerializer().Write(context.Background(), jaegerBatch(2, "jaeger-http", now))
	require.NoError(t, err)
	send := func(url, contentType string, body []byte) int {
		t.Helper()
		old := p.url
		p.url = url
		defer func() { p.url = old }()
		code, _ := p.post("", contentType, body, nil)
		return code
	}
	require.Equal(t, http.StatusAccepted, send("http://"+httpAddr+"/api/traces", "application/x-thrift", data))
	require.Equal(t, http.StatusAccepted, send("http://"+zipkinAddr+"/api/v2/spans", jsonType, fmt.Appendf(nil,
		`[{"traceId":"0000000000000005","id":"0000000000000005","name":"zipkin op","timestamp":%d,"duration":1000,"localEndpoint":{"serviceName":"zipkin"},"tags":{"answer":"42"}}]`, now.UnixMicro())))

	services := func() map[string]bool {
		var found struct {
			Traces []struct{ RootServiceName, RootTraceName string }
		}
		p.getJSON("/api/search", url.Values{"q": {`{ span.answer = 42 || span.answer = "42" }`}}, &found)
		out := map[string]bool{}
		for _, tr := range found.Traces {
			require.Equal(t, tr.RootServiceName+" op", tr.RootTraceName)
			out[tr.RootServiceName] = true
		}
		return out
	}
	require.Equal(t, map[string]bool{"jaeger-grpc": true, "jaeger-http": true, "zipkin": true}, services(), "acknowledged")
	require.Eventually(t, func() bool {
		// Nobody acknowledges a packet; one that comes twice is one span.
		sendPacket(t, compactAddr, thrift.NewTCompactProtocolFactoryConf(nil), jaegerBatch(3, "jaeger-compact", now))
		sendPacket(t, binaryAddr, thrift.NewTBinaryProtocolFactoryConf(nil), jaegerBatch(4, "jaeger-binary", now))
		found := services()
		return found["jaeger-compact"] && found["jaeger-binary"]
	}, 30*time.Second, 100*time.Millisecond)
	require.Equal(t, map[string]int{"jaeger-compact op": 1}, p.spanNames("3", nil))

	fluent, err := net.Dial("tcp", fluentAddr)
	require.NoError(t, err)
	defer func() { _ = fluent.Close() }()
	_, err = fluent.Write(fluentMessage("app.access", "from fluentd", now))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(logFile, []byte("from a file\nand its second line\n"), 0o600))
	want := map[string]int{"from fluentd": 1, "from a file": 1, "and its second line": 1}
	var lines map[string]int
	require.Eventually(t, func() bool {
		lines = p.lokiLines(`{service_name=~".+"}`, now.Add(-time.Hour), now.Add(time.Hour), nil)
		return len(lines) == len(want)
	}, 30*time.Second, 100*time.Millisecond, "%v", lines)
	require.Equal(t, want, lines)
	p.stop()
}
