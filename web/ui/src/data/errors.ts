// What went wrong, in the server's words.

/** An answer that is not a success, with the server's own words. status 0: no answer at all. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
    this.name = 'ApiError';
  }
}

/** The message of an error body: Prometheus's {error}, Loki's and Tempo's {message}, Alertmanager's JSON string, or plain text. */
export function errorText(body: string, res: { status: number; statusText: string }): string {
  try {
    const j = JSON.parse(body) as { error?: unknown; message?: unknown } | string;
    if (typeof j === 'string') return j;
    if (typeof j.error === 'string' && j.error) return j.error;
    if (typeof j.message === 'string' && j.message) return j.message;
  } catch {
    // plain text
  }
  const text = body.trim();
  if (text && !text.startsWith('<')) return text.slice(0, 2000);
  return `${res.status} ${res.statusText}`.trim();
}
