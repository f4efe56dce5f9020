package loggen

import "strconv"

// request is something that a few lines of several services are about.
type request struct{ trace, path, method, user, tenant []byte }

// requests sets the fields trace, path, method, user and tenant, which lines of one request share.
func (w *world) requests() {
	id := w.zipfIDs(50000)
	path := w.population(300, 1.15, w.pages())
	resource := w.words("orders", "carts", "users", "products", "payments", "sessions", "inventory", "reviews")
	method := w.words("GET", "POST", "PUT", "DELETE", "PATCH")
	tenant := w.zipfIDs(120)
	roster := newRoster(w, 150, 2, 8, func() request {
		r := request{trace: w.appendHex(nil, 32), method: method(nil), user: append([]byte("u-"), id(nil)...), tenant: append([]byte("tenant-"), tenant(nil)...)}
		if w.IntN(2) == 0 {
			r.path = path(nil)
		} else {
			r.path = id(append(resource([]byte("/api/v1/")), '/'))
		}
		return r
	})
	cur := roster.next()
	w.before = append(w.before, func() { cur = roster.next() })
	w.fields["trace"] = func(dst []byte) []byte { return append(dst, cur.trace...) }
	w.fields["path"] = func(dst []byte) []byte { return append(dst, cur.path...) }
	w.fields["method"] = func(dst []byte) []byte { return append(dst, cur.method...) }
	w.fields["user"] = func(dst []byte) []byte { return append(dst, cur.user...) }
	w.fields["tenant"] = func(dst []byte) []byte { return append(dst, cur.tenant...) }
}

// jsonLines imitates services that log JSON: about forty messages, identifiers of many kinds.
func jsonLines(w *world) field {
	w.requests()
	f := w.fields
	f["ts"] = w.time("2006-01-02T15:04:05.000000Z")
	w.pods()
	f["table"] = w.zipfOf(1.3, nouns[:25])
	f["span"] = w.hex(16)
	f["status"] = w.statuses()
	f["latency"] = w.decimals(12, 3, true)
	f["bytes"] = w.bodySizes()
	f["ip"] = w.population(4000, 1.1, w.addresses("10."))
	f["agent"] = w.population(60, 1.2, w.agents())
	f["order"] = func(dst []byte) []byte {
		return strconv.AppendInt(append(dst, "ord_"...), 7_000_000_000+w.Int64N(1e9), 10)
	}
	f["amount"] = w.decimals(40, 2, false)
	f["currency"] = w.words("EUR", "USD", "GBP", "SEK")
	f["try"] = w.ints(1, 5)
	f["depth"] = w.sizes(30)
	f["uuid"] = w.appendUUID
	f["sku"] = w.population(3000, 1.1, func(dst []byte) []byte { return w.appendHex(append(dst, "SKU-"...), 6) })
	f["words"] = w.phrase
	f["bool"] = w.any("true", "false")
	f["tags"] = w.choose([]shape{{4, `["web"]`}, {2, `["web","eu"]`}, {1, `["batch","low","eu"]`}, {1, `[]`}})
	f["error"] = w.choose([]shape{
		{5, "connection refused"}, {4, "context deadline exceeded"}, {3, "dial tcp <ip>:5432: i/o timeout"}, {2, "unexpected status <status> from <table>"},
		{2, `pq: duplicate key value violates unique constraint \"orders_pkey\"`}, {1, "<words>"},
	})
	f["user2"] = w.choose([]shape{{9, `"user_id":"<user>"`}, {1, `"user_id":null`}})
	f["head"] = w.compile(`"ts":"<ts>"`)
	f["ids"] = w.compile(`"service":"<service>","pod":"<pod>","trace_id":"<trace>","span_id":"<span>"`)
	f["http"] = w.choose([]shape{
		{8, `"http":{"method":"<method>","path":"<path>","status":<status>,"bytes":<bytes>,"client":{"ip":"<ip>","agent":"<agent>"}}`},
		{1, `"http":{"method":"<method>","path":"<path>","status":<status>,"bytes":<bytes>}`}})
	shapes := []shape{
		{30000, `{<head>,"level":"info","msg":"request completed",<ids>,<user2>,"method":"<method>","path":"<path>","status":<status>,"latency_ms":<latency>,<http>}`},
		{12000, `{<head>,"level":"info","msg":"request started",<ids>,<user2>,"method":"<method>","path":"<path>"}`},
		{8000, `{<head>,"level":"debug","msg":"cache lookup",<ids>,"key":"<table>:<sku>","hit":<bool>,"latency_ms":<latency>}`},
		{6000, `{<head>,"level":"debug","msg":"query executed",<ids>,"table":"<table>","rows":<depth>,"latency_ms":<latency>,"tags":<tags>}`},
		{4000, `{<head>,"level":"info","msg":"order placed",<ids>,<user2>,"order_id":"<order>","amount":<amount>,"currency":"<currency>","idempotency_key":"<uuid>"}`},
		{3000, `{<head>,"level":"info","msg":"message published",<ids>,"queue":{"name":"<table>","depth":<depth>},"message_id":"<uuid>"}`},
		{2500, `{<head>,"level":"warn","msg":"slow request",<ids>,<user2>,"path":"<path>","latency_ms":<latency>}`},
		{2000, `{<head>,"level":"warn","msg":"retrying call",<ids>,"attempt":<try>,"error":"<error>"}`},
		{4000, `{<head>,"level":"error","msg":"request failed",<ids>,<user2>,"method":"<method>","path":"<path>","status":500,"latency_ms":<latency>,"error":"<error>"}`},
		{1200, `{<head>,"level":"info","msg":"payment captured",<ids>,"order_id":"<order>","amount":<amount>,"currency":"<currency>"}`},
		{40, `{<head>,"level":"error","msg":"panic recovered",<ids>,"error":"<words>","stack":"goroutine <depth> [running]:\nmain.(*<service>).serve(0xc000<depth>)\n\t/src/<service>.go:<depth> +0x1f"}`},
		{20, `{<head>,"level":"warn","msg":"<words>",<ids>}`},
	}
	// What the services say besides: the long tail of messages.
	shapes = append(shapes, invent(1, 30, 4000, `{<head>,"level":"info","msg":"`, `",<ids>,"latency_ms":<latency>}`, "<depth>", "<bool>", "<service>", "<try>")...)
	return w.choose(shapes)
}

