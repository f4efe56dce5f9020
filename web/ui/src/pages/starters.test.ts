import { expect, it } from 'vitest';
import { defaultExpr, startersFor } from './starters';

it('offers only what exists', () => {
  expect(startersFor([])).toEqual([]);
  expect(startersFor(['up', 'process_cpu_seconds_total']).map((s) => s.expr)).toEqual(['rate(process_cpu_seconds_total[1m])', 'up']);
  expect(startersFor(['system.memory.usage'])[0]!.expr).toBe('sum by (state) ({"system.memory.usage"})');
  expect(startersFor(['http_server_request_duration_seconds', 'http_server_request_duration_seconds_count']).map((s) => s.key)).toEqual(['start.requests', 'start.latency']);
  expect(startersFor(['system.cpu.time'])[0]!.expr).toBe('sum by (state) (rate({"system.cpu.time", state!="idle"}[1m]))');
});

it('begins with the host, then with anything', () => {
  expect(defaultExpr(['up', 'system_cpu_load_average_1m'])).toBe('system_cpu_load_average_1m');
  expect(defaultExpr(['b_bucket', 'c.d'])).toBe('{"c.d"}');
  expect(defaultExpr([])).toBe('');
});
