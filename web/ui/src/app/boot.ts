// What the server wrote into index.html, and where things are. Everything is relative to the
// page's own address, so the page works behind any prefix.

export interface Boot {
  version: string;
  tenant: string;
  features: string[];
  otlpGrpc?: string;
  otlpHttp?: string;
}

function read(): Boot {
  const none: Boot = { version: 'dev', tenant: '', features: [] };
  const el = document.getElementById('hune-boot');
  if (!el?.textContent) return none;
  try {
    return { ...none, ...(JSON.parse(el.textContent) as Partial<Boot>) };
  } catch {
    return none;
  }
}

export const boot = read();
export const multitenancy = boot.features.includes('multitenancy');

/** Address of the page's folder, ending in a slash. Taken once: history changes the location later. */
export const uiBase = new URL('./', document.baseURI);

/** Address below which the APIs are, ending in a slash: one level above the page. */
export const apiBase = new URL('../', uiBase);

/** Nonce of the page's Content-Security-Policy, for the style element of the query editor. */
export const nonce = (document.getElementById('hune-boot') as HTMLScriptElement | null)?.nonce ?? '';
