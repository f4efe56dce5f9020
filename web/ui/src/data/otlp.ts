// A trace as OTLP JSON, and the tree of its spans.

export type AttrValue = string | number | boolean | null | AttrValue[] | { [k: string]: AttrValue };

export interface Attr {
  key: string;
  value: AttrValue;
}

export interface SpanEvent {
  name: string;
  /** Nanoseconds since the start of the trace. */
  offset: number;
  attrs: Attr[];
}

export interface Span {
  id: string;
  parent: string;
  service: string;
  name: string;
  kind: string;
  /** Nanoseconds since the start of the trace. */
  start: number;
  duration: number; // nanoseconds
  error: boolean;
  statusMessage: string;
  attrs: Attr[];
  resource: Attr[];
  scope: string;
  events: SpanEvent[];
  links: { trace: string; span: string; attrs: Attr[] }[];
}

export interface Node {
  span: Span;
  depth: number;
  /** Index of the parent in rows, or -1. */
  parent: number;
  /** How many rows below belong to it. */
  descendants: number;
  /** The parent is named but not in the trace. */
  orphan: boolean;
}

export interface Trace {
  id: string;
  /** Unix nanoseconds of the first start. */
  startNs: bigint;
  startMs: number;
  duration: number; // nanoseconds
  /** Every span in the order of the tree: parents before children, siblings by start. */
  rows: Node[];
  services: { name: string; spans: number; errors: number }[];
  errors: number;
  root?: Span;
}

interface RawValue {
  stringValue?: string;
  boolValue?: boolean;
  intValue?: string | number;
  doubleValue?: number | string;
  bytesValue?: string;
  arrayValue?: { values?: RawValue[] };
  kvlistValue?: { values?: RawAttr[] };
}
interface RawAttr {
  key: string;
  value?: RawValue;
}
interface RawSpan {
  traceId?: string;
  spanId?: string;
  parentSpanId?: string;
  name?: string;
  kind?: string | number;
  startTimeUnixNano?: string | number;
  endTimeUnixNano?: string | number;
  attributes?: RawAttr[];
  events?: { name?: string; timeUnixNano?: string | number; attributes?: RawAttr[] }[];
  links?: { traceId?: string; spanId?: string; attributes?: RawAttr[] }[];
  status?: { code?: string | number; message?: string };
}
interface RawScopeSpans {
  scope?: { name?: string; version?: string };
  spans?: RawSpan[];
}
interface RawResourceSpans {
  resource?: { attributes?: RawAttr[] };
  scopeSpans?: RawScopeSpans[];
  instrumentationLibrarySpans?: RawScopeSpans[];
}
/** Tempo v2 ({trace}), Tempo v1 ({batches}) and plain OTLP. */
export interface RawTrace {
  trace?: RawTrace;
  batches?: RawResourceSpans[];
  resourceSpans?: RawResourceSpans[];
}

function valueOf(v: RawValue | undefined): AttrValue {
  if (!v) return null;
  if (v.stringValue !== undefined) return v.stringValue;
  if (v.boolValue !== undefined) return v.boolValue;
  if (v.intValue !== undefined) return Number.isSafeInteger(Number(v.intValue)) ? Number(v.intValue) : String(v.intValue);
  if (v.doubleValue !== undefined) return Number(v.doubleValue);
  if (v.arrayValue) return (v.arrayValue.values ?? []).map(valueOf);
  if (v.kvlistValue) return Object.fromEntries((v.kvlistValue.values ?? []).map((a) => [a.key, valueOf(a.value)]));
  if (v.bytesValue !== undefined) return v.bytesValue;
  return null;
}

const attrsOf = (raw: RawAttr[] | undefined): Attr[] => (raw ?? []).map((a) => ({ key: a.key, value: valueOf(a.value) }));

/** An ID in hexadecimal. Protobuf's JSON writes base64, OTLP's hexadecimal: the length tells. */
export function hexID(id: string | undefined, bytes: number): string {
  if (!id) return '';
  if (id.length === bytes * 2 && /^[0-9a-fA-F]+$/.test(id)) return id.toLowerCase();
  try {
    const bin = atob(id);
    let out = '';
    for (let i = 0; i < bin.length; i++) out += bin.charCodeAt(i).toString(16).padStart(2, '0');
    return /^0*$/.test(out) ? '' : out;
  } catch {
    return id;
  }
}

const kinds = ['', 'internal', 'server', 'client', 'producer', 'consumer'];
const kindOf = (k: string | number | undefined): string => (typeof k === 'number' ? (kinds[k] ?? '') : (k ?? '').replace('SPAN_KIND_', '').toLowerCase().replace('unspecified', ''));

function nano(v: string | number | undefined): bigint {
  try {
    return BigInt(v ?? 0);
  } catch {
    return 0n;
  }
}

