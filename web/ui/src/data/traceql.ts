// Building and reading the TraceQL that the filter row above the query box stands for.

export interface Filters {
  service: string;
  /** A duration such as 100ms, or ''. */
  longer: string;
  errors: boolean;
}

export const noFilters: Filters = { service: '', longer: '', errors: false };

/** TraceQL of the filters; {} finds everything. */
export function toTraceQL(f: Filters): string {
  const conds: string[] = [];
  if (f.service) conds.push(`resource.service.name = ${JSON.stringify(f.service)}`);
  if (f.longer) conds.push(`duration > ${f.longer}`);
  if (f.errors) conds.push('status = error');
  return conds.length ? `{ ${conds.join(' && ')} }` : '{}';
}

/** Filters of a query that toTraceQL could have written, else null: then the text is in charge. */
export function fromTraceQL(q: string): Filters | null {
  const body = /^\s*\{([\s\S]*)\}\s*$/.exec(q)?.[1];
  if (body === undefined) return q.trim() === '' ? { ...noFilters } : null;
  const f = { ...noFilters };
  let rest = body.trim();
  while (rest) {
    const m = /^(?:resource\.service\.name\s*=\s*("(?:[^"\\]|\\.)*")|duration\s*>\s*([0-9][0-9.a-zµ]*)|(status)\s*=\s*error)\s*(?:&&\s*(?=\S)|$)/.exec(rest);
    if (!m) return null;
    try {
      if (m[1]) f.service = JSON.parse(m[1]) as string;
    } catch {
      return null;
    }
    if (m[2]) f.longer = m[2];
    if (m[3]) f.errors = true;
    rest = rest.slice(m[0].length);
  }
  return f;
}

/** Whether a text is a trace ID, which opens the trace instead of searching. */
export const isTraceID = (s: string): boolean => /^([0-9a-fA-F]{32}|[0-9a-fA-F]{16})$/.test(s.trim());

/** LogQL for the logs of a trace, or of one of its spans. */
export function logsOf(trace: string, span?: string): string {
  return `{service_name=~".+"} | trace_id=${JSON.stringify(trace)}` + (span ? ` | span_id=${JSON.stringify(span)}` : '');
}
