// What the browser tests look at instead of pixels: window.__hune.debug().
type Probe = () => unknown;

const probes = new Map<string, Probe>();

/** Registers a probe; returns its removal. */
export function debug(name: string, probe: Probe): () => void {
  probes.set(name, probe);
  return () => {
    if (probes.get(name) === probe) probes.delete(name);
  };
}

(window as unknown as Record<string, unknown>).__hune = { debug: () => Object.fromEntries([...probes].map(([k, p]) => [k, p()])) };
