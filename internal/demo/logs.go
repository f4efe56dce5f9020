package demo

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// logServer writes what the service says about a request: always when it failed, else for some.
func (g *Generator) logServer(s ptrace.Span, in *instance, r *request, c *call, method, failure string, end time.Time, took time.Duration) {
	if failure != "" {
		g.log(s, in, end, plog.SeverityNumberError, "request failed", []string{"error", failure, "operation", s.Name(), "user", r.user,
			"duration_ms", millis(took)})
		return
	}
	if took > time.Second {
		g.log(s, in, end, plog.SeverityNumberWarn, "slow request", []string{"operation", s.Name(), "duration_ms", millis(took)})
	}
	switch {
	case c.service == "storefront":
		g.access(s, in, r, c, method, end, took)
	case c.service == "checkout":
		g.log(s, in, end, plog.SeverityNumberInfo, "order placed", []string{"order_id", r.order, "user", r.user, "items", strconv.Itoa(1 + g.rand.IntN(5)),
			"duration_ms", millis(took)})
	case c.via == viaQueue:
		g.log(s, in, end, plog.SeverityNumberInfo, "mail sent", []string{"order_id", r.order, "template", "order-confirmation"})
	case r.sampled:
		g.log(s, in, end, plog.SeverityNumberInfo, "request served", []string{"operation", s.Name(), "duration_ms", millis(took), "user", r.user})
		g.log(s, in, end, plog.SeverityNumberDebug, "cache lookup", []string{"key", "product:" + r.product, "hit", strconv.FormatBool(g.rand.IntN(5) > 0)})
	}
}

func millis(d time.Duration) string { return strconv.FormatFloat(float64(d)/1e6, 'f', 2, 64) }

// access is a line in the combined log format.
func (g *Generator) access(s ptrace.Span, in *instance, r *request, c *call, method string, end time.Time, took time.Duration) {
	a := s.Attributes()
	ip, _ := a.Get("client.address")
	code, _ := a.Get("http.response.status_code")
	size, _ := a.Get("http.response.body.size")
	agent, _ := a.Get("user_agent.original")
	line := fmt.Sprintf(`%s - %s [%s] "%s %s HTTP/1.1" %d %d "-" "%s" %s trace=%s`, ip.Str(), r.user, end.UTC().Format("02/Jan/2006:15:04:05 -0700"),
		method, fillPath(c.name, r), code.Int(), size.Int(), agent.Str(), millis(took), s.TraceID())
	g.record(s, in, end, plog.SeverityNumberInfo, line)
}

// log writes a message with fields in the format of the service.
func (g *Generator) log(s ptrace.Span, in *instance, at time.Time, severity plog.SeverityNumber, message string, fields []string) {
	level := levelOf(severity)
	trace, span := s.TraceID(), s.SpanID()
	var b strings.Builder
	switch in.format {
	case formatJSON:
		fmt.Fprintf(&b, `{"time":%q,"level":%q,"msg":%q,"trace_id":%q,"span_id":%q`, at.UTC().Format(time.RFC3339Nano), level, message,
			hex.EncodeToString(trace[:]), hex.EncodeToString(span[:]))
		for i := 0; i+1 < len(fields); i += 2 {
			if _, err := strconv.ParseFloat(fields[i+1], 64); err == nil {
				fmt.Fprintf(&b, `,%q:%s`, fields[i], fields[i+1])
			} else {
				fmt.Fprintf(&b, `,%q:%q`, fields[i], fields[i+1])
			}
		}
		b.WriteByte('}')
	case formatLogfmt:
		fmt.Fprintf(&b, "ts=%s level=%s msg=%s trace_id=%x span_id=%x", at.UTC().Format(time.RFC3339Nano), level, quoted(message), trace[:], span[:])
		for i := 0; i+1 < len(fields); i += 2 {
			fmt.Fprintf(&b, " %s=%s", fields[i], quoted(fields[i+1]))
		}
	default:
		fmt.Fprintf(&b, "%s %-5s [%s,%x] %s:", at.UTC().Format("2006-01-02 15:04:05.000"), strings.ToUpper(level), in.name, trace[:], message)
		for i := 0; i+1 < len(fields); i += 2 {
			fmt.Fprintf(&b, " %s %s", fields[i], fields[i+1])
		}
		if severity >= plog.SeverityNumberError {
			b.WriteString("\n" + stackTrace(in, message))
		}
	}
	g.record(s, in, at, severity, b.String())
}

func quoted(s string) string {
	if strings.ContainsAny(s, " =\"") {
		return strconv.Quote(s)
	}
	return s
}

func levelOf(n plog.SeverityNumber) string {
	switch {
	case n >= plog.SeverityNumberError:
		return "error"
	case n >= plog.SeverityNumberWarn:
		return "warn"
	case n >= plog.SeverityNumberInfo:
		return "info"
	}
	return "debug"
}

func (g *Generator) record(s ptrace.Span, in *instance, at time.Time, severity plog.SeverityNumber, line string) {
	records, ok := g.step.logs[in]
	if !ok {
		rl := g.step.ld.ResourceLogs().AppendEmpty()
		in.resource.CopyTo(rl.Resource())
		sl := rl.ScopeLogs().AppendEmpty()
		sl.Scope().SetName("example.shop/logging")
		records = sl.LogRecords()
		g.step.logs[in] = records
	}
	l := records.AppendEmpty()
	l.SetTimestamp(pcommon.NewTimestampFromTime(at))
	l.SetObservedTimestamp(pcommon.NewTimestampFromTime(at.Add(ms)))
	l.SetSeverityNumber(severity)
	l.SetSeverityText(strings.ToUpper(levelOf(severity)))
	l.SetTraceID(s.TraceID())
	l.SetSpanID(s.SpanID())
	l.SetFlags(plog.DefaultLogRecordFlags.WithIsSampled(true))
	l.Body().SetStr(line)
	l.Attributes().PutStr("log.iostream", "stdout")
}

func exceptionType(language string) string {
	switch language {
	case "java":
		return "java.lang.IllegalStateException"
	case "python":
		return "RuntimeError"
	case "nodejs":
		return "Error"
	case "dotnet":
		return "System.InvalidOperationException"
	}
	return "error"
}

func stackTrace(in *instance, message string) string {
	switch in.language {
	case "java":
		return fmt.Sprintf("java.lang.IllegalStateException: %s\n\tat example.shop.%s.Handler.handle(Handler.java:118)\n\tat example.shop.%s.Server.run(Server.java:54)", message, in.name, in.name)
	case "python":
		return fmt.Sprintf("Traceback (most recent call last):\n  File \"/app/%s/server.py\", line 83, in handle\nRuntimeError: %s", in.name, message)
	}
	return fmt.Sprintf("%s\nmain.(*Server).handle\n\t/src/%s/server.go:142\nmain.main\n\t/src/%s/main.go:38", message, in.name, in.name)
}
