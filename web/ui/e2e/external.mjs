// The pages about alerts of a Hune that sends its alerts to an Alertmanager elsewhere: it is started here, and this process
// is that Alertmanager.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const listen = async (server) => {
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return server.address().port;
};

/** A port that is free now. */
async function freePort() {
  const s = createServer();
  const port = await listen(s);
  await new Promise((done) => s.close(done));
  return port;
}

const sentences = {
  'en-GB': { text: 'Alerts are sent to other Alertmanagers (alerting.alertmanagers): silences and routes here have no effect on them. Set them there.', silence: 'Silence E2eAway' },
  'fr-FR': { text: 'Les alertes sont envoyées à d’autres Alertmanagers (alerting.alertmanagers) : les silences et les routes d’ici n’ont pas d’effet sur elles. Réglez-les là-bas.', silence: 'Mettre E2eAway en silence' },
};

/** base is a Hune that keeps its alerts; binary is the program. */
export async function externalTests({ base, binary, test, withBrowser, shot }) {
  await test('alerts, in Hune’s own Alertmanager: nothing says that they are sent elsewhere', withBrowser({}, async (b) => {
    for (const page of ['silences', 'alerts/routing']) {
      const routes = b.page.waitForResponse(/alertmanager\/routes/);
      await b.page.goto(`${base}/ui/${page}`);
      assert.equal((await (await routes).json()).data.external, false);
      await b.page.locator('.pane-body').first().waitFor();
      assert.equal(await b.page.locator('.box-notice', { hasText: 'alerting.alertmanagers' }).count(), 0, page);
    }
  }));
  if (!binary) {
    console.log('SKIPPED: alerts sent elsewhere: HUNE_BINARY names no program');
    return;
  }
  const told = [];
  const elsewhere = createServer((req, res) => {
    let body = '';
    req.on('data', (c) => (body += c));
    req.on('end', () => {
      for (const a of JSON.parse(body)) told.push(`${req.url} ${a.labels.alertname}`);
      res.end();
    });
  });
  const port = await listen(elsewhere);
  const dir = mkdtempSync(join(tmpdir(), 'hune-e2e-external-'));
  const rules = join(dir, 'rules.yml');
  writeFileSync(rules, 'groups: [{name: g, interval: 1s, rules: [{alert: E2eAway, expr: vector(1), labels: {severity: page}}]}]');
  const [http, grpc, otlp] = [await freePort(), await freePort(), await freePort()];
  const hune = spawn(binary, ['serve', '--data', join(dir, 'data'), '--http', `127.0.0.1:${http}`, '--otlp-grpc', `127.0.0.1:${grpc}`, '--otlp-http', `127.0.0.1:${otlp}`], {
    env: { ...process.env, HUNE_ALERTING_ALERTMANAGERS: `[{static_configs: [{targets: ["127.0.0.1:${port}"]}]}]`, HUNE_RULES_FILES: `[${rules}]`, HUNE_RULES_DEFAULTS: 'false', HUNE_RULES_RESEND_DELAY: '1s', HUNE_TELEMETRY_ENABLED: 'false' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let log = '';
  hune.stderr.on('data', (c) => (log = (log + c).slice(-20_000)));
  const ended = new Promise((done) => hune.on('exit', done));
  const at = `http://127.0.0.1:${http}`;
  try {
    for (const end = Date.now() + 60_000; ; ) {
      if (await fetch(`${at}/ready`).then((r) => r.ok, () => false)) break;
      assert.ok(Date.now() < end && hune.exitCode === null, `hune is not ready:\n${log}`);
      await new Promise((done) => setTimeout(done, 100));
    }
    for (const [locale, { text, silence }] of Object.entries(sentences)) {
      await test(`alerts sent elsewhere, in ${locale}: the pages say so`, withBrowser({ at, locale }, async (b) => {
        const said = (where) => b.page.locator(`${where} .box-notice`, { hasText: text });
        await b.page.goto(`${at}/ui/alerts?refresh=1s`);
        await b.until('it fires', (d) => d.alerts?.items.some((a) => a.name === 'E2eAway' && a.state === 'firing'));
        await b.page.getByRole('button', { name: silence }).first().click();
        await said('dialog').waitFor();
        assert.deepEqual(await b.axe('dialog'), [], 'axe on the silence form');
        await b.page.keyboard.press('Escape');
        for (const page of ['silences', 'alerts/routing']) {
          await b.page.goto(`${at}/ui/${page}`);
          await said('.pane').waitFor();
          assert.deepEqual(await b.axe(), [], `axe on ${page}`);
          await shot(b, `elsewhere-${page.replace('/', '-')}-${locale}`);
        }
        for (const end = Date.now() + 30_000; !told.includes('/api/v2/alerts E2eAway'); await b.page.waitForTimeout(100)) {
          assert.ok(Date.now() < end, `the alert is told: ${told}`);
        }
        assert.deepEqual(await (await fetch(`${at}/api/v2/alerts`)).json(), [], 'nothing stays here');
      }));
    }
  } finally {
    hune.kill();
    await ended;
    elsewhere.close();
    rmSync(dir, { recursive: true, force: true });
  }
}
