// Which colour a series or a service has. Dashes tell the rounds of ten apart.
import { isDark } from '../app/settings';
import { dark, light } from './colours';

export const colour = (i: number): string => (isDark() ? dark : light)[i % 10]!;
export const dash = (i: number): number[] => [[], [6, 3], [2, 3], [8, 3, 2, 3]][Math.floor(i / 10) % 4]!;

const given = new Map<string, number>();

/** The colour of a service: from its name, moved on while another service has it, so that up to ten differ. */
export function serviceColour(name: string): string {
  let i = given.get(name);
  if (i === undefined) {
    let h = 0;
    for (let k = 0; k < name.length; k++) h = (h * 31 + name.charCodeAt(k)) >>> 0;
    i = h % 10;
    if (given.size < 10) {
      const taken = new Set(given.values());
      while (taken.has(i)) i = (i + 1) % 10;
    }
    given.set(name, i);
  }
  return colour(i);
}
