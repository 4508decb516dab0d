/**
 * What `pmsm-freeze facts` and a standby say about their machine. Both sides of a comparison come
 * from the same program, so only what the control plane reads is named; the rest passes through.
 */
import { z } from 'zod';

export const FACTS_BYTES_MAX = 65_536;
const text = z.string().max(1024);
const count = z.number().nonnegative();
const textOrNumber = z.union([text, z.number()]);

export const PciDeviceSchema = z.looseObject({
  slot: text,
  vendor: textOrNumber.nullish(),
  device: textOrNumber.nullish(),
  class: textOrNumber.nullish(),
});

export const MigrationInterfaceSchema = z.looseObject({
  interface: text,
  /** Null when the kernel command line does not say it. */
  address: text.nullish(),
  prefix: z.number().int().nullish(),
  mac: text.nullish(),
});

export const FactsSchema = z.looseObject({
  kernel: z.looseObject({
    release: text,
    version: text,
    patched: z.boolean().nullish(),
    /** Of the images with frames left out that it makes and completes; 0 if it has none. */
    image_format: count.nullish(),
  }),
  memory: z.looseObject({
    total_bytes: count,
    present_pages: count.nullish(),
    /** Of all that, what the kernel keeps for images of the engine delta and does not use itself. */
    image_ram_bytes: count.nullish(),
    map: z.array(z.unknown()).max(1024).default([]),
    /** Null where the kernel does not show the firmware's map. */
    map_digest: text.nullish(),
    available_bytes: count.nullish(),
    used_bytes: count.nullish(),
  }),
  cpu: z.looseObject({
    name: text.nullish(),
    vendor: text.nullish(),
    model: textOrNumber.nullish(),
    family: textOrNumber.nullish(),
    stepping: textOrNumber.nullish(),
    flags: z.array(text).max(1024),
    count: z.number().int().positive(),
    cycles_khz: z.number().nullish(),
  }),
  pci: z.array(PciDeviceSchema).max(4096).default([]),
  network: z
    .array(z.looseObject({ name: text, mac: text.nullish() }))
    .max(1024)
    .default([]),
  migration: MigrationInterfaceSchema.nullish(),
  hibernation: z
    .looseObject({
      available: z.boolean(),
      reason: text.nullish(),
      /** Of a standby that has stopped and started its devices once to see whether it can. */
      rehearsal: z.enum(['held', 'failed']).nullish(),
    })
    .optional(),
  /** Whether the kernel takes the rules that drop everything; of who has tried. */
  quarantine: z.looseObject({ available: z.boolean(), reason: text.nullish() }).optional(),
});

export type Facts = z.infer<typeof FactsSchema>;