// pods sets the fields service and pod: the line comes from one of forty pods.
func (w *world) pods() {
	service := w.words("checkout", "cart", "payment", "catalog", "gateway", "identity", "mailer", "search")
	type instance struct{ service, pod string }
	pods := make([]instance, 40)
	for i := range pods {
		name := string(service(nil))
		pods[i] = instance{name, string(w.appendPod(nil, name))}
	}
	next := w.zipf(len(pods), 1.1)
	cur := &pods[0]
	w.before = append(w.before, func() { cur = &pods[next()] })
	w.fields["service"] = func(dst []byte) []byte { return append(dst, cur.service...) }
	w.fields["pod"] = func(dst []byte) []byte { return append(dst, cur.pod...) }
}

// appendPod appends the name of a pod of a deployment.
func (w *world) appendPod(dst []byte, deployment string) []byte {
	dst = w.appendHex(append(append(dst, deployment...), '-'), 9)
	return w.appendPodTail(append(dst, '-'))
}

// appendPodTail appends five characters of those that names of pods end with.
func (w *world) appendPodTail(dst []byte) []byte {
	for range 5 {
		dst = append(dst, "bcdfghjklmnpqrstvwxz2456789"[w.IntN(27)])
	}
	return dst
}

var jsonQueries = common(
	Query{Kind: StaticWord, Text: "request completed"},
	Query{Kind: CountWord, Text: "request completed"},
	Query{Kind: LoneID, After: `"span_id":"`, Length: 16},
	Query{Kind: LoneID, After: `"trace_id":"`, Length: 32},
	Query{Kind: FieldText, Text: `"level":"error"`},
	Query{Kind: StaticWord, Text: "connection refused"},
	Query{Kind: Partial, Text: "/api/v1/orders/7"},
	Query{Kind: Regexp, Text: `"status":5\d\d.*"latency_ms":[1-9]\d\d\.`, Literal: `"status":5`},
	Query{Kind: NumericFilter, Parser: "json", Field: "status", Least: 500, Marker: `"status":`},
	Query{Kind: UnwrapSum, Parser: "json", Field: "latency_ms", Marker: `"latency_ms":`},
)
