// Writes agent/wire/vectors/frames.txt, the golden vectors in a form that C reads with sscanf:
//   good NAME HEX              NAME begins with the message's name; a dot and a variant may follow
//   bad NAME ERROR-CODE HEX    a decoder that expects sequence 0 must end with that error

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

const hex = z.string().regex(/^([0-9a-f]{2})+$/);
const name = z.string().regex(/^[a-z][a-z0-9_.-]*$/);

const goodSchema = z.array(
  z.strictObject({
    name,
    /** The decoded message: u64 as decimal string, blob as hex. */
    message: z.looseObject({ type: z.string() }),
    hex,
  }),
);

const badSchema = z.array(z.strictObject({ name, error: name, why: z.string(), hex }));

export type GoodVector = z.infer<typeof goodSchema>[number];
export type BadVector = z.infer<typeof badSchema>[number];

export interface Vectors {
  good: GoodVector[];
  bad: BadVector[];
}

/** Reads the vectors of `folder`, agent/wire/vectors. */
export function loadVectors(folder: string): Vectors {
  return {
    good: goodSchema.parse(readJson(join(folder, 'messages.json'))),
    bad: badSchema.parse(readJson(join(folder, 'bad.json'))),
  };
}

export function writeFrames({ good, bad }: Vectors): string {
  const lines = [
    ...good.map((vector) => `good ${vector.name} ${vector.hex}`),
    ...bad.map((vector) => `bad ${vector.name} ${vector.error} ${vector.hex}`),
  ];
  return `${lines.join('\n')}\n`;
}

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(path, 'utf8'));
}
