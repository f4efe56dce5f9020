// Requests to the APIs of the page's own origin.
import { apiBase, multitenancy } from '../app/boot';
import { tenant } from '../app/settings';
import { ApiError, errorText } from './errors';

export type Query = Record<string, string | number | undefined | string[]>;

export interface RequestOptions {
  query?: Query;
  headers?: Record<string, string>;
  signal?: AbortSignal;
  /** Send the parameters as a form body: for expressions too long for an address. */
  post?: boolean;
}

function encode(query: Query = {}): URLSearchParams {
  const p = new URLSearchParams();
  for (const [k, v] of Object.entries(query)) {
    if (Array.isArray(v)) v.forEach((x) => p.append(k, x));
    else if (v !== undefined && v !== '') p.set(k, String(v));
  }
  return p;
}

/** Address of an API path. */
export function apiURL(path: string, query?: Query): URL {
  const u = new URL(path.replace(/^\//, ''), apiBase);
  u.search = encode(query).toString();
  return u;
}

/** The parsed JSON answer. Throws ApiError, or the abort reason. */
export async function getJSON<T>(path: string, o: RequestOptions = {}): Promise<T> {
  const headers: Record<string, string> = { Accept: 'application/json', ...o.headers };
  if (multitenancy && tenant.value) headers['X-Scope-OrgID'] = tenant.value;
  const body = encode(o.query);
  const post = o.post && body.toString().length > 4000;
  let res: Response;
  try {
    res = await fetch(post ? apiURL(path) : apiURL(path, o.query), {
      headers,
      method: post ? 'POST' : 'GET',
      body: post ? body : undefined,
      signal: o.signal,
      credentials: 'same-origin',
    });
  } catch (e) {
    if (o.signal?.aborted) throw e;
    throw new ApiError(0, e instanceof Error ? e.message : String(e));
  }
  const text = await res.text();
  if (!res.ok) throw new ApiError(res.status, errorText(text, res));
  try {
    return JSON.parse(text) as T;
  } catch {
    throw new ApiError(res.status, `${res.url}: the answer is no JSON: ${text.slice(0, 120)}`);
  }
}
