// A browser with an empty profile, and what is noted of every page: console errors, failed
// scripts, requests that leave the origin.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const require = createRequire(import.meta.url);
const axeSource = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

export const executable = process.env.CHROMIUM ?? ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);

export async function open(base, { locale = 'en-GB', colorScheme = 'light', viewport = { width: 1440, height: 900 } } = {}) {
  const dir = mkdtempSync(join(tmpdir(), 'hune-e2e-'));
  const context = await chromium.launchPersistentContext(dir, {
    executablePath: executable,
    headless: true,
    viewport,
    locale,
    colorScheme,
    bypassCSP: false,
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', `--lang=${locale}`],
  });
  const page = await context.newPage();
  const faults = [];
  const origin = new URL(base).origin;
  page.on('console', (m) => (m.type() === 'error' || m.type() === 'warning') && faults.push(`console: ${m.text()}`));
  page.on('pageerror', (e) => faults.push(`script: ${e.stack ?? e.message}`));
  page.on('request', (r) => {
    const u = new URL(r.url());
    if (/^(https?|wss?):$/.test(u.protocol) && u.host !== new URL(origin).host) faults.push(`request outside the origin: ${u}`);
  });
  return {
    page,
    faults,
    /** Forget what is noted: for steps that provoke an error answer. */
    takeFaults: () => faults.splice(0),
    debug: () => page.evaluate(() => window.__hune?.debug() ?? {}),
    /** Waits until test(debug()) holds. */
    async until(what, test, ms = 30_000) {
      const end = Date.now() + ms;
      let last;
      while (Date.now() < end) {
        last = await page.evaluate(() => window.__hune?.debug() ?? {});
        if (test(last)) return last;
        await page.waitForTimeout(150);
      }
      throw new Error(`${what}: not so after ${ms / 1000} s; the page says ${JSON.stringify(last)}`);
    },
    /** Serious and critical findings of axe, in the whole page or in one part of it. */
    async axe(part) {
      // Through the debugger, not as a script element: the page's policy stays as it is.
      await page.evaluate(axeSource);
      const result = await page.evaluate((selector) => window.axe.run(selector ?? document, { resultTypes: ['violations'], runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }), part);
      return result.violations.filter((v) => v.impact === 'serious' || v.impact === 'critical').map((v) => `${v.id}: ${v.help}\n      ${v.nodes.slice(0, 3).map((n) => `${n.target.join(' ')} ${n.any[0]?.message ?? ''}`).join('\n      ')}`);
    },
    async close() {
      await context.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
