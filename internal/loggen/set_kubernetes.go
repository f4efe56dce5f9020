package loggen

import "strconv"

// podRef is a pod as the logs of a cluster name it.
type podRef struct{ namespace, name, uid, container []byte }

// kubernetes imitates the logs of kubelets and of the control plane, in the format of klog.
func kubernetes(w *world) field {
	w.clusterPods()
	f := w.fields
	f["when"] = w.time("0102 15:04:05.000000")
	f["thread"] = func(dst []byte) []byte {
		n := [...]int64{1, 1, 1247, 1247, 1247, 2210, 3178, 912}[w.IntN(8)]
		for x := n; x < 1_000_000; x *= 10 {
			dst = append(dst, ' ')
		}
		return strconv.AppendInt(dst, n, 10)
	}
	f["head"] = w.compile("<when> <thread> ")
	f["node"] = w.population(60, 1.1, func(dst []byte) []byte {
		return strconv.AppendInt(append(w.any(places...)(append(dst, "node-"...)), '-'), w.Int64N(20), 10)
	})
	f["hex5"], f["hex64"] = w.population(900, 1.1, w.appendPodTail), w.shared(120, 3, 8, w.hex(64))
	f["uuid"] = w.appendUUID
	f["ip"] = w.population(300, 1.2, w.addresses("10.4."))
	f["port"] = w.ints(30000, 61000)
	f["secs"] = w.decimals(1.2, 6, true)
	f["ms"] = w.decimals(4, 6, true)
	f["n"] = w.sizes(12)
	f["version"] = w.counter(48_812_001, 60)
	f["line"] = w.ints(40, 2900)
	f["file"] = w.zipfOf(1.2, nouns)
	f["resource"] = w.words("pods", "endpointslices", "configmaps", "leases", "secrets", "services", "nodes", "events", "deployments", "replicasets")
	f["verb"] = w.words("GET", "LIST", "WATCH", "PUT", "PATCH", "POST")
	f["group"] = w.words("/api/v1", "/apis/apps/v1", "/apis/discovery.k8s.io/v1", "/apis/coordination.k8s.io/v1")
	f["status"] = w.words("200", "200", "201", "409", "404", "410")
	f["probe"] = w.words("Readiness", "Liveness", "Startup")
	f["volume"] = w.words("kube-api-access-", "config-", "tls-", "data-")
	f["words"] = w.phrase
	f["delay"] = w.words("10s", "20s", "40s", "1m20s", "2m40s", "5m0s")
	shapes := []shape{
		{6000, `I<head>kubelet.go:2406] "SyncLoop (PLEG): event for pod" pod="<ns>/<pod>" event={"ID":"<uid>","Type":"ContainerStarted","Data":"<hex64>"}`},
		{4000, `I<head>prober.go:107] "Probe failed" probeType="<probe>" pod="<ns>/<pod>" podUID="<uid>" containerName="<container>" probeResult="failure" output="Get \"http://<ip>:8080/healthz\": dial tcp <ip>:8080: connect: connection refused"`},
		{7000, `I<head>httplog.go:132] "HTTP" verb="<verb>" URI="<group>/namespaces/<ns>/<resource>?resourceVersion=<version>&timeoutSeconds=<n>" latency="<ms>ms" userAgent="kube-controller-manager/v1.31.2" audit-ID="<uuid>" srcIP="<ip>:<port>" resp=<status>`},
		{3500, `I<head>reconciler_common.go:218] "operationExecutor.MountVolume started for volume \"<volume><hex5>\" (UniqueName: \"kubernetes.io/projected/<uid>-<volume><hex5>\") pod \"<pod>\" (UID: \"<uid>\") " pod="<ns>/<pod>"`},
		{2500, `I<head>operation_generator.go:721] "MountVolume.SetUp succeeded for volume \"<volume><hex5>\" (UniqueName: \"kubernetes.io/projected/<uid>-<volume><hex5>\") pod \"<pod>\" (UID: \"<uid>\") " pod="<ns>/<pod>"`},
		{2500, `I<head>pod_startup_latency_tracker.go:104] "Observed pod startup duration" pod="<ns>/<pod>" podStartSLOduration=<secs> podStartE2EDuration="<secs>s" observedRunningTime="2026-01-15 08:30:00.<line> +0000 UTC m=+<secs>"`},
		{2000, `I<head>schedule_one.go:302] "Successfully bound pod to node" pod="<ns>/<pod>" node="<node>" evaluatedNodes=<n> feasibleNodes=<n>`},
		{1800, `E<head>pod_workers.go:1301] "Error syncing pod, skipping" err="failed to \"StartContainer\" for \"<container>\" with CrashLoopBackOff: \"back-off <delay> restarting failed container=<container> pod=<pod>_<ns>(<uid>)\"" pod="<ns>/<pod>" podUID="<uid>"`},
		{1500, `I<head>replica_set.go:676] "Finished syncing" kind="ReplicaSet" key="<ns>/<pod>" duration="<ms>ms"`},
		{1500, `I<head>controller.go:615] quota admission added evaluator for: <resource>`},
		{1200, `I<head>trace.go:236] Trace[<version>]: "List" accept:application/vnd.kubernetes.protobuf,audit-id:<uuid>,client:<ip>,(total time: <ms>ms):`},
		{900, `W<head>reflector.go:547] k8s.io/client-go/informers/factory.go:<line>: failed to list *v1.<file>: <resource> is forbidden: User "system:node:<node>" cannot list resource "<resource>"`},
		{800, `I<head>garbagecollector.go:549] "Processing item" item="[v1/Pod, namespace: <ns>, name: <pod>, uid: <uid>]" virtual=false`},
		{700, `I<head>event.go:389] "Event occurred" object="<ns>/<pod>" fieldPath="" kind="Pod" apiVersion="v1" type="Normal" reason="Pulled" message="Container image already present on machine"`},
		{20, `E<head><file>.go:<line>] <words>: <words>`},
	}
	shapes = append(shapes, invent(3, 120, 9000, `<LEVEL><head><NOUN>.go:<LINE>] "`, `" pod="<ns>/<pod>" node="<node>"`, "<n>", "<ip>", "<container>", "<ms>ms", "<version>")...)
	return w.choose(shapes)
}