/** The tree of an answer, or null if it has no span. Duplicated spans (a retry) are shown once. */
export function traceOf(raw: RawTrace): Trace | null {
  const body = raw.trace ?? raw;
  const found: { span: Span; start: bigint; events: bigint[] }[] = [];
  const seen = new Set<string>();
  let id = '';
  for (const rs of body.resourceSpans ?? body.batches ?? []) {
    const resource = attrsOf(rs.resource?.attributes);
    const service = String(resource.find((a) => a.key === 'service.name')?.value ?? '') || 'unknown';
    for (const ss of rs.scopeSpans ?? rs.instrumentationLibrarySpans ?? []) {
      const scope = [ss.scope?.name, ss.scope?.version].filter(Boolean).join(' ');
      for (const s of ss.spans ?? []) {
        const spanID = hexID(s.spanId, 8);
        id ||= hexID(s.traceId, 16);
        const start = nano(s.startTimeUnixNano);
        // A Zipkin span is shared by client and server: the same ID, another kind.
        const key = `${spanID}/${kindOf(s.kind)}/${start}`;
        if (seen.has(key)) continue;
        seen.add(key);
        const end = nano(s.endTimeUnixNano);
        const code = s.status?.code;
        found.push({
          start,
          events: (s.events ?? []).map((e) => nano(e.timeUnixNano)),
          span: {
            id: spanID,
            parent: hexID(s.parentSpanId, 8),
            service,
            name: s.name ?? '',
            kind: kindOf(s.kind),
            start: 0,
            duration: end > start ? Number(end - start) : 0,
            error: code === 2 || code === 'STATUS_CODE_ERROR',
            statusMessage: s.status?.message ?? '',
            attrs: attrsOf(s.attributes),
            resource,
            scope,
            events: (s.events ?? []).map((e) => ({ name: e.name ?? '', offset: 0, attrs: attrsOf(e.attributes) })),
            links: (s.links ?? []).map((l) => ({ trace: hexID(l.traceId, 16), span: hexID(l.spanId, 8), attrs: attrsOf(l.attributes) })),
          },
        });
      }
    }
  }
  if (!found.length) return null;
  const startNs = found.reduce((m, f) => (f.start < m ? f.start : m), found[0]!.start);
  let duration = 0;
  for (const f of found) {
    f.span.start = Number(f.start - startNs);
    f.span.events.forEach((e, i) => (e.offset = Number(f.events[i]! - startNs)));
    duration = Math.max(duration, f.span.start + f.span.duration);
  }
  const rows = treeOf(found.map((f) => f.span));
  return {
    id,
    startNs,
    startMs: Number(startNs / 1000n) / 1000,
    duration,
    rows,
    services: servicesOf(rows),
    errors: rows.reduce((n, r) => n + (r.span.error ? 1 : 0), 0),
    root: rows.find((r) => !r.orphan)?.span ?? rows[0]?.span,
  };
}

/** Rows of the tree. A span whose parent is missing is a root; so is one of a parent cycle. */
export function treeOf(spans: readonly Span[]): Node[] {
  const byID = new Map<string, Span>();
  for (const s of spans) if (!byID.has(s.id)) byID.set(s.id, s);
  const children = new Map<string, Span[]>();
  const roots: Span[] = [];
  for (const s of spans) {
    const p = s.parent ? byID.get(s.parent) : undefined;
    if (p && p !== s && s.parent !== s.id) {
      const list = children.get(p.id);
      if (list) list.push(s);
      else children.set(p.id, [s]);
    } else if (s !== byID.get(s.id) && byID.get(s.id)) {
      // The other half of a shared span hangs below the first.
      const list = children.get(s.id);
      if (list) list.push(s);
      else children.set(s.id, [s]);
    } else roots.push(s);
  }
  const byStart = (a: Span, b: Span) => a.start - b.start || b.duration - a.duration;
  children.forEach((list) => list.sort(byStart));
  // Roots with no parent at all come before orphans of the same start.
  roots.sort((a, b) => Number(!!a.parent) - Number(!!b.parent) || byStart(a, b));

  const rows: Node[] = [];
  const placed = new Set<Span>();
  const place = (root: Span) => {
    // A stack, not recursion: traces of a thousand levels exist.
    const stack: { span: Span; depth: number; parent: number }[] = [{ span: root, depth: 0, parent: -1 }];
    while (stack.length) {
      const { span, depth, parent } = stack.pop()!;
      if (placed.has(span)) continue;
      placed.add(span);
      const index = rows.length;
      rows.push({ span, depth, parent, descendants: 0, orphan: parent < 0 && span.parent !== '' });
      // Only the first half of a shared span has the children, or both would.
      if (byID.get(span.id) !== span) continue;
      const list = children.get(span.id) ?? [];
      for (let i = list.length - 1; i >= 0; i--) stack.push({ span: list[i]!, depth: depth + 1, parent: index });
    }
  };
  roots.forEach(place);
  for (const s of [...spans].sort(byStart)) if (!placed.has(s)) place(s); // cycles
  for (let i = rows.length - 1; i >= 0; i--) {
    const p = rows[i]!.parent;
    if (p >= 0) rows[p]!.descendants += rows[i]!.descendants + 1;
  }
  return rows;
}

function servicesOf(rows: readonly Node[]): Trace['services'] {
  const m = new Map<string, { name: string; spans: number; errors: number }>();
  for (const { span } of rows) {
    let s = m.get(span.service);
    if (!s) m.set(span.service, (s = { name: span.service, spans: 0, errors: 0 }));
    s.spans++;
    if (span.error) s.errors++;
  }
  return [...m.values()];
}

/** Rows that are left when the descendants of `collapsed` are folded away. */
export function visibleRows(rows: readonly Node[], collapsed: ReadonlySet<Span>): number[] {
  const out: number[] = [];
  for (let i = 0; i < rows.length; i++) {
    out.push(i);
    if (collapsed.has(rows[i]!.span)) i += rows[i]!.descendants;
  }
  return out;
}

/** Text of an attribute value. */
export const attrText = (v: AttrValue): string => (typeof v === 'string' ? v : JSON.stringify(v));
