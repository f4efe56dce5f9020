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
  const body = encode(o.query);
  const post = o.post && body.toString().length > 4000;
  return (await request<T>(post ? apiURL(path) : apiURL(path, o.query), { method: post ? 'POST' : 'GET', body: post ? body : undefined, headers: o.headers, signal: o.signal }))!;
}

/** Changes something; body is sent as JSON. The parsed answer, or undefined if it is empty. Throws ApiError. */
export const sendJSON = <T>(method: 'POST' | 'PUT' | 'DELETE', path: string, body?: unknown): Promise<T> =>
  request<T>(apiURL(path), { method, body: body === undefined ? undefined : JSON.stringify(body), headers: body === undefined ? {} : { 'Content-Type': 'application/json' } }) as Promise<T>;

async function request<T>(url: URL, init: { method: string; body?: BodyInit; headers?: Record<string, string>; signal?: AbortSignal }): Promise<T | undefined> {
  const headers: Record<string, string> = { Accept: 'application/json', ...init.headers };
  if (multitenancy && tenant.value) headers['X-Scope-OrgID'] = tenant.value;
  let res: Response;
  try {
    res = await fetch(url, { ...init, headers, credentials: 'same-origin' });
  } catch (e) {
    if (init.signal?.aborted) throw e;
    throw new ApiError(0, e instanceof Error ? e.message : String(e));
  }
  const text = await res.text();
  if (!res.ok) throw new ApiError(res.status, errorText(text, res));
  if (!text.trim() && init.method !== 'GET') return undefined;
  try {
    return JSON.parse(text) as T;
  } catch {
    throw new ApiError(res.status, `${res.url}: the answer is no JSON: ${text.slice(0, 120)}`);
  }
}