// clusterPods sets the fields of the pod that a line is about: ns, pod, uid and container. Pods of one
// cluster come and go, and each is in the log for a few dozen lines in a row.
func (w *world) clusterPods() {
	namespace := w.words("default", "kube-system", "monitoring", "shop", "shop-staging", "ingress", "batch", "data")
	app := w.zipfOf(1.1, nouns)
	roster := newRoster(w, 80, 10, 60, func() podRef {
		name := app(nil)
		return podRef{namespace(nil), w.appendPod(nil, string(name)), w.appendUUID(nil), name}
	})
	roster.stay = 3
	cur := roster.next()
	w.before = append(w.before, func() { cur = roster.next() })
	w.fields["ns"] = func(dst []byte) []byte { return append(dst, cur.namespace...) }
	w.fields["pod"] = func(dst []byte) []byte { return append(dst, cur.name...) }
	w.fields["uid"] = func(dst []byte) []byte { return append(dst, cur.uid...) }
	w.fields["container"] = func(dst []byte) []byte { return append(dst, cur.container...) }
}

var kubernetesQueries = common(
	Query{Kind: StaticWord, Text: "CrashLoopBackOff"},
	Query{Kind: CountWord, Text: "Probe failed"},
	Query{Kind: LoneID, After: `audit-ID="`, Length: 36},
	Query{Kind: LoneID, After: `podUID="`, Length: 36},
	Query{Kind: FieldText, Text: `probeType="Liveness"`},
	Query{Kind: Partial, Text: "10.4.17"},
	Query{Kind: Regexp, Text: `resp=4\d\d$`, Literal: "resp=4"},
	Query{Kind: Regexp, Text: `^E\d+ .*(refused|back-off)`},
)
